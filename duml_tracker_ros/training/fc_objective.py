"""SiamFC's objective for DROL-FC: balanced logistic loss of one score a cell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from ..tracker.geometry import xyxy_to_cxcywh
from ..tracker.network.siamese import SiameseNet
from ..tracker.settings import Group, Range
from .batch_parts import predict, truth_of
from .config import TrainConfig
from .objectives import Objective
from .ranges import Radius
from .rcr_objective import centre_positions


@dataclass(frozen=True)
class FcLossConfig(Group, path="drol_fc"):
    """``radius`` of the positive cells, and ``scale_width``: how fast the wanted score falls with
    the logarithm of the target's size against that in the template."""

    radius: Radius = 2.0
    scale_width: Annotated[float, Range(0.01, 100)] = 0.3


def wanted_score(sides: Tensor, nominal: float, width: float) -> Tensor:
    """Score at the centre of targets of sides (w, h) [..., 2]: 1 at the nominal size.

    Search regions of other scales have to score less, or a search over scales finds nothing.
    """
    ratio = 0.5 * sides.log().sum(-1) - math.log(nominal)
    return torch.exp(-0.5 * (ratio / width).square())


def fc_loss(
    net: SiameseNet, batch: Mapping[str, Tensor], config: FcLossConfig, autocast: torch.autocast
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and its parts; the batch is that of ``objective.joint_loss``."""
    corners, present = truth_of(batch["box"].flatten(0, 1))
    truth = xyxy_to_cxcywh(corners)
    with autocast:
        _, out = predict(net, batch)
    assert out.cls is not None
    logits = out.cls.float().flatten(1)
    cells = net.anchor_grid(batch["search"].shape[-1]).to(truth.device).flatten(0, 2)[:, :2]
    reach = config.radius * net.config.stride
    positive, distance = centre_positions(truth, cells, present, reach)
    score = wanted_score(truth[:, 2:], net.config.anchor_size, config.scale_width)
    label = positive * score[:, None]
    cost = F.binary_cross_entropy_with_logits(logits, label, reduction="none")
    pos = (cost * positive).sum() / positive.sum().clamp_min(1)
    neg = (cost * ~positive).sum() / (~positive).sum().clamp_min(1)
    total = 0.5 * (pos + neg)
    near = (
        distance.gather(1, logits.argmax(1, keepdim=True))[:, 0] <= (2.5 * net.config.stride) ** 2
    )
    hit = (near & present).sum() / present.sum().clamp_min(1)
    return total, {"total": total, "positive": pos, "negative": neg, "peak_hit": hit}


@dataclass(frozen=True)
class FcTrainConfig(TrainConfig):
    drol_fc: FcLossConfig = field(default_factory=FcLossConfig)


OBJECTIVE = Objective(
    lambda net, batch, c, cast: fc_loss(net, batch, c.drol_fc, cast),
    ("total", "positive", "negative", "peak_hit"),
    FcTrainConfig,
)
