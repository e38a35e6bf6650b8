"""Procedural noise: the raw material of every texture in the generated scene."""

from __future__ import annotations

import cv2
import numpy as np

from .arrays import FloatImage


def value_noise(rng: np.random.Generator, height: int, width: int, cell: float) -> FloatImage:
    """Smooth noise [height, width] in about [-1, 1] with features of `cell` pixels."""
    cell = max(1.0, cell)
    if cell <= 1.0:
        return rng.random((height, width), dtype=np.float32) * 2 - 1
    rows, cols = int(height / cell) + 4, int(width / cell) + 4
    grid = rng.random((rows, cols), dtype=np.float32) * 2 - 1
    # A random phase: otherwise the lattices of all octaves meet in the corner.
    phase = rng.random(2)
    matrix = np.array([[1 / cell, 0, 1 + phase[0]], [0, 1 / cell, 1 + phase[1]]])
    return cv2.warpAffine(
        grid,
        matrix,
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )


def fractal_noise(
    rng: np.random.Generator,
    height: int,
    width: int,
    cell: float,
    octaves: int = 4,
    persistence: float = 0.5,
) -> FloatImage:
    """Sum of `octaves` value noises, each half as coarse; zero mean, standard deviation 1."""
    total = np.zeros((height, width), np.float32)
    amplitude = 1.0
    for _ in range(octaves):
        total += np.float32(amplitude) * value_noise(rng, height, width, cell)
        if cell <= 1.0:
            break
        cell /= 2
        amplitude *= persistence
    mean, std = cv2.meanStdDev(total)
    return (total - np.float32(mean[0, 0])) * np.float32(1.0 / max(float(std[0, 0]), 1e-6))
