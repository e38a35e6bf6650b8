"""DROL-Mask: DROL's online module beside SiamMask, whose box comes from a mask of the target."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from ..evidence import Evidence
from ..geometry import Box, Window, cell_centres
from ..localize import TrackState
from ..mask import box_of_mask
from ..network.graphs import SiameseGraph, TemplateGraph
from ..network.heads import OfflineOutput
from ..network.mask_net import MaskNet
from ..network.siamese import SiameseNet
from ..results import TargetMask, TrackResult
from .drol import DrolTracker
from .frame_loop import Observation
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

    @classmethod
    def graphs(cls, net: SiameseNet) -> tuple[TemplateGraph, SiameseGraph]:
        return TemplateGraph(net), SiameseGraph(net, levels=True, matched=True)

    def online_input(self, seen: Sequence[Tensor]) -> Tensor | None:
        return super().online_input(self.net.matching(seen))

    def refine(
        self, found: Sequence[SiameseLocated], out: OfflineOutput, features: Sequence[Tensor]
    ) -> None:
        cells = torch.cat([one.cell for one in found if one.cell is not None])
        batch = torch.arange(len(found), device=cells.device)
        masks = torch.sigmoid(self.net.masks(out, features, batch, cells))
        for one, mask in zip(found, masks, strict=True):
            one.mask = mask
        self.clock.lap("mask")

    def result(
        self, seen: Observation[SiameseTarget, SiameseLocated], evidence: Evidence
    ) -> TrackResult:
        told = super().result(seen, evidence)
        found, peak, window = seen.located, seen.peak, evidence.window
        if evidence.finding.state is TrackState.LOST:
            return told
        assert found.mask is not None
        assert found.cell is not None
        rule, probability = self.config.mask, found.mask.cpu().numpy()
        region = self._region(int(found.cell), probability.shape[0], window)
        regressed = (peak.cx - peak.w / 2, peak.cy - peak.h / 2, peak.w, peak.h)
        box = box_of_mask(probability, region, regressed, rule)
        if box is None:
            return told
        mask = TargetMask(probability, window.to_image(region), rule.threshold)
        if rule.box == "regressed":
            return dataclasses.replace(told, mask=mask)
        return dataclasses.replace(told, box=window.to_image(box), mask=mask)

    def _region(self, cell: int, side: int, window: Window) -> Box:
        """Rectangle in crop pixels that the mask of a cell covers edge to edge."""
        count = self.net.cells(window.size)
        centres = cell_centres(count, self.config.network.stride, window.size).tolist()
        reach = side * self.net.mask_stride
        row, col = divmod(cell, count)
        return centres[col] - reach / 2, centres[row] - reach / 2, float(reach), float(reach)
