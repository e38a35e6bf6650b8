"""The settings of a network: backbone, heads, and the parts that single trackers have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from .errors import ConfigError
from .settings import Group, Length, Name, Range

Offline = Literal["OFC-5s", "OFC-1s", "OFR", "none", "FC", "RPN"]
Online = Literal["ONR", "ONC-1s", "ONC-5s", "none"]
Channels = Annotated[int, Range(1, 4096)]
Kernel = Annotated[int, Range(1, 31)]
Ratios = Annotated[tuple[Annotated[float, Range(0.01, 100)], ...], Length(1, 16)]
Stride = Literal[2, 4, 8, 16, 32]


@dataclass(frozen=True)
class BackboneConfig(Group, path="network.backbone"):
    """Feature extractor. ``slim`` is ours; ``resnet50`` is torchvision's by name and layout,
    ``alexnet`` SiamFC's, ``efficientnet_lite0`` the published one up to the level that is needed.
    ``unpadded`` is SiamRPN++'s variant of a dilated ``resnet50``: no padding where it strides, 3x3
    convolutions in the shortcuts. ``shallow`` are strides of finer maps handed out besides (masks).
    ``taps`` says what the levels of ``efficientnet_lite0`` are: the narrow ``bottleneck`` maps or
    the wide ``expansion`` of the block behind each."""

    kind: Name = "slim"
    widths: Annotated[tuple[Channels, ...], Length(1, 8)] = (24, 48, 96, 128)
    blocks: Annotated[tuple[Annotated[int, Range(1, 64)], ...], Length(1, 8)] = (1, 2, 2)
    strides: Annotated[tuple[Stride, ...], Length(1, 5)] = (8, 16)
    dilated: bool = False
    shallow: Annotated[tuple[Stride, ...], Length(0, 5)] = ()
    unpadded: bool = False
    taps: Literal["bottleneck", "expansion"] = "bottleneck"


@dataclass(frozen=True)
class DecoderConfig(Group, path="network.decoder"):
    """FCOT's decoder and heads: channels of the decoder and of the features of the coarse and
    fine classifier and the box regressor, and the sides of their filters. ``box_maps`` are the
    up-sampled maps that the box regressor sees: the first, the second, or both (Table 3)."""

    width: Channels = 32
    coarse: Channels = 64
    fine: Channels = 32
    box: Channels = 32
    kernel: Kernel = 5
    box_kernel: Kernel = 3
    deformable: bool = False
    box_maps: Literal["both", "first", "second"] = "both"


@dataclass(frozen=True)
class PointsConfig(Group, path="network.points"):
    """TLPG's deformable central correlation: channels of its features, side of the grid of points,
    share of the target that is its centre region (sigma_c), and hidden channels of IoU-Net.
    ``neck`` is the paper's, a feature pyramid's, or none: C4 alone (Table 3); without ``enhance``
    stage 2 sees what stage 1 sees (Table 2)."""

    channels: Channels = 64
    kernel: Kernel = 5
    shrink: Annotated[float, Range(0.01, 1)] = 0.3
    iou: Channels = 32
    neck: Literal["balanced", "fpn", "none"] = "balanced"
    enhance: bool = True


@dataclass(frozen=True)
class MaskNetConfig(Group, path="network.mask"):
    """DROL-Mask's mask branch: ``cells`` a side of the response map that a mask spans, hidden
    channels of the mask vector, and channels of its map at half the response's resolution, at the
    response's, and at each finer one."""

    cells: Annotated[int, Range(1, 257)] = 17
    vector: Channels = 64
    widths: Annotated[tuple[Channels, ...], Length(2, 8)] = (32, 32, 16, 8)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cells % 4 != 1:
            raise ConfigError(
                f"network.mask.cells = {self.cells}: must be 4 k + 1 (13, 17, 21, ...), so that "
                "the mask has the response's cell in its centre at every resolution"
            )


@dataclass(frozen=True)
class NetworkConfig(Group, path="network", former=("kind",)):
    """A network. Sizes are crop pixels and of the form 32 k + 1, or 32 k - 1 without padding.

    Which class it is of says the tracker. ``decoder`` is FCOT's own part, ``points`` TLPG's,
    ``mask`` DROL-Mask's.

    ``offline_branch`` and ``online_branch`` name the paper's formulations (DuML, Table 1), or
    ``none`` for a uni-modal tracker. A formulation in 5 scales (``5s``) has a score for each of
    ``anchor_ratios``; without any of them there is one square anchor. ``FC`` is full correlation
    without a box (SiamFC), ``RPN`` SiamRPN++'s head. With ``separate_towers`` the box has a tower
    of its own. ``convolution`` says of which kind those of heads and online features are: ``dense``
    or ``separable`` (depth-wise, of 5x5 cells in the towers, then of single cells).

    ``pixels`` says what the backbone sees: ``imagenet`` (RGB, ImageNet's mean and deviation),
    ``unit`` (RGB, about -1..1: (p - 127) / 128) or ``bgr`` (BGR, 0..255);
    ``crop`` how windows are cut: ``exact``, or of ``whole`` pixels as PySOT does. Sides of anchors
    are rounded down to multiples of ``anchor_grain``, if there is one.
    """

    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    template_size: Annotated[int, Range(31, 1025)] = 97
    search_size: Annotated[int, Range(31, 1025)] = 193
    stride: Stride = 8
    neck: Channels = 64
    matching: Literal["depthwise", "pixelwise"] = "depthwise"
    kernel: Kernel = 7
    hidden: Channels = 64
    tower: Annotated[int, Range(0, 16)] = 1
    separate_towers: bool = False
    convolution: Literal["dense", "separable"] = "dense"
    anchor_size: Annotated[float, Range(1, 1025)] = 48.0
    anchor_ratios: Ratios = (0.33, 0.5, 1.0, 2.0, 3.0)
    anchor_grain: Annotated[float, Range(0, 1025)] = 0.0
    pixels: Literal["imagenet", "unit", "bgr"] = "imagenet"
    crop: Literal["exact", "whole"] = "exact"
    online_channels: Channels = 64
    online_kernel: Kernel = 5
    online_bins: Annotated[int, Range(2, 10000)] = 100
    online_bin_width: Annotated[float, Range(0.001, 100)] = 0.2
    offline_branch: Offline = "OFC-5s"
    online_branch: Online = "ONR"
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    points: PointsConfig = field(default_factory=PointsConfig)
    mask: MaskNetConfig = field(default_factory=MaskNetConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        unpadded = self.backbone.unpadded
        form = "32 k - 1 (127, 255, 287" if unpadded else "32 k + 1 (97, 129, 193, 257, 321"
        for key in ("template_size", "search_size"):
            value = getattr(self, key)
            if value % 32 != (31 if unpadded else 1):
                raise ConfigError(
                    f"network.{key} = {value}: must be {form}, ...), "
                    "or the feature maps of the levels do not align"
                )
        if unpadded != (self.offline_branch == "RPN"):
            raise ConfigError(
                f"network.backbone.unpadded = {unpadded} with network.offline_branch = "
                f"{self.offline_branch!r}: RPN goes with an unpadded backbone, and no other branch"
            )
        if self.offline_branch == self.online_branch == "none":
            raise ConfigError("network.offline_branch and network.online_branch are both 'none'")

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ratios h / w of the anchors that boxes are relative to."""
        branches = self.offline_branch, self.online_branch
        scales = any(b.endswith("-5s") or b == "RPN" for b in branches)
        return self.anchor_ratios if scales else (1.0,)

    @property
    def border(self) -> int:
        """Crop pixels between the edge and the outermost cells of the score map."""
        if not self.backbone.unpadded:
            return 0
        # Of the features 7; then a 3x3 convolution and the correlation, neither of them padded.
        return 7 + self.stride * (1 + self.kernel // 2)

    def scores(self, branch: str) -> int:
        """Score channels of a branch: one an anchor, or one for all."""
        return len(self.ratios) if branch.endswith("-5s") else 1
