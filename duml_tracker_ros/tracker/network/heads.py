"""Offline branch: per-level matching, classification and box heads, learned fusion of levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from ..config import NetworkConfig
from .blocks import ConvBn
from .correlation import centre, depthwise_correlation, pixelwise_correlation


class OfflineOutput(NamedTuple):
    """Dense predictions of the offline branch.

    Attributes:
        cls: class logits [B, A, H, W] of OFC.
        deltas: (dx, dy, log w, log h) on the anchors, [B, A, H, W, 4].
        iou: logits of the predicted IoU, [B, A, H, W].
    """

    cls: Tensor
    deltas: Tensor
    iou: Tensor


class LevelHead(nn.Module):
    """Match one level and predict class logits (A) and box + IoU (5 A) from it.

    The template side is a function of the template alone, so it is run once at init.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        anchors, hidden = len(config.anchor_ratios), config.hidden
        self.kernel_cells = config.kernel
        self.pixelwise = config.matching == "pixelwise"
        self.template_conv = ConvBn(config.neck, hidden, 3)
        self.search_conv = ConvBn(config.neck, hidden, 3)
        matched = config.kernel**2 + hidden if self.pixelwise else hidden
        self.mix = ConvBn(matched, hidden, 3 if self.pixelwise else 1)
        self.tower = nn.Sequential(*(ConvBn(hidden, hidden, 3) for _ in range(config.tower)))
        self.cls = nn.Conv2d(hidden, anchors, 1)
        self.box = nn.Conv2d(hidden, 5 * anchors, 1)

    def template(self, z: Tensor) -> Tensor:
        """Template features [B, C, Hz, Wz] -> matching kernel [B, hidden, k, k]."""
        kernel = centre(self.template_conv(z), self.kernel_cells)
        return kernel / kernel.shape[1] ** 0.5 if self.pixelwise else kernel

    def forward(self, kernel: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Kernel and search features [B, C, H, W] -> class [B, A, H, W], box [B, 5 A, H, W]."""
        x = self.search_conv(x)
        if self.pixelwise:
            x = torch.cat((pixelwise_correlation(x, kernel), x), 1)
        else:
            x = depthwise_correlation(x, kernel)
        x = self.tower(self.mix(x))
        return self.cls(x), self.box(x)


class OfflineHead(nn.Module):
    """Offline classification with box and IoU prediction (DuML eq. 2): sum over levels."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        count = len(config.backbone.strides)
        self.anchors = len(config.anchor_ratios)
        levels = [LevelHead(config) for _ in range(count)]
        self.alpha = nn.Parameter(torch.zeros(count))
        self.alpha_box = nn.Parameter(torch.zeros(count))
        for level in levels:
            # Start with few false alarms: a prior of 2 % for the target (focal loss).
            nn.init.constant_(level.cls.bias, -4.0)  # type: ignore[arg-type]
            nn.init.normal_(level.cls.weight, std=0.01)
            nn.init.normal_(level.box.weight, std=0.01)
            nn.init.zeros_(level.box.bias)  # type: ignore[arg-type]
        self.levels = nn.ModuleList(levels)

    def template(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Neck features of the template, one a level -> matching kernels."""
        pairs = zip(self.levels, features, strict=True)
        return [cast(LevelHead, level).template(z) for level, z in pairs]

    def forward(self, kernels: Sequence[Tensor], features: Sequence[Tensor]) -> OfflineOutput:
        outputs = [level(k, x) for level, k, x in zip(self.levels, kernels, features, strict=True)]
        alpha, alpha_box = self.alpha.softmax(0), self.alpha_box.softmax(0)
        cls = sum(a * out[0] for a, out in zip(alpha, outputs, strict=True))
        box = sum(a * out[1] for a, out in zip(alpha_box, outputs, strict=True))
        b, _, h, w = cls.shape
        box = box.view(b, self.anchors, 5, h, w)
        return OfflineOutput(cls, box[:, :, :4].permute(0, 1, 3, 4, 2), box[:, :, 4])
