"""Where targets were seen last, kept on disk for the process that follows one that was killed."""

from __future__ import annotations

import base64
import json
import math
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..messages.image_codec import ImageView
from ..outputs import write_text
from ..pixels import Box
from .frame_ring import CameraFrame
from .outcome import FrameOutcome
from .target_registry import Logger

FORMAT = 1
AROUND = 5.0
"""Side of the picture that is kept, in sides of the target: what trackers look at to begin."""
LONGEST = 512
"""Pixels of its longer side."""
QUALITY = 95
MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class Remembered:
    """A target as it was seen last.

    Attributes:
        target_id: the id it had.
        box: (x, y, w, h) in pixels.
        size: (width, height) of the image; `source`: its frame_id.
        time: seconds since the epoch.
        region: (left, top, right, bottom) of the picture in the image, whole pixels.
        picture: uint8 RGB [H, W, 3] of the region, smaller than it where it is large.
        class_id: what it is, of who handed it over.
    """

    target_id: int
    box: Box
    size: tuple[int, int]
    source: str
    time: float
    region: tuple[int, int, int, int]
    picture: np.ndarray
    class_id: str = ""

    def frame(self, live: CameraFrame) -> CameraFrame:
        """The image as far as it is remembered, as the one before a live one."""
        width, height = self.size
        left, top, right, bottom = self.region
        image = np.empty((height, width, 3), np.uint8)
        image[:] = self.picture.mean(axis=(0, 1))
        image[top:bottom, left:right] = cv2.resize(self.picture, (right - left, bottom - top))
        return CameraFrame(
            seq=live.seq - 1,
            stamp_ns=live.stamp_ns,
            source=self.source,
            arrival=live.arrival,
            nbytes=image.nbytes,
            header=live.header,
            decode=lambda: ImageView(image, "rgb"),
        )


@dataclass
class _Seen:
    """One target; the picture is made of the view when it is written."""

    entry: dict[str, Any]
    view: ImageView | None


class LastSeen:
    """Takes note of every image, and writes what is new when asked to.

    All methods may be called from any thread.
    """

    def __init__(self, file: Path, logger: Logger) -> None:
        self._file, self._logger = file, logger
        self._seen: dict[int, _Seen] = {}
        self._new = False
        self._failed = False
        self._lock = threading.Lock()

    def take(self, outcome: FrameOutcome) -> None:
        """Take note of the targets in an image; those that have ended are forgotten."""
        with self._lock:
            followed = {sighting.target_id for sighting, _ in outcome.tracked}
            self._new |= bool(self._seen.keys() - followed)
            self._seen = {i: seen for i, seen in self._seen.items() if i in followed}
            for sighting, result in outcome.tracked:
                if not sighting.status.seen:
                    continue
                entry = {
                    "id": sighting.target_id,
                    "box": [float(v) for v in result.box],
                    "size": list(outcome.size),
                    "source": outcome.frame.source,
                    "time": time.time(),
                    "class_id": sighting.class_id,
                }
                self._seen[sighting.target_id] = _Seen(entry, outcome.view)
                self._new = True

    def write(self) -> None:
        """Write what is new to disk."""
        with self._lock:
            if not self._new or self._failed:
                return
            self._new = False
            seen = list(self._seen.values())
            todo = [(one, one.view) for one in seen if one.view is not None]
        for one, view in todo:
            _add_picture(one.entry, view)
            one.view = None
        text = json.dumps({"format": FORMAT, "targets": [one.entry for one in seen]})
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._file, text)
        except OSError as error:
            self._failed = True
            self._logger.error(
                f"reselect_after: {error.strerror or error} ({self._file}): after a restart no "
                "target is selected again; name a folder that can be written in state_folder"
            )

    def forget(self) -> None:
        """Leave nothing behind: the node lets go of its targets by itself."""
        with self._lock:
            self._seen, self._new = {}, False
        try:
            self._file.unlink(missing_ok=True)
        except OSError as error:
            self._logger.warning(f"{self._file} cannot be removed: {error.strerror or error}")

    def read(self) -> list[Remembered]:
        """What a former process left; nothing, with a word in the log, of a file that is none."""
        try:
            if self._file.stat().st_size > MOST_BYTES:
                raise ValueError("it is too large")
            found = json.loads(self._file.read_text(encoding="utf-8"))
            if found["format"] != FORMAT:
                raise ValueError(f"its format is {found['format']!r}, not {FORMAT}")
            return [_remembered(entry) for entry in found["targets"]]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError, AttributeError, cv2.error) as error:
            self._logger.warning(
                f"{self._file} tells of no target and is ignored: "
                f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            )
            return []


def too_old(remembered: Remembered, longest: float) -> str:
    """Why a target is not selected again; empty when it is.

    Args:
        longest: seconds.
    """
    gap = time.time() - remembered.time
    if 0.0 <= gap <= longest:
        return ""
    if gap < 0.0:
        return f"the clock was set back by {-gap:.1f} s since it was seen"
    return f"it was seen last {gap:.1f} s ago (reselect_after is {longest:g} s)"


def _add_picture(entry: dict[str, Any], view: ImageView) -> None:
    """Put the target's surroundings into its entry."""
    x, y, w, h = entry["box"]
    reach = AROUND / 2 * math.sqrt(w * h)
    cx, cy = x + w / 2, y + h / 2
    left, right = (int(min(max(v, 0), view.width)) for v in (cx - reach, cx + reach + 1))
    top, bottom = (int(min(max(v, 0), view.height)) for v in (cy - reach, cy + reach + 1))
    pixels = np.ascontiguousarray(view.pixels[top:bottom, left:right])
    if pixels.size == 0:
        entry["region"], entry["picture"] = [0, 0, 0, 0], ""
        return
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    elif view.order.startswith("rgb"):
        pixels = np.ascontiguousarray(pixels[..., 2::-1])
    else:
        pixels = np.ascontiguousarray(pixels[..., :3])
    scale = LONGEST / max(pixels.shape[:2])
    if scale < 1.0:
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    entry["region"] = [left, top, right, bottom]
    entry["picture"] = base64.b64encode(packed.tobytes()).decode("ascii")


def _remembered(entry: dict[str, Any]) -> Remembered:
    """An entry, checked. Raises ValueError, KeyError, TypeError."""
    x, y, w, h = (float(v) for v in entry["box"])
    width, height = (int(v) for v in entry["size"])
    left, top, right, bottom = (int(v) for v in entry["region"])
    moment = float(entry["time"])
    if not all(math.isfinite(v) for v in (x, y, w, h, moment)) or min(w, h) <= 0.0:
        raise ValueError(f"box {entry['box']} at {moment} is none")
    if not (0 <= left < right <= width <= 65535 and 0 <= top < bottom <= height <= 65535):
        raise ValueError(f"region {entry['region']} does not lie in {width}x{height}")
    packed = np.frombuffer(base64.b64decode(entry["picture"], validate=True), np.uint8)
    picture = cv2.imdecode(packed, cv2.IMREAD_COLOR) if packed.size else None
    if picture is None or max(picture.shape) > LONGEST:
        raise ValueError("its picture cannot be read")
    return Remembered(
        int(entry["id"]),
        (x, y, w, h),
        (width, height),
        str(entry["source"]),
        moment,
        (left, top, right, bottom),
        np.ascontiguousarray(picture[..., ::-1]),
        str(entry["class_id"]),
    )
