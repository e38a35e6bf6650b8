"""TLPG's network: balanced neck, features of two stages, IoU-Net (Li et al. 2020, Fig. 2, 4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..network_config import NetworkConfig
from ..online.deformable import DeformableModel
from .base import CropNet
from .blocks import ConvBn, unit_power
from .graphs import Graph
from .neck import resize
from .roi_pool import roi_pool


def shrink(x: Tensor, cells: int) -> Tensor:
    """Average pooling to half as many cells a side, each over the cells around its place.

    Crops of 32 k + 1 pixels put cell i of the coarser map on cell 2 i of the finer one.
    """
    while x.shape[-1] > cells:
        x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    return x


class PyramidNeck(nn.Module):
    """C3, C4 and C5 at one width, and one map of them at the stride of C4.

    ``balanced``: summed with bounded weights (eq. 7); ``fpn``: C5 on C4 and a convolution, that
    level of a feature pyramid; ``none``: C4 alone.
    """

    def __init__(self, channels: Sequence[int], width: int, kind: str = "balanced") -> None:
        super().__init__()
        self.kind = kind
        self.levels = nn.ModuleList(ConvBn(c, width, 1, relu=False) for c in channels)
        if kind == "balanced":
            self.share = nn.Parameter(torch.zeros(len(channels)))
        if kind == "fpn":
            self.smooth = ConvBn(width, width, 3, relu=False)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Three levels -> their one map, and the levels themselves at one width."""
        maps = [level(x) for level, x in zip(self.levels, features, strict=True)]
        fine, middle, coarse = maps
        cells = middle.shape[-1]
        if self.kind == "none":
            return [middle, *maps]
        if self.kind == "fpn":
            return [self.smooth(middle + resize(coarse, cells)), *maps]
        at_middle = (shrink(fine, cells), middle, resize(coarse, cells))
        shares = self.share.softmax(0) / len(maps)
        mixed = sum(
            (n * m for n, m in zip(shares, at_middle, strict=True)), torch.zeros_like(middle)
        )
        return [mixed, *maps]


class Enhancement(nn.Module):
    """Feature enhancement (Fig. 4): three resolutions, each of which hears the other two.

    The finest branch is C3 as the neck unified it, the coarsest a strided convolution of the
    balanced map beside C5.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down = ConvBn(width, width, 3, 2, relu=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(3))
        self.mix = ConvBn(3 * width, width)

    def forward(self, mixed: Tensor, fine: Tensor, coarse: Tensor) -> Tensor:
        """Balanced map, C3 and C5 -> enhanced map, of the size of the first."""
        cells = mixed.shape[-1]
        branches = (fine, mixed, self.down(mixed) + coarse)
        out = []
        for norm, own in zip(self.norms, branches, strict=True):
            side = own.shape[-1]
            others = (resize(b, side) if b.shape[-1] < side else shrink(b, side) for b in branches)
            out.append(torch.relu(norm(sum(others, torch.zeros_like(own)))))
        return self.mix(torch.cat((shrink(out[0], cells), out[1], resize(out[2], cells)), 1))


class IouNet(nn.Module):
    """Predicted IoU of boxes, modulated by the target's look in the first frame (ATOM, TLPG)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.body = ConvBn(width, hidden)
        self.reference = nn.Linear(9 * hidden, hidden)
        self.hidden = nn.Linear(16 * hidden, hidden)
        self.out = nn.Linear(hidden, 1)

    def modulation(self, features: Tensor, box: Tensor) -> Tensor:
        """Features [B, C, H, W], target (row, column, height, width) [B, 4] -> [B, C]."""
        pooled = roi_pool(features.float(), box[:, None], 3)[:, 0]
        return 2 * torch.sigmoid(self.reference(pooled.flatten(1).to(self.reference.weight.dtype)))

    def forward(self, features: Tensor, modulation: Tensor, boxes: Tensor) -> Tensor:
        """Logits of the IoU [B, N] of boxes (row, column, height, width) in cells [B, N, 4]."""
        pooled = roi_pool(features.float(), boxes, 4) * modulation[:, None, :, None, None]
        x = torch.relu(self.hidden(pooled.flatten(2).to(self.hidden.weight.dtype)))
        logits: Tensor = self.out(x)[..., 0]
        return logits


class ProposalNet(CropNet):
    """Backbone, neck, the features of both stages, and IoU-Net.

    ``extract`` gives the features of stage 1, those of stage 2, and those of IoU-Net, all at the
    stride of C4.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        p, width = config.points, config.neck
        self.neck = PyramidNeck(self.backbone.channels, width, p.neck)
        self.enhance = Enhancement(width) if p.enhance else None
        self.projects = nn.ModuleList(ConvBn(width, p.channels, 3, relu=False) for _ in range(2))
        unit = config.template_size / 4 / config.stride
        self.stages = nn.ModuleList(
            DeformableModel(p.channels, p.kernel, unit, p.shrink) for _ in range(2)
        )
        self.iou = IouNet(width, p.iou)

    def half_parts(self) -> list[nn.Module]:
        enhance = [] if self.enhance is None else [self.enhance]
        return [self.neck, *enhance, self.projects, self.iou.body]

    def extract(self, crops: Tensor) -> list[Tensor]:
        """RGB crops 0..255 [B, 3, S, S] -> stage 1, stage 2, IoU-Net, each [B, C, H, W]."""
        mixed, fine, _, coarse = self.neck(self.levels(crops))
        enhanced = mixed if self.enhance is None else self.enhance(mixed, fine, coarse)
        scale = 1.0 / self.config.points.kernel
        pairs = zip(self.projects, (mixed, enhanced), strict=True)
        stages = [unit_power(project(x).float(), scale) for project, x in pairs]
        return [*stages, self.iou.body(enhanced)]


class ProposalGraph(Graph):
    """TLPG: search crop -> features of both stages and of IoU-Net."""

    outputs = ("first", "second", "iou")

    net: ProposalNet

    def __init__(self, net: ProposalNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.net.extract(crops))
