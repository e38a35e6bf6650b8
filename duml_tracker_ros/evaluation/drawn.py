"""Selections as hands draw them: runs of each clip from boxes that are a little off."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
from numpy.typing import NDArray

from ..datasets import Dataset, Sequence

SHIFT = 0.1
"""How far the centre is off at most, in sides of the true box."""
STRETCH = 0.15
"""How far each side is off at most, as a share."""


def drawn_boxes(dataset: Dataset, count: int) -> Dataset:
    """Each clip ``count`` times, named ``Crossing~1`` to ``Crossing~count``, from as many boxes.

    The boxes depend on the clip's name and their number alone. Scores compare with the true boxes,
    the first frame included.

    Raises:
        DatasetError: the data set has a protocol of its own, or no public truth.
    """
    dataset.require_pass("--jitter", ("pass", "longterm"))
    runs = [
        dataclasses.replace(clip, name=f"{clip.name}~{run}", selection=drawn_box(clip, run))
        for clip in dataset
        for run in range(1, count + 1)
    ]
    return dataclasses.replace(dataset, sequences=runs)


def drawn_box(clip: Sequence, run: int) -> NDArray[np.float64]:
    """The first true box of a clip as a hand draws it [4], in run number ``run``."""
    x, y, w, h = clip.truth[0]
    rng = random.Random(f"{clip.name}/{run}")
    wide, high = (side * (1 + rng.uniform(-STRETCH, STRETCH)) for side in (w, h))
    cx, cy = x + w * (0.5 + rng.uniform(-SHIFT, SHIFT)), y + h * (0.5 + rng.uniform(-SHIFT, SHIFT))
    return np.array([cx - wide / 2, cy - high / 2, wide, high])
