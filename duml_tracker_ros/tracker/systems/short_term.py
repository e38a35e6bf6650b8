"""DROL's short-term template: a second one, of the target's recent look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..config import ClassifierConfig
from ..geometry import cxcywh_to_xyxy, iou
from ..network.anchors import decode
from ..network.heads import OfflineOutput
from ..network.siamese import SiameseNet
from ..online.policy import Surest


@dataclass
class RecentAppearance:
    """How one target looked lately.

    Attributes:
        best: template crop of the surest frame since the last update.
        kernels: of the short-term template, one a level; None before there is one.
    """

    best: Surest[np.ndarray] = field(default_factory=Surest)
    kernels: list[Tensor] | None = None


class ShortTermTemplate:
    """Matches a second template (DROL eq. 6) and takes its output where eq. 7 prefers it.

    Args:
        anchors: size of a crop -> anchors (cx, cy, w, h) [A, H, W, 4] on the device.
    """

    def __init__(
        self, rule: ClassifierConfig, net: SiameseNet, anchors: Callable[[int], Tensor]
    ) -> None:
        self.rule, self.net, self._anchors = rule, net, anchors

    def choose(
        self,
        first: OfflineOutput,
        features: Sequence[Tensor],
        kernels: Sequence[list[Tensor]],
        recent: Sequence[RecentAppearance],
    ) -> OfflineOutput:
        """Predictions of each search region by the template that suits it better.

        Args:
            first: by the templates of the first frame, whose ``kernels`` are given.
            features: of the search regions.
            recent: one a region, as the kernels.
        """
        if all(one.kernels is None for one in recent):
            return first
        pairs = [one.kernels or own for one, own in zip(recent, kernels, strict=True)]
        merged = [torch.cat(level).to(self.net.dtype) for level in zip(*pairs, strict=True)]
        # Of another engine they may be of another type.
        second = self.net.predict(merged, [x.to(self.net.dtype) for x in features])
        return self.better(first, second)

    def better(self, first: OfflineOutput, second: OfflineOutput) -> OfflineOutput:
        """The short-term template's output where eq. 7 holds, without asking the host."""
        score, box = self._peak(first)
        recent_score, recent_box = self._peak(second)
        shared = iou(cxcywh_to_xyxy(box), cxcywh_to_xyxy(recent_box))
        agree = shared >= self.rule.template_overlap
        take = agree & (recent_score - score >= self.rule.template_gain)

        def pick(a: Tensor, b: Tensor) -> Tensor:
            return torch.where(take.view(-1, *[1] * (a.dim() - 1)), b, a)

        assert first.cls is not None
        assert second.cls is not None
        return OfflineOutput(
            pick(first.cls, second.cls),
            pick(first.deltas, second.deltas),
            pick(first.iou, second.iou),
            tuple(map(pick, first.matched, second.matched)),
        )

    def _peak(self, out: OfflineOutput) -> tuple[Tensor, Tensor]:
        """Highest class score [B] and the box there, (cx, cy, w, h) [B, 4]."""
        assert out.cls is not None
        size = self.net.pixels(out.cls.shape[-1])
        score, index = out.cls.float().flatten(1).max(1)
        deltas = out.deltas.float().flatten(1, 3)
        chosen = deltas.gather(1, index[:, None, None].expand(-1, -1, 4))[:, 0]
        anchors = self._anchors(size).flatten(0, 2)
        return torch.sigmoid(score), decode(chosen, anchors[index])
