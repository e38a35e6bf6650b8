"""Backbones. Each maps a crop [B, 3, S, S], S = 32 k + 1, to one feature map a level.

A level of stride s has (S - 1) / s + 1 cells a side, and cell i sits on pixel s * i. Maps of
``shallow`` strides come first, then the levels, finest first in both.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..errors import ConfigError
from ..network_config import BackboneConfig
from .blocks import ConvBn
from .efficientnet import EfficientNetLite0
from .levels import Backbone, level_channels
from .packed import convolve


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2016, without the 7x7 stem)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvBn(inputs, outputs, 3, stride)
        self.conv2 = ConvBn(outputs, outputs, 3)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = ConvBn(inputs, outputs, 1, stride, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(x), self.shortcut(x))
        return out


class SlimBackbone(Backbone):
    """Residual network for CPUs: two strided 3x3 convolutions, then residual stages.

    ``widths`` are the channels of the stem, of stride 4, of stride 8 and so on; ``blocks`` the
    number of residual blocks at strides 4, 8, ...
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        widths, blocks = config.widths, config.blocks
        if len(widths) != len(blocks) + 1:
            raise ConfigError(
                f"network.backbone.widths has {len(widths)} entries and blocks {len(blocks)}: "
                "widths needs one more"
            )
        self.stem = nn.Sequential(ConvBn(3, widths[0], 3, 2), ConvBn(widths[0], widths[1], 3, 2))
        self.stages = nn.ModuleList()
        channels = {2: widths[0]}
        previous = widths[1]
        for index, (width, count) in enumerate(zip(widths[1:], blocks, strict=True)):
            stage = nn.Sequential()
            for block in range(count):
                stride = 2 if block == 0 and index > 0 else 1
                stage.append(BasicBlock(previous, width, stride))
                previous = width
            self.stages.append(stage)
            channels[4 * 2**index] = width
        self.strides, self.shallow = config.strides, config.shallow
        self.channels, self.shallow_channels = level_channels(config, channels)

    def forward(self, x: Tensor) -> list[Tensor]:
        first, second = self.stem
        out = {2: first(x)}
        x = second(out[2])
        for index, stage in enumerate(self.stages):
            x = stage(x)
            out[4 * 2**index] = x
        return [out[s] for s in (*self.shallow, *self.strides)]


class Bottleneck(nn.Module):
    """Bottleneck of ResNet-50 with torchvision's parameter names.

    ``shortcut`` is None for the identity, else kernel, padding and dilation of its convolution.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int,
        dilation: int,
        padding: int,
        shortcut: tuple[int, int, int] | None,
    ) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding, dilation, bias=False)
        self.bn2: nn.Module = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3: nn.Module = nn.BatchNorm2d(outputs)
        self.downsample: nn.Sequential | None = None
        if shortcut is not None:
            kernel, pad, rate = shortcut
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, kernel, stride, pad, rate, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        out = convolve(self.conv1, self.bn1, x, True)
        out = convolve(self.conv2, self.bn2, out, True)
        shortcut = x if self.downsample is None else self.downsample(x)
        return convolve(self.conv3, self.bn3, out, True, shortcut)

    def fold(self) -> None:
        """Fold the batch norms into the convolutions (inference only)."""
        if isinstance(self.bn1, nn.Identity):
            return
        fuse = nn.utils.fusion.fuse_conv_bn_eval
        for index in ("1", "2", "3"):
            setattr(
                self,
                f"conv{index}",
                fuse(getattr(self, f"conv{index}"), getattr(self, f"bn{index}")),
            )
            setattr(self, f"bn{index}", nn.Identity())
        if self.downsample is not None:
            conv, norm = self.downsample[0], self.downsample[1]
            self.downsample = nn.Sequential(fuse(conv, norm))  # type: ignore[type-var, arg-type]


class ResNet50(Backbone):
    """ResNet-50 up to stride 32 with torchvision's names, so ImageNet files load as they are.

    ``dilated`` keeps stride 8 in the last two stages (rates 2 and 4), as SiamRPN++ does; DuML
    (Appendix B) keeps the original strides and interpolates the features instead. ``unpadded`` is
    SiamRPN++ to the letter: crops of 32 k - 1 pixels, of which cell i at stride 8 sees pixel
    8 i + 7.
    """

    published = "torchvision's ResNet-50"

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        if config.unpadded and not config.dilated:
            raise ConfigError("network.backbone.unpadded needs network.backbone.dilated=true")
        self.unpadded = config.unpadded
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 0 if config.unpadded else 3, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self._inputs = 64
        self.layer1 = self._stage(64, 3, 1, 1)
        self.layer2 = self._stage(128, 4, 2, 1)
        # Stages that no level needs are not there (SiamRCR has none behind stride 16).
        stride = 1 if config.dilated else 2
        if max(config.strides) >= 16:
            self.layer3 = self._stage(256, 6, stride, 2 if config.dilated else 1)
        if max(config.strides) >= 32:
            self.layer4 = self._stage(512, 3, stride, 4 if config.dilated else 1)
        self.strides, self.shallow = config.strides, config.shallow
        widths = {2: 64, 4: 256, 8: 512, 16: 1024, 32: 2048}
        self.channels, self.shallow_channels = level_channels(config, widths)

    def _stage(self, width: int, count: int, stride: int, dilation: int) -> nn.Sequential:
        stage = nn.Sequential()
        for block in range(count):
            layout = self._block(stride, dilation) if block == 0 else (1, dilation, dilation, None)
            stage.append(Bottleneck(self._inputs, width, *layout))
            self._inputs = 4 * width
        return stage

    def _block(self, stride: int, dilation: int) -> tuple[int, int, int, tuple[int, int, int]]:
        """Stride, dilation, padding and shortcut of the first block of a stage."""
        if not self.unpadded or stride == dilation == 1:
            return stride, dilation, dilation, (1, 0, 1)
        if stride > 1:
            return stride, 1, 0, (3, 0, 1)
        # SiamRPN++'s first block has half the stage's rate.
        half = dilation // 2
        return 1, half, half, (3, half, half)

    def forward(self, x: Tensor) -> list[Tensor]:
        out = {2: convolve(self.conv1, self.bn1, x, True)}
        out[4] = self.layer1(self.maxpool(out[2]))
        out[8] = x = self.layer2(out[4])
        if max(self.strides) >= 16:
            out[16] = x = self.layer3(x)
        if max(self.strides) >= 32:
            out[32] = self.layer4(x)
        return [out[s] for s in (*self.shallow, *self.strides)]

    def fold(self) -> None:
        """Fold the stem's batch norm (inference only)."""
        if isinstance(self.bn1, nn.BatchNorm2d):
            self.conv1 = nn.utils.fusion.fuse_conv_bn_eval(self.conv1, self.bn1)
            self.bn1 = nn.Identity()


class AlexNet(Backbone):
    """AlexNet with stride 8 as SiamFC modified it, padded so that it fits crops of 32 k + 1."""

    strides = (8,)
    channels = (256,)
    shallow_channels: tuple[int, ...] = ()

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        if config.strides != self.strides or config.shallow:
            asked = (*config.shallow, *config.strides)
            raise ConfigError(f"network.backbone.strides: {asked}, alexnet has (8,) only")
        self.layers = nn.Sequential(
            ConvBn(3, 96, 11, 2),
            nn.MaxPool2d(3, 2, 1),
            ConvBn(96, 256, 5),
            nn.MaxPool2d(3, 2, 1),
            ConvBn(256, 384, 3),
            ConvBn(384, 384, 3),
            ConvBn(384, 256, 3, relu=False),
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.layers(x)]


BACKBONES: dict[str, type[Backbone]] = {
    "slim": SlimBackbone,
    "resnet50": ResNet50,
    "alexnet": AlexNet,
    "efficientnet_lite0": EfficientNetLite0,
}
"""Backbones by the name that ``network.backbone.kind`` takes; each is made from its settings."""


def build_backbone(config: BackboneConfig) -> Backbone:
    """Make the backbone a configuration names. Raises ConfigError for an unknown kind."""
    if config.kind not in BACKBONES:
        raise ConfigError(
            f"network.backbone.kind = {config.kind!r}: choose from {', '.join(BACKBONES)}"
        )
    return BACKBONES[config.kind](config)
