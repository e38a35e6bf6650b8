"""Targets that leave and come back: were they found again, and was something else taken for them?

Also OxUvA's rates of long-term tracking (Valmadre et al. 2018): of the frames with the target the
share in which it is told and its box overlaps by half, of those without it the share told LOST.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..datasets import Sequence
from ..datasets.boxes import Array, present
from .metrics import iou
from .one_pass import Run

SOON = 30
"""Frames after a return in which the target is to be found again: one second."""
GRACE = 3
"""Frames after it has gone in which nothing is held against a tracker."""
ENOUGH = 10
"""Frames that must be left after a return for it to count: nobody can be found in a clip's last."""
ON, OFF = 0.3, 0.1
"""Overlap from which a box is on the target, and below which it is on something else."""
HALF = 0.5
"""Overlap that OxUvA asks for."""


@dataclass(frozen=True)
class Returns:
    """How the returns of targets went; of several runs they are added up.

    Attributes:
        absences: after which the target came back, not only in the last frames of the clip.
        found: of those, after which it was seen on its place within `SOON` frames.
        wrong: of those, in or soon after which something else was told TRACKING.
        true_positives, with_target, true_negatives, without_target: frames, see above.
    """

    absences: int
    found: int
    wrong: int
    true_positives: int
    with_target: int
    true_negatives: int
    without_target: int

    @property
    def true_positive_rate(self) -> float:
        return self.true_positives / self.with_target if self.with_target else math.nan

    @property
    def true_negative_rate(self) -> float:
        return self.true_negatives / self.without_target if self.without_target else math.nan

    @property
    def geometric_mean(self) -> float:
        """OxUvA's: the highest over trackers that say LOST at random in a share of the frames."""
        tpr, tnr = self.true_positive_rate, self.true_negative_rate
        if not math.isfinite(tpr + tnr):
            return math.nan
        shares = np.linspace(0, 1, 1001)
        return float(np.sqrt((1 - shares) * tpr * ((1 - shares) * tnr + shares)).max())

    def rates(self) -> dict[str, float]:
        """OxUvA's, by name."""
        names = ("true_positive_rate", "true_negative_rate", "geometric_mean")
        return {name: getattr(self, name) for name in names}


def returns_of(run: Run, sequence: Sequence) -> Returns:
    """Count the returns of one run; the given first frame is left out."""
    there = present(sequence.truth)
    overlap = iou(run.boxes, np.where(there[:, None], sequence.truth, 0.0))
    told = np.array(run.states)
    seen = told != "lost"
    wrong = (told == "tracking") & (overlap < OFF)
    pairs = [(g, b) for g, b in absences(sequence.truth) if len(there) - b >= ENOUGH]
    found = [bool((seen & (overlap >= ON))[back : back + SOON].any()) for _, back in pairs]
    taken = [bool(wrong[gone + GRACE : back + SOON].any()) for gone, back in pairs]
    rest = slice(1, None)
    return Returns(
        len(pairs),
        sum(found),
        sum(taken),
        int((seen & there & (overlap >= HALF))[rest].sum()),
        int(there[rest].sum()),
        int((~seen & ~there)[rest].sum()),
        int((~there[rest]).sum()),
    )


def absences(truth: Array) -> list[tuple[int, int]]:
    """First frame of each absence, and that of the return from it."""
    there = present(truth)
    gone = np.flatnonzero(there[:-1] & ~there[1:]) + 1
    back = np.flatnonzero(~there[:-1] & there[1:]) + 1
    return [(int(g), int(back[back > g][0])) for g in gone if (back > g).any()]


def add_returns(found: Iterable[Returns]) -> Returns:
    """Counts of several runs together."""
    columns = zip(*(vars(r).values() for r in found), strict=True)
    totals = [sum(column) for column in columns]
    return Returns(*totals) if totals else Returns(*[0] * 7)


RETURN_COLUMNS = ("absences", "found again", "wrong taken", "TPR", "TNR", "GM")


def return_cells(found: Returns) -> list[str]:
    """The row of a tracker under `RETURN_COLUMNS`."""
    shares = [
        n / found.absences if found.absences else math.nan for n in (found.found, found.wrong)
    ]
    return [
        str(found.absences),
        *(f"{v:.1%}" if math.isfinite(v) else "-" for v in shares),
        *(f"{v:.3f}" if math.isfinite(v) else "-" for v in found.rates().values()),
    ]
