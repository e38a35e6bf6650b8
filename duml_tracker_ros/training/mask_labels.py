"""Which cells learn a mask, and what it should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from ..tracker.geometry import xyxy_to_cxcywh
from ..tracker.network.heads import OfflineOutput
from ..tracker.network.mask_net import MaskNet, windows
from ..tracker.settings import Group, Range
from .ranges import Radius, Weight
from .rcr_objective import centre_positions


@dataclass(frozen=True)
class MaskLossConfig(Group, path="drol_mask"):
    """``mask`` weighs the loss of the masks (SiamMask: 32); a crop's masks are learned at up to
    ``cells`` cells within ``radius`` cells of the target's centre."""

    mask: Weight = 32.0
    radius: Radius = 2.0
    cells: Annotated[int, Range(1, 10000)] = 2


@torch.no_grad()
def chosen_cells(
    net: MaskNet,
    out: OfflineOutput,
    truth: Tensor,
    outlined: Tensor,
    size: int,
    config: MaskLossConfig,
) -> tuple[Tensor, Tensor]:
    """The cells whose masks are learned: those near the target with the highest class score.

    Args:
        truth: corner boxes [N, 4]; outlined: bool [N].

    Returns:
        Index of the crop and of the cell [M].
    """
    assert out.cls is not None
    centres = net.anchor_grid(size)[0].to(truth.device).flatten(0, 1)[:, :2]
    reach = config.radius * net.config.stride
    near, _ = centre_positions(xyxy_to_cxcywh(truth), centres, outlined, reach)
    score = torch.sigmoid(out.cls.float().amax(1).flatten(1))
    best = score.masked_fill(~near, -1.0).topk(config.cells, dim=1)
    # Near the border, or with a small radius, a target has fewer cells than wanted.
    index, rank = (best.values >= 0).nonzero(as_tuple=True)
    return index, best.indices[index, rank]


def mask_labels(
    net: MaskNet, masks: Tensor, index: Tensor, row: Tensor, col: Tensor
) -> tuple[Tensor, Tensor]:
    """Shares of the target in the cells of masks around (row, col) [M], and weights, [M, n, n].

    masks: uint8 [N, X, X] in crop pixels. What lies outside the crop has weight 0.
    """
    stride, factor = net.mask_stride, net.config.stride // net.mask_stride
    # A cell covers `stride` pixels about pixel stride * i, half of the outermost ones.
    kernel = torch.full((stride + 1,), 1.0 / stride, device=masks.device)
    kernel[0] = kernel[-1] = 0.5 / stride
    share = (masks.float() / 255)[:, None]
    share = F.pad(share, (stride // 2,) * 4, mode="replicate")
    share = F.conv2d(share, torch.outer(kernel, kernel)[None, None], stride=stride)
    both = torch.cat((share, torch.ones_like(share)), 1)
    side = (net.config.mask.cells - 1) * factor + 1
    cut = windows(both, index, row * factor, col * factor, side)
    return cut[:, 0], cut[:, 1]
