"""DROL-Mask: DROL's online module beside SiamMask, whose box comes from a mask of the target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..diagnostics import FrameDiagnostics
from ..frame.localize import TrackState
from ..network.graphs import SiameseGraph, TemplateGraph
from ..network.heads import OfflineOutput
from ..network.mask_net import MaskNet
from ..network.siamese import SiameseNet
from ..results import TrackResult
from .drol import DrolTracker
from .mask_branch import MaskBranch
from .records import Observation, Search
from .siamese import SiameseLocated, SiameseTarget


class DrolMaskTracker(DrolTracker):
    """DROL-RPN with a mask branch that is run for the chosen cell of each target.

    The regressed box moves the search region and is learned from, as in DROL-RPN; the box that is
    told is that of the mask (SiamMask), or the regressed one where there is no mask to believe.
    """

    name = "drol_mask"
    network = MaskNet
    has_mask = True
    net: MaskNet

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.mask_branch = MaskBranch(self.config, self.net)

    @classmethod
    def graphs(cls, net: SiameseNet) -> tuple[TemplateGraph, SiameseGraph]:
        return TemplateGraph(net), SiameseGraph(net, levels=True, matched=True)

    def online_input(self, seen: Sequence[Tensor]) -> Tensor | None:
        return super().online_input(self.net.matching(seen))

    def candidates(
        self,
        searches: Sequence[Search[SiameseTarget]],
        out: OfflineOutput,
        features: Sequence[Tensor],
    ) -> list[SiameseLocated]:
        found = super().candidates(searches, out, features)
        cells = [one.cell for one in found if one.cell is not None]
        masks = self.mask_branch.masks(cells, out, features)
        for one, mask in zip(found, masks, strict=True):
            one.mask = mask
        self.clock.lap("mask")
        return found

    def result(
        self, seen: Observation[SiameseTarget, SiameseLocated], diagnostics: FrameDiagnostics
    ) -> TrackResult:
        told, found = super().result(seen, diagnostics), seen.located
        if told.state is TrackState.LOST or found.mask is None or found.cell is None:
            return told
        return self.mask_branch.told(told, found.mask, found.cell, seen.peak, diagnostics.window)
