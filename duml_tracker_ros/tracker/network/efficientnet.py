"""EfficientNet-Lite0: inverted residuals with ReLU6 and without squeeze-and-excitation."""

from __future__ import annotations

from typing import NamedTuple, cast

from torch import Tensor, nn

from ..network_config import BackboneConfig
from .blocks import ConvBn
from .levels import Backbone, level_channels

EPS = 1e-3
"""Of the published batch norms."""


class StageSpec(NamedTuple):
    """Blocks of one resolution; the first one strides."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    StageSpec(1, 3, 1, 1, 16),
    StageSpec(2, 3, 2, 6, 24),
    StageSpec(2, 5, 2, 6, 40),
    StageSpec(3, 3, 2, 6, 80),
    StageSpec(3, 5, 1, 6, 112),
    StageSpec(4, 5, 2, 6, 192),
    StageSpec(1, 3, 1, 6, 320),
)
"""Tan and Le 2019, Table 1, whose first and last stage Lite does not scale."""


class InvertedResidual(nn.Module):
    """Expansion, depth-wise convolution and linear projection (Sandler et al. 2018)."""

    def __init__(self, inputs: int, stage: StageSpec, stride: int) -> None:
        super().__init__()
        wide = inputs * stage.expansion
        self.expand = _layer(inputs, wide, 1) if stage.expansion > 1 else nn.Identity()
        self.depthwise = _layer(wide, wide, stage.kernel, stride, groups=wide)
        self.project = ConvBn(wide, stage.channels, 1, relu=False, eps=EPS)
        self.residual = stride == 1 and inputs == stage.channels

    def reduce(self, x: Tensor, wide: Tensor) -> Tensor:
        """The rest of the block, from its input and its expansion; ``x`` may be overwritten."""
        out: Tensor = self.project(self.depthwise(wide), x if self.residual else None)
        return out

    def forward(self, x: Tensor) -> Tensor:
        return self.reduce(x, self.expand(x))


class Expansion(nn.Module):
    """The first layer of a block of which nothing else is needed."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.expand = _layer(inputs, outputs, 1)


def _layer(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> ConvBn:
    return ConvBn(inputs, outputs, kernel, stride, groups=groups, cap=6.0, eps=EPS)


class EfficientNetLite0(Backbone):
    """EfficientNet-Lite0 up to the level that is needed, for pixels (p - 127) / 128.

    On crops of 32 k + 1 pixels its SAME padding is the symmetric one, so the published weights
    (``public_name``) compute here what they were trained for. A level is the last map of its stride
    (40 channels at stride 8, 112 at 16) or, with ``taps: expansion``, the ReLU6 expansion that the
    next block makes of it (240 and 672). No map handed out is a residual block's input, which
    packed convolutions overwrite.
    """

    published = "EfficientNet-Lite0"

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.stem = _layer(3, 32, 3, 2)
        self.blocks = nn.ModuleList()
        self._ends: dict[int, int] = {}
        narrow: dict[int, int] = {}
        inputs, stride = 32, 2
        for stage in STAGES:
            stride *= stage.stride
            if stride > max(config.strides):
                break
            for index in range(stage.blocks):
                self.blocks.append(
                    InvertedResidual(inputs, stage, stage.stride if index == 0 else 1)
                )
                inputs = stage.channels
            self._ends[stride] = len(self.blocks) - 1
            narrow[stride] = inputs
        wide = {s: 6 * c for s, c in narrow.items() if s < 32}
        self._wide = config.taps == "expansion"
        self.strides, self.shallow = config.strides, config.shallow
        self.channels, self.shallow_channels = level_channels(
            config, wide if self._wide else narrow, narrow
        )
        if self._wide:
            self.blocks.append(Expansion(inputs, 6 * inputs))

    def forward(self, x: Tensor) -> list[Tensor]:
        ends = {at: stride for stride, at in self._ends.items()}
        narrow: dict[int, Tensor] = {}
        wide: dict[int, Tensor] = {}
        x = self.stem(x)
        for index, block in enumerate(self.blocks):
            stride = ends.get(index - 1)
            if self._wide and stride in self.strides:
                layers = cast(InvertedResidual | Expansion, block)
                wide[stride] = layers.expand(x)
                if isinstance(block, InvertedResidual):
                    x = block.reduce(x, wide[stride])
            else:
                x = block(x)
            if index in ends:
                narrow[ends[index]] = x
        levels = wide if self._wide else narrow
        return [*(narrow[s] for s in self.shallow), *(levels[s] for s in self.strides)]

    @staticmethod
    def public_name(key: str) -> str:
        """The name of a tensor of this class in the published file."""
        first, *rest = key.split(".")
        if first == "stem":
            layer, kind = rest[0], ".".join(rest[1:])
            return f"_conv_stem.{kind}" if layer == "conv" else f"_bn0.{kind}"
        block, part, layer, kind = rest
        at = {"expand": 0, "depthwise": 1, "project": 2}[part]
        return (
            f"_blocks.{block}._{part}_conv.{kind}"
            if layer == "conv"
            else f"_blocks.{block}._bn{at}.{kind}"
        )
