"""FCOT's online box regressor: a linear least-squares problem on one patch a sample.

    L(f) = sum_j gamma_j |X_j f - d_j|^2 + lambda^2 |f|^2                            (eq. 4)

with X_j the 3 x 3 patch of features at the cell nearest to the target's centre and d_j = (l, r, t,
b) the distances from that cell to the sides of the box (eq. 3). It is solved by the same steepest
descent as the classifiers. The appendix's step length |g|^2 / |J g|^2 (eq. 10) belongs to half the
gradient of eq. 11: with the factor 2 there it would be twice the minimiser along g.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import OnlineConfig
from .ltrb import ltrb_distances, nearest_cells
from .memory import SampleMemory
from .policy import Decision
from .solver import steepest_descent


@dataclass
class BoxProblem:
    """One problem a batch entry, linear in the filter.

    Attributes:
        patches: features [B, M, D], D = C k^2.
        distances: (l, r, t, b) [B, M, 4].
        gamma: sample weights [B, M].
        regularisation: lambda^2, a scalar tensor.
    """

    patches: Tensor
    distances: Tensor
    gamma: Tensor
    regularisation: Tensor

    def scores(self, w: Tensor) -> Tensor:
        """Filters [B, 4, D] -> predicted distances [B, M, 4]."""
        return self.patches @ w.transpose(1, 2)

    def loss(self, w: Tensor) -> Tensor:
        """Value of the objective for each batch entry [B]."""
        error = (self.scores(w) - self.distances).square().sum(2)
        return (self.gamma * error).sum(1) + self.regularisation * w.square().sum((1, 2))

    def linearise(self, w: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Half the gradient [B, 4, D] and the curvature of the data term by each score."""
        gamma = self.gamma[..., None]
        residual = gamma * (scores - self.distances)
        gradient = residual.transpose(1, 2) @ self.patches + self.regularisation * w
        return gradient, gamma

    def curvature(self, direction: Tensor, direction_scores: Tensor, slope: Tensor) -> Tensor:
        """|J d|^2 of a direction, [B] (eq. 12)."""
        data = (slope * direction_scores.square()).sum((1, 2))
        return data + self.regularisation * direction.square().sum((1, 2))


class BoxModel(nn.Module):
    """The one parameter that is learned offline: lambda."""

    def __init__(self) -> None:
        super().__init__()
        self.regularisation_root = nn.Parameter(torch.tensor(0.1))

    @property
    def regularisation(self) -> Tensor:
        """lambda^2, kept away from zero."""
        return self.regularisation_root.square().clamp_min(1e-5)

    def problem(self, patches: Tensor, distances: Tensor, gamma: Tensor) -> BoxProblem:
        """patches [B, M, C, k, k], distances [B, M, 4], gamma [B, M]."""
        return BoxProblem(patches.flatten(2), distances, gamma, self.regularisation)


def patches_at(features: Tensor, cells: Tensor, k: int) -> Tensor:
    """Patches [N, C, k, k] of features [N, C, H, W] around the nearest cell to each centre.

    cells (row, column, ...) in cells [N, >= 2]; centres outside count as at the border.
    """
    pad = k // 2
    padded = F.pad(features, (pad, pad, pad, pad))
    rows, cols = nearest_cells(cells, features.shape[-2], features.shape[-1]).unbind(-1)
    tap = torch.arange(k, device=features.device)
    n = torch.arange(len(features), device=features.device)[:, None, None]
    across = (cols[:, None] + tap)[:, None, :]
    return padded[n, :, (rows[:, None] + tap)[:, :, None], across].permute(0, 3, 1, 2)


class BoxRegressor:
    """The box regressor of one target.

    Args:
        features: first-frame samples [N, C, H, W].
        targets: (row, column, height, width) in cells of each [N, 4].
        start: filter to start from [1, 4, C, k, k].
        unit: cells of one unit of distance.
    """

    def __init__(
        self,
        model: BoxModel,
        config: OnlineConfig,
        features: Tensor,
        targets: Tensor,
        start: Tensor,
        unit: float,
    ) -> None:
        self.model, self.unit, self.merge = model, unit, config.merge
        k = start.shape[-1]
        self.memory = SampleMemory((features.shape[1], k, k), config.memory, features.device)
        patches, distances = self._sample(features, targets, k)
        self.memory.start(patches, distances)
        self.filter = start
        self._optimise(config.init_iterations)
        self.first_filter = self.filter

    @property
    def current(self) -> Tensor:
        """lambda f_1 + (1 - lambda) f_latest (FCOT eq. 6)."""
        return self.merge * self.first_filter + (1 - self.merge) * self.filter

    def distances(self, features: Tensor) -> Tensor:
        """Features [1, C, H, W] -> (l, r, t, b) of every cell [4, H, W]."""
        weight = self.current[0]
        return F.conv2d(features, weight, padding=weight.shape[-1] // 2)[0]

    def learn(self, features: Tensor, target: Tensor, decision: Decision) -> None:
        """Remember a frame [C, H, W] with its target [4] in cells, and improve the filter."""
        if decision.insert:
            k = self.filter.shape[-1]
            patches, distances = self._sample(features[None], target[None], k)
            self.memory.insert(patches[0], distances[0], decision.rate)
            self._optimise(decision.iterations)

    def _sample(self, features: Tensor, targets: Tensor, k: int) -> tuple[Tensor, Tensor]:
        at = nearest_cells(targets, features.shape[-2], features.shape[-1])
        return patches_at(features, targets, k), ltrb_distances(targets, at, self.unit)

    def _optimise(self, iterations: int) -> None:
        problem = self.model.problem(*self.memory.view())
        flat = self.filter.flatten(2)
        for step in steepest_descent(problem, flat, iterations):
            flat = step[0]
        self.filter = flat.view_as(self.filter)
