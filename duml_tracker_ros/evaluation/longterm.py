"""VOT's long-term measures: tracking precision, recall and F (VOT2018-LT).

One pass, in which the target may leave and return: a tracker is asked for its box and for how sure
it is. Of the frames of at least a certain confidence precision is the mean overlap, and recall the
sum of overlaps as a share of the frames that show the target; the confidence is that of the highest
F. As in vot-toolkit 0.7.4, agreement with which is tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..datasets import Dataset
from ..datasets.boxes import Array, as_boxes
from ..datasets.region import Region, rectangle, special
from .one_pass import Run
from .vot import INITIALIZED, raster_overlaps

RESOLUTION = 100
"""Thresholds on the confidence that are tried, at most."""


@dataclass(frozen=True)
class LongTermScore:
    """Precision, recall and F at the threshold of the highest F."""

    precision: float
    recall: float
    f_score: float


def longterm_score(dataset: Dataset, runs: Mapping[str, Run]) -> LongTermScore:
    """The measures over the finished sequences of a long-term data set.

    What a tracker calls lost counts as of confidence 0.
    """
    parts = []
    for sequence in dataset:
        if sequence.name not in runs or sequence.regions is None:
            continue
        run = runs[sequence.name]
        lost = np.array([state == "lost" for state in run.states])
        confidence = np.where(lost | np.isnan(run.confidence), 0.0, run.confidence)
        confidence[0] = 0.0  # the given box is no answer
        answers = [special(INITIALIZED), *map(_region, as_boxes(run.boxes)[1:])]
        overlaps = raster_overlaps(answers, sequence.regions, run.image_size)
        visible = sum(region.kind != "special" for region in sequence.regions)
        parts.append((overlaps, confidence, visible))
    return score_of(parts)


def _region(box: Array) -> Region:
    """A box of ours in VOT's coordinates."""
    if not np.isfinite(box).all():
        return special(0)
    return rectangle([box[0] + 1, box[1] + 1, box[2], box[3]])


def score_of(parts: Sequence[tuple[Array, Array, int]]) -> LongTermScore:
    """The measures of sequences, each as overlaps [N], confidence [N], and frames with a target."""
    if not parts:
        raise ValueError("no sequence to average over")
    thresholds = _thresholds(np.concatenate([confidence for _, confidence, _ in parts]))
    precision, recall = np.zeros(len(thresholds)), np.zeros(len(thresholds))
    for overlaps, confidence, visible in parts:
        for i, threshold in enumerate(thresholds):
            sure = confidence >= threshold
            precision[i] += overlaps[sure].mean() if sure.any() else 1.0
            recall[i] += overlaps[sure].sum() / visible if sure.any() else 0.0
    precision, recall = precision / len(parts), recall / len(parts)
    total = precision + recall
    f_score = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    best = int(f_score.argmax())
    return LongTermScore(float(precision[best]), float(recall[best]), float(f_score[best]))


def _thresholds(confidence: Array) -> Array:
    """Thresholds that part the confidences into bins of like size, and none and all."""
    ranked = np.sort(confidence[~np.isnan(confidence)])[::-1]
    inner = RESOLUTION - 2
    if len(ranked) > inner:
        step = len(ranked) // inner
        ranked = ranked[np.round(np.linspace(step, len(ranked) - step, num=inner)).astype(int)]
    return np.concatenate([[np.inf], ranked, [-np.inf]])
