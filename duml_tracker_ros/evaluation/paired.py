"""Is one tracker better than another, or was it luck? Differences in pairs, with an interval.

Both ran the same sequences, so the differences of each are looked at, not two means. Runs of one
clip are no independent samples: the bootstrap draws clips first and runs of each then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..datasets import Dataset

DRAWS = 4000
"""Samples of the bootstrap: the ends of a 95 % interval are good to about 0.0003."""
NOTABLE = 0.005
"""Difference of a clip from which it counts as better or worse."""


@dataclass(frozen=True)
class Difference:
    """What one tracker has more than another, in means over clips of a score.

    Attributes:
        mean: of the means of each clip.
        low, high: interval that holds it in 95 % of the draws.
        median: of the medians of each clip, which a single lost target does not move.
        better, worse: clips.
    """

    mean: float
    low: float
    high: float
    median: float
    better: int
    worse: int


def clips_of(dataset: Dataset) -> dict[str, str]:
    """The clip that each sequence is a run of: those of the same pictures are one."""
    return {s.name: str(min(s.frames).parent) for s in dataset}


def difference(
    scores: Mapping[str, float], others: Mapping[str, float], clips: Mapping[str, str]
) -> Difference:
    """Compare scores by sequence name, as far as both have them.

    Args:
        clips: the clip of each sequence.

    Raises:
        ValueError: they have no sequence in common.
    """
    runs: dict[str, list[tuple[float, float]]] = {}
    for name in scores:
        if name in others:
            runs.setdefault(clips[name], []).append((scores[name], others[name]))
    if not runs:
        raise ValueError("no sequence in common")
    pairs = [np.array(found) for found in runs.values()]
    gains = [found[:, 0] - found[:, 1] for found in pairs]
    means = np.array([gain.mean() for gain in gains])
    rng = np.random.default_rng(0)
    # Every clip gives one mean of as many of its runs, drawn anew, for each place in each sample.
    drawn = np.stack(
        [
            gain[rng.integers(len(gain), size=(DRAWS, len(gains), len(gain)))].mean(2)
            for gain in gains
        ]
    )
    chosen = rng.integers(len(gains), size=(DRAWS, len(gains)))
    rows, places = np.indices(chosen.shape)
    low, high = np.percentile(drawn[chosen, rows, places].mean(1), (2.5, 97.5))
    medians = [np.median(found, axis=0) for found in pairs]
    return Difference(
        float(means.mean()),
        float(low),
        float(high),
        float(np.mean([a - b for a, b in medians])),
        int((means > NOTABLE).sum()),
        int((means < -NOTABLE).sum()),
    )
