"""The joint objective of one batch: online branch unrolled, offline branch, box, IoU."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ..tracker.geometry import cxcywh_to_xyxy, giou, iou, xywh_to_xyxy, xyxy_to_cxcywh
from ..tracker.network.anchors import decode, encode
from ..tracker.network.dual_modal import DualModalNet
from ..tracker.online.filters import apply_filter
from ..tracker.online.solver import steepest_descent
from .assignment import atss_max_iou
from .config import LossConfig
from .losses import focal_loss, gaussian_label, hinge_regression

ONLINE_SCALE = 100.0
"""Brings the mean squared error over cells to the order of the other losses."""


def joint_loss(
    net: DualModalNet, batch: Mapping[str, Tensor], config: LossConfig, autocast: torch.autocast
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and its parts.

    Args:
        batch: ``template`` [B, 3, Z, Z] and ``search`` [B, S, 3, X, X], 0..255, frame 0 of which
            the online filter learns from; ``box`` [B, S, 4] (x, y, w, h) in search-crop pixels,
            NaN where the target is absent.
        autocast: context for backbone and heads; the online step stays in float32.
    """
    search, boxes = batch["search"], batch["box"].float()
    b, s, _, size, _ = search.shape
    present = torch.isfinite(boxes).all(-1)
    truth = xywh_to_xyxy(torch.where(present[..., None], boxes, torch.ones_like(boxes)))

    with autocast:
        z = net.extract(batch["template"])
        x = net.extract(search.flatten(0, 1))
        kernels = [k.repeat_interleave(s, 0) for k in net.template_kernels(z)]
        out = net.predict(kernels, x)
        online_x = net.online_features(x)
        start = net.initial_filter(z)

    parts: dict[str, Tensor] = {}
    parts.update(_offline_parts(net, out, truth.flatten(0, 1), present.flatten(), size, config))
    parts.update(_online_parts(net, online_x, start, truth, present, size, config))
    total = (
        config.online * parts["online"]
        + config.offline * parts["cls"]
        + config.box * parts["box"]
        + config.iou * parts["iou"]
    )
    parts["total"] = total
    return total, parts


def _offline_parts(net, out, truth, present, size, config) -> dict[str, Tensor]:  # type: ignore[no-untyped-def]
    anchors = net.anchor_grid(size).to(truth.device).flatten(0, 2)
    cls, deltas = out.cls.float().flatten(1), out.deltas.float().flatten(1, 3)
    quality = out.iou.float().flatten(1)
    ious = iou(cxcywh_to_xyxy(anchors)[None], truth[:, None])
    found = atss_max_iou(ious, present, config.candidates)
    parts = {"cls": focal_loss(cls, found.positive, config.normalise)}

    index = found.candidates
    chosen = deltas.gather(1, index[..., None].expand(-1, -1, 4))
    base = anchors[index]
    target = encode(xyxy_to_cxcywh(truth)[:, None], base)
    boxes = cxcywh_to_xyxy(decode(chosen, base))
    # Candidates that barely touch the target say nothing of its box.
    weight = (found.candidate_iou > 0.2) | (found.candidate_iou >= found.candidate_iou[:, :1])
    weight = (weight & present[:, None]).float()
    norm = weight.sum().clamp_min(1)
    box = boxes.new_zeros(())
    if config.box_kind in ("l1", "both"):
        box = box + ((chosen - target).abs().clamp_max(3).sum(-1) * weight).sum() / norm
    if config.box_kind in ("giou", "both"):
        box = box + ((1 - giou(boxes, truth[:, None])) * weight).sum() / norm
    parts["box"] = box
    with torch.no_grad():
        real = iou(boxes, truth[:, None])
    bce = F.binary_cross_entropy_with_logits(quality.gather(1, index), real, reduction="none")
    parts["iou"] = (bce * weight).sum() / norm
    parts["mean_iou"] = ((real * weight).sum() / norm).detach()
    return parts


def _online_parts(net, features, start, truth, present, size, config) -> dict[str, Tensor]:  # type: ignore[no-untyped-def]
    b, s = present.shape
    _, c, h, w = features.shape
    features = features.float().view(b, s, c, h, w)
    centre = (truth[..., :2] + truth[..., 2:]) / 2
    first = size / 2 - net.config.stride * (w - 1) / 2
    cells = ((centre - first) / net.config.stride).flip(-1)
    memory = features[:, :1].transpose(1, 2)
    gamma = torch.ones(b, 1, device=features.device)
    problem = net.online.problem(memory, cells[:, :1], gamma)
    query = features[:, 1:].transpose(1, 2)
    label = gaussian_label(cells[:, 1:], h, w, config.label_sigma)
    label = label * present[:, 1:, None, None]

    losses = [hinge_regression(apply_filter(query, start.float()), label, config.hinge)]
    for weight, _ in steepest_descent(problem, start.float(), config.unroll, net.online.step):
        losses.append(hinge_regression(apply_filter(query, weight), label, config.hinge))
    scores = apply_filter(query, weight).detach()
    hit = _peak_hits(scores, cells[:, 1:], present[:, 1:])
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
