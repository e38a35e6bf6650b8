"""The dual-modal network: one backbone, an offline and an online branch (DuML Fig. 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..network_config import NetworkConfig
from ..online.problem import DiscriminativeModel
from .anchors import anchor_shapes
from .blocks import head_conv, unit_power
from .correlation import centre
from .siamese import SiameseNet


class OnlineFeatures(nn.Module):
    """Features of the online branch: learned sum of levels, projection, normalisation.

    Scaled so that the mean squared norm of a cell is 1 / k^2 (k the filter's side): the response
    of the initial filter to its own patch is then about 1.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.zeros(len(config.backbone.strides)))
        self.project = head_conv(
            config.convolution, config.neck, config.online_channels, relu=False
        )
        self.scale = 1.0 / config.online_kernel
        self._shares: list[float] = []

    def fold(self) -> None:
        """Take the shares of the levels as numbers (inference only)."""
        self._shares = self.beta.softmax(0).tolist()

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        shares = self._shares or self.beta.softmax(0)
        mixed = features[0] * shares[0]
        for share, level in zip(shares[1:], features[1:], strict=True):
            mixed = mixed.add_(level, alpha=share) if self._shares else mixed + share * level
        return unit_power(self.project(mixed).float(), self.scale)


def online_shapes(config: NetworkConfig) -> list[tuple[float, float]]:
    """(w, h) in cells of the anchors the online branch classifies; none for regression."""
    if config.online_branch == "ONR":
        return []
    ratios = config.ratios if config.online_branch.endswith("-5s") else (1.0,)
    shapes = anchor_shapes(config.anchor_size / config.stride, ratios)
    return [(float(w), float(h)) for w, h in shapes]


class DualModalNet(SiameseNet):
    """Everything learned offline. The tracker calls its parts; so does training."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.online_features: OnlineFeatures | None = None
        self.online: DiscriminativeModel | None = None
        if config.online_branch != "none":
            self.online_features = OnlineFeatures(config)
            self.online = DiscriminativeModel(
                config.online_bins, config.online_bin_width, shapes=online_shapes(config)
            )

    def half_parts(self) -> list[nn.Module]:
        online = [] if self.online_features is None else [self.online_features.project]
        return [*super().half_parts(), *online]

    def starts_online(self) -> bool:
        return self.online_features is not None

    def online_input(self, levels: Sequence[Tensor]) -> Tensor:
        assert self.online_features is not None
        features: Tensor = self.online_features(levels)
        return features

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
