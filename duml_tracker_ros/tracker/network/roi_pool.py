"""Exact precise RoI pooling in plain torch (Jiang et al. 2018), differentiable in the boxes too."""

from __future__ import annotations

import torch
from torch import Tensor


def _hat_integral(t: Tensor) -> Tensor:
    """Integral of the hat function max(0, 1 - |t|) from minus infinity to t."""
    t = t.clamp(-1, 1)
    return torch.where(t < 0, 0.5 * (t + 1).square(), 1 - 0.5 * (1 - t).square())


def _weights(low: Tensor, high: Tensor, bins: int, cells: int) -> Tensor:
    """Share of each cell in each bin of [low, high]: [...] -> [..., bins, cells].

    The integral of bilinear interpolation over a bin [a, b] is a sum over cells i of
    G(b - i) - G(a - i), with G the integral of the hat function.
    """
    edges = torch.linspace(0, 1, bins + 1, device=low.device, dtype=low.dtype)
    edges = low[..., None] + (high - low)[..., None] * edges
    cell = torch.arange(cells, device=low.device, dtype=low.dtype)
    below = _hat_integral(edges[..., None] - cell)
    return (below[..., 1:, :] - below[..., :-1, :]) / ((high - low) / bins)[..., None, None]


def roi_pool(features: Tensor, boxes: Tensor, bins: int) -> Tensor:
    """Mean of the bilinearly interpolated features over each bin of a box.

    Features are 0 outside the map.

    Args:
        features: [B, C, H, W]; cell i of an axis sits at coordinate i.
        boxes: (row, column, height, width) of centre and sides in cells [B, N, 4].

    Returns:
        [B, N, C, bins, bins].
    """
    height, width = features.shape[-2:]
    half = 0.5 * boxes[..., 2:].clamp_min(1e-3)
    low, high = boxes[..., :2] - half, boxes[..., :2] + half
    rows = _weights(low[..., 0], high[..., 0], bins, height)
    cols = _weights(low[..., 1], high[..., 1], bins, width)
    return torch.einsum("bnih,bchw,bnjw->bncij", rows, features, cols)
