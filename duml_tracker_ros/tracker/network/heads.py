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
        cls: logits of accurate localisation, [B, A, H, W] of OFC-5s, [B, 1, H, W] of OFC-1s and
            OFR; None without an offline branch.
        deltas: (dx, dy, log w, log h) on the anchors, [B, A, H, W, 4].
        iou: logits of the predicted IoU, [B, A, H, W].
        matched: the matched features of each level and what its box was predicted from, all
            [B, hidden, H, W]; of ``OfflineHead`` alone.
    """

    cls: Tensor | None
    deltas: Tensor
    iou: Tensor
    matched: tuple[Tensor, ...] = ()

    def of(self, index: int) -> OfflineOutput:
        """The predictions of one search region, still as a batch."""
        part = slice(index, index + 1)
        cls = None if self.cls is None else self.cls[part]
        matched = tuple(m[part] for m in self.matched)
        return OfflineOutput(cls, self.deltas[part], self.iou[part], matched)


class LevelHead(nn.Module):
    """Match one level and predict class logits (A or 1) and box + IoU (5 A) from it.

    The template side is a function of the template alone, so it is run once at init.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        anchors, hidden = len(config.ratios), config.hidden
        scores = config.scores(config.offline_branch)
        self.kernel_cells = config.kernel
        self.pixelwise = config.matching == "pixelwise"
        self.template_conv = ConvBn(config.neck, hidden, 3)
        self.search_conv = ConvBn(config.neck, hidden, 3)
        matched = config.kernel**2 + hidden if self.pixelwise else hidden
        self.mix = ConvBn(matched, hidden, 3 if self.pixelwise else 1)
        self.tower = nn.Sequential(*(ConvBn(hidden, hidden, 3) for _ in range(config.tower)))
        self.box_tower: nn.Sequential | None = None
        if config.separate_towers:
            layers = (ConvBn(hidden, hidden, 3) for _ in range(config.tower))
            self.box_tower = nn.Sequential(*layers)
        self.cls = nn.Conv2d(hidden, scores, 1) if config.offline_branch != "none" else None
        self.box = nn.Conv2d(hidden, 5 * anchors, 1)

    def towers(self) -> list[nn.Module]:
        """All but the last layers."""
        shared: list[nn.Module] = [self.template_conv, self.search_conv, self.mix, self.tower]
        return shared if self.box_tower is None else [*shared, self.box_tower]

    def template(self, z: Tensor) -> Tensor:
        """Template features [B, C, Hz, Wz] -> matching kernel [B, hidden, k, k]."""
        kernel = centre(self.template_conv(z), self.kernel_cells)
        return kernel / kernel.shape[1] ** 0.5 if self.pixelwise else kernel

    def forward(
        self, kernel: Tensor, x: Tensor
    ) -> tuple[Tensor | None, Tensor, tuple[Tensor, Tensor]]:
        """Kernel and search features -> class [B, A or 1, H, W], box [B, 5 A, H, W], and the
        features [B, hidden, H, W] before and behind the tower of the box."""
        x = self.search_conv(x)
        if self.pixelwise:
            x = torch.cat((pixelwise_correlation(x, kernel), x), 1)
        else:
            x = depthwise_correlation(x, kernel)
        mixed, kind = self.mix(x), self.box.weight.dtype
        x = self.tower(mixed).to(kind)
        y = x if self.box_tower is None else self.box_tower(mixed).to(kind)
        return self.cls(x) if self.cls is not None else None, self.box(y), (mixed, y)


class ScoreLevel(nn.Module):
    """Match one level by full correlation: one score a cell and no box (SiamFC).

    The convolution of the template makes a kernel of as many channels as there are scores times
    channels of the search feature (up-channel correlation); there is one score.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.kernel_cells = config.kernel
        self.template_conv = ConvBn(config.neck, config.hidden, 3, relu=False)
        self.search_conv = ConvBn(config.neck, config.hidden, 3, relu=False)
        # A perfect match of normalised features has mean product 1: a logit of 4 to begin with.
        self.scale = nn.Parameter(torch.tensor(8.0))
        self.bias = nn.Parameter(torch.tensor(-4.0))

    def towers(self) -> list[nn.Module]:
        return [self.template_conv, self.search_conv]

    def template(self, z: Tensor) -> Tensor:
        """Template features [B, C, Hz, Wz] -> matching kernel [B, hidden, k, k]."""
        kernel = centre(self.template_conv(z), self.kernel_cells)
        return kernel / kernel[0].numel()

    def forward(self, kernel: Tensor, x: Tensor) -> Tensor:
        """Kernel and search features -> logits [B, 1, H, W]."""
        score = depthwise_correlation(self.search_conv(x), kernel).float().sum(1, keepdim=True)
        return self.scale * score + self.bias


class ScoreHead(nn.Module):
    """Scores alone, a learned sum over levels; boxes are the anchors themselves."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.levels = nn.ModuleList(ScoreLevel(config) for _ in config.backbone.strides)
        self.alpha = nn.Parameter(torch.zeros(len(self.levels)))

    def template(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Neck features of the template, one a level -> matching kernels."""
        pairs = zip(self.levels, features, strict=True)
        return [cast(ScoreLevel, level).template(z) for level, z in pairs]

    def forward(self, kernels: Sequence[Tensor], features: Sequence[Tensor]) -> OfflineOutput:
        levels = zip(self.alpha.softmax(0), self.levels, kernels, features, strict=True)
        parts = [a * level(k, x) for a, level, k, x in levels]
        cls = torch.stack(parts).sum(0)
        return OfflineOutput(cls, cls.new_zeros(*cls.shape, 4), torch.zeros_like(cls))


class OfflineHead(nn.Module):
    """Offline classification with box and IoU prediction (DuML eq. 2): sum over levels."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        count = len(config.backbone.strides)
        self.anchors = len(config.ratios)
        levels = [LevelHead(config) for _ in range(count)]
        self.alpha = nn.Parameter(torch.zeros(count)) if levels[0].cls is not None else None
        self.alpha_box = nn.Parameter(torch.zeros(count))
        for level in levels:
            if level.cls is not None:
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
        cls = None
        if self.alpha is not None:
            pairs = zip(self.alpha.softmax(0), outputs, strict=True)
            cls = sum(a * out[0] for a, out in pairs)
        alpha_box = self.alpha_box.softmax(0)
        box = sum(a * out[1] for a, out in zip(alpha_box, outputs, strict=True))
        b, _, h, w = box.shape
        box = box.view(b, self.anchors, 5, h, w)
        matched = tuple(m for out in outputs for m in out[2])
        return OfflineOutput(cls, box[:, :, :4].permute(0, 1, 3, 4, 2), box[:, :, 4], matched)
