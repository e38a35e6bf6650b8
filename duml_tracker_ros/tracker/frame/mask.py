"""From a mask to a box: the largest connected part, its bounds, and whether to believe them."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..config import MaskConfig
from ..geometry import Box, overlap

ENLARGE = 2
"""A mask is resampled this many times finer before its bounds are taken."""


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The largest 8-connected part of a mask [H, W]; None of an empty one."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count < 2:
        return None
    return np.asarray(parts == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])))


def bounds(part: NDArray[np.bool_]) -> Box:
    """(x, y, w, h) around the pixels of a part, which is not empty; pixel (0, 0) covers [0, 1)."""
    x, y, w, h = cv2.boundingRect(part.astype(np.uint8))
    return float(x), float(y), float(w), float(h)


def upright(part: NDArray[np.bool_]) -> Box:
    """The upright box that stands for the smallest rotated rectangle around a part.

    It has the centre and the area of the rectangle and the aspect of the rectangle's own upright
    bounds (as the vot-toolkit turns rotated boxes into upright ones).
    """
    points = cv2.findNonZero(part.astype(np.uint8))
    assert points is not None
    corners = points.reshape(-1, 1, 2) + np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    rectangle = cv2.minAreaRect(corners.reshape(-1, 2).astype(np.float32))
    (cx, cy), (a, b), _ = rectangle
    wide, tall = np.ptp(cv2.boxPoints(rectangle), axis=0).tolist()
    scale = math.sqrt(a * b / (wide * tall))
    w, h = wide * scale, tall * scale
    return cx - w / 2, cy - h / 2, w, h


def box_of_mask(
    probability: NDArray[Any], region: Box, regressed: Box, config: MaskConfig
) -> Box | None:
    """The box of a target by its mask; None when there is no mask that can be believed.

    That is: nothing reaches the threshold, the part touches the border of the map, behind which
    it may go on, or its box overlaps the regressed one too little.

    Args:
        probability: float32 [n, n].
        region: rectangle that the map covers edge to edge, in the pixels of ``regressed``.
    """
    n = probability.shape[0] * ENLARGE
    fine = cv2.resize(probability, (n, n), interpolation=cv2.INTER_LINEAR)
    part = largest_part(fine >= config.threshold)
    if part is None:
        return None
    if part[[0, -1]].any() or part[:, [0, -1]].any():
        return None
    x, y, w, h = upright(part) if config.box == "rotated" else bounds(part)
    scale = region[2] / n
    box = (region[0] + x * scale, region[1] + y * scale, w * scale, h * scale)
    return box if overlap(box, regressed) >= config.overlap else None
