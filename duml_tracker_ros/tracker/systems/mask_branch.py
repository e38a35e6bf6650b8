"""A mask of each located target, and the box that is told because of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from ..config import TrackerConfig
from ..frame.mask import box_of_mask
from ..frame.peak import Peak
from ..geometry import Box, Window, cell_centres
from ..network.heads import OfflineOutput
from ..network.mask_net import MaskNet
from ..results import TargetMask, TrackResult


class MaskBranch:
    """The mask branch of a network, run for the chosen cell of each target (SiamMask)."""

    def __init__(self, config: TrackerConfig, net: MaskNet) -> None:
        self.config, self.net = config, net

    def masks(
        self, cells: Sequence[Tensor], out: OfflineOutput, features: Sequence[Tensor]
    ) -> Tensor:
        """Probabilities [N, n, n] of the masks of one cell [1] in each search region."""
        batch = torch.arange(len(cells), device=cells[0].device)
        return torch.sigmoid(self.net.masks(out, features, batch, torch.cat(list(cells))))

    def told(
        self, result: TrackResult, mask: Tensor, cell: Tensor, peak: Peak, window: Window
    ) -> TrackResult:
        """A result with its mask and the box of that, where the mask can be believed.

        Args:
            mask: probabilities [n, n] of
            cell: the candidate's one [1], an index into the flattened map.
        """
        rule, probability = self.config.mask, mask.cpu().numpy()
        region = self._region(int(cell), probability.shape[0], window)
        regressed = (peak.cx - peak.w / 2, peak.cy - peak.h / 2, peak.w, peak.h)
        box = box_of_mask(probability, region, regressed, rule)
        if box is None:
            return result
        found = TargetMask(probability, window.to_image(region), rule.threshold)
        if rule.box == "regressed":
            return dataclasses.replace(result, mask=found)
        return dataclasses.replace(result, box=window.to_image(box), mask=found)

    def _region(self, cell: int, side: int, window: Window) -> Box:
        """Rectangle in crop pixels that the mask of a cell covers edge to edge."""
        count = self.net.cells(window.size)
        centres = cell_centres(count, self.config.network.stride, window.size).tolist()
        reach = side * self.net.mask_stride
        row, col = divmod(cell, count)
        return centres[col] - reach / 2, centres[row] - reach / 2, float(reach), float(reach)
