"""Correlation of a memory of features with filters, and its transpose, as matrix products.

A convolution with one or few output channels is a poor shape for every processor. With a sample's
features as a C x (H W) matrix F and A filters as a C x (A k^2) matrix W, its scores are fold(W^T F)
and the gradient is the sum over samples of F unfold(r)^T: well-shaped products.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MANY = 8
"""Maps from which whole-tensor shifts beat fold and unfold, which take one map after another."""


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
    return _fold(columns, h, w, k).reshape(b, m, a, h + more, w + more)


def filter_gradient(memory: Tensor, residual: Tensor, k: int) -> Tensor:
    """Transpose of ``apply_filter``: residual like its scores -> [B, A, C, k, k]."""
    b, m, c, h, w = memory.shape
    a = residual.shape[2]
    columns = _unfold(residual.flatten(0, 1), k).reshape(b, m, a * k * k, h * w)
    taps = torch.matmul(columns, memory.reshape(b, m, c, h * w).transpose(2, 3)).sum(1)
    return taps.view(b, a, k, k, c).flip((2, 3)).permute(0, 1, 4, 2, 3)


def _shifts_pay(maps: Tensor) -> bool:
    # Each shift would be a node of the autograd graph.
    return maps.shape[0] >= MANY and maps.device.type == "cpu" and not torch.is_grad_enabled()


def _fold(columns: Tensor, h: int, w: int, k: int) -> Tensor:
    """Sum of shifted maps: [N, A k^2, H W] -> [N, A, H, W], or one more each way for even k."""
    p, more = (k - 1) // 2, (k + 1) % 2
    if not _shifts_pay(columns):
        return F.fold(columns, (h + more, w + more), k, padding=p)
    taps = columns.view(len(columns), -1, k, k, h, w)
    out = columns.new_zeros(*taps.shape[:2], h + k - 1, w + k - 1)
    for i in range(k):
        for j in range(k):
            out[:, :, i : i + h, j : j + w] += taps[:, :, i, j]
    return out[:, :, p : p + h + more, p : p + w + more]


def _unfold(maps: Tensor, k: int) -> Tensor:
    """Transpose of ``_fold``."""
    p, more = (k - 1) // 2, (k + 1) % 2
    if not _shifts_pay(maps):
        return F.unfold(maps, k, padding=p)
    n, a = maps.shape[:2]
    h, w = maps.shape[2] - more, maps.shape[3] - more
    padded = F.pad(maps, (p, p, p, p))
    of_n, of_a, of_h, of_w = padded.stride()
    taps = padded.as_strided((n, a, k, k, h, w), (of_n, of_a, of_h, of_w, of_h, of_w))
    return taps.reshape(n, a * k * k, h * w)
