"""Losses of the joint training (DuML eq. 6 with its losses put where the text means them)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def focal_loss(
    logits: Tensor, positive: Tensor, normalise: str = "per_class", gamma: float = 2.0
) -> Tensor:
    """Focal loss (Lin et al. 2017) over all anchors; logits and bool labels of one shape.

    ``per_class`` averages positives and negatives separately, so that both count the same
    (DuML); ``positives`` divides the sum by the number of positives.
    """
    p = torch.sigmoid(logits)
    pos = F.softplus(-logits) * (1 - p) ** gamma * positive
    neg = F.softplus(logits) * p**gamma * ~positive
    n_pos = positive.sum().clamp_min(1)
    if normalise == "positives":
        return (pos.sum() + neg.sum()) / n_pos
    n_neg = (~positive).sum().clamp_min(1)
    return 0.5 * (pos.sum() / n_pos + neg.sum() / n_neg)


def gaussian_label(centres: Tensor, height: int, width: int, sigma: float) -> Tensor:
    """Centres (row, column) in cells [..., 2] -> Gaussian [..., height, width], peak 1."""
    rows = torch.arange(height, device=centres.device, dtype=torch.float32)
    cols = torch.arange(width, device=centres.device, dtype=torch.float32)
    dy = (rows - centres[..., :1]).square()[..., :, None]
    dx = (cols - centres[..., 1:]).square()[..., None, :]
    return torch.exp(-(dx + dy) / (2 * sigma**2))


def hinge_regression(scores: Tensor, label: Tensor, threshold: float = 0.05) -> Tensor:
    """Squared error where the label exceeds the threshold, squared positive part elsewhere.

    Easy negatives (any score below zero) cost nothing. Mean over cells.
    """
    residual = torch.where(label > threshold, scores - label, scores.relu())
    return residual.square().mean()
