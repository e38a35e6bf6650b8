"""Offline branch: per-level matching, classification and box heads, learned fusion of levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from ..network_config import NetworkConfig
from .blocks import head_conv
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
        kind = config.convolution
        self.template_conv = head_conv(kind, config.neck, hidden)
        self.search_conv = head_conv(kind, config.neck, hidden)
        matched = config.kernel**2 + hidden if self.pixelwise else hidden
        # Depth-wise convolutions are as cheap of 5x5 cells, so the towers look around there.
        reach, around = (3, 3) if kind == "dense" else (1, 5)
        self.mix = head_conv(kind, matched, hidden, reach if self.pixelwise else 1)
        layers = [head_conv(kind, hidden, hidden, around) for _ in range(config.tower)]
        self.tower = nn.Sequential(*layers)
        self.box_tower: nn.Sequential | None = None
        if config.separate_towers:
            layers = [head_conv(kind, hidden, hidden, around) for _ in range(config.tower)]
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

    def match(self, kernel: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Kernel and search features -> features of class, of box, and before their towers.

        Each [B, hidden, H, W].
        """
        x = self.search_conv(x)
        if self.pixelwise:
            x = torch.cat((pixelwise_correlation(x, kernel), x), 1)
        else:
            x = depthwise_correlation(x, kernel)
        mixed = self.mix(x)
        x = self.tower(mixed)
        return x, x if self.box_tower is None else self.box_tower(mixed), mixed


class ScoreLevel(nn.Module):
    """Match one level by full correlation: one score a cell and no box (SiamFC).

    The convolution of the template makes a kernel of as many channels as there are scores times
    channels of the search feature (up-channel correlation); there is one score.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.kernel_cells = config.kernel
        kind = config.convolution
        self.template_conv = head_conv(kind, config.neck, config.hidden, relu=False)
        self.search_conv = head_conv(kind, config.neck, config.hidden, relu=False)
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
        self.last: nn.ModuleList | None = None

    def template(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Neck features of the template, one a level -> matching kernels."""
        pairs = zip(self.levels, features, strict=True)
        return [cast(LevelHead, level).template(z) for level, z in pairs]

    def forward(self, kernels: Sequence[Tensor], features: Sequence[Tensor]) -> OfflineOutput:
        levels = (cast(LevelHead, level) for level in self.levels)
        found = [level.match(k, x) for level, k, x in zip(levels, kernels, features, strict=True)]
        scored, boxed, mixed = zip(*found, strict=True)
        cls, box = self._last_layers(scored, boxed)
        b, _, h, w = box.shape
        box = box.view(b, self.anchors, 5, h, w)
        matched = tuple(m for pair in zip(mixed, boxed, strict=True) for m in pair)
        return OfflineOutput(cls, box[:, :, :4].permute(0, 1, 3, 4, 2), box[:, :, 4], matched)

    def _last_layers(
        self, scored: Sequence[Tensor], boxed: Sequence[Tensor]
    ) -> tuple[Tensor | None, Tensor]:
        """Features of class and box, one a level -> class [B, A or 1, H, W], box [B, 5 A, H, W]."""
        if self.last is None:
            levels = [cast(LevelHead, level) for level in self.levels]
            box = _mix(self.alpha_box, [level.box for level in levels], boxed)
            return None if self.alpha is None else _mix(self.alpha, _classes(levels), scored), box
        layers = [cast(nn.Linear, layer) for layer in self.last]
        out = _project(layers[0], torch.cat(list(boxed), 1))
        if len(layers) > 1:
            return _project(layers[1], torch.cat(list(scored), 1)), out
        box = out[:, : 5 * self.anchors]
        return None if self.alpha is None else out[:, 5 * self.anchors :], box

    def fold(self) -> None:
        """Make one convolution of the levels' last layers and their sum (inference only).

        They are linear. Class and box share it where they share a tower.
        """
        levels = [cast(LevelHead, level) for level in self.levels]
        if self.last is not None:
            return
        parts = [_merge(self.alpha_box, [level.box for level in levels])]
        if self.alpha is not None:
            parts.append(_merge(self.alpha, _classes(levels)))
        if levels[0].box_tower is None:
            weight, bias = (torch.cat(p) for p in zip(*parts, strict=True))
            parts = [(weight, bias)]
        self.last = nn.ModuleList(_linear(*part) for part in parts)
        for level in levels:
            del level.cls, level.box


def _classes(levels: Sequence[LevelHead]) -> list[nn.Conv2d]:
    return [cast(nn.Conv2d, level.cls) for level in levels]


def _mix(alpha: Tensor, layers: Sequence[nn.Conv2d], maps: Sequence[Tensor]) -> Tensor:
    """Learned sum over levels of their last layers."""
    triples = zip(alpha.softmax(0), layers, maps, strict=True)
    parts = [a * layer(x.to(layer.weight.dtype)) for a, layer, x in triples]
    return sum(parts[1:], parts[0])


def _merge(alpha: Tensor, layers: Sequence[nn.Conv2d]) -> tuple[Tensor, Tensor]:
    """1x1 convolutions of the levels and their learned sum as one: weight [A, L C] and bias [A]."""
    shares = alpha.detach().softmax(0)
    pairs = zip(shares, layers, strict=True)
    weight = torch.cat([a * x.weight.detach().flatten(1) for a, x in pairs], 1)
    biases = [cast(Tensor, x.bias).detach() for x in layers]
    return weight, (shares[:, None] * torch.stack(biases)).sum(0)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0])
    made.weight, made.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)
    return made


def _project(layer: nn.Linear, x: Tensor) -> Tensor:
    """A 1x1 convolution of [B, C, H, W] -> [B, A, H, W], a plane a channel in memory.

    As one product that reads cell after cell and writes plane after plane.
    """
    b, c, h, w = x.shape
    cells = x.permute(0, 2, 3, 1).reshape(b, h * w, c).to(layer.weight.dtype)
    weight = layer.weight.expand(b, -1, -1)
    out = torch.baddbmm(layer.bias[:, None], weight, cells.transpose(1, 2))
    return out.view(b, -1, h, w)
