"""SiamRCR's objective: class and box losses that weigh each other (Peng et al. 2021, eq. 2-6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..tracker.geometry import cxcywh_to_xyxy, iou, xyxy_to_cxcywh
from ..tracker.network.anchors import decode
from ..tracker.network.siamese import SiameseNet
from ..tracker.settings import Group
from .batch_parts import predict, truth_of
from .config import TrainConfig
from .losses import focal_terms, iou_loss
from .objectives import Objective
from .ranges import Radius, Weight


@dataclass(frozen=True)
class RcrLossConfig(Group, path="siamrcr"):
    """``regression`` and ``localization`` are lambda 1 and 2 of eq. 6, ``radius`` is in cells.

    ``links`` switches the reciprocal weights off (Table 1, II). The localisation score learns the
    box's IoU, or its ``centerness``: how far into the target a position lies (Fig. 4b).
    """

    regression: Weight = 1.0
    localization: Weight = 1.0
    radius: Radius = 2.0
    links: bool = True
    localization_target: Literal["iou", "centerness"] = "iou"


class Reciprocal(NamedTuple):
    """The three losses, scalars."""

    cls: Tensor
    reg: Tensor
    loc: Tensor


def reciprocal_losses(
    cls: Tensor,
    loc: Tensor,
    overlap: Tensor,
    positive: Tensor,
    links: bool = True,
    quality: Tensor | None = None,
) -> Reciprocal:
    """Losses over all positions.

    As printed, eq. 2 multiplies the class loss of negatives by an IoU too, which is 0 nearly
    everywhere: nothing would tell background from target. Here negatives keep weight 1. The
    weights are taken as constants, or the class score would sink to spare the box its loss.

    Args:
        cls, loc: logits of class and localisation score, of one shape.
        overlap: IoU of the box regressed at each position with the truth, differentiable.
        positive: bool; positions near the centre of a target.
        quality: what the localisation score learns; ``overlap`` without it.
    """
    wanted = overlap.detach() if quality is None else quality
    count = positive.sum().clamp_min(1)
    pos, neg = focal_terms(cls, positive, ~positive)
    box = iou_loss(overlap) * positive
    score = F.binary_cross_entropy_with_logits(loc, wanted, reduction="none") * positive
    if links:
        pos = pos * overlap.detach()
        box = box * torch.sigmoid(cls).detach()
    return Reciprocal((pos.sum() + neg.sum()) / count, box.sum() / count, score.sum() / count)


def centre_positions(
    truth: Tensor, cells: Tensor, present: Tensor, reach: float
) -> tuple[Tensor, Tensor]:
    """Positions within ``reach`` pixels of the target's centre, and the nearest one.

    truth (cx, cy, w, h) [B, 4], cells (cx, cy) [N, 2], present bool [B] -> bool [B, N] and its
    squared distance [B, N].
    """
    distance = (cells[None] - truth[:, None, :2]).square().sum(-1)
    nearest = distance == distance.amin(1, keepdim=True)
    return ((distance <= reach**2) | nearest) & present[:, None], distance


def centerness(cells: Tensor, truth: Tensor) -> Tensor:
    """Return the centre-ness of positions, 1 at the box's centre and 0 outside [B, N] (FCOS).

    cells (cx, cy) [N, 2], truth corners [B, 4].
    """
    near = cells[None] - truth[:, None, :2]
    far = truth[:, None, 2:] - cells[None]
    low, high = torch.minimum(near, far), torch.maximum(near, far)
    ratio = low.clamp_min(0) / high.clamp_min(1e-6)
    return ratio.prod(-1).sqrt()


def rcr_loss(
    net: SiameseNet, batch: Mapping[str, Tensor], config: RcrLossConfig, autocast: torch.autocast
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and its parts; the batch is that of ``objective.joint_loss``."""
    truth, present = truth_of(batch["box"].flatten(0, 1))
    with autocast:
        _, out = predict(net, batch)
    assert out.cls is not None
    anchors = net.anchor_grid(batch["search"].shape[-1]).to(truth.device).flatten(0, 2)
    predicted = decode(out.deltas.float().flatten(1, 3), anchors)
    overlap = iou(cxcywh_to_xyxy(predicted), truth[:, None])
    centres = xyxy_to_cxcywh(truth)
    reach = config.radius * net.config.stride
    positive, distance = centre_positions(centres, anchors[:, :2], present, reach)
    cls, loc = out.cls.float().flatten(1), out.iou.float().flatten(1)
    quality = None
    if config.localization_target == "centerness":
        quality = centerness(anchors[:, :2], truth)
    parts = reciprocal_losses(cls, loc, overlap, positive, config.links, quality)
    total = parts.cls + config.regression * parts.reg + config.localization * parts.loc
    with torch.no_grad():
        peak = (torch.sigmoid(cls) * torch.sigmoid(loc)).argmax(1, keepdim=True)
        hit = (distance.gather(1, peak)[:, 0] <= (2.5 * net.config.stride) ** 2) & present
        seen = present.sum().clamp_min(1)
        mean = (overlap.gather(1, peak)[:, 0] * present).sum() / seen
    shown = {"total": total, **parts._asdict(), "peak_iou": mean, "peak_hit": hit.sum() / seen}
    return total, shown


@dataclass(frozen=True)
class RcrTrainConfig(TrainConfig):
    siamrcr: RcrLossConfig = field(default_factory=RcrLossConfig)


OBJECTIVE = Objective(
    lambda net, batch, c, cast: rcr_loss(net, batch, c.siamrcr, cast),
    ("total", "cls", "reg", "loc", "peak_iou", "peak_hit"),
    RcrTrainConfig,
)
