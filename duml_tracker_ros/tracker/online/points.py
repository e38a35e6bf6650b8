"""Bilinear sampling of maps at points as a linear map with a transpose, and boxes around points."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """Bilinear sampling of K maps at one point each, and its transpose.

    Attributes:
        index: of the four cells around each point [..., K, 4, N].
        share: of each of them, 0 outside the map.
        cells: cells of a map.
    """

    index: Tensor
    share: Tensor
    cells: int

    def take(self, maps: Tensor) -> Tensor:
        """Maps [..., K, H W] -> sum over the K points of each position [..., N]."""
        values = maps.gather(-1, self.index.flatten(-2)).view(self.share.shape)
        return (values * self.share).sum((-2, -3))

    def spread(self, values: Tensor) -> Tensor:
        """Transpose of ``take``: [..., N] -> [..., K, H W]."""
        flat = (values[..., None, None, :] * self.share).flatten(-2)
        maps = flat.new_zeros(*flat.shape[:-1], self.cells)
        return maps.scatter_add(-1, self.index.flatten(-2), flat)


def sampling(points: Tensor, height: int, width: int) -> Sampling:
    """Points (row, column) in cells [..., N, K, 2] -> their sampling on maps of a size."""
    rows, columns = points.movedim((-1, -2), (0, -2)).contiguous()
    row, down = _neighbours(rows, height)
    column, right = _neighbours(columns, width)
    index = (row * width)[..., :, None, :] + column[..., None, :, :]
    share = down[..., :, None, :] * right[..., None, :, :]
    return Sampling(index.flatten(-3, -2), share.flatten(-3, -2), height * width)


def _neighbours(x: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Cells before and behind coordinates [..., N] of an axis, and their shares [..., 2, N]."""
    low = x.detach().floor()
    part = x - low
    cell = torch.stack((low, low + 1), -2)
    share = torch.stack((1 - part, part), -2) * ((cell >= 0) & (cell < size))
    return cell.clamp_(0, size - 1).long(), share


def spans(points: Tensor) -> Tensor:
    """Min-max of points relative to their position [..., K, 2] -> (l, r, t, b) [..., 4]."""
    low, high = points.amin(-2), points.amax(-2)
    return torch.stack((-low[..., 1], high[..., 1], -low[..., 0], high[..., 0]), -1)
