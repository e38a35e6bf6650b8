"""What of more than 8 bits becomes black and white: one stretch for a whole clip."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .picture import Pixels

SAMPLES = 16
"""Pictures of a clip that its levels are chosen from."""
_SHARE = 0.1  # percent of the pixels beyond either level, before the margin
_MARGIN = 0.25  # of the span: a small hot target must not become a flat patch
_GRID = 512


@dataclass(frozen=True)
class Levels:
    """The numbers that become 0 and 255; all between them evenly, those beyond are cut."""

    low: float
    high: float

    def apply(self, pixels: Pixels) -> NDArray[np.uint8]:
        """uint8 of the same shape; what is no number becomes 0."""
        if pixels.dtype == np.uint8:
            return pixels
        if pixels.dtype == np.uint16:
            return self._scaled(np.arange(1 << 16, dtype=np.float64))[pixels]
        return self._scaled(pixels.astype(np.float64))

    def _scaled(self, values: NDArray[np.float64]) -> NDArray[np.uint8]:
        share = (values - self.low) * (255 / max(self.high - self.low, 1e-12))
        return np.rint(np.nan_to_num(np.clip(share, 0, 255))).astype(np.uint8)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g} become 0 to 255"


def choose_levels(pictures: Iterable[Pixels]) -> Levels:
    """Levels for a clip from some of its pictures: nearly all numbers, and some room beyond.

    A few dead pixels do not matter, and what is a little hotter than all the rest still differs.
    """
    parts = []
    for pixels in pictures:
        step = max(1, min(pixels.shape[:2]) // _GRID)
        values = pixels[::step, ::step].astype(np.float64)
        parts.append(values[np.isfinite(values)])
    known = np.concatenate([part.ravel() for part in parts]) if parts else np.zeros(0)
    if not known.size:
        return Levels(0.0, 1.0)
    low, high = np.percentile(known, (_SHARE, 100 - _SHARE)).tolist()
    room = _MARGIN * (high - low)
    low, high = max(low - room, float(known.min())), min(high + room, float(known.max()))
    return Levels(low, high if high > low else low + 1.0)
