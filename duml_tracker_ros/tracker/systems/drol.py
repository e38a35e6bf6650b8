"""DROL: an online classifier and a short-term template beside a Siamese tracker.

That of DROL-RPN is the offline branch of a network trained for DuML, which is not retrained; that
of DROL-FC is SiamFC.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..frame.localize import Finding, TrackState
from ..geometry import search_window, template_window
from ..network.base import CropNet
from ..network.dual_modal import DualModalNet
from ..network.graphs import SiameseGraph, TemplateGraph
from ..network.heads import OfflineOutput
from ..network.siamese import SiameseNet
from ..online.classifier import OnlineClassifier
from ..online.policy import Decision
from ..postprocess import between_cells
from .records import Observation, Search
from .short_term import ShortTermTemplate
from .siamese import SiameseLocated, SiameseTarget, SiameseTracker


class DrolTracker(SiameseTracker[SiameseNet]):
    """Discriminative and robust online learning for Siamese tracking (Zhou et al., AAAI 2020).

    The online classifier's score is fused with the Siamese one (eq. 5); the surest of every few
    frames becomes a second template (eq. 6), used where it agrees with the first one on the box
    and is surer (eq. 7).
    """

    name = "drol_rpn"
    network: ClassVar[type[CropNet]] = DualModalNet

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        rule = self.config.classifier
        self.short_term = ShortTermTemplate(rule, self.net, lambda size: self._grid(size)[0])

    @classmethod
    def graphs(cls, net: SiameseNet) -> tuple[TemplateGraph, SiameseGraph]:
        return TemplateGraph(net), SiameseGraph(net, levels=True)

    def online_input(self, seen: Sequence[Tensor]) -> Tensor | None:
        return torch.cat(list(seen), 1).float() if self.config.classifier.active else None

    def make_online(
        self, features: Tensor, cells: Tensor, start: Sequence[Tensor]
    ) -> OnlineClassifier:
        return OnlineClassifier(self.config.classifier, self.config.online, features, cells)

    def predictions(
        self, searches: Sequence[Search[SiameseTarget]], outputs: Sequence[Tensor]
    ) -> tuple[OfflineOutput, list[Tensor]]:
        out, features = super().predictions(searches, outputs)
        kernels = [s.target.kernels for s in searches]
        recent = [s.target.recent for s in searches]
        return self.short_term.choose(out, features, kernels, recent), features

    def learn(
        self, seen: Observation[SiameseTarget, SiameseLocated], finding: Finding, trusted: bool
    ) -> Decision:
        decision = super().learn(seen, finding, trusted)
        if self.config.classifier.template_interval:
            self._keep_look(seen, finding)
        return decision

    def _keep_look(
        self, seen: Observation[SiameseTarget, SiameseLocated], finding: Finding
    ) -> None:
        """Keep the surest look; when its time has come, make a template of it."""
        rule, target, score = self.config.classifier, seen.search.target, seen.peak.robust
        track, recent = target.track, target.recent
        sure = finding.state is TrackState.TRACKING and score > rule.template_score
        if sure and score > recent.best.score:
            window = template_window(track.box, self.config.network.template_size)
            recent.best.keep(score, self.cut(seen.frame, window, track))
        if track.frame % rule.template_interval == 0:
            crop = recent.best.take()
            if crop is not None:
                recent.kernels = self.look_at_template(crop)[0]


class DrolFcTracker(DrolTracker):
    """DROL beside SiamFC: full correlation, and the size by searching at several scales."""

    name = "drol_fc"
    network = SiameseNet

    def predictions(
        self, searches: Sequence[Search[SiameseTarget]], outputs: Sequence[Tensor]
    ) -> tuple[OfflineOutput, list[Tensor]]:
        out, features = super().predictions(searches, outputs)
        # Seen at the right scale the target has the size it had in the template.
        n, deltas = self.config.network, out.deltas.clone()
        for own, search in zip(deltas, searches, strict=True):
            box = search.target.track.box
            scale = search_window(box, n.template_size, n.search_size).scale
            for axis, side in enumerate(box[2:], start=2):
                own[..., axis].fill_(math.log(side * scale / n.anchor_size))
        return out._replace(deltas=deltas), features

    def locate(
        self, searches: Sequence[Search[SiameseTarget]], outputs: Sequence[Tensor]
    ) -> list[SiameseLocated]:
        found = super().locate(searches, outputs)
        for one in found:
            assert one.cell is not None
            # Boxes are those of cells; the target lies between them (SiamFC interpolates its map).
            one.numbers[:2] += one.stride * between_cells(one.maps["fused"], one.cell)
        return found
