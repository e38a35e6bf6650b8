"""The ways to name a target in an image, turned into pixel boxes once the image's size is known."""

from __future__ import annotations

from collections.abc import Callable

from ..pixels import Box
from ..tracker import BoxError

BoxOf = Callable[[int, int], Box]
"""Makes (x, y, w, h) in pixels from the width and height of the image."""


def pixel_box(x: float, y: float, w: float, h: float) -> BoxOf:
    """A box given in pixels."""
    return lambda width, height: (x, y, w, h)


def fraction_box(x: float, y: float, w: float, h: float) -> BoxOf:
    """A box given in fractions of the image's width and height."""
    return lambda width, height: (x * width, y * height, w * width, h * height)


def point_box(x: float, y: float, size: float, normalized: bool, default_size: float) -> BoxOf:
    """A square around a point on the target; raises BoxError for a point outside the image.

    Args:
        x, y: pixels, or fractions of the image's width and height when `normalized`.
        size: side in pixels, or in fractions of the shorter side when `normalized`;
            0 = `default_size`.
        default_size: side in fractions of the shorter side.
    """

    def box(width: int, height: int) -> Box:
        shorter = min(width, height)
        px, py = (x * width, y * height) if normalized else (x, y)
        if not (0.0 <= px < width and 0.0 <= py < height):
            raise BoxError(
                f"point ({px:g}, {py:g}) is outside the image of {width}x{height} pixels"
            )
        if size < 0.0:
            raise BoxError(f"size = {size:g}: give the side of a square, or 0 for point_size")
        side = (size * shorter if normalized else size) if size else default_size * shorter
        return px - side / 2, py - side / 2, side, side

    return box
