"""Correlation of a memory of features with one filter, and its transpose, as matrix products.

A one-channel convolution is a poor shape for every processor. With the memory kept as a
C x (M H W) matrix F and the filter as a C x k^2 matrix W, the scores are fold(W^T F) and the
gradient is F unfold(r)^T: two well-shaped products.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def apply_filter(memory: Tensor, weight: Tensor) -> Tensor:
    """Scores of every sample: memory [B, C, M, H, W], weight [B, C, k, k] -> [B, M, H, W].

    Cross-correlation with zero padding, same size, k odd.
    """
    b, c, m, h, w = memory.shape
    k = weight.shape[-1]
    # fold() scatters forward, so the taps go in reversed.
    taps = weight.flatten(2).flip(2)
    columns = torch.matmul(taps.transpose(1, 2), memory.reshape(b, c, m * h * w))
    columns = columns.view(b, k * k, m, h * w).transpose(1, 2).reshape(b * m, k * k, h * w)
    return F.fold(columns, (h, w), k, padding=k // 2).view(b, m, h, w)


def filter_gradient(memory: Tensor, residual: Tensor, k: int) -> Tensor:
    """Transpose of ``apply_filter``: residual [B, M, H, W] -> [B, C, k, k]."""
    b, c, m, h, w = memory.shape
    columns = F.unfold(residual.reshape(b * m, 1, h, w), k, padding=k // 2)
    columns = columns.view(b, m, k * k, h * w).transpose(2, 3).reshape(b, m * h * w, k * k)
    taps = torch.matmul(memory.reshape(b, c, m * h * w), columns)
    return taps.flip(2).view(b, c, k, k)
