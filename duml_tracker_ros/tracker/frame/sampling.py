"""Bilinear sampling of maps at given points, and the points."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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
