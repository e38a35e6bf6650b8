"""How well the published confidence says how good the box is, and the curve that makes it so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..datasets import Sequence
from .metrics import Array, iou, present
from .one_pass import Run
from .svg import Series, axis_for, colour, line_chart

BINS = 10


@dataclass(frozen=True)
class Calibration:
    """``confidence = 1 / (1 + exp(-slope (raw - middle)))``."""

    slope: float
    middle: float

    def __call__(self, raw: Array) -> Array:
        return np.asarray(1 / (1 + np.exp(-self.slope * (raw - self.middle))))


@dataclass(frozen=True)
class Reliability:
    """Mean overlap of frames by confidence.

    Attributes:
        confidence, overlap: means of each bin that has frames.
        frames: frames in it.
        error: mean distance between confidence and overlap, weighted by frames (expected
            calibration error).
    """

    confidence: Array
    overlap: Array
    frames: NDArray[np.int_]
    error: float


def confidence_and_overlap(
    clips: Iterable[Sequence], runs: dict[str, Run]
) -> tuple[Array, Array, Array]:
    """Confidence, IoU and weight of every scored frame; every clip weighs the same.

    A frame without a target has IoU 0. The given first frames are left out.
    """
    confidence, overlap, weight = [], [], []
    for clip in clips:
        run = runs[clip.name]
        there = present(clip.truth)
        found = np.where(there, iou(run.boxes, np.where(there[:, None], clip.truth, 0.0)), 0.0)
        confidence.append(run.confidence[1:])
        overlap.append(found[1:])
        weight.append(np.full(len(clip) - 1, 1 / (len(clip) - 1)))
    return np.concatenate(confidence), np.concatenate(overlap), np.concatenate(weight)


def fit(raw: Array, overlap: Array, weight: Array) -> Calibration:
    """The curve with the smallest weighted squared distance to the overlaps.

    A search over a grid: two parameters, no start value to get wrong.
    """
    best, least = Calibration(4.0, 0.5), np.inf
    for slope in np.linspace(1.0, 16.0, 61):
        for middle in np.linspace(0.0, 1.2, 61):
            curve = Calibration(float(slope), float(middle))
            loss = float((weight * (curve(raw) - overlap) ** 2).sum())
            if loss < least:
                best, least = curve, loss
    return best


def reliability(confidence: Array, overlap: Array, weight: Array) -> Reliability:
    """Compare confidence and overlap in bins of equal width."""
    place = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
    used = [k for k in range(BINS) if (place == k).any()]

    def mean(values: Array) -> Array:
        return np.array([np.average(values[place == k], weights=weight[place == k]) for k in used])

    c, o = mean(confidence), mean(overlap)
    share = np.array([weight[place == k].sum() for k in used]) / weight.sum()
    frames = np.array([(place == k).sum() for k in used])
    return Reliability(c, o, frames, float((share * np.abs(c - o)).sum()))


def reliability_chart(curves: dict[str, Reliability]) -> str:
    """Overlap over confidence for each curve, beside the diagonal, as an ``<svg>`` element."""
    series = [Series("ideal", [0.0, 1.0], [0.0, 1.0], "#888888", dashed=True)]
    series += [
        Series(name, r.confidence.tolist(), r.overlap.tolist(), colour(i), markers=True)
        for i, (name, r) in enumerate(curves.items())
    ]
    unit = [0.0, 1.0]
    return line_chart("Reliability", series, axis_for("confidence", unit), axis_for("IoU", unit))
