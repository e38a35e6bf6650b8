"""Where a track failed and how, by measured rules.

Frames without a true box are left out. A track **fails** at the first frame from which on the
overlap with the truth (IoU) stays below `FAILED` for `LASTING` frames; the failure lasts until the
overlap reaches `HEALTHY` again. A frame is *doubted* when it is LOST or its scores are far below
what this target usually reaches (`LocalizeConfig.unsure_share`).

- **lost**: at no time of the failure are `LASTING` frames in a row not doubted: the tracker does
  not see the target, and takes nothing else for it.

Otherwise it holds on to something, and the first such frames are judged:

- **scale**: the centres are closer than `CENTRED` of the larger box's size (median), but the areas
  differ by more than `RESIZED`.
- **distractor**: the box's centre is outside the true box, and it came there at once: within
  `SUDDEN` frames of an overlap of `HEALTHY`, or after having been LOST. The peak, with a high
  score, sits on another place.
- **drift**: everything else: the overlap sank slowly, or the box clings to a part of the target,
  while the scores stay high.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..evaluation.metrics import Array, as_boxes, iou, present

FAILED = 0.3
LASTING = 5
HEALTHY = 0.5
SUDDEN = 3
BEFORE = 10
CENTRED = 0.25
RESIZED = 2.0


class FailureKind(enum.Enum):
    """How a track failed."""

    LOST = "lost"
    SCALE = "scale"
    DISTRACTOR = "distractor"
    DRIFT = "drift"


@dataclass(frozen=True)
class Failure:
    """One failure of a track.

    Attributes:
        index: row of its first frame.
        judged: row of the first frame that told its kind.
        healthy: row of the last frame before it with an overlap of `HEALTHY`; None without one.
        doubted: share of its frames that are LOST or weak.
        centre_error: median distance of the centres in the judged frames, over the larger size.
        area_ratio: median area of the box over that of the truth.
        outside: the box's centre is outside the true box.
        absent_before: frames without a target among the `BEFORE` before it.
        again: row of the first frame after it with an overlap of `HEALTHY`; None without one.
    """

    kind: FailureKind
    index: int
    judged: int
    healthy: int | None
    doubted: float
    centre_error: float
    area_ratio: float
    outside: bool
    absent_before: int
    again: int | None


def failures(
    boxes: ArrayLike, truth: ArrayLike, states: Sequence[str], weak: ArrayLike
) -> list[Failure]:
    """All failures in order.

    Args:
        boxes, truth: [N, 4] (x, y, w, h); truth NaN where the target is absent.
        states: N names.
        weak: [N], the scores are far below what is usual.

    Raises:
        ValueError: the lengths differ.
    """
    found, true = as_boxes(boxes), as_boxes(truth, "truth")
    lost = np.array([state == "lost" for state in states], bool)
    if not len(found) == len(true) == len(lost):
        raise ValueError(f"{len(found)} boxes, {len(true)} true ones, {len(lost)} states")
    there = np.flatnonzero(present(true))
    overlap = iou(found, true)[there]
    doubted = (lost | np.asarray(weak, bool))[there]
    out: list[Failure] = []
    begin: int | None = 0
    while begin is not None:
        start = _first_run(overlap[begin:] < FAILED)
        if start is None:
            break
        start += begin
        begin = _next(overlap >= HEALTHY, start)
        span = slice(start, begin)
        held = _first_run(~doubted[span] & (overlap[span] < FAILED))
        at = start + (held or 0)
        judged = there[at:begin][:LASTING]
        good = np.flatnonzero(overlap[:start] >= HEALTHY)
        healthy = int(there[good[-1]]) if good.size else None
        error, ratio, outside = _geometry(found[judged], true[judged])
        at_once = healthy is not None and (
            at - good[-1] <= SUDDEN or lost[healthy : judged[0]].any()
        )
        if held is None:
            kind = FailureKind.LOST
        elif error <= CENTRED and not 1 / RESIZED <= ratio <= RESIZED:
            kind = FailureKind.SCALE
        elif outside and at_once:
            kind = FailureKind.DISTRACTOR
        else:
            kind = FailureKind.DRIFT
        index = int(there[start])
        out.append(
            Failure(
                kind,
                index,
                int(judged[0]),
                healthy,
                float(doubted[span].mean()),
                error,
                ratio,
                outside,
                int((~present(true[max(0, index - BEFORE) : index])).sum()),
                int(there[begin]) if begin is not None else None,
            )
        )
    return out


def _next(wanted: np.ndarray, start: int) -> int | None:
    """The first place from `start` on where it is true."""
    places = np.flatnonzero(wanted[start:])
    return start + int(places[0]) if places.size else None


def _first_run(failing: np.ndarray) -> int | None:
    """Where the first `LASTING` failing frames in a row begin; fewer count at the end."""
    for start in np.flatnonzero(failing):
        run = failing[start : start + LASTING]
        if run.all() and (run.size == LASTING or run.size >= 2):
            return int(start)
    return None


def _geometry(found: Array, true: Array) -> tuple[float, float, bool]:
    """Medians of centre error over size and of area ratio; is the centre outside mostly?"""
    area, true_area = found[:, 2:].prod(1), true[:, 2:].prod(1)
    offset = np.abs((found[:, :2] + found[:, 2:] / 2) - (true[:, :2] + true[:, 2:] / 2))
    error = np.hypot(*offset.T) / np.sqrt(np.maximum(area, true_area))
    outside = (offset > true[:, 2:] / 2).any(1)
    return float(np.median(error)), float(np.median(area / true_area)), bool(outside.mean() > 0.5)
