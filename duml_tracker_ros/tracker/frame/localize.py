"""Peak analysis: is the target seen, unsure, beside a distractor, or lost?"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import LocalizeConfig


class TrackState(enum.Enum):
    """What the tracker says of its target."""

    IDLE = "idle"
    TRACKING = "tracking"
    UNCERTAIN = "uncertain"
    LOST = "lost"


class Claim(enum.Enum):
    """Whose the chosen place is, as far as look-alikes are followed."""

    OWN = "the target's"
    SHARED = "a look-alike is at the same place"
    OTHERS = "a look-alike's"


@dataclass(frozen=True)
class Finding:
    """Verdict on one frame.

    Attributes:
        state: TRACKING, UNCERTAIN or LOST.
        confidence: in [0, 1]; the expected IoU where it is calibrated.
        distractor: a second peak nearly as high as the first.
        score: mean score of both branches, what the confidence is made of.
        weak: the score is far below what this target usually reaches, or it is on trial.
        accurate: offline score.
        proof: it is plain enough to count for what was lost.
    """

    state: TrackState
    confidence: float
    distractor: bool
    score: float
    weak: bool
    accurate: float = 0.0
    proof: bool = False


def second_peak(score: Tensor, cell: Tensor, half: tuple[float, float] | Tensor) -> Tensor:
    """Highest score [H, W] outside the neighbourhood of a cell.

    Args:
        cell: index of the flattened map [1].
        half: half the height and width of the neighbourhood in cells, of the host or the device.
    """
    height, width = score.shape
    index = torch.arange(max(height, width), device=score.device)
    row, col = torch.div(cell, width, rounding_mode="floor"), cell % width
    near_row = (index[:height] - row).abs_() <= half[0]
    near_col = (index[:width] - col).abs_() <= half[1]
    return score.masked_fill(near_row[:, None] & near_col, -1.0).amax()


def neighbourhood(
    last: tuple[float, float], stride: int, rule: LocalizeConfig
) -> tuple[float, float]:
    """Half the height and width in cells of what counts as one peak.

    last: (w, h) of the last box in crop pixels.
    """
    w, h = (max(0.5 * side / stride * rule.neighbourhood, 2.0) for side in last)
    return h, w


def judge(
    robust: float,
    accurate: float,
    second: float,
    former: TrackState,
    usual: float,
    config: LocalizeConfig,
    strange: bool = False,
    trial: int = 0,
    usual_accurate: float = 0.0,
    claim: Claim = Claim.OWN,
) -> Finding:
    """Turn the scores at the peak into a state.

    Lost when the online score or the offline score is too low: each branch vetoes the other, so
    that a filter that has learned background does not go on alone. Lost, too, when their mean is
    too small a share of what this target usually reaches: background that scores 0.4 is no match
    for a target that scores 0.9. To count as found again takes more of each. What has no number is
    lost, too.

    Args:
        usual: mean score of this target while it is tracked.
        strange: it has other colours than the target: not what was lost, or what is on trial.
        trial: frames of proof that are still wanted of what was found again, this one included.
        usual_accurate: mean offline score of this target while it is tracked.
        claim: whose the place is.
    """
    again = former is TrackState.LOST
    bar = config.found_above if again else config.lost_below
    accurate_bar = config.accurate_found if again else config.accurate_below
    share = config.found_share if again else config.lost_share
    score = 0.5 * (robust + accurate)
    lost = robust < bar or accurate < accurate_bar or score < share * usual
    lost = lost or not math.isfinite(score)
    lost = lost or ((again or trial > 0) and strange) or claim is Claim.OTHERS
    weak = robust < config.found_above or score < config.unsure_share * usual
    plain = min(config.proof_accurate, config.proof_share * usual_accurate)
    proof = accurate >= plain and score >= config.found_share * usual
    weak = weak or trial > (1 if proof else 0) or claim is Claim.SHARED
    distractor = second > config.distractor_ratio * robust
    state = TrackState.UNCERTAIN if weak or distractor else TrackState.TRACKING
    if lost:
        state = TrackState.LOST
    return Finding(state, _confidence(score, config), distractor, score, weak, accurate, proof)


def _confidence(score: float, config: LocalizeConfig) -> float:
    if not math.isfinite(score):
        return 0.0
    score = min(max(score, 0.0), 1.0)
    if config.confidence_slope == 0:
        return score
    return 1 / (1 + math.exp(-config.confidence_slope * (score - config.confidence_middle)))
