"""How a video says that its frames are to be shown: turned by quarters, mirrored, or both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .picture import Pixels

# A video that leans by more than this share is turned by no quarter.
_LEANING = 0.05


def display_matrix(frame: Any) -> tuple[int, ...]:
    """(a, b, c, d) of a frame of PyAV: pixel (x, y) is shown at (a x + c y, b x + d y)."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return (1, 0, 0, 1)
    values = np.frombuffer(bytes(data), np.int32)
    return tuple(int(values[i]) for i in (0, 1, 3, 4))


def upright(pixels: Pixels, matrix: Sequence[int]) -> tuple[Pixels, str]:
    """Pixels as they are to be shown, and what was done to them, in words; '': nothing.

    Args:
        pixels: [H, W, ...].
        matrix: of `display_matrix`.
    """
    a, b, c, d = matrix
    along, across = abs(a) + abs(d), abs(b) + abs(c)
    on_side = across > along
    if on_side:
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    if a < 0:
        pixels = pixels[:, ::-1]
    if d < 0:
        pixels = pixels[::-1]
    words = _words(on_side, a < 0, d < 0)
    if min(along, across) > _LEANING * max(along, across):
        words = f"{words or 'not turned'}, the nearest quarter of what the video says"
    elif words:
        words += ", as the video says"
    return np.ascontiguousarray(pixels), words


def _words(on_side: bool, right_to_left: bool, upside_down: bool) -> str:
    if on_side == (right_to_left == upside_down):
        return "mirrored and turned" if on_side else "mirrored"
    if on_side:
        return f"turned by {270 if right_to_left else 90} degrees to the left"
    return "turned by 180 degrees to the left" if right_to_left else ""
