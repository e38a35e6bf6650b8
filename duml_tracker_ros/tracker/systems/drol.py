"""DROL: an online classifier and a short-term template beside a Siamese tracker.

That of DROL-RPN is the offline branch of a network trained for DuML, which is not retrained; that
of DROL-FC is SiamFC.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ...pixels import Pixels
from ..geometry import cxcywh_to_xyxy, iou, search_window, template_window
from ..localize import Finding, TrackState
from ..network.anchors import decode
from ..network.base import CropNet
from ..network.dual_modal import DualModalNet
from ..network.graphs import SiameseGraph, TemplateGraph
from ..network.heads import OfflineOutput
from ..network.siamese import SiameseNet
from ..online.classifier import OnlineClassifier
from ..online.policy import Surest
from ..target import TargetTrack
from .frame_loop import Observation
from .siamese import SiameseLocated, SiameseTarget, SiameseTracker


@dataclass
class DrolTarget(SiameseTarget):
    """A target with a template of its recent look.

    Attributes:
        best: template crop of the surest frame since the last update.
        short: kernels of the short-term template, one a level.
    """

    best: Surest[np.ndarray] = field(default_factory=Surest)
    short: list[Tensor] | None = None


class DrolTracker(SiameseTracker[SiameseNet]):
    """Discriminative and robust online learning for Siamese tracking (Zhou et al., AAAI 2020).

    The online classifier's score is fused with the Siamese one (eq. 5); the surest of every few
    frames becomes a second template (eq. 6), used where it agrees with the first one on the box
    and is surer (eq. 7).
    """

    name = "drol_rpn"
    network: ClassVar[type[CropNet]] = DualModalNet

    def make_target(self, track: TargetTrack, kernels: list[Tensor]) -> DrolTarget:
        return DrolTarget(track, kernels)

    @classmethod
    def graphs(cls, net: SiameseNet) -> tuple[TemplateGraph, SiameseGraph]:
        return TemplateGraph(net), SiameseGraph(net, levels=True)

    def online_input(self, seen: Sequence[Tensor]) -> Tensor | None:
        return torch.cat(list(seen), 1).float() if self.config.classifier.active else None

    def make_online(
        self, features: Tensor, cells: Tensor, start: Sequence[Tensor]
    ) -> OnlineClassifier:
        return OnlineClassifier(self.config.classifier, self.config.online, features, cells)

    def reconsider(
        self, out: OfflineOutput, targets: Sequence[SiameseTarget], seen: Sequence[Tensor]
    ) -> OfflineOutput:
        recent = [t for t in targets if isinstance(t, DrolTarget) and t.short is not None]
        if not recent:
            return out
        pairs = [
            (t.short if isinstance(t, DrolTarget) and t.short is not None else t.kernels)
            for t in targets
        ]
        kernels = [torch.cat(level).to(self.net.dtype) for level in zip(*pairs, strict=True)]
        # Of another engine they may be of another type.
        second = self.net.predict(kernels, [x.to(self.net.dtype) for x in seen])
        return self._choose(out, second)

    def _choose(self, first: OfflineOutput, second: OfflineOutput) -> OfflineOutput:
        """The short-term template's output where eq. 7 holds, without asking the host."""
        rule = self.config.classifier
        score, box = self._peak(first)
        recent_score, recent_box = self._peak(second)
        agree = iou(cxcywh_to_xyxy(box), cxcywh_to_xyxy(recent_box)) >= rule.template_overlap
        take = agree & (recent_score - score >= rule.template_gain)

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
        anchors = self._grid(size)[0].flatten(0, 2)
        return torch.sigmoid(score), decode(chosen, anchors[index])

    def finish(
        self,
        seen: Observation[SiameseTarget, SiameseLocated],
        finding: Finding,
        image: Pixels,
        order: str,
    ) -> None:
        rule, target, peak = self.config.classifier, seen.search.target, seen.peak
        track = target.track
        if not rule.template_interval:
            return
        assert isinstance(target, DrolTarget)
        sure = finding.state is TrackState.TRACKING and peak.robust > rule.template_score
        if sure and peak.robust > target.best.score:
            window = template_window(track.box, self.config.network.template_size)
            target.best.keep(peak.robust, self.cut(image, window, track, order))
        if track.frame % rule.template_interval == 0:
            crop = target.best.take()
            if crop is not None:
                target.short = self.look_at_template(crop)[0]


class DrolFcTracker(DrolTracker):
    """DROL beside SiamFC: full correlation, and the size by searching at several scales."""

    name = "drol_fc"
    network = SiameseNet

    def shaped(self, out: OfflineOutput, target: SiameseTarget) -> OfflineOutput:
        # Seen at the right scale the target has the size it had in the template.
        n, box = self.config.network, target.track.box
        scale = search_window(box, n.template_size, n.search_size).scale
        deltas = out.deltas.clone()
        for axis, side in enumerate(box[2:], start=2):
            deltas[..., axis].fill_(math.log(side * scale / n.anchor_size))
        return out._replace(deltas=deltas)
