"""Score voting: the final box as a weighted mean of its neighbours (DuML eq. 4, 5)."""

from __future__ import annotations

from torch import Tensor

from .geometry import cxcywh_to_xyxy, iou


def vote(
    boxes: Tensor,
    scores: Tensor,
    quality: Tensor,
    start: Tensor,
    epsilon: float = 0.01,
    sigma: float = 0.0025,
) -> Tensor:
    """Vote for the box around ``start``.

    ``b* = sum w o b / sum w o`` over boxes with IoU(b, start) > epsilon, where
    ``w = s exp(-(1 - IoU)^2 / sigma)``. The equation is implicit in b*; the directly regressed box
    at the peak stands in for it.

    Args:
        boxes: (cx, cy, w, h) [N, 4].
        scores: fused localisation score s [N], >= 0.
        quality: predicted IoU o [N].
        start: box at the peak [4].

    Returns:
        The voted box [4] (cx, cy, w, h); ``start`` when no box has any weight.
    """
    overlap = iou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(start))
    weight = scores.clamp_min(0) * quality * (-(1 - overlap).square() / sigma).exp()
    weight = weight * (overlap > epsilon)
    total = weight.sum()
    voted = (weight[:, None] * boxes).sum(0) / total.clamp_min(1e-12)
    return voted.where(total > 1e-12, start)
