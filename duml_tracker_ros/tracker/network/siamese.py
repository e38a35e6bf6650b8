"""A Siamese network: template and search region through one backbone, neck and head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from ..network_config import NetworkConfig
from .anchors import anchor_grid, anchor_shapes
from .base import CropNet
from .heads import LevelHead, OfflineHead, OfflineOutput, ScoreHead, ScoreLevel
from .neck import Neck
from .rpn import RpnHead, RpnLevel


class SiameseNet(CropNet):
    """Backbone, necks and offline head.

    With ``OFC-1s`` and towers of their own for class and box this is SiamRCR: one square anchor a
    cell is no more than the unit in which (w, h, dx, dy) are given. With ``FC`` it is SiamFC, which
    scores and predicts no box, with ``RPN`` SiamRPN++.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.neck = Neck(self.backbone.channels, config.neck)
        heads: dict[str, type[OfflineHead | ScoreHead | RpnHead]]
        heads = {"FC": ScoreHead, "RPN": RpnHead}
        self.offline = heads.get(config.offline_branch, OfflineHead)(config)

    def half_parts(self) -> list[nn.Module]:
        levels = (cast(LevelHead | ScoreLevel | RpnLevel, level) for level in self.offline.levels)
        return [self.neck, *(m for level in levels for m in level.towers())]

    def anchor_grid(self, size: int) -> Tensor:
        """Anchors (cx, cy, w, h) [A, H, W, 4] in pixels of a crop of ``size``."""
        n = self.config
        shapes = anchor_shapes(n.anchor_size, n.ratios, n.anchor_grain)
        return anchor_grid(shapes, self.cells(size), n.stride, size)

    def extract(self, crops: Tensor) -> list[Tensor]:
        """RGB crops 0..255 [B, 3, S, S] -> neck levels [B, C, H, W], all of one resolution."""
        levels: list[Tensor] = self.neck(self.levels(crops))
        return levels

    def starts_online(self) -> bool:
        """Is there an online branch that was learned with the network?"""
        return False

    def online_input(self, levels: Sequence[Tensor]) -> Tensor:
        """Neck levels -> features of the online branch [B, C, H, W]."""
        raise NotImplementedError("this network has no online branch")

    def initial_filter(self, levels: Sequence[Tensor]) -> Tensor:
        """Neck levels of the template -> what the online branch starts from."""
        raise NotImplementedError("this network has no online branch")

    def template_kernels(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Neck levels of the template -> matching kernels of the offline branch."""
        return self.offline.template(features)

    def predict(self, kernels: Sequence[Tensor], features: Sequence[Tensor]) -> OfflineOutput:
        """Dense offline predictions of a search region."""
        output: OfflineOutput = self.offline(kernels, features)
        return output
