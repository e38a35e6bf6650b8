"""A second opinion on what a tracker is sure of: has it the colours that the target had so far?

A network that was trained to overlook changes of colour can be as sure of a stranger as of its
target. The histogram of the colours inside the box is another kind of witness, the same for every
tracker. It cannot make a target lost: who wears strange colours is UNCERTAIN and teaches nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...pixels import Pixels
from ..geometry import Box
from .crop import to_rgb

INNER = 0.7
"""Share of the box's sides that is looked at: corners show the ground."""
SAMPLES = 40
"""Pixels along each side at most."""
BINS = (6, 10, 10)
"""Of lightness and of both colours (CIE Lab);"""
COLOURS = (78.0, 178.0)
"""where the colours' bins begin and end: 128 is grey."""
OVERVIEW = 320
"""Pixels along the longer side of an image in which colours are looked for."""
FOLLOW = 0.03
"""How fast the colours follow what is seen,"""
USUAL = 0.02
"""and what is usual of their likeness."""
DEVIATIONS = 2.0
"""Standard deviations of the usual likeness that are granted, beside the tolerance."""
UNKNOWN = 0.08
"""Standard deviation that is reckoned with before any was seen; it counts as one frame does."""
EXPECTED = 0.92
"""Likeness that is usual of targets in general: what is expected of one that was hardly seen."""
BETWEEN, WITHIN = 0.046, 0.054
"""Standard deviations of it between targets, and from frame to frame of one (41 tracks of DAVIS's
training clips)."""
ALIKE = 10
"""Frames on end that say no more of a target than one: they are alike."""
PATIENCE = 90
"""Frames on end after which strange colours are believed: the light has changed."""

Histogram = NDArray[np.float32]

_LEVELS = np.arange(256)
_OF_COLOUR = ((_LEVELS - COLOURS[0]) * BINS[1] // (COLOURS[1] - COLOURS[0])).clip(0, BINS[1] - 1)
# What each channel adds to the number of a bin.
_LIGHT = _LEVELS * BINS[0] // 256 * (BINS[1] * BINS[2])
_BIN_OF = np.stack([_LIGHT, _OF_COLOUR * BINS[2], _OF_COLOUR], -1).astype(np.int16)[None]


def palette(image: Pixels, order: str, box: Box) -> Histogram | None:
    """Shares of colours inside a box of an image; None where nothing of it lies in the image."""
    if not all(map(math.isfinite, box)):
        return None
    x, y, w, h = box
    height, width = image.shape[:2]
    edge = (1 - INNER) / 2
    left, right = max(round(x + edge * w), 0), min(round(x + (1 - edge) * w), width)
    top, bottom = max(round(y + edge * h), 0), min(round(y + (1 - edge) * h), height)
    if right <= left or bottom <= top:
        return None
    down, across = ((n - 1) // SAMPLES + 1 for n in (bottom - top, right - left))
    some = image[top:bottom:down, left:right:across]
    return _shares(_bins(some, order))


def _bins(image: Pixels, order: str) -> NDArray[np.int16]:
    """The bin of each pixel's colour [H, W]; the strongest colours are in the outermost ones."""
    rgb = np.ascontiguousarray(to_rgb(np.ascontiguousarray(image), order))
    light, red, yellow = cv2.split(cv2.LUT(cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB), _BIN_OF))
    return np.asarray(light + red + yellow, np.int16)


def _shares(bins: NDArray[np.int16]) -> Histogram:
    return (np.bincount(bins.ravel(), minlength=math.prod(BINS)) / bins.size).astype(np.float32)


def likeness(one: Histogram, other: Histogram) -> float:
    """Bhattacharyya coefficient of two histograms, in [0, 1]."""
    return float(np.sqrt(one * other).sum())


def most_like(
    image: Pixels,
    order: str,
    sides: tuple[float, float],
    colours: Histogram,
    seen: Sequence[tuple[float, float]] = (),
    apart: float = 0.0,
) -> tuple[float, float] | None:
    """The centre (x, y) of the part of an image that has most of some colours.

    What counts is by how much more of a colour there is in the target than in the image.

    Args:
        sides: (w, h) of the target in pixels.
        seen: centres of squares with sides of ``apart`` pixels that are left out.

    Returns:
        None where nothing has any of them.
    """
    height, width = image.shape[:2]
    step = max((max(height, width) - 1) // OVERVIEW + 1, 1)
    bins = _bins(image[::step, ::step], order)
    likely = (colours / (colours + _shares(bins) + 1e-6))[bins]
    box = [max(round(n / step), 1) for n in sides]
    mean = cv2.boxFilter(likely, cv2.CV_32F, box, borderType=cv2.BORDER_CONSTANT)
    for x, y in seen:
        left, right, top, bottom = (
            max(round((c + d) / step), 0) for c in (x, y) for d in (-apart / 2, apart / 2)
        )
        mean[top:bottom, left:right] = 0
    _, most, _, (column, row) = cv2.minMaxLoc(mean)
    return ((column + 0.5) * step, (row + 0.5) * step) if most > 0 else None


@dataclass
class UsualPalette:
    """The colours of one target, and how alike they usually are from frame to frame.

    Attributes:
        first: as they were when it was selected.
        recent: mean that follows what was surely the target's.
        mean, variance: of the likeness of such frames; frames: how many there were.
        doubted: frames on end whose colours were strange.
    """

    first: Histogram | None = None
    recent: Histogram | None = None
    mean: float = 1.0
    variance: float = 0.0
    frames: int = 0
    doubted: int = 0

    def start(self, seen: Histogram | None) -> None:
        """Take the colours of the frame in which the target was selected."""
        self.first = self.recent = seen

    def doubts(self, seen: Histogram | None, tolerance: float) -> bool:
        """Are these another's colours? Those that are not are learned.

        Args:
            seen: of a frame in which all else says that it is the target.
            tolerance: how much less alike than usual they may be.
        """
        if self.first is None or self.recent is None:
            self.start(seen)
            return False
        if seen is None:
            return False
        alike = max(likeness(seen, self.first), likeness(seen, self.recent))
        variance = self.variance + UNKNOWN**2 / max(self.frames, 1)
        bar = self.mean - tolerance - DEVIATIONS * math.sqrt(variance)
        if self.frames and alike < bar:
            self.doubted += 1
            if self.doubted <= PATIENCE:
                return True
            self.recent, self.frames, self.mean, self.variance = seen, 0, 1.0, 0.0
            alike = 1.0
        self.doubted = 0
        self.frames += 1
        rate = max(USUAL, 1 / self.frames)
        off = alike - self.mean
        self.mean += rate * off
        self.variance = (1 - rate) * (self.variance + rate * off * off)
        self.recent = np.asarray(self.recent + FOLLOW * (seen - self.recent), np.float32)
        return False

    def differs(self, seen: Histogram | None, tolerance: float) -> bool:
        """Are these not the colours of what was lost? Nothing is learned.

        Who was not followed from frame to frame is granted one deviation, not more: of what is
        likely after the frames that were seen, which are little to go by while they are few.
        """
        if tolerance <= 0 or seen is None or self.first is None or self.recent is None:
            return False
        alike = max(likeness(seen, self.first), likeness(seen, self.recent))
        mean, deviation = self._likely()
        return alike < mean - tolerance - deviation

    def _likely(self) -> tuple[float, float]:
        """Mean and standard deviation of the likeness in a frame to come.

        Those of targets in general (normal prior of the mean) as far as few frames were seen.
        """
        known, prior = self.frames / ALIKE, (WITHIN / BETWEEN) ** 2
        mean = (prior * EXPECTED + known * self.mean) / (prior + known)
        within = (WITHIN**2 + known * self.variance) / (1 + known)
        return mean, math.sqrt(within + WITHIN**2 / (prior + known))

    def interrupt(self) -> None:
        """The target was not seen: what is strange begins anew."""
        self.doubted = 0
