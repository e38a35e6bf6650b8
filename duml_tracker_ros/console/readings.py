"""Turns ROS messages of the tracker into what is sent to browsers; reads them by their fields."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..node.stamps import nanoseconds

STATES = ("idle", "tracking", "uncertain", "lost", "error")
MAPS = ("fused", "robust", "accurate")


def stamp_of(message: Any) -> int:
    """Stamp of a message's header in nanoseconds."""
    return nanoseconds(message.header.stamp)


def _finite(value: float, digits: int = 2) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None


@dataclass(frozen=True)
class TargetReading:
    """A Target message.

    Attributes:
        followed: how many targets are followed in its image.
        ended: it tells the end of a target, or that there is none.
        dropped: images that the tracker skipped before this one.
        latency, processing: milliseconds; None when they are not known.
        header: the target as it is sent to browsers.
    """

    followed: int
    ended: bool
    dropped: int
    latency: float | None
    processing: float | None
    header: dict[str, Any]


def read_target(message: Any) -> TargetReading:
    """A Target message for browsers: the box in pixels, None while there is none to act on."""
    box = [_finite(v) for v in (message.x, message.y, message.width, message.height)]
    state = STATES[message.state] if message.state < len(STATES) else "error"
    header = {
        "id": message.target_id,
        "state": state,
        "box": None if None in box else box,
        "confidence": _finite(message.confidence, 3),
        "unseen": message.frames_since_seen,
    }
    return TargetReading(
        message.targets,
        state in ("idle", "error"),
        message.frames_dropped,
        _finite(1e3 * message.latency),
        _finite(1e3 * message.processing_time),
        header,
    )


@dataclass(frozen=True)
class DebugReading:
    """A TrackDebug message: what a browser is told, and the maps that `header["maps"]` names."""

    header: dict[str, Any]
    maps: tuple[bytes, ...]


def read_debug(message: Any) -> DebugReading:
    """A TrackDebug message for browsers: maps as bytes, 255 for a score of 1 and above."""
    rows, cols = int(message.rows), int(message.cols)
    maps = {}
    for name in MAPS:
        values = np.asarray(getattr(message, name), np.float32)
        if rows * cols and values.size == rows * cols:
            clean = np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=0.0)
            maps[name] = np.round(np.clip(clean, 0, 1) * 255).astype(np.uint8).tobytes()
    boxes = np.asarray(message.vote_boxes, np.float64).reshape(-1, 4)
    votes = [
        [*(round(float(v), 2) for v in box), round(float(share), 4)]
        for box, share in zip(boxes, message.vote_shares, strict=False)
        if np.isfinite(box).all() and math.isfinite(share)
    ]
    header = {
        "id": message.target_id,
        "region": [_finite(v) for v in message.search_region],
        "area": [_finite(v) for v in message.map_region],
        "rows": rows,
        "cols": cols,
        "maps": list(maps),
        "votes": votes,
    }
    return DebugReading(header, tuple(maps.values()))
