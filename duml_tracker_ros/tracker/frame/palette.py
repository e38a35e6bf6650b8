"""A second opinion on what a tracker is sure of: has it the colours that the target had so far?

A network that was trained to overlook changes of colour can be as sure of a stranger as of its
target. The histogram of the colours inside the box is another kind of witness, the same for every
tracker. It cannot make a target lost: who wears strange colours is UNCERTAIN and teaches nothing.
"""

from __future__ import annotations

import math
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
FOLLOW = 0.03
"""How fast the colours follow what is seen,"""
USUAL = 0.02
"""and what is usual of their likeness."""
DEVIATIONS = 2.0
"""Standard deviations of the usual likeness that are granted, beside the tolerance."""
UNKNOWN = 0.08
"""Standard deviation that is reckoned with before any was seen; it counts as one frame does."""
PATIENCE = 90
"""Frames on end after which strange colours are believed: the light has changed."""

Histogram = NDArray[np.float32]


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
    some = np.ascontiguousarray(image[top:bottom:down, left:right:across])
    lab = cv2.cvtColor(np.ascontiguousarray(to_rgb(some, order)), cv2.COLOR_RGB2LAB)
    ranges = [0.0, 256.0, *COLOURS, *COLOURS]
    found = cv2.calcHist([lab], [0, 1, 2], None, list(BINS), ranges).ravel()
    total = found.sum()
    return np.asarray(found / total, np.float32) if total > 0 else None


def likeness(one: Histogram, other: Histogram) -> float:
    """Bhattacharyya coefficient of two histograms, in [0, 1]."""
    return float(np.sqrt(one * other).sum())


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

        Who was not followed from frame to frame is granted one deviation, not more.
        """
        if tolerance <= 0 or seen is None or self.first is None or self.recent is None:
            return False
        alike = max(likeness(seen, self.first), likeness(seen, self.recent))
        variance = self.variance + UNKNOWN**2 / max(self.frames, 1)
        return alike < self.mean - tolerance - math.sqrt(variance)

    def interrupt(self) -> None:
        """The target was not seen: what is strange begins anew."""
        self.doubted = 0
