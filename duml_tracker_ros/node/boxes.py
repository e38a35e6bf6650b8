"""The ways to name a target in an image, turned into pixel boxes once the image's size is known."""

from __future__ import annotations

from collections.abc import Callable

from ..pixels import Box
from ..tracker import BoxError, validate_box, visible_part

BoxOf = Callable[[int, int], Box]
"""Makes (x, y, w, h) in pixels from the width and height of the image."""


# Of a selection less than this share of which lies in the image the target cannot be told.
LEAST_VISIBLE = 0.2


def selected_box(box: Box, width: int, height: int) -> tuple[Box, float]:
    """The part of a selected box inside the image, and its share of the box.

    Raises:
        BoxError: the box is no box, or most of it lies outside the image.
    """
    box = validate_box(box, width, height)
    part, share = visible_part(box, width, height)
    if share < LEAST_VISIBLE:
        x, y, w, h = box
        raise BoxError(
            f"of the box (x={x:g}, y={y:g}, width={w:g}, height={h:g}) only {share:.0%} lies in "
            f"the image of {width}x{height} pixels (at least {LEAST_VISIBLE:.0%} must): draw it "
            "around what is seen of the target"
        )
    return part if share < 1.0 else box, share


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
