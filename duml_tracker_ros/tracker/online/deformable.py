"""TLPG's deformable central correlation, learned online (Li et al. 2020, sections 3.1 and 3.2).

The model of a target has weights w and offsets. A position p of the map looks at K = 25 points
p + b_k + V_k x(p): b spreads them over the target's box of the first frame, V is linear in the
features at p. Its score is sum_k w_k . x(point k), and its box reaches from the least to the
greatest point (the min-max function of eq. 2). Interpolation is linear, so w_k . x is computed
for all cells first and only K numbers a position are sampled, not K feature vectors.

V is learned from smooth-L1 distances (eq. 4, 5), then w, with the points where they are, from the
hinge-like classification (eq. 3, 6); both by steepest descent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..frame.sampling import cell_points, taps
from .labels import region_label
from .ltrb import ltrb_distances
from .points import Sampling, sampling, spans
from .problem import FilterProblem
from .solver import LinearScoreProblem, steepest_descent


class PointModel(NamedTuple):
    """What is learned of targets.

    Attributes:
        weight: w [B, 1, C, k, k].
        offsets: V [B, 2 K, C], in units, rows before columns.
        base: b (row, column) in cells [B, K, 2].
    """

    weight: Tensor
    offsets: Tensor
    base: Tensor


@dataclass
class DeformProblem(FilterProblem):
    """The classification (eq. 3, 6) with the points where they are: linear in w but for the hinge.

    Attributes:
        points: sampling of every position of every sample.
    """

    points: Sampling

    def scores(self, w: Tensor) -> Tensor:
        b, m, _, height, width = self.memory.shape
        maps = torch.matmul(w.flatten(3).transpose(2, 3), self.memory.flatten(3))
        return self.points.take(maps).view(b, m, 1, height, width)

    def adjoint(self, residual: Tensor, k: int) -> Tensor:
        maps = self.points.spread(residual.flatten(2))
        taken = torch.matmul(self.memory.flatten(3), maps.transpose(2, 3)).sum(1)
        return taken.unflatten(2, (k, k))[:, None]


@dataclass
class SpanProblem:
    """Smooth-L1 distances from the sides of a box (eq. 4) as a problem of V.

    The offsets are linear in V; a side is the offset of its outermost point, which a step takes
    as given. The curvature is that of the parabola that touches the loss from above, so that a
    step is bounded where the loss is a straight line.

    Attributes:
        features: at the positions learned from [B, P, C].
        base: b [B, K, 2] in units.
        wanted: (l, r, t, b) in units [B, P, 4].
        gamma: weights of the positions [B, P].
        origin: V that is regularised towards [B, 2 K, C].
        regularisation: lambda^2, a scalar tensor.
    """

    features: Tensor
    base: Tensor
    wanted: Tensor
    gamma: Tensor
    origin: Tensor
    regularisation: Tensor

    def scores(self, w: Tensor) -> Tensor:
        """V -> offsets without the base [B, P, 2 K]."""
        return self.features @ w.transpose(1, 2)

    def loss(self, w: Tensor) -> Tensor:
        """Value of the objective for each batch entry [B]; half a square near zero."""
        points = self.scores(w).unflatten(2, (2, -1)).transpose(2, 3) + self.base[:, None]
        error = (spans(points) - self.wanted).abs()
        cost = torch.where(error < 1, 0.5 * error.square(), error - 0.5).sum(2)
        far = (w - self.origin).square().sum((1, 2))
        return (self.gamma * cost).sum(1) + 0.5 * self.regularisation * far

    def linearise(self, w: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient [B, 2 K, C] and curvature by each offset [B, P, 2 K]."""
        axes = scores.unflatten(2, (2, -1)) + self.base.transpose(1, 2)[:, None]
        # [B, P, 2, 2]: axis (row, column), side (low, high).
        least, greatest = axes.min(-1), axes.max(-1)
        index = torch.stack((least.indices, greatest.indices), -1)
        low, high = least.values, greatest.values
        wanted = self.wanted.unflatten(2, (2, 2)).flip(2)
        error = torch.stack((-low, high), -1) - wanted
        gamma = self.gamma[..., None, None]
        empty = torch.zeros_like(axes)
        slope = empty.scatter_add(3, index, gamma / error.abs().clamp_min(1))
        bounded = gamma * error.clamp(-1, 1)
        signed = torch.stack((-bounded[..., 0], bounded[..., 1]), -1)
        pull = empty.scatter_add(3, index, signed).flatten(2)
        gradient = pull.transpose(1, 2) @ self.features
        return gradient + self.regularisation * (w - self.origin), slope.flatten(2)

    def curvature(self, direction: Tensor, direction_scores: Tensor, slope: Tensor) -> Tensor:
        """|J d|^2 of a direction, [B]."""
        data = (slope * direction_scores.square()).sum((1, 2))
        return data + self.regularisation * direction.square().sum((1, 2))


class DeformableModel(nn.Module):
    """One stage's start and parameters, learned offline.

    Args:
        channels: of the features.
        kernel: side of the grid of points.
        unit: cells of one unit of offset.
        shrink: sigma_c.
    """

    def __init__(self, channels: int, kernel: int, unit: float, shrink: float) -> None:
        super().__init__()
        self.kernel, self.unit, self.shrink = kernel, unit, shrink
        self.offsets = nn.Parameter(torch.randn(2 * kernel**2, channels) * 0.01)
        self.regularisation_root = nn.Parameter(torch.tensor(0.1))
        self.offset_root = nn.Parameter(torch.tensor(0.1))
        self.log_step = nn.Parameter(torch.zeros(()))

    def start(self, features: Tensor, targets: Tensor) -> PointModel:
        """The model before it learns: it looks for the target's own features.

        features [B, C, H, W], targets (row, column, height, width) in cells [B, 4].
        """
        b, _, height, width = features.shape
        base = taps(self.kernel, features.device) / (self.kernel - 1)
        base = base * targets[:, None, 2:]
        offsets = self.offsets.expand(b, -1, -1)
        points = sampling((targets[:, None, :2] + base)[:, None], height, width)
        # A sampling with N = 1: the shares over cells of each point.
        one = features.new_ones(b, 1)
        shares = points.spread(one)
        weight = torch.matmul(features.flatten(2), shares.transpose(1, 2))
        return PointModel(weight.unflatten(2, (self.kernel, self.kernel))[:, None], offsets, base)

    def place(self, model: PointModel, features: Tensor) -> Tensor:
        """Features at N positions [B, N, C] -> their points, relative, in cells [B, N, K, 2]."""
        moved = (features @ model.offsets.transpose(1, 2)).unflatten(2, (2, -1)).transpose(2, 3)
        return model.base[:, None] + self.unit * moved

    def look(
        self, model: PointModel, features: Tensor, cells: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Scores [B, N] and ltrb in cells [B, N, 4] at cells of a map.

        Args:
            features: [B, C, H, W].
            cells: indices of the flattened map [B, N]; None: all of them.
        """
        height, width = features.shape[-2:]
        flat = features.flatten(2)
        at = cell_points(height, width, features.device).view(-1, 2)
        here = at.expand(len(flat), -1, -1)
        own = flat.transpose(1, 2)
        if cells is not None:
            here = at[cells]
            own = own.gather(1, cells[..., None].expand(-1, -1, flat.shape[1]))
        relative = self.place(model, own)
        maps = torch.matmul(model.weight[:, 0].flatten(2).transpose(1, 2), flat)
        points = sampling(here[:, :, None] + relative, height, width)
        return points.take(maps), spans(relative)

    def learn(
        self, model: PointModel, features: Tensor, targets: Tensor, gamma: Tensor, iterations: int
    ) -> PointModel:
        """Steepest descent on samples: V first, then w with the points where they are then.

        features [B, M, C, H, W], targets (row, column, height, width) [B, M, 4], gamma [B, M].
        """
        step = self.log_step.clamp(-2.3, 1.4).exp()
        offsets = _last(
            self._spans(model, features, targets, gamma), model.offsets, iterations, step
        )
        model = model._replace(offsets=offsets)
        problem = self._scores(model, features, targets, gamma)
        return model._replace(weight=_last(problem, model.weight, iterations, step))

    def _spans(
        self, model: PointModel, features: Tensor, targets: Tensor, gamma: Tensor
    ) -> SpanProblem:
        """Distances at the 3 x 3 cells around each centre."""
        b, m, c, height, width = features.shape
        around = targets[..., None, :2].round() + taps(3, features.device)
        inside = around[..., 0].clamp(0, height - 1), around[..., 1].clamp(0, width - 1)
        at = torch.stack(inside, -1)
        index = (at[..., 0] * width + at[..., 1]).long()
        own = features.flatten(3).gather(3, index[:, :, None].expand(-1, -1, c, -1))
        wanted = ltrb_distances(targets[:, :, None], at, self.unit).flatten(1, 2)
        return SpanProblem(
            own.transpose(2, 3).flatten(1, 2),
            model.base / self.unit,
            wanted,
            (gamma / 9).repeat_interleave(9, 1),
            self.offsets.expand(b, -1, -1),
            self.offset_root.square().clamp_min(1e-5),
        )

    def _scores(
        self, model: PointModel, features: Tensor, targets: Tensor, gamma: Tensor
    ) -> DeformProblem:
        height, width = features.shape[-2:]
        label, care = (x[:, :, None] for x in region_label(targets, height, width, self.shrink))
        model = PointModel(*(x.repeat_interleave(features.shape[1], 0) for x in model))
        own = features.flatten(0, 1).flatten(2).transpose(1, 2)
        at = cell_points(height, width, features.device).view(-1, 1, 2)
        points = sampling(at + self.place(model, own), height, width)
        points = points.unflatten((features.shape[0], features.shape[1]))
        regularisation = self.regularisation_root.square().clamp_min(1e-4)
        return DeformProblem(features, label, label, care, gamma, regularisation, points)


def _last(problem: LinearScoreProblem, w: Tensor, count: int, step: Tensor) -> Tensor:
    """What a number of steps arrives at."""
    for found in steepest_descent(problem, w, count, step):
        w = found[0]
    return w
