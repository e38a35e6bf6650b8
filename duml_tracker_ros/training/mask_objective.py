"""DROL-Mask's objective: SiamMask's logistic loss of the masks of positive cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from ..tracker.errors import ConfigError
from ..tracker.network.mask_net import MaskNet
from .batch_parts import predict, truth_of
from .mask_labels import MaskLossConfig, chosen_cells, mask_labels
from .objective import JointTrainConfig, LossConfig, offline_loss
from .objectives import Objective


def mask_loss(
    net: MaskNet,
    batch: Mapping[str, Tensor],
    config: MaskLossConfig,
    offline: LossConfig,
    autocast: torch.autocast,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and its parts.

    The losses of class, box and IoU are there while something before the mask branch is trained.

    Args:
        batch: that of ``objective.joint_loss``, with ``mask`` uint8 [B, S, X, X] and ``outlined``
            bool [B, S]: which of the masks mean something.
    """
    if "mask" not in batch:
        raise ConfigError("data.masks = 'none': the mask branch learns from masks; use 'only'")
    truth, present = truth_of(batch["box"].flatten(0, 1))
    size = batch["search"].shape[-1]
    with autocast:
        features, out = predict(net, batch)
        outlined = present & batch["outlined"].flatten()
        index, cell = chosen_cells(net, out, truth, outlined, size, config)
        # A part of a batch may have no outline at all.
        logits = net.masks(out, features, index, cell).float() if len(index) else None
    wide = out.matched[0].shape[-1]
    parts = {"mask": truth.new_zeros(()), "mask_iou": truth.new_zeros(())}
    if logits is not None:
        masks, at = batch["mask"].flatten(0, 1), (cell // wide, cell % wide)
        label, weight = mask_labels(net, masks, index, *at)
        cost = F.binary_cross_entropy_with_logits(logits, label, reduction="none")
        loss = (cost * weight).sum() / weight.sum().clamp_min(1)
        parts = {"mask": loss, "mask_iou": _overlap(logits, label, weight)}
    total = config.mask * parts["mask"]
    if any(p.requires_grad for p in net.offline.parameters()):
        rest, shown = offline_loss(net, out, truth, present, size, offline)
        total, parts = total + rest, {**parts, **shown}
    return total, {"total": total, **parts}


@torch.no_grad()
def _overlap(logits: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    """Mean IoU of the masks at probability 0.5 with the truth."""
    found, true = (logits > 0) & (weight > 0), (label > 0.5) & (weight > 0)
    inter = (found & true).sum((1, 2))
    union = (found | true).sum((1, 2))
    return torch.where(union > 0, inter / union.clamp_min(1), 1.0).mean()


@dataclass(frozen=True)
class MaskTrainConfig(JointTrainConfig):
    drol_mask: MaskLossConfig = field(default_factory=MaskLossConfig)


OBJECTIVE = Objective(
    lambda net, batch, c, cast: mask_loss(net, batch, c.drol_mask, c.loss, cast),
    ("total", "mask", "mask_iou", "cls", "box", "iou", "mean_iou"),
    MaskTrainConfig,
)
