"""TLPG's objective: both stages with their solvers unrolled, proposals, and IoU-Net."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ..tracker.errors import ConfigError
from ..tracker.frame.sampling import cell_points
from ..tracker.geometry import box_cells, iou, xyxy_to_cxcywh
from ..tracker.network.proposal_net import ProposalNet
from ..tracker.online.deformable import DeformableModel
from ..tracker.online.labels import region_label
from ..tracker.online.ltrb import box_of, ltrb_distances
from ..tracker.settings import Group, Share
from .batch_parts import cell_corners, truth_of
from .config import TrainConfig
from .objectives import Objective
from .online_objective import ONLINE_SCALE
from .ranges import Unrolled, Weight

JITTERED = 16
"""Boxes around the truth whose IoU IoU-Net learns to predict."""


@dataclass(frozen=True)
class TlpgLossConfig(Group, path="tlpg"):
    """Weights of the parts, unrolled iterations, and the thresholds of positive and negative
    proposals (theta_hi and theta_lo, section 3.2)."""

    localization: Weight = 1.0
    proposals: Weight = 1.0
    negatives: Weight = 0.1
    iou: Weight = 1.0
    unroll: Unrolled = 3
    high: Share = 0.6
    low: Share = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low > self.high:
            raise ConfigError(f"tlpg.low = {self.low}: must be at most tlpg.high = {self.high}")


def tlpg_loss(
    net: ProposalNet,
    batch: Mapping[str, Tensor],
    config: TlpgLossConfig,
    autocast: torch.autocast,
    support: int = 1,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and its parts; the batch is that of ``objective.joint_loss``, its template unused.

    The first ``support`` search frames are learned from, the others judged.
    """
    search = batch["search"]
    shape, size = search.shape[:2], search.shape[-1]
    corners, present = truth_of(batch["box"])
    truth = xyxy_to_cxcywh(corners)
    with autocast:
        maps = [m.unflatten(0, shape) for m in net.extract(search.flatten(0, 1))]
    cells = box_cells(truth, size, maps[0].shape[-1], net.config.stride)
    known = slice(0, support)
    gamma = torch.full((shape[0], support), 1 / support, device=search.device)
    parts: dict[str, Tensor] = {}
    total = gamma.new_zeros(())
    for number, x in enumerate(maps[:2], start=1):
        model = cast(DeformableModel, net.stages[number - 1])
        start = model.start(x[:, 0], cells[:, 0])
        learned = model.learn(start, x[:, known], cells[:, known], gamma, config.unroll)
        judged = []
        for q in range(support, shape[1]):
            scores, ltrb = model.look(learned, x[:, q])
            judged.append(stage_parts(model, scores, ltrb, cells[:, q], present[:, q], config))
        for key in judged[0]:
            parts[f"{key}{number}"] = torch.stack([j[key] for j in judged]).mean()
        total = total + config.localization * parts[f"cls{number}"]
        total = total + config.proposals * parts[f"reg{number}"]
        total = total + config.negatives * parts[f"negative{number}"]
    with autocast:
        parts["iou"] = iou_parts(net, maps[2], cells, present, support)
    total = total + config.iou * parts["iou"]
    parts["total"] = total
    return total, parts


def stage_parts(
    model: DeformableModel,
    scores: Tensor,
    ltrb: Tensor,
    cells: Tensor,
    present: Tensor,
    config: TlpgLossConfig,
) -> dict[str, Tensor]:
    """Losses of one stage on one frame each.

    Args:
        scores: [B, N]; ltrb: in cells [B, N, 4], of square maps.
        cells: boxes (row, column, height, width) in cells [B, 4].
        present: bool [B].
    """
    side = round(scores.shape[1] ** 0.5)
    label, care = (x.flatten(1) for x in region_label(cells, side, side, model.shrink))
    there = present[:, None]
    label, care = label * there, torch.where(there, care, torch.ones_like(care))
    residual = care * (label * scores + (1 - label) * scores.relu() - label)
    at = cell_points(side, side, scores.device).view(-1, 2)
    truth = cells[:, None]
    overlap = iou(cell_corners(box_of(ltrb, at, 1.0)), cell_corners(truth))
    inside = ((at - truth[..., :2]).abs() <= 0.5 * truth[..., 2:]).all(-1)
    positive = ((label > 0) | (inside & (overlap >= config.high))) & there
    negative = (label == 0) & ~inside & (overlap < config.low) & there
    error = (ltrb - ltrb_distances(truth, at, 1.0)) / model.unit
    smooth = F.smooth_l1_loss(error, torch.zeros_like(error), reduction="none").sum(-1)
    best = scores.detach().argmax(1, keepdim=True)
    return {
        "cls": ONLINE_SCALE * residual.square().mean(),
        "reg": (smooth * positive).sum() / positive.sum().clamp_min(1),
        "negative": (overlap * negative).sum() / negative.sum().clamp_min(1),
        "peak_iou": (overlap.detach().gather(1, best) * there).sum() / present.sum().clamp_min(1),
    }


def iou_parts(
    net: ProposalNet, features: Tensor, cells: Tensor, present: Tensor, support: int
) -> Tensor:
    """IoU-Net's loss on boxes jittered around the truth of the query frames.

    features [B, S, C, H, W], cells [B, S, 4], present bool [B, S].
    """
    look = net.iou.modulation(features[:, 0], cells[:, 0])
    queries = features.shape[1] - support
    look = look.repeat_interleave(queries, 0)
    asked = cells[:, support:].flatten(0, 1)[:, None]
    there = present[:, support:].flatten().float()
    # The batch alone decides, so that a resumed run sees the same boxes.
    seed = int(cells.double().abs().sum().item() * 1e3)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(asked), JITTERED, 4, generator=generator).to(cells.device)
    spread = torch.linspace(0.02, 0.4, JITTERED, device=cells.device)[:, None]
    noise = noise * spread
    sides = asked[..., 2:] * noise[..., 2:].clamp(-1, 1).exp()
    boxes = torch.cat((asked[..., :2] + noise[..., :2] * asked[..., 2:], sides), -1)
    real = iou(cell_corners(boxes), cell_corners(asked))
    logits = net.iou(features[:, support:].flatten(0, 1), look, boxes).float()
    loss = F.binary_cross_entropy_with_logits(logits, real, reduction="none").mean(1)
    return (loss * there).sum() / there.sum().clamp_min(1)


@dataclass(frozen=True)
class TlpgTrainConfig(TrainConfig):
    tlpg: TlpgLossConfig = field(default_factory=TlpgLossConfig)


OBJECTIVE = Objective(
    lambda net, batch, c, cast: tlpg_loss(net, batch, c.tlpg, cast, c.support),
    ("total", "cls1", "reg1", "peak_iou1", "cls2", "reg2", "peak_iou2", "iou"),
    TlpgTrainConfig,
)
