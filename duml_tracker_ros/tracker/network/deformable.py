"""The modulated deformable convolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..frame.sampling import cell_points, sample_points, taps


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
