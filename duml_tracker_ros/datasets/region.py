"""A target's region as VOT's files give it: a box, a polygon, a mask, or a code.

Regions stay in the coordinates of the files, whose pixels are counted from 1: VOT's overlap rounds
coordinates to whole pixels, so a shift before rounding would change it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .base import Array
from .text import fields

Kind = Literal["special", "rectangle", "polygon", "mask"]

UNKNOWN = 0
"""Code of a frame without a region in trajectory files."""


@dataclass(frozen=True)
class Region:
    """A region as VOT's files give it.

    Attributes:
        kind: what ``values`` means.
        values: special: ``[1]`` code; rectangle: ``[4]`` x, y, w, h; polygon: ``[K, 2]`` points;
            mask: uint8 ``[H, W]``.
        offset: of a mask's first pixel, x and y.
    """

    kind: Kind
    values: NDArray[np.float32] | NDArray[np.uint8]
    offset: tuple[int, int] = (0, 0)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to overlap with."""
        if self.kind == "special":
            return True
        if self.kind == "rectangle":
            return not bool(self.values[2] > 0 and self.values[3] > 0)
        if self.kind == "mask":
            return not bool(self.values.any())
        return False

    @property
    def code(self) -> int:
        """Code of a special region; raises ValueError for others."""
        if self.kind != "special":
            raise ValueError(f"a {self.kind} has no code")
        return int(self.values[0])

    def bounding_box(self) -> Array:
        """Axis-aligned ``[4]`` x, y, w, h, as box trackers are given it; NaN if empty."""
        if self.empty:
            return np.full(4, np.nan)
        if self.kind == "rectangle":
            return self.values.astype(np.float64)
        if self.kind == "polygon":
            low, high = self.values.min(axis=0), self.values.max(axis=0)
            return np.concatenate([low, high - low]).astype(np.float64)
        rows, columns = np.nonzero(self.values)
        x, y = self.offset
        return np.array(
            [
                x + columns.min(),
                y + rows.min(),
                columns.max() - columns.min() + 1,
                rows.max() - rows.min() + 1,
            ],
            dtype=np.float64,
        )

    def text(self) -> str:
        """The line of a trajectory file; raises ValueError for masks, which are not written."""
        if self.kind == "special":
            return str(self.code)
        if self.kind == "mask":
            raise ValueError("masks are read but not written")
        return ",".join(f"{v:.4f}" for v in self.values.reshape(-1))


def special(code: int) -> Region:
    """A region that is only a code."""
    return Region("special", np.array([code], dtype=np.float32))


def rectangle(box: Iterable[float]) -> Region:
    """A rectangle from x, y, w, h in file coordinates."""
    return Region("rectangle", np.asarray(list(box), dtype=np.float32))


def parse_region(line: str) -> Region:
    """Read a line of VOT ground truth or of a trajectory; raises ValueError when it is neither."""
    text = line.strip()
    if text.startswith("m"):
        return _parse_mask(text[1:])
    values = np.array([float(v) for v in fields(text)], dtype=np.float32)
    if values.size == 1:
        return special(int(values[0]))
    if not np.isfinite(values).all():
        return special(UNKNOWN)
    if values.size == 4:
        return Region("rectangle", values)
    if values.size >= 6 and values.size % 2 == 0:
        return Region("polygon", values.reshape(-1, 2))
    raise ValueError(f"{values.size} numbers are no region")


def _parse_mask(text: str) -> Region:
    """``x,y,w,h`` and then run lengths: zeros, ones, zeros, ..."""
    numbers = [int(v) for v in text.split(",")]
    if len(numbers) < 5:
        raise ValueError("a mask needs x,y,w,h and run lengths")
    x, y, width, height = numbers[:4]
    runs = np.array(numbers[4:])
    flat = np.zeros(width * height, dtype=np.uint8)
    values = np.repeat(np.arange(len(runs)) % 2, runs).astype(np.uint8)
    if len(values) > len(flat):
        raise ValueError(f"mask runs cover {len(values)} pixels of {width}x{height}")
    flat[: len(values)] = values
    return Region("mask", flat.reshape(height, width), (x, y))
