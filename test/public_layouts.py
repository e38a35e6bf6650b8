"""Weights and images by rule: the code of a public project and a test make the same ones."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
import torch

SCALES = {
    ".bn3.": 0.5,
    "backbone.conv1.": 0.02,
    "head.0.": 0.2,
    "cls.head.3.": 6.0,
    "loc.head.3.": 0.5,
}
"""Layers behind which numbers would grow out of range, and factors on their weights."""


def drawn(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """A tensor that its name and shape determine, of a size that keeps activations in range."""
    rng = np.random.RandomState(zlib.crc32(key.encode()))
    values = rng.random_sample(shape) * 2 - 1
    if len(shape) == 4:
        values *= (3 / np.prod(shape[1:])) ** 0.5
    elif key.endswith("running_var"):
        values = 1 + 0.5 * values
    elif key.endswith("weight"):
        values = 0.8 + 0.2 * values
    else:
        values *= 0.1
    for part, scale in SCALES.items():
        if part in key and key.endswith("weight"):
            values *= scale
    return torch.from_numpy(values).float()


def drawn_state(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """All tensors of a network by rule, but for the counters of its batch norms."""
    return {k: drawn(k, s) for k, s in shapes.items() if not k.endswith("num_batches_tracked")}


def crop(size: int) -> np.ndarray:
    """A crop of coloured blocks, uint8 [size, size, 3]."""
    rng = np.random.RandomState(size)
    blocks = rng.randint(0, 256, (size // 16 + 1, size // 16 + 1, 3), np.uint8)
    return np.kron(blocks, np.ones((16, 16, 1), np.uint8))[:size, :size]


def frames(count: int) -> tuple[list[np.ndarray], tuple[float, float, float, float]]:
    """BGR images of a patch that moves over a ground and out of the image, and its first box."""
    rng = np.random.RandomState(7)
    ground = np.kron(rng.randint(40, 180, (16, 20, 3), np.uint8), np.ones((15, 16, 1), np.uint8))
    patch = np.kron(rng.randint(0, 256, (7, 9, 3), np.uint8), np.ones((6, 6, 1), np.uint8))
    images = []
    for index in range(count):
        image = ground.copy()
        x, y = 20 + 7 * index, 60 + 4 * index
        image[y : y + patch.shape[0], x : x + patch.shape[1]] = patch
        images.append(image)
    return images, (20.3, 59.6, float(patch.shape[1]), float(patch.shape[0]))
