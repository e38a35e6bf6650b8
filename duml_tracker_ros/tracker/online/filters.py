"""Correlation of a memory of features with filters, and its transpose, as matrix products.

A convolution with one or few output channels is a poor shape for every processor. With the memory
kept as a C x (M H W) matrix F and A filters as a C x (A k^2) matrix W, the scores are fold(W^T F)
and the gradient is F unfold(r)^T: two well-shaped products.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def apply_filter(memory: Tensor, weight: Tensor) -> Tensor:
    """Scores of every sample: memory [B, C, M, H, W], A filters [B, A, C, k, k] -> [B, M, A, H, W].

    Cross-correlation with zero padding, same size, k odd.
    """
    b, c, m, h, w = memory.shape
    a, k = weight.shape[1], weight.shape[-1]
    # fold() scatters forward, so the taps go in reversed.
    taps = weight.flip((3, 4)).permute(0, 1, 3, 4, 2).reshape(b, a * k * k, c)
    columns = torch.matmul(taps, memory.reshape(b, c, m * h * w))
    columns = columns.view(b, a * k * k, m, h * w).transpose(1, 2).reshape(b * m, a * k * k, h * w)
    return F.fold(columns, (h, w), k, padding=k // 2).view(b, m, a, h, w)


def filter_gradient(memory: Tensor, residual: Tensor, k: int) -> Tensor:
    """Transpose of ``apply_filter``: residual [B, M, A, H, W] -> [B, A, C, k, k]."""
    b, c, m, h, w = memory.shape
    a = residual.shape[2]
    columns = F.unfold(residual.reshape(b * m, a, h, w), k, padding=k // 2)
    columns = columns.view(b, m, a * k * k, h * w).transpose(2, 3).reshape(b, m * h * w, a * k * k)
    taps = torch.matmul(memory.reshape(b, c, m * h * w), columns)
    return taps.view(b, c, a, k, k).flip((3, 4)).transpose(1, 2)
