"""Losses of the joint training (DuML eq. 6 with its losses put where the text means them)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def focal_loss(
    logits: Tensor,
    positive: Tensor,
    normalise: str = "per_class",
    gamma: float = 2.0,
    ignored: Tensor | None = None,
) -> Tensor:
    """Focal loss (Lin et al. 2017) over all anchors; logits and bool labels of one shape.

    ``per_class`` averages positives and negatives separately, so that both count the same
    (DuML); ``positives`` divides the sum by the number of positives. ``gamma`` 0 is cross entropy.
    """
    negative = ~positive if ignored is None else ~(positive | ignored)
    pos, neg = focal_terms(logits, positive, negative, gamma)
    return _normalised(pos, neg, positive, negative, normalise)


def focal_terms(
    logits: Tensor, positive: Tensor, negative: Tensor, gamma: float = 2.0
) -> tuple[Tensor, Tensor]:
    """Focal loss of each position: as a positive and as a negative, 0 where it is not one."""
    p = torch.sigmoid(logits)
    pos = F.softplus(-logits) * (1 - p) ** gamma * positive
    neg = F.softplus(logits) * p**gamma * negative
    return pos, neg


def iou_loss(overlap: Tensor) -> Tensor:
    """-ln IoU (Yu et al. 2016), bounded for boxes that do not touch."""
    return -overlap.clamp_min(1e-3).log()


def penalty_reduced_focal_loss(
    logits: Tensor, label: Tensor, normalise: str = "per_class", alpha: float = 2, beta: float = 4
) -> Tensor:
    """Offline regression of a Gaussian whose peak is 1 (DuML eq. 9); logits, label of one shape.

    Cells with label 1 are positive; the others are negatives that count less the nearer they are.
    """
    positive = label >= 1
    p = torch.sigmoid(logits)
    pos = F.softplus(-logits) * (1 - p) ** alpha * positive
    neg = F.softplus(logits) * p**alpha * (1 - label) ** beta * ~positive
    return _normalised(pos, neg, positive, ~positive, normalise)


def regressive_focal_loss(
    logits: Tensor, label: Tensor, normalise: str = "per_class", alpha: float = 2
) -> Tensor:
    """Focal loss whose optimum is the label itself (after DuML eq. 10).

    Equation 10 as printed has no term for cells with label 0. Here the factor (Y - P)^alpha weighs
    the whole cross entropy, so that background is suppressed too.
    """
    p = torch.sigmoid(logits)
    loss = (label - p).abs() ** alpha * (
        F.softplus(-logits) * label + F.softplus(logits) * (1 - label)
    )
    positive = label > 0.05
    return _normalised(loss * positive, loss * ~positive, label >= 1, ~positive, normalise)


def _normalised(
    pos: Tensor, neg: Tensor, positive: Tensor, negative: Tensor, normalise: str
) -> Tensor:
    n_pos = positive.sum().clamp_min(1)
    if normalise == "positives":
        return (pos.sum() + neg.sum()) / n_pos
    return 0.5 * (pos.sum() / n_pos + neg.sum() / negative.sum().clamp_min(1))


def gaussian_label(centres: Tensor, height: int, width: int, sigma: float) -> Tensor:
    """Centres (row, column) in cells [..., 2] -> Gaussian [..., height, width], peak 1."""
    rows = torch.arange(height, device=centres.device, dtype=torch.float32)
    cols = torch.arange(width, device=centres.device, dtype=torch.float32)
    dy = (rows - centres[..., :1]).square()[..., :, None]
    dx = (cols - centres[..., 1:]).square()[..., None, :]
    return torch.exp(-(dx + dy) / (2 * sigma**2))


def hinge_regression(
    scores: Tensor, label: Tensor, threshold: float = 0.05, care: Tensor | None = None
) -> Tensor:
    """Squared error where the label exceeds the threshold, squared positive part elsewhere.

    Easy negatives (any score below zero) cost nothing. Mean over cells; those with ``care`` 0 cost
    nothing either.
    """
    residual = torch.where(label > threshold, scores - label, scores.relu())
    return (residual if care is None else residual * care).square().mean()
