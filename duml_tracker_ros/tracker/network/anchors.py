"""Anchor boxes on the score map, and boxes relative to them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..geometry import cell_centres

MAX_LOG_RATIO = 2.5
"""Bound on |log(w / w_anchor)|: no decoded side exceeds 12 anchors or overflows."""


def anchor_shapes(size: float, ratios: Sequence[float], grain: float = 0.0) -> Tensor:
    """(w, h) [A, 2] of anchors of area ``size``^2 and ratio h / w.

    With ``grain`` the width, and the height that follows from it, are rounded down to multiples of
    it (SiamRPN).
    """
    if grain:
        widths = [int(math.sqrt((size / grain) ** 2 / r)) for r in ratios]
        sides = [(w, int(w * r)) for w, r in zip(widths, ratios, strict=True)]
        return grain * torch.tensor(sides, dtype=torch.float32)
    return torch.tensor([[size / math.sqrt(r), size * math.sqrt(r)] for r in ratios])


def anchor_grid(shapes: Tensor, cells: int, stride: int, crop_size: int) -> Tensor:
    """Anchors (cx, cy, w, h) in crop pixels, [A, cells, cells, 4]; axis 1 is y, axis 2 is x.

    In memory the last axis is the outermost one: whole planes of cx, cy, w, h.
    """
    axis = cell_centres(cells, stride, crop_size)
    grid = torch.empty(4, len(shapes), cells, cells)
    grid[0] = axis
    grid[1] = axis[:, None]
    grid[2:] = shapes.T[:, :, None, None]
    return grid.movedim(0, -1)


def decode(deltas: Tensor, anchors: Tensor) -> Tensor:
    """(dx, dy, log w, log h) [..., 4] on anchors (cx, cy, w, h) -> boxes (cx, cy, w, h).

    In memory the boxes are planes, as the anchors are.
    """
    unit = anchors[..., 2:]
    centre = torch.addcmul(anchors[..., :2], deltas[..., :2], unit)
    sides = unit * deltas[..., 2:].clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    return torch.cat((centre.movedim(-1, 0), sides.movedim(-1, 0))).movedim(0, -1)


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Inverse of ``decode``: boxes (cx, cy, w, h) -> (dx, dy, log w, log h)."""
    shift = (boxes[..., :2] - anchors[..., :2]) / anchors[..., 2:]
    return torch.cat((shift, (boxes[..., 2:] / anchors[..., 2:]).clamp_min(1e-6).log()), -1)
