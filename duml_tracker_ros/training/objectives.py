"""Which loss trains which tracker's network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..tracker.errors import ConfigError
from .config import TrainConfig
from .fc_objective import fc_loss
from .fcot_objective import fcot_loss
from .mask_objective import mask_loss
from .objective import joint_loss
from .rcr_objective import rcr_loss
from .tlpg_objective import tlpg_loss

Loss = Callable[
    [Any, Mapping[str, Tensor], TrainConfig, torch.autocast], tuple[Tensor, dict[str, Tensor]]
]


class Objective(NamedTuple):
    """A loss, and which of its parts the log shows."""

    loss: Loss
    parts: tuple[str, ...]


OBJECTIVES: dict[str, Objective] = {
    "duml": Objective(
        lambda net, batch, c, cast: joint_loss(net, batch, c.loss, cast, c.support),
        ("total", "online", "cls", "box", "iou", "mean_iou", "online_hit"),
    ),
    "drol_fc": Objective(
        lambda net, batch, c, cast: fc_loss(net, batch, c.drol_fc, cast),
        ("total", "positive", "negative", "peak_hit"),
    ),
    # Of the sizes that are DROL's own; the others borrow DuML's networks.
    "drol_rpn": Objective(
        lambda net, batch, c, cast: joint_loss(net, batch, c.loss, cast, c.support),
        ("total", "cls", "box", "iou", "mean_iou"),
    ),
    "drol_mask": Objective(
        lambda net, batch, c, cast: mask_loss(net, batch, c.drol_mask, c.loss, cast),
        ("total", "mask", "mask_iou", "cls", "box", "iou", "mean_iou"),
    ),
    "fcot": Objective(
        lambda net, batch, c, cast: fcot_loss(net, batch, c.fcot, cast, c.support),
        ("total", "coarse", "fine", "box", "mean_iou", "coarse_hit", "fine_hit"),
    ),
    "siamrcr": Objective(
        lambda net, batch, c, cast: rcr_loss(net, batch, c.siamrcr, cast),
        ("total", "cls", "reg", "loc", "peak_iou", "peak_hit"),
    ),
    "tlpg": Objective(
        lambda net, batch, c, cast: tlpg_loss(net, batch, c.tlpg, cast, c.support),
        ("total", "cls1", "reg1", "peak_iou1", "cls2", "reg2", "peak_iou2", "iou"),
    ),
}


def objective(tracker: str) -> Objective:
    """The objective of a tracker. Raises ConfigError for an unknown one."""
    if tracker not in OBJECTIVES:
        raise ConfigError(f"tracker = {tracker!r}: train one of {', '.join(OBJECTIVES)}")
    return OBJECTIVES[tracker]
