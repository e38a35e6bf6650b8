"""The dual-modal network: one backbone, an offline and an online branch (DuML Fig. 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import NetworkConfig
from ..online.problem import DiscriminativeModel
from .anchors import anchor_grid, anchor_shapes
from .backbone import build_backbone
from .blocks import ConvBn
from .correlation import centre
from .heads import LevelHead, OfflineHead, OfflineOutput
from .neck import Neck

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


class OnlineFeatures(nn.Module):
    """Features of the online branch: learned sum of levels, projection, normalisation.

    Scaled so that the mean squared norm of a cell is 1 / k^2 (k the filter's side): the response
    of the initial filter to its own patch is then about 1.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.zeros(len(config.backbone.strides)))
        self.project = ConvBn(config.neck, config.online_channels, 3, relu=False)
        self.scale = 1.0 / config.online_kernel

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        beta = self.beta.softmax(0)
        x = self.project(sum(b * f for b, f in zip(beta, features, strict=True))).float()
        power = x.square().sum(1, keepdim=True).mean((2, 3), keepdim=True)
        return x * (self.scale * torch.rsqrt(power + 1e-6))


def online_shapes(config: NetworkConfig) -> list[tuple[float, float]]:
    """(w, h) in cells of the anchors the online branch classifies; none for regression."""
    if config.online_branch == "ONR":
        return []
    ratios = config.ratios if config.online_branch.endswith("-5s") else (1.0,)
    shapes = anchor_shapes(config.anchor_size / config.stride, ratios)
    return [(float(w), float(h)) for w, h in shapes]


class DualModalNet(nn.Module):
    """Everything learned offline. The tracker calls its parts; so does training."""

    anchors: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.dtype = torch.float32
        self.backbone = build_backbone(config.backbone)
        self.neck = Neck(self.backbone.channels, config.neck)
        self.offline = OfflineHead(config)
        self.online_features: OnlineFeatures | None = None
        self.online: DiscriminativeModel | None = None
        if config.online_branch != "none":
            self.online_features = OnlineFeatures(config)
            self.online = DiscriminativeModel(
                config.online_bins, config.online_bin_width, shapes=online_shapes(config)
            )
        self.register_buffer(
            "mean", 255 * torch.tensor(IMAGE_MEAN).view(1, 3, 1, 1), persistent=False
        )
        self.register_buffer(
            "std", 255 * torch.tensor(IMAGE_STD).view(1, 3, 1, 1), persistent=False
        )

    def half(self) -> DualModalNet:
        """Compute in bf16: backbone, necks and head towers.

        The last layers of the heads stay in fp32, for the sake of sub-pixel boxes, as does the
        online branch behind its projection.
        """
        parts: list[nn.Module] = [self.backbone, self.neck]
        parts += [m for level in self.offline.levels for m in cast(LevelHead, level).towers()]
        if self.online_features is not None:
            parts.append(self.online_features.project)
        for part in parts:
            part.to(torch.bfloat16)
        self.dtype = torch.bfloat16
        return self

    def cells(self, size: int) -> int:
        """Cells a side of the score map for a crop of ``size`` pixels."""
        return (size - 1) // self.config.stride + 1

    def anchor_grid(self, size: int) -> Tensor:
        """Anchors (cx, cy, w, h) [A, H, W, 4] in pixels of a crop of ``size``."""
        shapes = anchor_shapes(self.config.anchor_size, self.config.ratios)
        return anchor_grid(shapes, self.cells(size), self.config.stride, size)

    def normalise(self, crops: Tensor) -> Tensor:
        """RGB crops 0..255 [B, 3, S, S] of any dtype -> network input, channels last."""
        x = (crops.float() - self.mean) / self.std
        return x.contiguous(memory_format=torch.channels_last)

    def extract(self, crops: Tensor) -> list[Tensor]:
        """RGB crops 0..255 [B, 3, S, S] -> neck levels [B, C, H, W], all of one resolution."""
        return self.neck(self.backbone(self.normalise(crops).to(self.dtype)))

    def template_kernels(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Neck levels of the template -> matching kernels of the offline branch."""
        return self.offline.template(features)

    def initial_filter(self, features: Sequence[Tensor]) -> Tensor:
        """Neck levels of the template -> first online filters [B, A, C, k, k].

        The target's share of the template (its central half) is pooled to k x k; all scales start
        from the same filter.
        """
        assert self.online_features is not None
        assert self.online is not None
        online = self.online_features(features)
        cells = online.shape[-1] // 2 | 1
        start = F.adaptive_avg_pool2d(centre(online, cells), self.config.online_kernel)
        return start[:, None].expand(-1, self.online.channels, -1, -1, -1)

    def predict(self, kernels: Sequence[Tensor], features: Sequence[Tensor]) -> OfflineOutput:
        """Dense offline predictions of a search region."""
        return self.offline(kernels, features)
