"""Sampling images through affine maps, in continuous coordinates.

An affine map is a float64 [2, 3] array that sends source to destination coordinates, both
continuous: pixel (i, j) covers [j, j+1) x [i, i+1) and its centre lies at +0.5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[Any]  # uint8; cv2 types its results no closer
Affine = npt.NDArray[np.float64]
Points = npt.NDArray[np.float64]


def affine(a: float, b: float, tx: float, c: float, d: float, ty: float) -> Affine:
    """The map x' = a x + b y + tx, y' = c x + d y + ty."""
    return np.array([[a, b, tx], [c, d, ty]], dtype=np.float64)


def linear(scale: float, angle: float = 0.0, stretch: float = 1.0, shear: float = 0.0) -> Affine:
    """Stretch (aspect ratio factor), shear, then rotate (radians) and scale about the origin."""
    root = math.sqrt(stretch)
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    sx, sy = root, 1.0 / root
    return affine(cos * sx, (cos * shear - sin) * sy, 0.0, sin * sx, (sin * shear + cos) * sy, 0.0)


def place(matrix: Affine, source: tuple[float, float], target: tuple[float, float]) -> Affine:
    """The linear part of `matrix` with the offset that sends the point `source` to `target`."""
    out = matrix.copy()
    (a, b), (c, d) = matrix[0, :2], matrix[1, :2]
    out[0, 2] = target[0] - a * source[0] - b * source[1]
    out[1, 2] = target[1] - c * source[0] - d * source[1]
    return out


def scaled(matrix: Affine, factor: float) -> Affine:
    """`matrix` followed by a scaling of the destination about its origin."""
    return matrix * factor


def invert(matrix: Affine) -> Affine:
    """The inverse map; raises ValueError when `matrix` is singular."""
    a, b, tx = matrix[0]
    c, d, ty = matrix[1]
    det = a * d - b * c
    if abs(det) < 1e-12:
        raise ValueError(f"affine map is singular: {matrix.tolist()}")
    a, b, c, d = d / det, -b / det, -c / det, a / det
    return affine(a, b, -a * tx - b * ty, c, d, -c * tx - d * ty)


def apply(matrix: Affine, points: Points) -> Points:
    """Points [N, 2] sent through the map."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def bounds(points: Points) -> tuple[float, float, float, float]:
    """(x, y, w, h) of the axis-aligned box around points [N, 2]."""
    x0, y0 = points.min(axis=0)
    x1, y1 = points.max(axis=0)
    return float(x0), float(y0), float(x1 - x0), float(y1 - y0)


def corners(width: float, height: float) -> Points:
    """The four corners [4, 2] of the rectangle [0, width] x [0, height]."""
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)


def sample(
    image: Image,
    matrix: Affine,
    size: tuple[int, int],
    *,
    border: int = cv2.BORDER_CONSTANT,
    fill: Sequence[float] | float = 0,
    out: Image | None = None,
) -> Image:
    """Resamples `image` through `matrix` into a picture of `size` (width, height).

    Bilinear; where the picture shrinks by more than about two, the part of the source that is
    needed is first averaged over whole blocks of pixels, so that nothing aliases.
    With `out` and `cv2.BORDER_TRANSPARENT`, pixels outside the source keep what `out` holds.
    """
    width, height = size
    a, b, tx = matrix[0].tolist()
    c, d, ty = matrix[1].tolist()
    det = abs(a * d - b * c)
    if det < 1e-9:
        raise ValueError(f"affine map is singular: {matrix.tolist()}")
    block = int(1.0 / math.sqrt(det) + 0.3)
    if block >= 2:
        rows, cols = image.shape[:2]
        x0, y0, w, h = bounds(apply(invert(matrix), corners(width, height)))
        pad = 2 * block
        left = max(0, int(x0) - pad)
        top = max(0, int(y0) - pad)
        nx = (min(cols, math.ceil(x0 + w) + pad) - left) // block
        ny = (min(rows, math.ceil(y0 + h) + pad) - top) // block
        if nx >= 1 and ny >= 1:
            part = image[top : top + ny * block, left : left + nx * block]
            image = cv2.resize(part, (nx, ny), interpolation=cv2.INTER_AREA)
            tx, ty = tx + a * left + b * top, ty + c * left + d * top
            a, b, c, d = a * block, b * block, c * block, d * block
    # cv2 counts from pixel centres: shift both ends by half a pixel.
    tx += 0.5 * (a + b) - 0.5
    ty += 0.5 * (c + d) - 0.5
    warp = np.array([[a, b, tx], [c, d, ty]], dtype=np.float64)
    value = fill if isinstance(fill, Sequence) else (fill,) * 4
    return cv2.warpAffine(
        image, warp, size, dst=out, flags=cv2.INTER_LINEAR, borderMode=border, borderValue=value
    )


def covers(matrix: Affine, width: int, height: int, size: tuple[int, int]) -> bool:
    """Whether a source of width x height fills the whole destination picture of `size`."""
    x0, y0, w, h = bounds(apply(invert(matrix), corners(*size)))
    return x0 >= 0 and y0 >= 0 and x0 + w <= width and y0 + h <= height


def paste(
    canvas: Image, layer: Image, matrix: Affine, mask: Image | None = None, own: bool = False
) -> None:
    """Composites `layer` (RGBA, colour multiplied by alpha) onto `canvas` (RGB) in place.

    mask: what is seen of the target, uint8 in the canvas's geometry; a layer adds to it if it is
    the target's `own`, and else hides what lies under it.
    """
    height, width = canvas.shape[:2]
    x, y, w, h = bounds(apply(matrix, corners(layer.shape[1], layer.shape[0])))
    x0, y0 = max(0, math.floor(x)), max(0, math.floor(y))
    x1, y1 = min(width, math.ceil(x + w)), min(height, math.ceil(y + h))
    if x1 <= x0 or y1 <= y0:
        return
    local = matrix.copy()
    local[0, 2] -= x0
    local[1, 2] -= y0
    patch = sample(layer, local, (x1 - x0, y1 - y0))
    region = canvas[y0:y1, x0:x1]
    keep = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(patch, 3)), cv2.COLOR_GRAY2BGR)
    under = cv2.multiply(region, keep, scale=1.0 / 255.0)
    cv2.add(cv2.cvtColor(patch, cv2.COLOR_BGRA2BGR), under, dst=under)
    canvas[y0:y1, x0:x1] = under
    if mask is not None:
        alpha = cv2.extractChannel(patch, 3)
        seen = cv2.multiply(mask[y0:y1, x0:x1], cv2.bitwise_not(alpha), scale=1.0 / 255.0)
        mask[y0:y1, x0:x1] = cv2.add(seen, alpha) if own else seen
