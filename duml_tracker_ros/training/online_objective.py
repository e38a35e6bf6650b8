"""Loss of a filter that is learned online: its solver unrolled, judged on other frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..tracker.online.filters import apply_filter
from ..tracker.online.labels import bernoulli_label, score_grid
from ..tracker.online.problem import DiscriminativeModel
from ..tracker.online.solver import steepest_descent
from .losses import gaussian_label, hinge_regression

ONLINE_SCALE = 100.0
"""Brings the mean squared error over cells to the order of the other losses."""


@dataclass(frozen=True)
class FilterLoss:
    """Unrolled iterations, width of the label in cells, and threshold of the hinge."""

    unroll: int
    sigma: float
    hinge: float


class Judged(NamedTuple):
    """The loss, and the share of present targets whose peak is near them."""

    loss: Tensor
    hit: Tensor


def filter_loss(
    model: DiscriminativeModel,
    features: Tensor,
    start: Tensor,
    targets: Tensor,
    present: Tensor,
    support: int,
    rule: FilterLoss,
) -> Judged:
    """Unrolled steps on the support frames, hinge loss on the query frames after each.

    Args:
        features: [B, S, C, H, W].
        start: first filters [B, A, C, k, k].
        targets: (row, column, height, width) in cells [B, S, 4].
        present: bool [B, S]; always true for the first ``support`` frames.
    """
    b = len(features)
    k = start.shape[-1]
    memory, query = features[:, :support], features[:, support:]
    gamma = torch.full((b, support), 1 / support, device=features.device)
    problem = model.problem(memory, targets[:, :support], gamma, k)
    asked, there = targets[:, support:], present[:, support:]
    asked, h, w = score_grid(asked, features.shape[-2], features.shape[-1], k)
    care = None
    if model.shapes is None:
        label = gaussian_label(asked[..., :2], h, w, rule.sigma)[:, :, None]
    else:
        label, care = bernoulli_label(asked, model.shapes, h, w)
        care = torch.where(there[:, :, None, None, None], care, torch.ones_like(care))
    label = label * there[:, :, None, None, None]

    def loss(weight: Tensor) -> Tensor:
        return hinge_regression(apply_filter(query, weight), label, rule.hinge, care)

    losses, weight = [loss(start)], start
    for weight, _ in steepest_descent(problem, start, rule.unroll, model.step):
        losses.append(loss(weight))
    scores = apply_filter(query, weight).detach().amax(2)
    # The last iterate counts as much as all others together.
    mean = 0.5 * losses[-1] + 0.5 * torch.stack(losses[:-1]).mean()
    return Judged(ONLINE_SCALE * mean, _peak_hits(scores, asked[..., :2], there))


def _peak_hits(scores: Tensor, cells: Tensor, present: Tensor, radius: float = 2.5) -> Tensor:
    """Share of present targets whose highest score lies within ``radius`` cells of them."""
    width = scores.shape[-1]
    peak = scores.flatten(2).argmax(-1)
    where = torch.stack((peak // width, peak % width), -1).float()
    near = (where - cells).square().sum(-1) <= radius**2
    return (near & present).sum() / present.sum().clamp_min(1)
