"""1x1 necks that bring every level to one width and one resolution."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import ConvBn


def resize(x: Tensor, cells: int) -> Tensor:
    """Bilinear resampling to ``cells`` a side, corner cells kept on corner cells.

    With crops of 32 k + 1 pixels the corner cells of all levels sit on the same pixels, so
    ``align_corners=True`` is the exact geometry.
    """
    b, c, height, width = x.shape
    if width == cells:
        return x
    if x.dtype is not torch.bfloat16 or x.device.type != "cpu" or torch.is_grad_enabled():
        return F.interpolate(x, size=(cells, cells), mode="bilinear", align_corners=True)
    # Interpolation is slow in bf16 on CPUs; products are what they are made for.
    # Rows, then columns, of cells with all their channels: a product each.
    down, across = (interpolation(n, cells, x.dtype, x.device) for n in (height, width))
    rows = torch.matmul(down, x.permute(0, 2, 3, 1).reshape(b, height, width * c))
    out = torch.matmul(across, rows.view(b, cells, width, c))
    return out.permute(0, 3, 1, 2)


@functools.lru_cache(maxsize=64)
def interpolation(inputs: int, outputs: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Matrix [outputs, inputs] of linear interpolation with the ends kept on the ends."""
    eye = torch.eye(inputs, device=device)[None]
    made = F.interpolate(eye, size=outputs, mode="linear", align_corners=True)[0]
    return made.T.contiguous().to(dtype)


class Neck(nn.Module):
    """One 1x1 convolution with batch norm a level, then interpolation to the finest level.

    The convolution comes first: it is linear and acts on each cell alone, so in eval mode the
    result is that of interpolating first, for a fraction of the work (DuML, Appendix B).
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(ConvBn(c, width, 1, relu=False) for c in channels)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Levels [B, C_l, H_l, W_l], finest first -> levels [B, width, H, W]."""
        cells = features[0].shape[-1]
        return [resize(level(x), cells) for level, x in zip(self.levels, features, strict=True)]
