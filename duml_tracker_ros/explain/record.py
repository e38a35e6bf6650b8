"""One frame of a trace: numbers, score maps and a small picture of what was searched."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from ..pixels import Pixels
from ..tracker import ScoreMaps, TrackResult, TrackState
from ..tracker.frame.crop import crop_array
from ..tracker.geometry import Window

MAPS = ("fused", "robust", "accurate")
STATES = tuple(state.value for state in TrackState)
PICTURE = 224
"""Side of the pictures in pixels."""
CONTEXT = 1.2
"""Side of what they show as a multiple of the search region's, as far as the image goes."""
QUALITY = 80
NOBODY = (math.nan,) * 4

# One row a frame; all are plain numbers, so that a trace is read without pickle.
COLUMNS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "frame": (np.int64, ()),
    "stamp_ns": (np.int64, ()),
    "box": (np.float32, (4,)),
    "candidate": (np.float32, (4,)),
    "search_region": (np.float32, (4,)),
    "map_region": (np.float32, (4,)),
    "picture_region": (np.float32, (4,)),
    "confidence": (np.float32, ()),
    "state": (np.uint8, ()),
    # fused, robust and accurate score at the peak, second peak, first frame's filter at the peak
    "peak": (np.float32, (5,)),
    "usual": (np.float32, ()),
    "distractor": (np.bool_, ()),
    "weak": (np.bool_, ()),
    "inserted": (np.bool_, ()),
    "rate": (np.float32, ()),
    "iterations": (np.int16, ()),
    "protected": (np.int32, ()),
}
# Of a different length each frame: all behind one another, beside it how many belong to a frame.
RAGGED: dict[str, Any] = {"maps": np.float16, "memory": np.float16, "picture": np.uint8}
SIZES: dict[str, tuple[int, ...]] = {"maps_size": (2,), "memory_size": (), "picture_size": ()}


def record(
    frame: int, stamp_ns: int, image: Pixels, order: str, result: TrackResult
) -> dict[str, Any]:
    """Values of `COLUMNS`, `RAGGED` and `SIZES` for one frame.

    Call it before the next frame is tracked: the online memory is looked at as it is now.

    Args:
        frame: number since the target was selected; the first one tracked is 1.
        image: uint8 [H, W, C] in the channel order `order`.
    """
    region, picture = _picture(image, order, result)
    maps, size = _maps(result.score_maps)
    row: dict[str, Any] = {
        "frame": frame,
        "stamp_ns": stamp_ns,
        "box": result.box,
        "candidate": NOBODY,
        "search_region": result.search_region,
        "map_region": result.score_maps.region,
        "picture_region": region,
        "confidence": result.confidence,
        "state": STATES.index(result.state.value),
        "peak": (math.nan,) * 5,
        "usual": math.nan,
        "distractor": False,
        "weak": False,
        "inserted": False,
        "rate": 0.0,
        "iterations": 0,
        "protected": 0,
        "memory": np.zeros(0, np.float16),
        "maps": maps,
        "maps_size": size,
        "picture": picture,
        "picture_size": picture.size,
    }
    diagnostics = result.diagnostics
    if diagnostics is not None:
        peak, finding, decision = diagnostics.peak, diagnostics.finding, diagnostics.decision
        row |= {
            "candidate": diagnostics.candidate,
            "peak": (peak.fused, peak.robust, peak.accurate, peak.second, peak.first),
            "usual": diagnostics.usual,
            "distractor": finding.distractor,
            "weak": finding.weak,
            "inserted": decision.insert,
            "rate": decision.rate,
            "iterations": decision.iterations,
        }
        if diagnostics.memory is not None:
            row["memory"] = np.array(diagnostics.memory.shares(), np.float16)
            row["protected"] = diagnostics.memory.protected
    row["memory_size"] = len(row["memory"])
    return row


def _picture(image: Pixels, order: str, result: TrackResult) -> tuple[Any, np.ndarray]:
    x, y, w, h = result.search_region
    height, width = image.shape[:2]
    # Little of what lies beyond the image, which is nothing, but always all of the box.
    side = max(min(CONTEXT * max(w, h), min(width, height)), 1.5 * max(result.box[2:]))
    cx, cy = (
        min(max(middle, side / 2), size - side / 2) if side <= size else size / 2
        for middle, size in ((x + w / 2, width), (y + h / 2, height))
    )
    window = Window(cx, cy, side, PICTURE)
    rgb = crop_array(image, window, (96.0, 96.0, 96.0), order)
    quality = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    done, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), quality)
    return window.region, data.ravel() if done else np.zeros(0, np.uint8)


def _maps(maps: ScoreMaps) -> tuple[np.ndarray, tuple[int, int]]:
    found = [maps[name] for name in MAPS if name in maps]
    if len(found) < len(MAPS) or len({one.shape for one in found}) != 1:
        return np.zeros(0, np.float16), (0, 0)
    rows, cols = found[0].shape
    return np.stack(found).astype(np.float16).ravel(), (rows, cols)
