"""SiamRPN++'s head: a region proposal network a level, each of two depth-wise correlations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ..network_config import NetworkConfig
from .blocks import ConvBn
from .correlation import centre, depthwise_correlation
from .heads import OfflineOutput


class RpnMatch(nn.Module):
    """Correlate template and search features, neither of them padded, and predict from that."""

    def __init__(self, config: NetworkConfig, outputs: int) -> None:
        super().__init__()
        self.template_conv = ConvBn(config.neck, config.hidden, 3, padded=False)
        self.search_conv = ConvBn(config.neck, config.hidden, 3, padded=False)
        self.mix = ConvBn(config.hidden, config.hidden, 1)
        self.last = nn.Conv2d(config.hidden, outputs, 1)

    def towers(self) -> list[nn.Module]:
        """All but the last layer."""
        return [self.template_conv, self.search_conv, self.mix]

    def forward(self, kernel: Tensor, x: Tensor) -> Tensor:
        """Kernel [B, C, k, k], features [B, C, H, W] -> [B, outputs, H - k - 1, W - k - 1]."""
        x = self.mix(depthwise_correlation(self.search_conv(x), kernel, padded=False))
        out: Tensor = self.last(x.to(self.last.weight.dtype))
        return out


class RpnLevel(nn.Module):
    """Class and box of one level, each with a correlation of its own."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        anchors = len(config.ratios)
        # The kernel is what a 3x3 convolution leaves of the template's centre.
        self.cells = config.kernel + 2
        self.cls = RpnMatch(config, 2 * anchors)
        self.box = RpnMatch(config, 4 * anchors)

    def towers(self) -> list[nn.Module]:
        """All but the last layers."""
        return [*self.cls.towers(), *self.box.towers()]

    def template(self, z: Tensor) -> Tensor:
        """Template features [B, C, Hz, Wz] -> kernels of class and box [B, 2 hidden, k, k]."""
        z = centre(z, self.cells)
        return torch.cat((self.cls.template_conv(z), self.box.template_conv(z)), 1)

    def forward(self, kernels: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Kernels and search features -> class [B, 2 A, H', W'], box [B, 4 A, H', W']."""
        for_cls, for_box = kernels.chunk(2, 1)
        return self.cls(for_cls, x), self.box(for_box, x)


class RpnHead(nn.Module):
    """A weighted sum over levels; two class logits and four box numbers an anchor, no IoU."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.anchors = len(config.ratios)
        self.levels = nn.ModuleList(RpnLevel(config) for _ in config.backbone.strides)
        self.alpha = nn.Parameter(torch.zeros(len(self.levels)))
        self.alpha_box = nn.Parameter(torch.zeros(len(self.levels)))

    def template(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Neck features of the template, one a level -> matching kernels."""
        pairs = zip(self.levels, features, strict=True)
        return [cast(RpnLevel, level).template(z) for level, z in pairs]

    def raw(self, kernels: Sequence[Tensor], features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Class [B, 2 A, H, W] (background, target) and box [B, 4 A, H, W]; anchors go last."""
        outputs = [level(k, x) for level, k, x in zip(self.levels, kernels, features, strict=True)]
        weighed = zip(self.alpha.softmax(0), self.alpha_box.softmax(0), outputs, strict=True)
        pairs = [(a * cls, b * box) for a, b, (cls, box) in weighed]
        return sum(p[0] for p in pairs), sum(p[1] for p in pairs)

    def forward(self, kernels: Sequence[Tensor], features: Sequence[Tensor]) -> OfflineOutput:
        cls, box = self.raw(kernels, features)
        b, _, h, w = cls.shape
        # The sigmoid of the difference is the softmax of the two.
        background, target = cls.view(b, 2, self.anchors, h, w).unbind(1)
        deltas = box.view(b, 4, self.anchors, h, w).permute(0, 2, 3, 4, 1)
        return OfflineOutput(target - background, deltas, torch.zeros_like(target))
