"""Which anchors are positive: ATSS with candidates by IoU (DuML, Appendix A)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Assignment(NamedTuple):
    """Outcome for N anchors of each of B images.

    Attributes:
        positive: bool [B, N].
        candidates: indices of the top-k anchors by IoU, [B, k].
        candidate_iou: their IoU with the truth, [B, k].
    """

    positive: Tensor
    candidates: Tensor
    candidate_iou: Tensor


def atss_max_iou(ious: Tensor, present: Tensor, k: int = 15) -> Assignment:
    """Assign anchors by the statistics of the ``k`` anchors with the highest IoU.

    A candidate is positive when its IoU reaches mean + standard deviation of the candidates. The
    best one always is, so that a present target has a positive.

    Args:
        ious: IoU of every anchor with the truth, [B, N].
        present: bool [B]; images without a target have no positive.
    """
    top, index = ious.topk(k, dim=1)
    threshold = top.mean(1, keepdim=True) + top.std(1, keepdim=True)
    chosen = top >= threshold
    chosen[:, 0] = True
    chosen &= present[:, None]
    positive = torch.zeros_like(ious, dtype=torch.bool).scatter_(1, index, chosen)
    return Assignment(positive, index, top)
