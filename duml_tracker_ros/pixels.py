"""Images whose pixels are made only where somebody looks."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

Part = tuple[slice, slice]

Box = tuple[float, float, float, float]
"""(x, y, w, h) in pixels, 0-based and continuous: pixel (0, 0) covers [0, 1) x [0, 1)."""


class LazyImage(ABC):
    """An image that is sliced like an array; a slice is converted, the rest is not.

    Slices are ``image[top:bottom, left:right]``, steps above 0 included, and come as arrays uint8
    [H, W, C], or [H, W] for one channel. ``np.asarray(image)`` converts all of it.

    Args:
        shape: (H, W, C), or (H, W) for one channel.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.ndim = len(shape)
        self.size = math.prod(shape)

    @abstractmethod
    def dense(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        """The pixels of a rectangle that is not empty and lies in the image."""

    @abstractmethod
    def sparse(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The pixels at all pairs of some rows [N] and columns [M], each alone."""

    def __getitem__(self, part: Part) -> np.ndarray:
        rows, columns = (range(*one.indices(n)) for one, n in zip(part, self.shape, strict=False))
        if not rows or not columns:
            return np.empty((len(rows), len(columns), *self.shape[2:]), np.uint8)
        if rows.step == columns.step == 1:
            return self.dense(rows.start, rows.stop, columns.start, columns.stop)
        return self.sparse(np.array(rows), np.array(columns))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:, :], dtype)


Pixels = np.ndarray | LazyImage
"""What trackers look at."""
