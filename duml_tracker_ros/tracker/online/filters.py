"""Correlation of a memory of features with filters, and its transpose, as matrix products.

A convolution with one or few output channels is a poor shape for every processor. With a sample's
features as a C x (H W) matrix F and A filters as a C x (A k^2) matrix W, its scores are fold(W^T F)
and the gradient is the sum over samples of F unfold(r)^T: well-shaped products. Training takes this
way; the memory of a target has its own (``padded_samples``).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def apply_filter(memory: Tensor, weight: Tensor) -> Tensor:
    """Scores of every sample: memory [B, M, C, H, W], A filters [B, A, C, k, k] -> [B, M, A, H, W].

    Cross-correlation with zero padding of k // 2: same size for odd k, one more for even k, whose
    answers lie half a cell before the cells.
    """
    b, m, c, h, w = memory.shape
    a, k = weight.shape[1], weight.shape[-1]
    # fold() scatters forward, so the taps go in reversed.
    taps = weight.flip((3, 4)).permute(0, 1, 3, 4, 2).reshape(b, 1, a * k * k, c)
    columns = torch.matmul(taps, memory.reshape(b, m, c, h * w)).flatten(0, 1)
    more = (k + 1) % 2
    scores = F.fold(columns, (h + more, w + more), k, padding=(k - 1) // 2)
    return scores.reshape(b, m, a, h + more, w + more)


def filter_gradient(memory: Tensor, residual: Tensor, k: int) -> Tensor:
    """Transpose of ``apply_filter``: residual like its scores -> [B, A, C, k, k]."""
    b, m, c, h, w = memory.shape
    a = residual.shape[2]
    columns = F.unfold(residual.flatten(0, 1), k, padding=(k - 1) // 2)
    columns = columns.reshape(b, m, a * k * k, h * w)
    taps = torch.matmul(columns, memory.reshape(b, m, c, h * w).transpose(2, 3)).sum(1)
    return taps.view(b, a, k, k, c).flip((2, 3)).permute(0, 1, 4, 2, 3)
