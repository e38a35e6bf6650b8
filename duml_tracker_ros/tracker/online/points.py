"""Bilinear sampling of maps at points as a linear map with a transpose, and boxes around points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Sampling(Protocol):
    """Bilinear sampling of K maps at one point each, and its transpose."""

    def take(self, maps: Tensor) -> Tensor:
        """Maps [..., K, H W] -> sum over the K points of each position [..., N]."""
        ...

    def spread(self, values: Tensor) -> Tensor:
        """Transpose of ``take``: [..., N] -> [..., K, H W]."""
        ...

    def unflatten(self, sizes: tuple[int, ...]) -> Sampling:
        """The same with its first axis split."""
        ...


@dataclass(frozen=True)
class SharedSampling:
    """By indices and shares, which can be differentiated as often as one likes.

    Attributes:
        index: of the four cells around each point [..., K, 4, N].
        share: of each of them, 0 outside the map.
        cells: cells of a map.
    """

    index: Tensor
    share: Tensor
    cells: int

    def take(self, maps: Tensor) -> Tensor:
        values = maps.gather(-1, self.index.flatten(-2)).view(self.share.shape)
        return (values * self.share).sum((-2, -3))

    def spread(self, values: Tensor) -> Tensor:
        flat = (values[..., None, None, :] * self.share).flatten(-2)
        maps = flat.new_zeros(*flat.shape[:-1], self.cells)
        return maps.scatter_add(-1, self.index.flatten(-2), flat)

    def unflatten(self, sizes: tuple[int, ...]) -> SharedSampling:
        parts = self.index.unflatten(0, sizes), self.share.unflatten(0, sizes)
        return SharedSampling(*parts, self.cells)


@dataclass(frozen=True)
class GridSampling:
    """By torch's own sampler, which takes a third of the time but has no second derivative.

    Attributes:
        grid: (x, y) of each point, -1 to 1 from the first cell to the last [..., K, N, 2].
        height, width: of a map.
    """

    grid: Tensor
    height: int
    width: int

    def take(self, maps: Tensor) -> Tensor:
        taken = F.grid_sample(self._plain(maps), self._points(), align_corners=True)
        return taken.view(self.grid.shape[:-1]).sum(-2)

    def spread(self, values: Tensor) -> Tensor:
        lead = self.grid.shape[:-2]
        each = values[..., None, :].expand(self.grid.shape[:-1]).reshape(-1, 1, values.shape[-1], 1)
        # Only the shape of the maps matters for the gradient by them.
        maps = each.new_empty(1).expand(len(each), 1, self.height, self.width)
        spread, _ = torch.ops.aten.grid_sampler_2d_backward(
            each, maps, self._points(), BILINEAR, ZEROS, True, [True, False]
        )
        return spread.view(*lead, -1)

    def unflatten(self, sizes: tuple[int, ...]) -> GridSampling:
        return GridSampling(self.grid.unflatten(0, sizes), self.height, self.width)

    def _plain(self, maps: Tensor) -> Tensor:
        return maps.reshape(-1, 1, self.height, self.width)

    def _points(self) -> Tensor:
        return self.grid.flatten(0, -3)[:, :, None]


BILINEAR, ZEROS = 0, 0
"""Torch's numbers for the mode between cells and for what lies beyond the edges."""


def sampling(points: Tensor, height: int, width: int) -> Sampling:
    """Points (row, column) in cells [..., N, K, 2] -> their sampling on maps of a size."""
    if torch.is_inference_mode_enabled() and min(height, width) > 1:
        rows, columns = points.transpose(-2, -3).unbind(-1)
        across, down = 2 / (width - 1), 2 / (height - 1)
        grid = torch.stack((columns * across - 1, rows * down - 1), -1)
        return GridSampling(grid, height, width)
    rows, columns = points.movedim((-1, -2), (0, -2)).contiguous()
    row, below = _neighbours(rows, height)
    column, right = _neighbours(columns, width)
    index = (row * width)[..., :, None, :] + column[..., None, :, :]
    share = below[..., :, None, :] * right[..., None, :, :]
    return SharedSampling(index.flatten(-3, -2), share.flatten(-3, -2), height * width)


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
