"""Peak analysis: is the target seen, unsure, beside a distractor, or lost?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .config import LocalizeConfig
from .types import TrackState


@dataclass(frozen=True)
class Finding:
    """Verdict on one frame.

    Attributes:
        state: TRACKING, UNCERTAIN or LOST.
        confidence: in [0, 1]; the expected IoU where it is calibrated.
        distractor: a second peak nearly as high as the first.
    """

    state: TrackState
    confidence: float
    distractor: bool


def second_peak(score: Tensor, cell: Tensor, half_height: Tensor, half_width: Tensor) -> Tensor:
    """Highest score [H, W] outside the neighbourhood of a cell; sides in cells, scalars."""
    height, width = score.shape
    row, col = cell // width, cell % width
    rows = torch.arange(height, device=score.device)
    cols = torch.arange(width, device=score.device)
    near = ((rows - row).abs() <= half_height)[:, None] & ((cols - col).abs() <= half_width)
    return score.masked_fill(near, -1.0).max()


def judge(
    robust: float,
    accurate: float,
    second: float,
    former: TrackState,
    config: LocalizeConfig,
) -> Finding:
    """Turn the scores at the peak into a state.

    Lost when the online score or the offline score is too low: each branch vetoes the other, so
    that a filter that has learned background does not go on alone. A lost target must reach the
    higher ``found_above`` and ``accurate_found`` to count as found again.
    """
    again = former is TrackState.LOST
    bar = config.found_above if again else config.lost_below
    accurate_bar = config.accurate_found if again else config.accurate_below
    lost = robust < bar or accurate < accurate_bar
    confidence = _confidence(0.5 * (robust + accurate), config)
    distractor = second > config.distractor_ratio * robust
    if lost:
        return Finding(TrackState.LOST, confidence, distractor)
    unsure = distractor or robust < config.found_above
    state = TrackState.UNCERTAIN if unsure else TrackState.TRACKING
    return Finding(state, confidence, distractor)


def _confidence(score: float, config: LocalizeConfig) -> float:
    if not math.isfinite(score):
        return 0.0
    score = min(max(score, 0.0), 1.0)
    if config.confidence_slope == 0:
        return score
    return 1 / (1 + math.exp(-config.confidence_slope * (score - config.confidence_middle)))
