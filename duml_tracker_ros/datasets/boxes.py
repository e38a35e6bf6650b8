"""Boxes as arrays: ``[N, 4]`` rows of ``x, y, w, h``, NaN where the target is absent."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def as_boxes(boxes: ArrayLike, what: str = "boxes") -> Array:
    """Boxes as float64 ``[N, 4]``; raises ValueError naming ``what`` when the shape is another."""
    array = np.asarray(boxes, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"{what} must have the shape [N, 4], got {list(array.shape)}")
    return array


def present(truth: ArrayLike) -> NDArray[np.bool_]:
    """``[N]`` mask of the frames whose true box is finite and has an area."""
    boxes = as_boxes(truth, "truth")
    finite = np.isfinite(boxes).all(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(finite & (boxes[:, 2] > 0) & (boxes[:, 3] > 0))
