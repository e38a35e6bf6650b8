"""Images of more than 8 bits, thermal ones above all, as 8 bits that do not flicker.

What counts as black and as white follows the images slowly: a warm object that comes into view
must not darken all the rest at once, for a tracker sees that as a change of every target.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..pixels import LazyImage

MODES = ("percentile", "clahe", "fixed")
# Side of the grid of pixels that the limits are taken from.
GRID = 128
# Local equalisation: tiles along a side, brightnesses told apart, limit to what a tile may stretch.
TILES, BINS, CLIP = 8, 1024, 3.0


@dataclass(frozen=True)
class ScalingRule:
    """How numbers become brightness.

    Attributes:
        mode: `percentile`: between two percentiles of the image; `clahe`: the same, and then
            equalised locally with limited contrast; `fixed`: between two numbers.
        percent: share of the pixels, in percent, that may be all black, and as many all white.
        seconds: time in which the limits follow a change by two thirds; 0 = at once.
        black, white: the numbers for `fixed`; black may be the larger one.

    Raises:
        ValueError: black and white are the same.
    """

    mode: str = "percentile"
    percent: float = 1.0
    seconds: float = 2.0
    black: float = 0.0
    white: float = 65535.0

    def __post_init__(self) -> None:
        if self.mode == "fixed" and self.black == self.white:
            raise ValueError(
                f"scaling_black and scaling_white are both {self.black:g}: with scaling fixed they "
                "are the numbers shown as black and as white"
            )


@dataclass(frozen=True)
class Curve:
    """What became of the rule for one image.

    Attributes:
        low, high: numbers that become black and white.
        tiles: brightness float32 [TILES, TILES, BINS] between them; None: even.
    """

    low: float
    high: float
    tiles: np.ndarray | None = None

    def steps(self, values: np.ndarray, levels: int) -> np.ndarray:
        """Levels from 0 to `levels` - 1, float32; what is no number is black."""
        scale = (levels - 1) / (self.high - self.low or 1.0)
        # Doubles, for the differences of large numbers.
        scaled = (values - np.float64(self.low)) * scale
        return np.nan_to_num(np.clip(scaled, 0, levels - 1)).astype(np.float32)

    def apply(
        self, values: np.ndarray, rows: np.ndarray, columns: np.ndarray, size: tuple[int, int]
    ) -> np.ndarray:
        """Brightness uint8 of `values` [N, M], or [N, M, C], at rows [N] and columns [M].

        Args:
            size: (H, W) of the image.
        """
        if self.tiles is None or values.ndim > 2:
            return np.rint(self.steps(values, 256)).astype(np.uint8)
        level = np.rint(self.steps(values, BINS)).astype(np.intp)
        (top, down), (left, across) = (
            _between(at, n) for at, n in zip((rows, columns), size, strict=True)
        )
        total = np.zeros(values.shape, np.float32)
        for dy, share_y in ((0, 1 - down), (1, down)):
            for dx, share_x in ((0, 1 - across), (1, across)):
                y, x = (np.minimum(at + d, TILES - 1) for at, d in ((top, dy), (left, dx)))
                total += self.tiles[y[:, None], x[None], level] * (share_y[:, None] * share_x[None])
        return np.rint(total).astype(np.uint8)


DEFAULT = ScalingRule()


class Scaler:
    """Makes the curve of each image of a stream, in their order."""

    def __init__(self, rule: ScalingRule = DEFAULT) -> None:
        self.rule = rule
        self._last: Curve | None = None
        self._time = -math.inf

    def curve(self, values: np.ndarray, time: float) -> Curve:
        """The curve of the next image; looks at a grid of its pixels only.

        Args:
            values: numbers [H, W] or [H, W, C].
            time: when it came, in seconds.
        """
        if self.rule.mode == "fixed":
            return Curve(self.rule.black, self.rule.white)
        step_y, step_x = (max(n // GRID, 1) for n in values.shape[:2])
        grid = values[::step_y, ::step_x].astype(np.float64)
        known = grid[np.isfinite(grid)]
        if not known.size:
            return self._last or Curve(0.0, 1.0)
        low, high = np.percentile(known, (self.rule.percent, 100 - self.rule.percent)).tolist()
        share, last = self._share(time), self._last
        if last is not None and low <= last.high and high >= last.low:
            # However far they have to go: a small part of what is seen now in one image.
            reach = last.high - last.low or math.inf
            low, high = (
                before + share * min(max(now - before, -reach), reach)
                for before, now in ((last.low, low), (last.high, high))
            )
        else:
            # As after a shutter's calibration: with the old limits nothing would be seen.
            last = None
        tiles = None
        if self.rule.mode == "clahe" and values.ndim == 2:
            tiles = _equalise(Curve(low, high).steps(grid, BINS).astype(np.intp))
            if last is not None and last.tiles is not None:
                tiles = last.tiles + np.float32(share) * (tiles - last.tiles)
        self._last = Curve(low, high, tiles)
        return self._last

    def _share(self, time: float) -> float:
        passed = max(time - self._time, 0.0)
        # An image that is read late changes nothing.
        self._time = max(self._time, time)
        return 1.0 - math.exp(-passed / self.rule.seconds) if self.rule.seconds > 0.0 else 1.0


class ScaledImage(LazyImage):
    """Numbers [H, W] or [H, W, C] of any type and byte order as 8 bits."""

    def __init__(self, values: np.ndarray, curve: Curve) -> None:
        super().__init__(values.shape)
        self._values, self._curve = values, curve

    def dense(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        part = self._values[top:bottom, left:right]
        return self._eight(part, np.arange(top, bottom), np.arange(left, right))

    def sparse(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return self._eight(self._values[np.ix_(rows, columns)], rows, columns)

    def _eight(self, values: Any, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return self._curve.apply(values, rows, columns, (self.shape[0], self.shape[1]))


def _between(at: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The tile whose middle lies before each position, and how far the next one's share goes."""
    place = np.clip((at + 0.5) / count * TILES - 0.5, 0, TILES - 1)
    low = place.astype(np.intp)
    return low, (place - low).astype(np.float32)


def _equalise(levels: np.ndarray) -> np.ndarray:
    """Brightness of each level in each tile, float32 [TILES, TILES, BINS], from levels [H, W]."""
    rows, columns = (np.arange(n) * TILES // n for n in levels.shape)
    tile = rows[:, None] * TILES + columns[None]
    found = np.bincount((tile * BINS + levels).ravel(), minlength=TILES * TILES * BINS)
    counts = found.reshape(TILES, TILES, BINS).astype(np.float32)
    # Few pixels in a tile: their levels stand for those around them, or every step would be a jump.
    counts = _smooth(counts)
    total = np.maximum(counts.sum(-1, keepdims=True), 1)
    limit = CLIP * total / BINS
    excess = np.maximum(counts - limit, 0).sum(-1, keepdims=True)
    shares = (np.minimum(counts, limit) + excess / BINS).cumsum(-1) / total
    return np.asarray(255 * shares, np.float32)


def _smooth(counts: np.ndarray, width: int = 32) -> np.ndarray:
    """Mean over `width` neighbours along the last axis; the sum stays."""
    padded = np.pad(counts, [(0, 0)] * (counts.ndim - 1) + [(width // 2, width // 2)], "symmetric")
    sums = np.pad(padded.cumsum(-1, dtype=np.float64), [(0, 0)] * (counts.ndim - 1) + [(1, 0)])
    return ((sums[..., width:] - sums[..., :-width]) / width)[..., : counts.shape[-1]].astype(
        np.float32
    )
