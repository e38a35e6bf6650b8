"""Matching of a template with a search region."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def centre(features: Tensor, cells: int) -> Tensor:
    """Central ``cells`` x ``cells`` part of [B, C, H, W]; both sizes odd or both even."""
    start = (features.shape[-1] - cells) // 2
    return features[..., start : start + cells, start : start + cells]


def depthwise_correlation(search: Tensor, kernel: Tensor, padded: bool = True) -> Tensor:
    """Correlate each channel with its own kernel (SiamRPN++), same size as the search map.

    search [B, C, H, W], kernel [B, C, k, k], k odd -> [B, C, H, W], k - 1 less without padding.
    """
    b, c, h, w = search.shape
    k = kernel.shape[-1]
    padding = k // 2 if padded else 0
    if b == 1:
        out = F.conv2d(search, kernel.reshape(c, 1, k, k), padding=padding, groups=c)
    else:
        out = F.conv2d(
            search.reshape(1, b * c, h, w),
            kernel.reshape(b * c, 1, k, k),
            padding=padding,
            groups=b * c,
        )
    return out.view(b, c, *out.shape[-2:])


def pixelwise_correlation(search: Tensor, kernel: Tensor) -> Tensor:
    """Inner product of every search cell with every template cell.

    search [B, C, H, W], kernel [B, C, k, k] -> [B, k * k, H, W].
    """
    b, c, h, w = search.shape
    cells = search.permute(0, 2, 3, 1).reshape(b, h * w, c)
    out = torch.bmm(cells, kernel.reshape(b, c, -1))
    return out.view(b, h, w, -1).permute(0, 3, 1, 2)
