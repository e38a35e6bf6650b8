"""Score voting: the final box as a weighted mean of its neighbours (DuML eq. 4, 5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .geometry import Window, cxcywh_to_xyxy, iou
from .types import Box


@dataclass(frozen=True)
class Ballot:
    """The boxes of one search region and what gives them weight in the vote around ``start``.

    ``b* = sum w o b / sum w o`` over boxes with IoU(b, start) > epsilon, where
    ``w = s exp(-(1 - IoU)^2 / sigma)``. The equation is implicit in b*; the directly regressed box
    at the peak stands in for it.

    Attributes:
        boxes: (cx, cy, w, h) [N, 4].
        scores: fused localisation score s [N], >= 0.
        quality: predicted IoU o [N].
        start: box at the peak [4].
    """

    boxes: Tensor
    scores: Tensor
    quality: Tensor
    start: Tensor
    epsilon: float = 0.01
    sigma: float = 0.0025

    def weights(self) -> Tensor:
        """Weight ``w o`` of each box [N]; 0 for those that take no part."""
        overlap = iou(cxcywh_to_xyxy(self.boxes), cxcywh_to_xyxy(self.start))
        weight = self.scores.clamp_min(0) * self.quality
        weight = weight * (-(1 - overlap).square() / self.sigma).exp()
        return weight * (overlap > self.epsilon)

    def elect(self) -> Tensor:
        """The voted box [4] (cx, cy, w, h); ``start`` when no box has any weight."""
        weight = self.weights()
        total = weight.sum()
        voted = (weight[:, None] * self.boxes).sum(0) / total.clamp_min(1e-12)
        return voted.where(total > 1e-12, self.start)


class Votes:
    """The boxes with most weight in a vote, worked out only when somebody looks (DuML, Fig. 10).

    Args:
        ballot: in crop pixels, on any device.
        window: where the crop lies in the image.
    """

    def __init__(self, ballot: Ballot, window: Window) -> None:
        self._ballot = ballot
        self._window = window

    def top(self, count: int = 10) -> list[tuple[Box, float]]:
        """Boxes (x, y, w, h) in image pixels and their shares of all weight, the highest first.

        There are fewer than ``count`` where fewer boxes have any weight.
        """
        weight = self._ballot.weights()
        best = weight.topk(min(count, len(weight)))
        shares = best.values / weight.sum().clamp_min(1e-12)
        rows = torch.cat((self._ballot.boxes[best.indices], shares[:, None]), 1).tolist()
        return [(self._to_image(*box), share) for *box, share in rows if share > 0]

    def _to_image(self, cx: float, cy: float, w: float, h: float) -> Box:
        # Both map as the near corner of a box would, so one call serves centre and sides.
        x, y, w, h = self._window.to_image((cx, cy, w, h))
        return x - w / 2, y - h / 2, w, h
