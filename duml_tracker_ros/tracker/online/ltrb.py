"""Boxes as ltrb: distances from a position to their four sides (FCOT eq. 3, TLPG eq. 5).

They are in the order left, right, top, bottom.
"""

from __future__ import annotations

import torch
from torch import Tensor


def nearest_cells(cells: Tensor, height: int, width: int) -> Tensor:
    """Integer (row, column) [..., 2] nearest to (row, column, ...), inside the map."""
    at = cells[..., :2].round()
    inside = at[..., 0].clamp(0, height - 1), at[..., 1].clamp(0, width - 1)
    return torch.stack(inside, -1).long()


def ltrb_distances(cells: Tensor, at: Tensor, unit: float) -> Tensor:
    """(l, r, t, b) [..., 4] from positions (row, column) to the sides of boxes (eq. 3).

    Args:
        cells: boxes (row, column, height, width) in cells [..., 4].
        at: (row, column) in cells [..., 2].
        unit: cells of one unit of distance.
    """
    row, col, height, width = cells.unbind(-1)
    down, right = at[..., 0] - row, at[..., 1] - col
    ltrb = (width / 2 + right, width / 2 - right, height / 2 + down, height / 2 - down)
    return torch.stack(ltrb, -1) / unit


def box_of(distances: Tensor, at: Tensor, unit: float) -> Tensor:
    """Inverse of ``ltrb_distances``; sides are at least a tenth of a unit."""
    left, right, top, bottom = (distances * unit).unbind(-1)
    row = at[..., 0] + (bottom - top) / 2
    col = at[..., 1] + (right - left) / 2
    least = 0.1 * unit
    return torch.stack(
        (row, col, (top + bottom).clamp_min(least), (left + right).clamp_min(least)), -1
    )
