"""When to learn from a frame and how hard (DuML, Appendix A)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..config import OnlineConfig
from ..frame.localize import Finding, TrackState

S = TypeVar("S")


@dataclass(frozen=True)
class Decision:
    """What to do with one frame: 0 iterations = only remember; insert False = not even that."""

    insert: bool
    rate: float
    iterations: int


@dataclass
class Surest(Generic[S]):
    """The surest of some frames: what is kept of it, and its score."""

    score: float = -math.inf
    sample: S | None = None

    def keep(self, score: float, sample: S) -> None:
        self.score, self.sample = score, sample

    def take(self) -> S | None:
        """What was kept, if anything; the next frames start anew."""
        sample, self.score, self.sample = self.sample, -math.inf, None
        return sample


NOTHING = Decision(False, 0.0, 0)


def trustworthy(
    finding: Finding, robust: float, accurate: float, first: float, config: OnlineConfig
) -> bool:
    """Is this frame sure enough to learn from?

    Three opinions must agree: the online filter, the offline branch, and the filter of the first
    frame, which has learned no mistake since.
    """
    sure = min(robust, accurate) >= config.learn_above and first >= config.first_above
    return finding.state is not TrackState.LOST and not finding.weak and sure


def decide(finding: Finding, trusted: bool, frame: int, config: OnlineConfig) -> Decision:
    """Update rule for frame number ``frame`` since init (1 = first update).

    ``paper``: 2 iterations at rate 0.1 every 20 frames, 1 iteration at rate 0.2 when a distractor
    shows. ``every_frame``: 1 iteration on every frame that is learned from. ``never``: the filter
    stays that of the first frame. A lost or unsure frame is never learned from.
    """
    if config.update == "never" or not trusted:
        return NOTHING
    if finding.distractor:
        return Decision(True, config.distractor_rate, config.distractor_iterations)
    if config.update == "every_frame":
        return Decision(True, config.rate, 1)
    due = frame % config.interval == 0
    return Decision(True, config.rate, config.iterations if due else 0)
