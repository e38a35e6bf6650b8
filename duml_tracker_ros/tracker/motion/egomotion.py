"""How the camera moved between two images: where what stands still in the world has gone to.

Sparse optical flow on a small grey image, so that a frame of any size costs the same, or the
camera's attitude where somebody measures it. No estimate is better than a wrong one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...pixels import LazyImage, Pixels
from ..frame.crop import to_grey
from ..geometry import Box

LONG_SIDE = 160
"""Pixels of the small image along its longer side."""
LEAST_SIDE = 32
"""Pixels that an image needs along its shorter side."""
CORNERS = 60
"""Points that are followed at most."""
LEAST = 10
"""Points that must agree,"""
SHARE = 0.5
"""and what share of all they must be."""
LEEWAY = 1.0
"""Pixels of the small image by which points that agree may differ."""
ZOOM = 1.5
"""Greatest change of scale between two frames that is believed."""
BEHIND = 0.1
"""Depth in the new image, as a share of that in the old one, from which on it counts as behind."""
AROUND = 0.25
"""What is left out around a target, as a share of its sides."""
BETTER = 0.9
"""The images must differ less by this factor once the motion is taken out."""
STOP = cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 0.03
"""When a point is followed well enough: iterations, pixels."""


@dataclass(frozen=True, eq=False)
class Motion:
    """Where what stands still in the world has gone to, from the former image to this one.

    Attributes:
        matrix: homography of image coordinates, float64 [3, 3].
        turn_only: it is that of a camera that was measured to turn, so that things far and near
            change alike; what is seen to grow may do so because the camera comes nearer to it.
    """

    matrix: NDArray[np.float64]
    turn_only: bool = False

    def move(self, box: Box) -> Box:
        """Where a box would be, had it stood still; where it is, if that is behind the camera."""
        x, y, w, h = box
        cx, cy = x + w / 2, y + h / 2
        (a, b, c), (d, e, f), (g, k, n) = self.matrix.tolist()
        depth = g * cx + k * cy + n
        if depth <= BEHIND:
            return box
        x, y = (a * cx + b * cy + c) / depth, (d * cx + e * cy + f) / depth
        # Determinant of the derivative: how areas change there.
        area = (a - g * x) * (e - k * y) - (b - k * x) * (d - g * y)
        scale = math.sqrt(max(area, 0.0)) / depth
        w, h = w * scale, h * scale
        return x - w / 2, y - h / 2, w, h

    def turn(self, vector: tuple[float, float], box: Box) -> tuple[float, float]:
        """The same of a displacement of the box."""
        x, y, w, h = self.move(box)
        to = self.move((box[0] + vector[0], box[1] + vector[1], box[2], box[3]))
        return to[0] + to[2] / 2 - x - w / 2, to[1] + to[3] / 2 - y - h / 2


@dataclass(frozen=True, eq=False)
class View:
    """What is kept of an image to compare the next one with.

    Attributes:
        grey: uint8 [h, w], at most `LONG_SIDE` pixels a side; None where that is not needed.
        size: (width, height) of the image itself.
        attitude: how the camera was turned, where that is measured.
    """

    grey: NDArray[np.uint8] | None
    size: tuple[int, int]
    attitude: Attitude | None = None


@dataclass(frozen=True, eq=False)
class Attitude:
    """How a camera was turned when it took an image.

    Attributes:
        rotation: float64 [3, 3], from its optical frame (x right, y down, z forward) to the world.
        camera: float64 [3, 3], its matrix, for the pixels of the images.
        series: attitudes of another series have another world, and cannot be compared.
    """

    rotation: NDArray[np.float64]
    camera: NDArray[np.float64]
    series: int = 0


def view_of(image: Pixels, order: str, attitude: Attitude | None = None) -> View:
    """Keep what is needed of an image [H, W, C] or [H, W]; a fixed number of pixels is read."""
    height, width = image.shape[:2]
    size = width, height
    if attitude is not None or min(size) < LEAST_SIDE:
        return View(None, size, attitude)
    shrink = max(width, height) / LONG_SIDE
    # Of one that is converted where somebody looks no more pixels than that.
    step = max(int(shrink / 2), 1) if isinstance(image, LazyImage) else 1
    image = image[::step, ::step]
    small = max(round(width / shrink), 8), max(round(height / shrink), 8)
    if shrink >= 2:
        # Four of the pixels under each, whatever their number: enough against aliasing.
        large = 2 * small[0], 2 * small[1]
        image = np.asarray(cv2.resize(image, large, interpolation=cv2.INTER_LINEAR), np.uint8)
    grey = cv2.resize(to_grey(image, order), small, interpolation=cv2.INTER_AREA)
    return View(np.asarray(grey, np.uint8), size)


def between(former: View, view: View, boxes: Iterable[Box] = ()) -> Motion | None:
    """How the camera moved from one image to the next; None where that is not sure.

    Args:
        boxes: targets in the former image: what moves with them says nothing of the camera.
    """
    if former.size != view.size:
        return None
    before, now = former.attitude, view.attitude
    if before is not None and now is not None and before.series == now.series:
        return _turned(before, now, view.size)
    if former.grey is None or view.grey is None or former.grey.shape != view.grey.shape:
        return None
    scale = former.grey.shape[1] / former.size[0], former.grey.shape[0] / former.size[1]
    mask = _around(former.grey, boxes, scale)
    points = cv2.goodFeaturesToTrack(former.grey, CORNERS, 0.01, 5, mask=mask)
    if points is None or len(points) < LEAST:
        return None
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        former.grey, view.grey, points, points.copy(), winSize=(15, 15), maxLevel=3, criteria=STOP
    )
    seen = found.ravel() == 1
    if seen.sum() < LEAST:
        return None
    matrix, inliers = cv2.estimateAffinePartial2D(
        points[seen], moved[seen], method=cv2.RANSAC, ransacReprojThreshold=LEEWAY, maxIters=200
    )
    if matrix is None or inliers.sum() < max(LEAST, SHARE * len(points)):
        return None
    if not _aligns(former.grey, view.grey, matrix, mask):
        return None
    zoom = math.hypot(matrix[0, 0], matrix[1, 0])
    return Motion(_to_image(matrix, scale)) if 1 / ZOOM <= zoom <= ZOOM else None


def _around(
    grey: NDArray[np.uint8], boxes: Iterable[Box], scale: tuple[float, float]
) -> NDArray[np.uint8]:
    """255 where no target is, 0 at and around each."""
    mask = np.full(grey.shape, 255, np.uint8)
    for x, y, w, h in boxes:
        left, right = ((x + s * w) * scale[0] for s in (-AROUND, 1 + AROUND))
        top, bottom = ((y + s * h) * scale[1] for s in (-AROUND, 1 + AROUND))
        rows, columns = (
            slice(max(math.floor(a), 0), max(math.ceil(b), 0))
            for a, b in ((top, bottom), (left, right))
        )
        mask[rows, columns] = 0
    return mask


def _aligns(
    former: NDArray[np.uint8],
    grey: NDArray[np.uint8],
    matrix: NDArray[np.float64],
    mask: NDArray[np.uint8],
) -> bool:
    """Do the images look alike once the motion is taken out, more than they do as they are?"""
    size = grey.shape[1::-1]
    seen = cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_NEAREST)
    seen = cv2.bitwise_and(seen, mask)
    back = cv2.warpAffine(former, matrix, size, flags=cv2.INTER_LINEAR)
    still = cv2.mean(cv2.absdiff(former, grey), seen)[0]
    return cv2.mean(cv2.absdiff(back, grey), seen)[0] < BETTER * still


def _to_image(matrix: NDArray[np.float64], scale: tuple[float, float]) -> NDArray[np.float64]:
    """A motion of the small image's pixel indices as one of image coordinates."""
    sx, sy = scale
    # Pixel (0, 0) has its centre at (0.5, 0.5) in both.
    down = np.array([[sx, 0, -0.5], [0, sy, -0.5], [0, 0, 1]])
    up = np.array([[1 / sx, 0, 0.5 / sx], [0, 1 / sy, 0.5 / sy], [0, 0, 1]])
    return np.asarray(up @ np.vstack([matrix, [0, 0, 1]]) @ down)


def _turned(former: Attitude, now: Attitude, size: tuple[int, int]) -> Motion | None:
    """What a turn of the camera does to its image; None where nothing of the former one is left."""
    matrix = now.camera @ now.rotation.T @ former.rotation @ np.linalg.inv(former.camera)
    depth = matrix[2] @ (size[0] / 2, size[1] / 2, 1)
    return Motion(matrix, True) if np.isfinite(matrix).all() and depth > BEHIND else None
