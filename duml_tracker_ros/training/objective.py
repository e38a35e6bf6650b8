"""The joint objective of one batch: online branch unrolled, offline branch, box, IoU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..tracker.geometry import box_cells, cxcywh_to_xyxy, giou, iou, xyxy_to_cxcywh
from ..tracker.network.anchors import anchor_grid, anchor_shapes, decode, encode
from ..tracker.network.dual_modal import DualModalNet
from ..tracker.network.heads import OfflineOutput
from ..tracker.network.siamese import SiameseNet
from ..tracker.settings import Group, Range, Share
from .assignment import Rule, assign
from .batch_parts import truth_of
from .config import TrainConfig
from .losses import focal_loss, gaussian_label, penalty_reduced_focal_loss, regressive_focal_loss
from .objectives import Objective
from .online_objective import FilterLoss, filter_loss
from .ranges import Unrolled, Weight

BOX_CANDIDATES = 15
"""Anchors of the highest IoU that learn the box."""


@dataclass(frozen=True)
class LossConfig(Group, path="loss"):
    """Weights of the joint loss (DuML eq. 6) and of its parts.

    ``candidates`` 0 is the paper's: 15 for OFC-5s, 11 for OFC-1s. ``ofr_sigma`` and
    ``label_sigma`` are in cells.
    """

    online: Weight = 1.0
    offline: Weight = 10.0
    box: Weight = 1.2
    iou: Weight = 1.2
    box_kind: Literal["l1", "giou", "both"] = "l1"
    normalise: Literal["per_class", "positives"] = "per_class"
    assignment: Rule = "ATSS-MaxIoU"
    candidates: Annotated[int, Range(0, 1000)] = 0
    cls_loss: Literal["focal", "ce"] = "focal"
    ofr_loss: Literal["penalty_reduced", "regressive"] = "penalty_reduced"
    ofr_sigma: Annotated[float, Range(0.01, 100)] = 2.0
    unroll: Unrolled = 4
    label_sigma: Annotated[float, Range(0.01, 100)] = 1.5
    hinge: Share = 0.05


@dataclass(frozen=True)
class JointTrainConfig(TrainConfig):
    loss: LossConfig = field(default_factory=LossConfig)


def joint_loss(
    net: DualModalNet,
    batch: Mapping[str, Tensor],
    config: LossConfig,
    autocast: torch.autocast,
    support: int = 1,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and its parts, those of the branches that the network has.

    Args:
        batch: ``template`` [B, 3, Z, Z] and ``search`` [B, S, 3, X, X], 0..255; ``box`` [B, S, 4]
            (x, y, w, h) in search-crop pixels, NaN where the target is absent.
        autocast: context for backbone and heads; the online step stays in float32.
        support: number of leading search frames the online filter learns from; it is judged on
            the others. Their target must be present.
    """
    search = batch["search"]
    s, size = search.shape[1], search.shape[-1]
    truth, present = truth_of(batch["box"])
    with autocast:
        z = net.extract(batch["template"])
        x = net.extract(search.flatten(0, 1))
        kernels = [k.repeat_interleave(s, 0) for k in net.template_kernels(z)]
        out = net.predict(kernels, x)
        online_x = start = None
        if net.online_features is not None:
            online_x = net.online_features(x)
            start = net.initial_filter(z)

    total, parts = offline_loss(net, out, truth.flatten(0, 1), present.flatten(), size, config)
    if online_x is not None and start is not None:
        assert net.online is not None
        features = online_x.float().unflatten(0, search.shape[:2])
        cells = box_cells(xyxy_to_cxcywh(truth), size, features.shape[-1], net.config.stride)
        rule = FilterLoss(config.unroll, config.label_sigma, config.hinge)
        found = filter_loss(net.online, features, start.float(), cells, present, support, rule)
        parts["online"], parts["online_hit"] = found.loss, found.hit
        total = total + config.online * parts["online"]
    parts["total"] = total
    return total, parts


def offline_loss(
    net: SiameseNet,
    out: OfflineOutput,
    truth: Tensor,
    present: Tensor,
    size: int,
    config: LossConfig,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of class, box and predicted IoU, and its parts.

    Args:
        truth: corner boxes [N, 4] in pixels of the search crops, which are ``size`` wide.
        present: bool [N].
    """
    parts = _box_parts(net, out, truth, present, size, config)
    total = config.box * parts["box"] + config.iou * parts["iou"]
    if out.cls is not None:
        parts["cls"] = _class_loss(net, out.cls.float(), truth, present, size, config)
        total = total + config.offline * parts["cls"]
    return total, parts


def _class_loss(
    net: SiameseNet, logits: Tensor, truth: Tensor, present: Tensor, size: int, config: LossConfig
) -> Tensor:
    """Loss of accurate localisation: OFC-5s, OFC-1s or OFR."""
    n = net.config
    scores, cells = logits.shape[1], logits.shape[-1]
    target = xyxy_to_cxcywh(truth)
    if n.offline_branch == "OFR":
        # The peak has to be exactly 1 somewhere, so the centre is that of the nearest cell.
        centre = box_cells(target, size, cells, n.stride)[:, :2].round().clamp(0, cells - 1)
        label = gaussian_label(centre, cells, cells, config.ofr_sigma)[:, None]
        label = label * present[:, None, None, None]
        if config.ofr_loss == "regressive":
            return regressive_focal_loss(logits, label, config.normalise)
        return penalty_reduced_focal_loss(logits, label, config.normalise)
    ratios = n.ratios if scores == len(n.ratios) else (1.0,)
    anchors = anchor_grid(anchor_shapes(n.anchor_size, ratios), cells, n.stride, size)
    anchors = anchors.to(truth.device).flatten(0, 2)
    overlap = iou(cxcywh_to_xyxy(anchors)[None], truth[:, None])
    distance = (anchors[None, :, :2] - target[:, None, :2]).square().sum(-1)
    candidates = config.candidates or (15 if n.offline_branch == "OFC-5s" else 11)
    found = assign(overlap, distance, present, candidates, config.assignment)
    gamma = 2.0 if config.cls_loss == "focal" else 0.0
    return focal_loss(logits.flatten(1), found.positive, config.normalise, gamma, found.ignored)


def _box_parts(
    net: SiameseNet,
    out: OfflineOutput,
    truth: Tensor,
    present: Tensor,
    size: int,
    config: LossConfig,
) -> dict[str, Tensor]:
    """Losses of box and predicted IoU on the anchors that overlap the target most."""
    anchors = net.anchor_grid(size).to(truth.device).flatten(0, 2)
    deltas, quality = out.deltas.float().flatten(1, 3), out.iou.float().flatten(1)
    ious, index = iou(cxcywh_to_xyxy(anchors)[None], truth[:, None]).topk(BOX_CANDIDATES, dim=1)
    chosen = deltas.gather(1, index[..., None].expand(-1, -1, 4))
    base = anchors[index]
    target = encode(xyxy_to_cxcywh(truth)[:, None], base)
    boxes = cxcywh_to_xyxy(decode(chosen, base))
    # Candidates that barely touch the target say nothing of its box.
    weight = (ious > 0.2) | (ious >= ious[:, :1])
    weight = (weight & present[:, None]).float()
    norm = weight.sum().clamp_min(1)
    box = boxes.new_zeros(())
    if config.box_kind in ("l1", "both"):
        box = box + ((chosen - target).abs().clamp_max(3).sum(-1) * weight).sum() / norm
    if config.box_kind in ("giou", "both"):
        box = box + ((1 - giou(boxes, truth[:, None])) * weight).sum() / norm
    with torch.no_grad():
        real = iou(boxes, truth[:, None])
    bce = F.binary_cross_entropy_with_logits(quality.gather(1, index), real, reduction="none")
    mean_iou = ((real * weight).sum() / norm).detach()
    return {"box": box, "iou": (bce * weight).sum() / norm, "mean_iou": mean_iou}


OBJECTIVE = Objective(
    lambda net, batch, c, cast: joint_loss(net, batch, c.loss, cast, c.support),
    ("total", "online", "cls", "box", "iou", "mean_iou", "online_hit"),
    JointTrainConfig,
)
OFFLINE_OBJECTIVE = OBJECTIVE._replace(parts=("total", "cls", "box", "iou", "mean_iou"))
"""Of DROL-RPN in sizes of its own; in the others it borrows DuML's networks."""
