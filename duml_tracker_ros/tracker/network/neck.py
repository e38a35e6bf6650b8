"""1x1 necks that bring every level to one width and one resolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import ConvBn


def resize(x: Tensor, cells: int) -> Tensor:
    """Bilinear resampling to ``cells`` a side, corner cells kept on corner cells.

    With crops of 32 k + 1 pixels the corner cells of all levels sit on the same pixels, so
    ``align_corners=True`` is the exact geometry.
    """
    if x.shape[-1] == cells:
        return x
    return F.interpolate(x, size=(cells, cells), mode="bilinear", align_corners=True)


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
