"""Bilinear sampling at given points, and the deformable convolution made of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sample_points(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear values of maps [B, C, H, W] at points (row, column) in cells [B, ..., 2].

    0 outside the map. Returns [B, C, ...]. torchvision's operators are not needed.
    """
    height, width = maps.shape[-2:]
    across = points[..., 1] * (2 / max(width - 1, 1)) - 1
    down = points[..., 0] * (2 / max(height - 1, 1)) - 1
    flat = torch.stack((across, down), -1).reshape(len(maps), 1, -1, 2)
    values = F.grid_sample(maps, flat, mode="bilinear", padding_mode="zeros", align_corners=True)
    return values.reshape(*maps.shape[:2], *points.shape[1:-1])


def taps(kernel: int, device: torch.device | None = None) -> Tensor:
    """(row, column) offsets of a square kernel's taps around its centre [k * k, 2]."""
    axis = torch.arange(kernel, dtype=torch.float32, device=device) - (kernel - 1) / 2
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)


def cell_points(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """(row, column) of every cell [height, width, 2]."""
    rows = torch.arange(height, dtype=torch.float32, device=device)
    cols = torch.arange(width, dtype=torch.float32, device=device)
    return torch.stack(torch.meshgrid(rows, cols, indexing="ij"), -1)


class DeformConv(nn.Module):
    """Modulated deformable convolution (Zhu et al. 2019), batch norm and ReLU.

    Starts as the plain convolution: no offset, modulation one half each.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        self.kernel = kernel
        self.where = nn.Conv2d(inputs, 3 * kernel**2, kernel, padding=kernel // 2)
        nn.init.zeros_(self.where.weight)
        nn.init.zeros_(self.where.bias)  # type: ignore[arg-type]
        self.mix = nn.Conv2d(inputs * kernel**2, outputs, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        count = self.kernel**2
        where = self.where(x)
        offsets = where[:, : 2 * count].view(b, count, 2, h, w).permute(0, 3, 4, 1, 2).float()
        modulation = torch.sigmoid(where[:, 2 * count :])
        points = cell_points(h, w, x.device)[:, :, None] + taps(self.kernel, x.device) + offsets
        values = sample_points(x.float(), points).permute(0, 1, 4, 2, 3).to(x.dtype)
        values = values * modulation[:, None]
        return torch.relu_(self.bn(self.mix(values.reshape(b, c * count, h, w))))
