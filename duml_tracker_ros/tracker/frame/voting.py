"""Score voting: the final box as a weighted mean of its neighbours (DuML eq. 4, 5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..geometry import Box, Window


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
        planes = self.boxes.T
        low, high = _corners(planes)
        own_low, own_high = _corners(self.start[:, None])
        shared = torch.minimum(high, own_high).sub_(torch.maximum(low, own_low)).clamp_(min=0)
        inter = shared[0] * shared[1]
        own = self.start[2] * self.start[3]
        union = torch.addcmul(own - inter, planes[2], planes[3])
        overlap = inter / union.clamp_(min=1e-9)
        weight = (overlap - 1).square_().mul_(-1 / self.sigma).exp_()
        weight.mul_(self.scores.clamp_min(0)).mul_(self.quality)
        return weight.mul_(overlap > self.epsilon)

    def elect(self) -> Tensor:
        """The voted box [4] (cx, cy, w, h); ``start`` when no box has any weight."""
        weight = self.weights()
        total = weight.sum()
        voted = torch.mv(self.boxes.T, weight).div_(total.clamp_min(1e-12))
        return torch.where(total > 1e-12, voted, self.start)


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
        return [(self._window.box_in_image(*box), share) for *box, share in rows if share > 0]


def _corners(planes: Tensor) -> tuple[Tensor, Tensor]:
    """(cx, cy, w, h) [4, N] -> low and high corners [2, N]."""
    centre, sides = planes[:2], planes[2:]
    return torch.sub(centre, sides, alpha=0.5), torch.add(centre, sides, alpha=0.5)
