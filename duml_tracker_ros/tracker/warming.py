"""What a tracker is warmed up with."""

from __future__ import annotations

import numpy as np

WARM_FRAMES = 3
"""Frames after which one takes as long as any other."""


def noise_image() -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """An image of 640 x 480 pixels and a box (x, y, w, h) in it."""
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    return image, (300.0, 225.0, 40.0, 30.0)
