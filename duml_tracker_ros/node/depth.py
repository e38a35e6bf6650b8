"""The target's surface in an aligned depth image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..pixels import Box
from .camera_model import CameraModel

# encoding -> (type, metres in one unit), as REP 118 has them; 16UC1 holds 0 where nothing is known
ENCODINGS: dict[str, tuple[str, float]] = {
    "16UC1": ("u2", 1e-3),
    "mono16": ("u2", 1e-3),
    "32FC1": ("f4", 1.0),
}
# Share of the box's sides whose depth counts as the target's: its border is background.
CORE = 0.5
MIN_VALID = 0.1
MAX_POINTS = 4096


class DepthError(ValueError):
    """A depth image that tells nothing of the target; the text says why."""


@dataclass(frozen=True)
class Surface:
    """What is seen of the target.

    position: (x, y, z) in metres of the box centre at the target's distance, optical frame.
    points: float32 [N, 3], metres, optical frame.
    """

    position: tuple[float, float, float]
    points: np.ndarray


def depth_view(message: Any) -> tuple[np.ndarray, float]:
    """View [H, W] of a sensor_msgs/Image with depth, and the metres in one unit of it.

    Raises:
        DepthError: no depth encoding, or size, step and data do not fit together.
    """
    if message.encoding not in ENCODINGS:
        raise DepthError(
            f"depth has encoding {message.encoding!r}; these are read: {', '.join(ENCODINGS)}"
        )
    code, unit = ENCODINGS[message.encoding]
    kind = np.dtype(code).newbyteorder(">" if message.is_bigendian else "<")
    width, height, step = int(message.width), int(message.height), int(message.step)
    needed = step * (height - 1) + width * kind.itemsize
    if min(width, height) < 1 or step < width * kind.itemsize or len(message.data) < needed:
        raise DepthError(
            f"depth of {width}x{height} {message.encoding} with step {step} has "
            f"{len(message.data)} bytes: the message is truncated or its size fields are wrong"
        )
    data = memoryview(message.data)
    return np.ndarray((height, width), kind, data, strides=(step, kind.itemsize)), unit


def surface(depth: np.ndarray, unit: float, box: Box, camera: CameraModel) -> Surface:
    """The target's position and points.

    The distance is the median of the depth in the middle of the box. Of the rest of the box those
    pixels are the target's that are as near to this distance as the target is large.

    Args:
        depth: [H, W], aligned with the image of the box; values not above 0 or not finite: unknown.
        unit: metres in one unit of `depth`.
        box: (x, y, w, h) in pixels.

    Raises:
        DepthError: too little of the depth is known, or the lens model has no answer.
    """
    x, y, w, h = box
    core = _region(depth, x + w * (1 - CORE) / 2, y + h * (1 - CORE) / 2, w * CORE, h * CORE)[0]
    known = core[np.isfinite(core) & (core > 0)]
    if known.size < max(1.0, MIN_VALID * core.size):
        raise DepthError(
            f"depth is known for {known.size} of {core.size} pixels in the middle of the target"
        )
    distance = float(np.median(known)) * unit
    across, down = camera.directions(np.array([[x + w / 2, y + h / 2]]))[0].tolist()
    if not math.isfinite(across):
        raise DepthError("the target lies where the lens model has no answer")
    position = (across * distance, down * distance, distance)

    part, left, top = _region(depth, x, y, w, h)
    stride = max(1, math.ceil(math.sqrt(part.size / MAX_POINTS)))
    z = part[::stride, ::stride].astype(np.float32) * unit
    reach = max(w, h) / camera.focal * distance
    rows, columns = np.nonzero(np.abs(z - distance) <= reach)
    pixels = np.stack([columns * stride + left + 0.5, rows * stride + top + 0.5], 1)
    z = z[rows, columns]
    points = np.column_stack([camera.directions(pixels) * z[:, None], z]).astype(np.float32)
    return Surface(position, points[np.isfinite(points).all(1)])


def _region(
    depth: np.ndarray, x: float, y: float, w: float, h: float
) -> tuple[np.ndarray, int, int]:
    """View of the pixels whose centres lie in a rectangle, with its first column and row."""
    left, top = max(0, math.ceil(x - 0.5)), max(0, math.ceil(y - 0.5))
    right, bottom = math.ceil(x + w - 0.5), math.ceil(y + h - 0.5)
    return depth[top : max(top, bottom), left : max(left, right)], left, top
