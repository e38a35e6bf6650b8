"""SiamMask's branch on a Siamese network: one mask for one cell of the response (Wang et al. 2019).

A mask is a map of ``cells`` x ``cells`` of the response around its cell, at the resolution of the
finest backbone map: cell (r, c) of the response lies on the centre of the mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..network_config import NetworkConfig
from .blocks import ConvBn
from .heads import OfflineOutput
from .neck import resize
from .siamese import SiameseNet


def windows(features: Tensor, batch: Tensor, row: Tensor, col: Tensor, side: int) -> Tensor:
    """Squares of ``side`` (odd) cells around the cells (row, col) [N] of ``features[batch]``.

    features [B, C, H, W] -> [N, C, side, side], 0 outside the map. No copy to the host.
    """
    height, width = features.shape[-2:]
    reach = torch.arange(side, device=row.device) - side // 2
    rows, cols = row[:, None] + reach, col[:, None] + reach
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((cols >= 0) & (cols < width))[:, None]
    rows, cols = rows.clamp(0, height - 1), cols.clamp(0, width - 1)
    cut = features.permute(0, 2, 3, 1)[batch[:, None, None], rows[:, :, None], cols[:, None]]
    return (cut * inside[..., None]).permute(0, 3, 1, 2)


class Refine(nn.Module):
    """One step of the refinement: a coarse map enlarged and joined with a finer feature."""

    def __init__(self, coarse: int, fine: int, width: int) -> None:
        super().__init__()
        self.down = ConvBn(coarse, width, 3, relu=False)
        self.lateral = ConvBn(fine, width, 1, relu=False)
        self.mix = ConvBn(width, width, 3)

    def forward(self, x: Tensor, fine: Tensor) -> Tensor:
        """x [N, coarse, k, k], fine [N, fine, 2 k - 1, 2 k - 1] -> [N, width, 2 k - 1, 2 k - 1]."""
        up = resize(self.down(x), fine.shape[-1])
        return self.mix(torch.relu_(up + self.lateral(fine)))


class MaskHead(nn.Module):
    """The mask vector of a cell, spread over half the response's resolution, then refined.

    At the response's resolution it meets the matched features around the cell, which know the
    template, and at the finer ones shallow features of the search crop. (SiamMask's refinement
    has the shallow features alone.)
    """

    def __init__(self, config: NetworkConfig, matched: int, shallow: Sequence[int]) -> None:
        super().__init__()
        m = config.mask
        if len(m.widths) != len(shallow) + 2:
            raise ConfigError(
                f"network.mask.widths has {len(m.widths)} entries and network.backbone.shallow "
                f"{len(shallow)}: widths needs two more"
            )
        self.cells = m.cells
        self.side = m.cells // 2 + 1
        first, second, *finer = m.widths
        self.near = nn.Conv2d(matched, m.vector, 3)
        self.vector = nn.Conv2d(m.vector, first * self.side**2, 1)
        self.match = Refine(first, matched, second)
        # Shallow maps come finest first; the refinement takes them coarsest first.
        steps = zip((second, *finer), reversed(shallow), finer, strict=False)
        self.steps = nn.ModuleList(Refine(coarse, fine, width) for coarse, fine, width in steps)
        self.out = nn.Conv2d(m.widths[-1], 1, 3, padding=1)
        # A mask spans far more than the target: start with a share of a tenth.
        nn.init.constant_(self.out.bias, -2.2)  # type: ignore[arg-type]

    def forward(
        self,
        matched: Sequence[Tensor],
        shallow: Sequence[Tensor],
        batch: Tensor,
        row: Tensor,
        col: Tensor,
    ) -> Tensor:
        """Mask logits [N, n, n] of the cells (row, col) [N] of the crops ``batch`` [N].

        Args:
            matched: features of the response's resolution [B, hidden, H, W].
            shallow: finer maps [B, C, f H - f + 1, ...], f = 2, 4, ... from the last to the first.
        """
        kind = self.near.weight.dtype
        near = windows(torch.cat([m.to(kind) for m in matched], 1), batch, row, col, self.cells)
        middle = self.cells // 2
        vector = torch.relu_(self.near(near[..., middle - 1 : middle + 2, middle - 1 : middle + 2]))
        x = self.vector(vector).view(len(row), -1, self.side, self.side)
        x = self.match(torch.relu_(x), near)
        factor = 1
        for step, fine in zip(self.steps, reversed(shallow), strict=True):
            factor *= 2
            side = (self.cells - 1) * factor + 1
            cut = windows(fine, batch, row * factor, col * factor, side)
            x = step(x, cut.to(x.dtype))
        return self.out(x)[:, 0]


class MaskNet(SiameseNet):
    """A Siamese network with a mask branch, which is run for chosen cells only.

    ``extract`` gives the neck levels and behind them the shallow maps; matching takes the levels.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        shallow = config.backbone.shallow
        finer = tuple(config.stride // 2**k for k in range(len(shallow), 0, -1))
        if not shallow or shallow != finer:
            raise ConfigError(
                f"network.backbone.shallow = {shallow}: a mask needs maps of half the stride "
                f"{config.stride}, a quarter of it and so on, finest first, e.g. (2, 4)"
            )
        if config.offline_branch == "FC":
            raise ConfigError("network.offline_branch = 'FC': it has no box for a mask to refine")
        matched = 2 * len(config.backbone.strides) * config.hidden
        self.mask = MaskHead(config, matched, self.backbone.shallow_channels)

    @property
    def mask_stride(self) -> int:
        """Crop pixels between the cells of a mask."""
        return self.config.backbone.shallow[0]

    def extract(self, crops: Tensor) -> list[Tensor]:
        maps, count = self.levels(crops), len(self.config.backbone.shallow)
        return [*self.neck(maps[count:]), *maps[:count]]

    def matching(self, features: Sequence[Tensor]) -> Sequence[Tensor]:
        """The neck levels of what ``extract`` gave."""
        return features[: len(self.config.backbone.strides)]

    def template_kernels(self, features: Sequence[Tensor]) -> list[Tensor]:
        return super().template_kernels(self.matching(features))

    def predict(self, kernels: Sequence[Tensor], features: Sequence[Tensor]) -> OfflineOutput:
        return super().predict(kernels, self.matching(features))

    def masks(
        self, out: OfflineOutput, features: Sequence[Tensor], batch: Tensor, cell: Tensor
    ) -> Tensor:
        """Mask logits [N, n, n] of the cells [N], indices into the flattened response, of the
        crops ``batch`` [N] that ``features`` and ``out`` belong to."""
        width = out.matched[0].shape[-1]
        shallow = features[len(self.config.backbone.strides) :]
        logits: Tensor = self.mask(out.matched, shallow, batch, cell // width, cell % width)
        return logits
