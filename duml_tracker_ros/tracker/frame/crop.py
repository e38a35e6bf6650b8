"""Cut a square window out of an image of any size and channel order.

Only the pixels under the window are touched, so a frame of any size costs the same; a device
receives the small crop, not the frame. What lies outside the image takes the fill colour.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from ...pixels import Pixels
from ..errors import ImageError
from ..geometry import Window

CHANNELS = {"rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4, "mono": 1}
_TO_RGB = {
    "bgr": cv2.COLOR_BGR2RGB,
    "rgba": cv2.COLOR_RGBA2RGB,
    "bgra": cv2.COLOR_BGRA2RGB,
    "mono": cv2.COLOR_GRAY2RGB,
}


def check_image(image: Pixels, order: str) -> tuple[int, int]:
    """Check type, shape and channel order; return (width, height). Raises ImageError."""
    if order not in CHANNELS:
        raise ImageError(f"unknown channel order {order!r}; choose from {', '.join(CHANNELS)}")
    if not isinstance(image, Pixels) or image.dtype != np.uint8:
        kind = getattr(image, "dtype", type(image).__name__)
        raise ImageError(f"image must be a uint8 array, got {kind}")
    channels = CHANNELS[order]
    shape_ok = image.ndim == 2 if channels == 1 else image.ndim == 3 and image.shape[2] == channels
    if channels == 1 and image.ndim == 3 and image.shape[2] == 1:
        shape_ok = True
    if not shape_ok:
        raise ImageError(f"order {order!r} needs {channels} channels, got shape {image.shape}")
    height, width = image.shape[:2]
    if width < 8 or height < 8:
        raise ImageError(f"image of {width} x {height} px is too small; 8 x 8 px at least")
    return width, height


def mean_colour(image: Pixels, order: str, sparse: bool = True) -> tuple[float, float, float]:
    """Mean colour as RGB, from a grid of about 64 x 64 pixels if ``sparse``."""
    step_y = step_x = 1
    if sparse:
        step_y, step_x = max(image.shape[0] // 64, 1), max(image.shape[1] // 64, 1)
    some = np.ascontiguousarray(image[::step_y, ::step_x])
    mean = cv2.mean(to_rgb(some, order))
    return mean[0], mean[1], mean[2]


def to_rgb(image: np.ndarray, order: str) -> np.ndarray:
    """Convert to RGB [H, W, 3]; returns the input itself for ``rgb``."""
    return image if order == "rgb" else cv2.cvtColor(image, _TO_RGB[order])


def to_grey(image: np.ndarray, order: str) -> np.ndarray:
    """Convert to brightness [H, W]; returns the input itself for ``mono``."""
    if order == "mono":
        return image.reshape(image.shape[:2])
    return cv2.cvtColor(image, getattr(cv2, f"COLOR_{order.upper()}2GRAY"))


def crop_array(
    image: Pixels, window: Window, fill: tuple[float, float, float], order: str = "rgb"
) -> np.ndarray:
    """Resample the window to RGB uint8 [size, size, 3] (bilinear; area mean when shrinking > 2).

    The part of the image under the window is read as a view; nothing else is copied.
    """
    height, width = image.shape[:2]
    x0, y0, side, _ = window.region
    left = max(math.floor(x0) - 1, 0)
    top = max(math.floor(y0) - 1, 0)
    right = min(math.ceil(x0 + side) + 1, width)
    bottom = min(math.ceil(y0 + side) + 1, height)
    if right <= left or bottom <= top:
        return np.full((window.size, window.size, 3), np.rint(fill), np.uint8)
    patch = image[top:bottom, left:right]
    scale_x = scale_y = 1.0
    shrink = int(1 / window.scale)
    if shrink >= 2:
        # Average whole blocks first, so that a large target does not alias.
        small_w, small_h = max(patch.shape[1] // shrink, 1), max(patch.shape[0] // shrink, 1)
        scale_x, scale_y = small_w / patch.shape[1], small_h / patch.shape[0]
        patch = cv2.resize(patch, (small_w, small_h), interpolation=cv2.INTER_AREA)
    s_x, s_y = window.scale / scale_x, window.scale / scale_y
    # Pixel indices: continuous coordinate minus 0.5 in both grids.
    matrix = np.array(
        [
            [s_x, 0.0, 0.5 * s_x - 0.5 + (left - x0) * window.scale],
            [0.0, s_y, 0.5 * s_y - 0.5 + (top - y0) * window.scale],
        ]
    )
    out = cv2.warpAffine(
        patch,
        matrix,
        (window.size, window.size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=_in_order(fill, order),
    )
    return to_rgb(out, order)


def crop_whole(
    image: Pixels, window: Window, fill: tuple[float, float, float], order: str = "rgb"
) -> np.ndarray:
    """The window in whole pixels, as PySOT cuts it: RGB uint8 [size, size, 3].

    Side and place are rounded, the centre of the square lies on average one pixel before that of
    the window, and all is stretched bilinearly. Networks of that project have seen such crops.
    """
    height, width = image.shape[:2]
    side = round(window.side)
    x0 = math.floor(window.cx - (side + 1) / 2)
    y0 = math.floor(window.cy - (side + 1) / 2)
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x0 + side, width), min(y0 + side, height)
    if right <= left or bottom <= top:
        return np.full((window.size, window.size, 3), np.floor(fill), np.uint8)
    patch = image[top:bottom, left:right]
    edges = (top - y0, y0 + side - bottom, left - x0, x0 + side - right)
    if any(edges):
        colour = np.floor(_in_order(fill, order)).tolist()
        patch = cv2.copyMakeBorder(patch, *edges, cv2.BORDER_CONSTANT, value=colour)
    return to_rgb(cv2.resize(patch, (window.size, window.size)), order)


def _in_order(fill: tuple[float, float, float], order: str) -> tuple[float, ...]:
    """An RGB colour in the channel order of an image, opaque."""
    if order == "mono":
        return sum(fill) / 3, 255
    return (*(fill if order in ("rgb", "rgba") else fill[::-1]), 255)
