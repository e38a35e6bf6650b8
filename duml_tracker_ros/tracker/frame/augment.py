"""First-frame augmentation: the samples the online filter starts from (DiMP, DuML)."""

from __future__ import annotations

import math

import cv2
import numpy as np


def augment_search(
    crop: np.ndarray, target: tuple[float, float], count: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Make ``count`` variants of the first search crop; the first one is the crop itself.

    Shifts, rotations, flips and blurs in a fixed order, so two tracks that start alike stay alike.

    Args:
        crop: uint8 [S, S, 3].
        target: (w, h) of the target in crop pixels; it sits in the centre.

    Returns:
        Crops [count, S, S, 3] uint8 and the target's box (cx, cy, w, h) in each, float32
        [count, 4]; rotation leaves its sides as they are.
    """
    size = crop.shape[0]
    middle = size / 2
    rng = np.random.default_rng(seed)
    reach = size / 2 - max(target) / 2
    crops = np.empty((count, *crop.shape), np.uint8)
    boxes = np.empty((count, 4), np.float32)
    crops[0], boxes[0] = crop, (middle, middle, *target)
    for i in range(1, count):
        image = crop
        kind = i % 4
        angle = float(rng.uniform(-25, 25)) if kind == 2 else 0.0
        zoom = float(rng.uniform(0.9, 1.1))
        shift = rng.uniform(-0.6, 0.6, 2) * max(reach, 0)
        if kind == 3:
            image = cv2.flip(image, 1)
        if kind == 0:
            image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.7, 1.8)))
        cos, sin = zoom * math.cos(math.radians(angle)), zoom * math.sin(math.radians(angle))
        c = middle - 0.5
        matrix = np.array(
            [
                [cos, -sin, c - cos * c + sin * c + shift[0]],
                [sin, cos, c - sin * c - cos * c + shift[1]],
            ]
        )
        crops[i] = cv2.warpAffine(
            image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        boxes[i] = (*(middle + shift), zoom * target[0], zoom * target[1])
    return crops, boxes
