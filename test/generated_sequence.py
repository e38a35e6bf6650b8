"""A textured patch that glides over a textured ground, written as a folder data set."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def render(frames: int = 12, size: tuple[int, int] = (160, 120), seed: int = 0):
    """Images uint8 BGR ``[H, W, 3]`` and true boxes ``[N, 4]`` (0-based x, y, w, h)."""
    width, height = size
    rng = np.random.default_rng(seed)
    ground = cv2.GaussianBlur(rng.integers(0, 120, (height, width, 3), np.uint8), (0, 0), 3)
    patch = cv2.resize(
        rng.integers(60, 255, (5, 6, 3), np.uint8), (30, 24), interpolation=cv2.INTER_NEAREST
    )
    images, boxes = [], []
    for index in range(frames):
        # There and back, so that long sequences stay in view.
        step = index % 60 if index % 60 < 30 else 60 - index % 60
        x, y = 30 + 3 * step, 40 + step
        image = ground.copy()
        image[y : y + 24, x : x + 30] = patch
        images.append(image)
        boxes.append([x, y, 30, 24])
    return images, np.array(boxes, dtype=float)


def write_sequence(folder: Path, frames: int = 12, seed: int = 0, suffix: str = ".png") -> Path:
    """Write ``img/000001.png ...`` and ``groundtruth_rect.txt`` below ``folder``."""
    images, boxes = render(frames, seed=seed)
    (folder / "img").mkdir(parents=True)
    for index, image in enumerate(images, start=1):
        # Not by cv2.imwrite, which dies of names that are no UTF-8.
        (folder / "img" / f"{index:06d}{suffix}").write_bytes(cv2.imencode(suffix, image)[1])
    np.savetxt(folder / "groundtruth_rect.txt", boxes, fmt="%g", delimiter=",")
    return folder
