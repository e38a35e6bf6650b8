"""A trace with its truth: what each frame was like, which frames to show, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..evaluation.metrics import Array, iou, present
from ..pixels import Box
from .failure import BEFORE, HEALTHY, Failure, FailureKind, failures
from .trace import Trace

SHOWN = 6
# Frames after the one that told the kind.
AFTER = (4, 14, 30)


@dataclass(frozen=True)
class Story:
    """A trace and what is known of it.

    Attributes:
        name: of the clip.
        truth: [N, 4] true boxes of the trace's frames; None when nobody knows them.
        start: number of the clip's frame with the first box.
        failures: in order, by their rows in the trace; none without truth.
    """

    name: str
    trace: Trace
    truth: Array | None
    start: int
    failures: list[Failure]

    def number(self, index: int) -> int:
        """Number of a row's frame in the clip, from 0."""
        return self.start + int(self.trace["frame"][index])

    def overlap(self) -> Array | None:
        """IoU of each frame, NaN where the target is absent; None without truth."""
        if self.truth is None:
            return None
        boxes = self.trace["box"].astype(np.float64)
        return np.where(present(self.truth), iou(boxes, self.truth), np.nan)

    def true_box(self, index: int) -> Box | None:
        """The true box of a row, None when it is absent or not known."""
        if self.truth is None or not np.isfinite(self.truth[index]).all():
            return None
        x, y, w, h = self.truth[index].tolist()
        return x, y, w, h


def tell(name: str, trace: Trace, truth: Array | None, start: int = 0) -> Story:
    """Judge a trace.

    Args:
        truth: [M, 4] true boxes of the clip, row 0 that of its frame 0; None without.
        start: the clip's frame with the first box.

    Raises:
        ValueError: there are fewer true boxes than frames.
    """
    if truth is None:
        return Story(name, trace, None, start, [])
    rows = start + trace["frame"]
    if rows.max() >= len(truth):
        raise ValueError(f"the trace reaches frame {rows.max()}, the truth has {len(truth)} rows")
    true = truth[rows]
    found = failures(trace["box"], true, trace.states, trace["weak"])
    return Story(name, trace, true, start, found)


def frames_to_show(story: Story, failure: Failure | None) -> list[int]:
    """Rows for a strip of pictures: around a failure, or evenly spaced with the worst one."""
    last = len(story.trace) - 1
    if failure is not None:
        good = failure.healthy if failure.healthy is not None else max(0, failure.index - 10)
        wanted = {good, (good + failure.index) // 2, failure.index - 1, failure.index}
        wanted.add(failure.judged)
        # What comes after it fills the strip, as far as the clip goes.
        for step in AFTER:
            if len(wanted) < SHOWN:
                wanted.add(failure.judged + step)
        kept = sorted(row for row in wanted if 0 <= row <= last)
        spare = [int(i) for i in np.linspace(0, last, 2 * SHOWN) if int(i) not in kept]
        return sorted(kept + spare[: SHOWN - len(kept)])
    even = {int(i) for i in np.linspace(0, last, SHOWN - 1)}
    return sorted(even | {int(np.nanargmin(story.trace["confidence"]))})


def verdict(story: Story) -> str:
    """A few sentences: did it fail, where first, and how; and what of the clip was not seen."""
    problems = story.trace.about.get("problems") or []
    return " ".join(
        [
            _judged(story),
            *(["Not all of the clip was seen:"] if problems else []),
            *(f"{problem}." for problem in problems),
        ]
    )


def _judged(story: Story) -> str:
    if story.truth is None:
        return _own_view(story)
    overlap = story.overlap()
    assert overlap is not None
    mean = float(np.nanmean(overlap)) if np.isfinite(overlap).any() else 0.0
    if not story.failures:
        return f"No failure: mean overlap {mean:.2f} over {len(story.trace)} frames."
    count = len(story.failures)
    return (
        f"{count} failure{'s' * (count > 1)}, mean overlap {mean:.2f}. "
        f"The first: {describe(story, story.failures[0])}"
    )


def describe(story: Story, failure: Failure) -> str:
    """One failure in words."""
    kinds = {
        FailureKind.LOST: "lost, the scores are far below what is usual and nothing else "
        "is taken for it",
        FailureKind.SCALE: f"scale, the centre is right, the area {failure.area_ratio:.1f} times "
        "the true one",
        FailureKind.DISTRACTOR: "distractor, the highest score sits on another place",
        FailureKind.DRIFT: "drift, the box slid off while the scores stayed high",
    }
    text = f"frame {story.number(failure.index)}, {kinds[failure.kind]}"
    if failure.judged != failure.index:
        text += f" (told by frame {story.number(failure.judged)} and after)"
    text += "."
    if failure.healthy is not None:
        text += f" The last frame with an overlap of {HEALTHY:g} was "
        text += f"{story.number(failure.healthy)}."
    if failure.absent_before:
        text += f" The target was hidden in {failure.absent_before} of the {BEFORE} frames before."
    if failure.again is not None:
        return f"{text} Found again at frame {story.number(failure.again)}."
    return f"{text} It was not found again."


def _own_view(story: Story) -> str:
    """Without truth: what the tracker itself noticed first."""
    states = np.array(story.trace.states)
    lost, doubts = np.flatnonzero(states == "lost"), np.flatnonzero(story.trace["distractor"])
    parts = []
    if lost.size:
        parts.append(f"first LOST at frame {story.number(int(lost[0]))}, {lost.size} such frames")
    if doubts.size:
        parts.append(
            f"a second peak nearly as high first at frame {story.number(int(doubts[0]))}, "
            f"{doubts.size} such frames"
        )
    told = "; ".join(parts) or "the tracker noticed nothing unusual"
    return f"Without truth nothing says where it failed; {told}."
