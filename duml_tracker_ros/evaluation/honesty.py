"""Does a tracker's word hold? What it says of its target, beside where the target is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

import numpy as np

from ..datasets import Sequence
from .calibration import Reliability, confidence_and_overlap, reliability
from .metrics import iou, present
from .one_pass import Run
from .runner import Evaluation

FALSE = 0.1
"""Overlap below which the box is not on the target."""


@dataclass(frozen=True)
class Honesty:
    """Shares of the frames of a sequence, the given first one left out; NaN where there are none.

    Attributes:
        false_claims: of the frames with the target, those told TRACKING with an IoU below `FALSE`.
        false_alarms: of the frames with the target, those told LOST.
        tracking: of the frames with the target, those told TRACKING.
        absent_tracking, absent_uncertain, absent_lost: of the frames without the target, those told
            TRACKING, UNCERTAIN and LOST.
    """

    false_claims: float
    false_alarms: float
    tracking: float
    absent_tracking: float
    absent_uncertain: float
    absent_lost: float

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def honesty(run: Run, sequence: Sequence) -> Honesty:
    """Compare the states of one run with the truth, which must be public."""
    told = np.array(run.states[1:])
    there = present(sequence.truth)[1:]
    off = iou(run.boxes, sequence.truth)[1:] < FALSE

    def share(what: np.ndarray, of: np.ndarray) -> float:
        return float(what[of].mean()) if of.any() else math.nan

    says = {state: told == state for state in ("tracking", "uncertain", "lost")}
    return Honesty(
        false_claims=share(says["tracking"] & off, there),
        false_alarms=share(says["lost"], there),
        tracking=share(says["tracking"], there),
        absent_tracking=share(says["tracking"], ~there),
        absent_uncertain=share(says["uncertain"], ~there),
        absent_lost=share(says["lost"], ~there),
    )


def mean_honesty(found: Iterable[Honesty]) -> Honesty:
    """Mean over the sequences that have such frames, each with the same weight."""
    items = list(found)

    def mean(name: str) -> float:
        values = [v for v in (getattr(h, name) for h in items) if math.isfinite(v)]
        return float(np.mean(values)) if values else math.nan

    return Honesty(*(mean(f.name) for f in fields(Honesty)))


def honesty_of(result: Evaluation, tracker: str) -> Honesty:
    """Mean honesty of a tracker over the sequences that were scored."""
    found = result.trackers[tracker]
    return mean_honesty(
        honesty(found.runs[s.name], s) for s in result.dataset if s.name in found.scores
    )


def reliability_of(result: Evaluation, tracker: str) -> Reliability | None:
    """Compare a tracker's confidence with its overlaps; None where it reports no confidence."""
    found = result.trackers[tracker]
    clips = [s for s in result.dataset if s.name in found.scores and len(s) > 1]
    if not clips:
        return None
    confidence, overlap, weight = confidence_and_overlap(clips, found.runs)
    told = np.isfinite(confidence)
    return reliability(confidence[told], overlap[told], weight[told]) if told.any() else None


HONESTY_COLUMNS = (
    "TRACKING",
    "false claims",
    "false alarms",
    "absent: TRACKING",
    "UNCERTAIN",
    "LOST",
    "calibration error",
)


def honesty_cells(result: Evaluation, tracker: str) -> list[str]:
    """The row of a tracker under `HONESTY_COLUMNS`; ``-`` where nothing is to be said."""
    found, reliable = honesty_of(result, tracker), reliability_of(result, tracker)
    shares = [
        found.tracking,
        found.false_claims,
        found.false_alarms,
        found.absent_tracking,
        found.absent_uncertain,
        found.absent_lost,
    ]
    cells = [f"{v:.1%}" if math.isfinite(v) else "-" for v in shares]
    return [*cells, "-" if reliable is None else f"{reliable.error:.3f}"]
