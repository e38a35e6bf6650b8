"""Which anchors are positive, negative or ignored (DuML, Appendix A and Table 10)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

Rule = Literal["ATSS-MaxIoU", "ATSS-MinL2", "IoU"]


class Assignment(NamedTuple):
    """Outcome for N anchors of each of B images: bool [B, N] each; the rest is negative."""

    positive: Tensor
    ignored: Tensor


def assign(ious: Tensor, distance: Tensor, present: Tensor, k: int, kind: str) -> Assignment:
    """Assign anchors to a target.

    ``ATSS-MaxIoU`` takes the ``k`` anchors with the highest IoU as candidates, ``ATSS-MinL2``
    those with the nearest centres; a candidate is positive when its IoU reaches mean + standard
    deviation of the candidates. ``IoU`` is SiamRPN's rule: positive above 0.6, negative below 0.3,
    ignored between. The anchor with the highest IoU always is positive, so that a target that is
    present has one.

    Args:
        ious: IoU of every anchor with the truth, [B, N].
        distance: of the anchors' centres to the truth's, [B, N].
        present: bool [B]; images without a target have no positive and ignore nothing.
    """
    best = ious == ious.amax(1, keepdim=True)
    if kind == "IoU":
        positive = (ious > 0.6) | best
        ignored = ~positive & (ious >= 0.3)
        return Assignment(positive & present[:, None], ignored & present[:, None])
    ranked = ious if kind == "ATSS-MaxIoU" else -distance
    index = ranked.topk(k, dim=1).indices
    candidate = ious.gather(1, index)
    threshold = candidate.mean(1, keepdim=True) + candidate.std(1, keepdim=True)
    positive = torch.zeros_like(best).scatter_(1, index, candidate >= threshold)
    positive = (positive | best) & present[:, None]
    return Assignment(positive, torch.zeros_like(positive))
