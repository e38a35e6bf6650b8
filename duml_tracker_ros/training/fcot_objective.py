"""FCOT's objective: both classifiers and the box regressor, each with its solver unrolled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..tracker.geometry import box_cells, giou, iou, xyxy_to_cxcywh
from ..tracker.network.encoder_decoder import COARSE, FINE, EncoderDecoderNet
from ..tracker.online.box_regressor import patches_at
from ..tracker.online.filters import apply_filter
from ..tracker.online.ltrb import box_of, ltrb_distances, nearest_cells
from ..tracker.online.solver import steepest_descent
from ..tracker.settings import Group, Share
from .batch_parts import cell_corners, truth_of
from .config import TrainConfig
from .objectives import Objective
from .online_objective import FilterLoss, filter_loss
from .ranges import Radius, Unrolled, Weight


@dataclass(frozen=True)
class FcotLossConfig(Group, path="fcot"):
    """Weights of the parts, unrolled iterations, and the radius in cells of stride 4 around the
    centre within which boxes are learned (FCOT, section 3.1)."""

    coarse: Weight = 1.0
    fine: Weight = 2.0
    box: Weight = 1.0
    unroll: Unrolled = 4
    box_unroll: Unrolled = 3
    hinge: Share = 0.05
    radius: Radius = 2.0


def fcot_loss(
    net: EncoderDecoderNet,
    batch: Mapping[str, Tensor],
    config: FcotLossConfig,
    autocast: torch.autocast,
    support: int = 1,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and its parts; the batch is that of ``objective.joint_loss``, its template unused.

    The first ``support`` search frames are learned from, the others judged.
    """
    search = batch["search"]
    b, s = search.shape[:2]
    size = search.shape[-1]
    corners, present = truth_of(batch["box"])
    truth = xyxy_to_cxcywh(corners)
    with autocast:
        maps = net.extract(search.flatten(0, 1))
        features = net.online_features(maps)
        first = [m.unflatten(0, (b, s))[:, 0] for m in maps]
        coarse_x, fine_x, box_x = (f.unflatten(0, (b, s)) for f in features)
        coarse = box_cells(truth, size, coarse_x.shape[-1], COARSE)
        fine = box_cells(truth, size, fine_x.shape[-1], FINE)
        start = net.regressor(first, fine[:, 0])
    starts = net.classifiers(
        type(features)(coarse_x[:, 0], fine_x[:, 0], box_x[:, 0]), coarse[:, 0], fine[:, 0]
    )
    parts: dict[str, Tensor] = {}
    models = (
        ("coarse", net.coarse_model, coarse_x, coarse, starts[0], 0.75),
        ("fine", net.fine_model, fine_x, fine, starts[1], 1.5),
    )
    for name, model, x, cells, weight, sigma in models:
        rule = FilterLoss(config.unroll, sigma, config.hinge)
        found = filter_loss(model, x, weight, cells, present, support, rule)
        parts[name], parts[f"{name}_hit"] = found.loss, found.hit
    parts |= box_parts(net, box_x, start, fine, present, support, config)
    weights = {"coarse": config.coarse, "fine": config.fine, "box": config.box}
    total = sum((w * parts[k] for k, w in weights.items()), start.new_zeros(()))
    parts["total"] = total
    return total, parts


def box_parts(
    net: EncoderDecoderNet,
    features: Tensor,
    start: Tensor,
    cells: Tensor,
    present: Tensor,
    support: int,
    config: FcotLossConfig,
) -> dict[str, Tensor]:
    """Steps on the support frames, box loss on the query frames after each.

    The IoU loss is the generalised one, and the distances have a loss of their own: a filter from
    scratch predicts boxes that do not overlap the target at all.

    Args:
        features: [B, S, C, H, W].
        start: first filters [B, 4, C, k, k].
        cells: boxes (row, column, height, width) in cells [B, S, 4].
        present: bool [B, S].
    """
    b, s, _, height, width = features.shape
    k, unit = start.shape[-1], net.unit / FINE
    at = nearest_cells(cells, height, width)
    known = slice(0, support)
    patches = patches_at(features[:, known].flatten(0, 1), cells[:, known].flatten(0, 1), k)
    wanted = ltrb_distances(cells[:, known], at[:, known], unit)
    gamma = torch.full((b, support), 1 / support, device=features.device)
    problem = net.box_model.problem(patches.unflatten(0, (b, support)), wanted, gamma)

    asked, query = cells[:, support:], features[:, support:]
    rows, cols = (torch.arange(n, device=features.device) for n in (height, width))
    distance = (rows[:, None] - asked[..., 0, None, None]).square()
    distance = distance + (cols - asked[..., 1, None, None]).square()
    near = (distance <= config.radius**2) & present[:, support:, None, None]
    image, query_index, row, col = near.nonzero().unbind(1)
    position = torch.stack((row, col), -1)
    target = asked[image, query_index]
    box, distances = cell_corners(target), ltrb_distances(target, position, unit)
    count = max(len(row), 1)

    def judge(flat: Tensor) -> tuple[Tensor, Tensor]:
        scores = apply_filter(query, flat.view_as(start))
        predicted = scores[image, query_index, :, row, col]
        guess = cell_corners(box_of(predicted, position, unit))
        error = (1 - giou(guess, box)).sum() + (predicted - distances).abs().sum()
        return error / count, iou(guess, box).sum().detach() / count

    begin = start.flatten(2)
    first, overlap = judge(begin)
    losses = [first]
    for flat, _ in steepest_descent(problem, begin, config.box_unroll):
        loss, overlap = judge(flat)
        losses.append(loss)
    mean = 0.5 * losses[-1] + 0.5 * torch.stack(losses[:-1]).mean()
    return {"box": mean, "mean_iou": overlap}


@dataclass(frozen=True)
class FcotTrainConfig(TrainConfig):
    fcot: FcotLossConfig = field(default_factory=FcotLossConfig)


OBJECTIVE = Objective(
    lambda net, batch, c, cast: fcot_loss(net, batch, c.fcot, cast, c.support),
    ("total", "coarse", "fine", "box", "mean_iou", "coarse_hit", "fine_hit"),
    FcotTrainConfig,
)
