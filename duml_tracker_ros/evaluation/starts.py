"""More runs of each clip than one: from different frames, forth and back.

One pass from each first frame is a small sample: what is lost once is lost to the end. Runs from
other frames tell trackers apart that one pass cannot.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ..datasets import Dataset, Sequence
from .metrics import present


def more_starts(dataset: Dataset, count: int) -> Dataset:
    """Each clip ``count`` times, named by the frame it begins at: ``Crossing+20``, ``Crossing-99``.

    Every other run goes backwards from as far before the end. All begin in the first half of their
    way, on the first frame from there on in which the target is given.

    Raises:
        DatasetError: the data set has a protocol of its own, or no public truth.
    """
    dataset.require_pass("--starts")
    runs = [run for clip in dataset for run in _runs(clip, count)]
    return dataclasses.replace(dataset, sequences=runs)


def _runs(clip: Sequence, count: int) -> list[Sequence]:
    given = present(clip.truth)
    last, pairs = len(clip) - 1, (count + 1) // 2
    runs: dict[str, Sequence] = {}
    for run in range(count):
        later = len(clip) * (run // 2) // (2 * pairs)
        forth = run % 2 == 0
        way = range(later, len(clip)) if forth else range(last - later, -1, -1)
        order = np.array(way)
        begins = np.flatnonzero(given[order])
        if not len(begins):
            continue
        order = order[begins[0] :]
        name = f"{clip.name}{'+' if forth else '-'}{order[0]}"
        runs[name] = dataclasses.replace(
            clip,
            name=name,
            frames=tuple(clip.frames[i] for i in order),
            truth=clip.truth[order],
            cover=None if clip.cover is None else clip.cover[order],
        )
    return list(runs.values())
