"""Writes a trace of every target while the parameter `record_debug` names a folder."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..explain.trace import Budget, TraceWriter
from .outcome import FrameOutcome
from .parameters import NodeSettings

MIB = 1 << 20


class TrackRecorder:
    """The traces of one node; all methods may be called from any thread.

    Args:
        describe: what the tracker says of itself, for `trace.json`.
        fault: told why nothing is recorded any more; the node goes on.
    """

    def __init__(self, describe: Callable[[], dict[str, Any]], fault: Callable[[str], None]):
        self._describe = describe
        self._fault = fault
        self._folder = ""
        self._budget = Budget(0)
        self._writers: dict[int, TraceWriter] = {}
        self._failed = ""
        self._lock = threading.Lock()

    @property
    def folder(self) -> str:
        """Where traces were asked for last; empty while nowhere."""
        return self._folder

    def take(self, outcome: FrameOutcome, settings: NodeSettings) -> None:
        """Record the targets of a frame, or end the recording when it is no longer wanted.

        Call it before the next frame is tracked.
        """
        with self._lock:
            if settings.record_debug != self._folder:
                self._end()
                self._folder, self._failed = settings.record_debug, ""
                self._budget = Budget(0)
            if not self._folder or self._failed:
                return
            self._budget.limit = settings.record_debug_limit * MIB
            try:
                self._record(outcome)
            except OSError as error:
                self._give_up(error)

    def close(self) -> None:
        """Write what is not on disk yet and end all traces."""
        with self._lock:
            self._end()

    def _record(self, outcome: FrameOutcome) -> None:
        seen = {s.target_id: result for s, result in outcome.tracked}
        for target_id in self._writers.keys() - seen.keys():
            self._writers.pop(target_id).flush()
        for target_id, result in seen.items():
            if target_id not in self._writers:
                self._writers[target_id] = self._begin(target_id, outcome.frame.source)
            frame, view = outcome.frame, outcome.view
            self._writers[target_id].add(frame.stamp_ns, view.pixels, view.order, result)

    def _begin(self, target_id: int, source: str) -> TraceWriter:
        now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%f")[:-3]
        folder = Path(self._folder).expanduser() / f"{now}_target_{target_id}"
        about = {"target_id": target_id, "frame_id": source, "tracker": self._describe()}
        return TraceWriter(folder, self._budget, about)

    def _end(self) -> None:
        writers, self._writers = self._writers, {}
        try:
            for writer in writers.values():
                writer.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._writers = {}
        self._failed = f"record_debug: {error.strerror or error} ({self._folder}); not recorded"
        self._fault(f"{self._failed}: make it writable, then set record_debug anew")
