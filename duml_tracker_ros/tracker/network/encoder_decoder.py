"""FCOT's network: encoder, decoder, and the features its three online models learn on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..network_config import NetworkConfig
from ..online.box_regressor import BoxModel
from ..online.problem import DiscriminativeModel
from .base import CropNet
from .blocks import ConvBn, unit_power
from .deformable import DeformConv
from .graphs import Graph
from .neck import resize
from .roi_pool import roi_pool

COARSE, FINE = 16, 4
"""Strides of the two score maps (the paper's 18 x 18 and 72 x 72 of 288 pixels)."""


class DecoderFeatures(NamedTuple):
    """What the online models see of a crop, in float32.

    Attributes:
        coarse: for the classifier at stride 16, [B, C, H, W].
        fine: for the classifier at stride 4, [B, C', 4 H, 4 W] (one less for odd sizes).
        box: for the box regressor, of the size of ``fine``.
    """

    coarse: Tensor
    fine: Tensor
    box: Tensor

    def of(self, index: int) -> DecoderFeatures:
        """Those of one crop, without the batch axis."""
        return DecoderFeatures(*(f[index] for f in self))


class FeatureHead(nn.Module):
    """Task-specific features: a convolution, behind two deformable ones if asked for.

    Scaled so that a cell has the mean squared norm 1 / k^2 for filters of side k.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, deformable: bool) -> None:
        super().__init__()
        self.body = nn.Sequential()
        if deformable:
            self.body.append(DeformConv(inputs, outputs)).append(DeformConv(outputs, outputs))
        self.project = ConvBn(outputs if deformable else inputs, outputs, 3, relu=False)
        self.scale = 1.0 / kernel

    def forward(self, x: Tensor) -> Tensor:
        return unit_power(self.project(self.body(x)).float(), self.scale)


class EncoderDecoderNet(CropNet):
    """Backbone with a decoder up to stride 4, heads, and initialisers of the online models.

    ``extract`` gives the decoder's maps, coarse to fine, and ``online_features`` what the online
    models learn on. The classifiers begin as the target's pooled features, the box regressor as
    what the model initialiser makes of them (FCOT, section 3.2).
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        d, channels = config.decoder, self.backbone.channels
        strides = config.backbone.strides
        self.laterals = nn.ModuleList(ConvBn(c, d.width, 1, relu=False) for c in channels)
        self.smooth = nn.ModuleList(ConvBn(d.width, d.width) for _ in channels)
        self.coarse_index = len(strides) - 1 - strides.index(COARSE)
        self.coarse = FeatureHead(d.width, d.coarse, d.kernel, deformable=False)
        self.fine = FeatureHead(d.width, d.fine, d.kernel, d.deformable)
        maps = 2 if d.box_maps == "both" else 1
        self.box = FeatureHead(maps * d.width, d.box, d.box_kernel, d.deformable)
        self.start_body = nn.Sequential(ConvBn(maps * d.width, d.width))
        if d.deformable:
            self.start_body.append(DeformConv(d.width, d.width))
        self.start_box = nn.Conv2d(d.width, 4 * d.box, 1)
        nn.init.normal_(self.start_box.weight, std=0.01)
        # Bins of 1.6 pixels, labels of 12 and of 6 pixels' width.
        self.coarse_model = DiscriminativeModel(sigma=0.75, bin_width=0.1, reach=2.0)
        self.fine_model = DiscriminativeModel(sigma=1.5, bin_width=0.4, reach=8.0)
        self.box_model = BoxModel()

    def half_parts(self) -> list[nn.Module]:
        heads = [p for h in (self.coarse, self.fine, self.box) for p in (h.body, h.project)]
        return [self.laterals, self.smooth, *heads, self.start_body]

    @property
    def unit(self) -> float:
        """Crop pixels of one unit of the box regressor: half the side of a square target."""
        return self.config.template_size / 4

    def extract(self, crops: Tensor) -> list[Tensor]:
        """RGB crops 0..255 [B, 3, S, S] -> decoder maps [B, width, H, W], coarse to fine."""
        maps: list[Tensor] = []
        levels = zip(self.levels(crops), self.laterals, self.smooth, strict=True)
        for x, lateral, smooth in reversed(list(levels)):
            y = lateral(x)
            if maps:
                y = y + resize(maps[-1], y.shape[-1])
            maps.append(smooth(y))
        return maps

    def _last_two(self, maps: Sequence[Tensor]) -> Tensor:
        """The last two decoder layers, or one, at stride 4 [B, (2) width, H, W] (FCOT, Table 3)."""
        which = self.config.decoder.box_maps
        if which == "second":
            return maps[-1]
        first = resize(maps[-2], maps[-1].shape[-1])
        return first if which == "first" else torch.cat((first, maps[-1]), 1)

    def online_features(self, maps: Sequence[Tensor]) -> DecoderFeatures:
        """Decoder maps -> what the online models see."""
        coarse, fine = self.coarse(maps[self.coarse_index]), self.fine(maps[-1])
        return DecoderFeatures(coarse, fine, self.box(self._last_two(maps)))

    def classifiers(
        self, features: DecoderFeatures, coarse: Tensor, fine: Tensor
    ) -> tuple[Tensor, Tensor]:
        """First filters [B, 1, C, k, k]: the target's features, pooled.

        coarse, fine: (row, column, height, width) [B, 4] in the cells of each map.
        """
        k = self.config.decoder.kernel
        return (
            roi_pool(features.coarse, coarse[:, None], k),
            roi_pool(features.fine, fine[:, None], k),
        )

    def regressor(self, maps: Sequence[Tensor], fine: Tensor) -> Tensor:
        """First box regressor [B, 4, C, k, k] from the maps of the first frame.

        fine: (row, column, height, width) [B, 4] in the cells of the fine map.
        """
        d = self.config.decoder
        x = self.start_body(self._last_two(maps)).to(self.start_box.weight.dtype)
        # Pooling and the 1x1 convolution are linear and commute; the pooled map is smaller.
        pooled = roi_pool(x.float(), fine[:, None], d.box_kernel)[:, 0]
        made = self.start_box(pooled).float()
        return made.view(len(made), 4, d.box, d.box_kernel, d.box_kernel)


class EncoderDecoderGraph(Graph):
    """FCOT: search crop -> features of its three online models."""

    outputs = DecoderFeatures._fields

    net: EncoderDecoderNet

    def __init__(self, net: EncoderDecoderNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.net.online_features(self.net.extract(crops)))
