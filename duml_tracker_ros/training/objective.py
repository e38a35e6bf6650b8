"""The joint objective of one batch: online branch unrolled, offline branch, box, IoU."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ..tracker.geometry import cxcywh_to_xyxy, giou, iou, xywh_to_xyxy, xyxy_to_cxcywh
from ..tracker.network.anchors import anchor_grid, anchor_shapes, decode, encode
from ..tracker.network.dual_modal import DualModalNet
from ..tracker.network.heads import OfflineOutput
from ..tracker.online.filters import apply_filter
from ..tracker.online.labels import bernoulli_label
from ..tracker.online.solver import steepest_descent
from .assignment import assign
from .config import LossConfig
from .losses import (
    focal_loss,
    gaussian_label,
    hinge_regression,
    penalty_reduced_focal_loss,
    regressive_focal_loss,
)

ONLINE_SCALE = 100.0
"""Brings the mean squared error over cells to the order of the other losses."""

BOX_CANDIDATES = 15
"""Anchors of the highest IoU that learn the box."""


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
    search, boxes = batch["search"], batch["box"].float()
    s, size = search.shape[1], search.shape[-1]
    present = torch.isfinite(boxes).all(-1)
    truth = xywh_to_xyxy(torch.where(present[..., None], boxes, torch.ones_like(boxes)))

    with autocast:
        z = net.extract(batch["template"])
        x = net.extract(search.flatten(0, 1))
        kernels = [k.repeat_interleave(s, 0) for k in net.template_kernels(z)]
        out = net.predict(kernels, x)
        online_x = start = None
        if net.online_features is not None:
            online_x = net.online_features(x)
            start = net.initial_filter(z)

    flat_truth, flat_present = truth.flatten(0, 1), present.flatten()
    parts = _box_parts(net, out, flat_truth, flat_present, size, config)
    total = config.box * parts["box"] + config.iou * parts["iou"]
    if out.cls is not None:
        parts["cls"] = _offline_loss(net, out.cls.float(), flat_truth, flat_present, size, config)
        total = total + config.offline * parts["cls"]
    if online_x is not None and start is not None:
        parts.update(
            _online_parts(net, online_x, start.float(), truth, present, size, config, support)
        )
        total = total + config.online * parts["online"]
    parts["total"] = total
    return total, parts


def _offline_loss(
    net: DualModalNet,
    logits: Tensor,
    truth: Tensor,
    present: Tensor,
    size: int,
    config: LossConfig,
) -> Tensor:
    """Loss of accurate localisation: OFC-5s, OFC-1s or OFR."""
    n = net.config
    scores, cells = logits.shape[1], logits.shape[-1]
    target = xyxy_to_cxcywh(truth)
    if n.offline_branch == "OFR":
        # The peak has to be exactly 1 somewhere, so the centre is that of the nearest cell.
        centre = _cells(target, size, cells, n.stride)[:, :2].round().clamp(0, cells - 1)
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
    net: DualModalNet,
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


def _cells(boxes: Tensor, size: int, cells: int, stride: int) -> Tensor:
    """(cx, cy, w, h) in crop pixels -> (row, column, height, width) in cells, [..., 4]."""
    first = size / 2 - stride * (cells - 1) / 2
    centre = (boxes[..., :2] - first) / stride
    return torch.cat((centre.flip(-1), boxes[..., 2:].flip(-1) / stride), -1)


def _online_parts(
    net: DualModalNet,
    features: Tensor,
    start: Tensor,
    truth: Tensor,
    present: Tensor,
    size: int,
    config: LossConfig,
    support: int,
) -> dict[str, Tensor]:
    """Unrolled steps on the support frames, hinge loss on the query frames after each."""
    assert net.online is not None
    b, s = present.shape
    _, c, h, w = features.shape
    features = features.float().reshape(b, s, c, h, w)
    targets = _cells(xyxy_to_cxcywh(truth), size, w, net.config.stride)
    memory, query = features[:, :support], features[:, support:]
    gamma = torch.full((b, support), 1 / support, device=features.device)
    problem = net.online.problem(memory, targets[:, :support], gamma)
    asked, there = targets[:, support:], present[:, support:]
    care = None
    if net.online.shapes is None:
        label = gaussian_label(asked[..., :2], h, w, config.label_sigma)[:, :, None]
    else:
        label, care = bernoulli_label(asked, net.online.shapes, h, w)
        care = torch.where(there[:, :, None, None, None], care, torch.ones_like(care))
    label = label * there[:, :, None, None, None]

    def loss(weight: Tensor) -> Tensor:
        return hinge_regression(apply_filter(query, weight), label, config.hinge, care)

    losses, weight = [loss(start)], start
    for weight, _ in steepest_descent(problem, start, config.unroll, net.online.step):
        losses.append(loss(weight))
    scores = apply_filter(query, weight).detach().amax(2)
    hit = _peak_hits(scores, asked[..., :2], there)
    # The last iterate counts as much as all others together.
    mean = 0.5 * losses[-1] + 0.5 * torch.stack(losses[:-1]).mean()
    return {"online": ONLINE_SCALE * mean, "online_hit": hit}


def _peak_hits(scores: Tensor, cells: Tensor, present: Tensor, radius: float = 2.5) -> Tensor:
    """Share of present targets whose highest score lies within ``radius`` cells of them."""
    width = scores.shape[-1]
    peak = scores.flatten(2).argmax(-1)
    where = torch.stack((peak // width, peak % width), -1).float()
    near = (where - cells).square().sum(-1) <= radius**2
    return (near & present).sum() / present.sum().clamp_min(1)
