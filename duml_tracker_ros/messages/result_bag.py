"""A bag of results: duml_tracker_ros/Target and vision_msgs/Detection2DArray of each image."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..pixels import Box
from .bag_images import BagError
from .definitions import DETECTION, DETECTIONS, HYPOTHESIS, TARGET, empty, typestore
from .results import fill_detection, fill_target


class ResultBag:
    """Writes `<prefix>/target` and `<prefix>/detections` as the node publishes them.

    A context manager. The bag takes its place when it is whole; leaving by an error removes what
    was written. The same results make the same messages: what only a running node can measure
    (latency, processing time) is NaN.

    Args:
        path: folder to make; it must not exist.
        storage: `mcap` or `sqlite3`.
    """

    def __init__(self, path: str | Path, storage: str = "mcap", prefix: str = "/duml_tracker"):
        self.path = Path(path).expanduser()
        self.prefix = prefix.rstrip("/")
        self._storage = storage
        self._store: Any = None
        self._since_seen = 0

    def __enter__(self) -> ResultBag:
        if self.path.exists():
            raise BagError(f"{self.path} exists already: name another folder, or remove it")
        from rosbags.rosbag2 import StoragePlugin, Writer

        self._store = typestore()
        plugin = StoragePlugin[self._storage.upper()]
        # A bag's files are named after its folder.
        self._scratch = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self._writer = Writer(self._scratch / self.path.name, version=9, storage_plugin=plugin)
        kinds = ((TARGET, "target"), (DETECTIONS, "detections"))
        try:
            with self._writing("made"):
                self._writer.open()
                self._connections = {
                    kind: self._writer.add_connection(
                        f"{self.prefix}/{name}", kind, typestore=self._store
                    )
                    for kind, name in kinds
                }
        except BaseException:
            shutil.rmtree(self._scratch, ignore_errors=True)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                with self._writing():
                    self._writer.close()
                (self._scratch / self.path.name).rename(self.path)
            else:
                self._writer.abort()
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def write(
        self,
        time_ns: int,
        header: Any,
        size: tuple[int, int],
        state: str,
        box: Box,
        confidence: float,
        target_id: int = 1,
    ) -> None:
        """Write what was found in one image.

        Args:
            time_ns: time of both messages in the bag, in nanoseconds.
            header: of the image.
            size: (width, height) of the image in pixels.
            state: `tracking`, `uncertain` or `lost`.
        """
        self._since_seen = self._since_seen + 1 if state == "lost" else 0
        target = empty(self._store, TARGET)
        target.header, target.target_id, target.targets = header, target_id, 1
        target.image_width, target.image_height = size
        fill_target(target, state, box, confidence, self._since_seen)
        target.latency = target.processing_time = math.nan
        detections = empty(self._store, DETECTIONS)
        detections.header = header
        if state == "tracking":
            detection = empty(self._store, DETECTION)
            hypothesis = empty(self._store, HYPOTHESIS)
            fill_detection(detection, hypothesis, header, target_id, box, size, confidence)
            detections.detections.append(detection)
        for kind, message in ((TARGET, target), (DETECTIONS, detections)):
            data = self._store.serialize_cdr(message, kind)
            with self._writing():
                self._writer.write(self._connections[kind], time_ns, data)

    @contextmanager
    def _writing(self, done: str = "written") -> Iterator[None]:
        """Say where a disk is full, or gone. Raises BagError."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
        except Exception as error:
            # Of the library, or of sqlite, which not every Python has.
            if type(error).__module__ not in ("sqlite3", "rosbags.rosbag2.errors"):
                raise
            reason = str(error)
        else:
            return
        raise BagError(f"{self.path} cannot be {done}: {reason}. Make room, or name another place")
