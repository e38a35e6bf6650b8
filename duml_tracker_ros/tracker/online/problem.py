"""The discriminative least-squares problem of online regression (DuML eq. 7, after DiMP).

    L(w) = sum_j gamma_j |v_j (m_j s_j + (1 - m_j) max(0, s_j) - y_j)|^2 + lambda |w|^2

with s_j the filter's scores on sample j, and label y, mask m and spatial weight v functions of
the distance to the target's centre: linear combinations of triangular bins, learned offline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .filters import apply_filter, filter_gradient


@dataclass
class FilterProblem:
    """One problem a batch entry; linear in the filter but for the hinge of the mask.

    Attributes:
        memory: features [B, C, M, H, W].
        label, mask, weight: y, m, v [B, M, H, W].
        gamma: sample weights [B, M].
        regularisation: lambda, a scalar tensor.
    """

    memory: Tensor
    label: Tensor
    mask: Tensor
    weight: Tensor
    gamma: Tensor
    regularisation: Tensor

    def scores(self, w: Tensor) -> Tensor:
        """Filter [B, C, k, k] -> scores [B, M, H, W]; linear in the filter."""
        return apply_filter(self.memory, w)

    def loss(self, w: Tensor) -> Tensor:
        """Value of the objective for each batch entry, [B]."""
        s = self.scores(w)
        r = self.weight * (self.mask * s + (1 - self.mask) * s.relu() - self.label)
        data = (self.gamma * r.square().sum((2, 3))).sum(1)
        return data + self.regularisation * w.square().sum((1, 2, 3))

    def linearise(self, w: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Half gradient [B, C, k, k] and squared slope [B, M, H, W] at a filter.

        The slope is the derivative of the residual by the score, times sqrt(gamma), squared: the
        diagonal of the Gauss-Newton matrix in score space.
        """
        slope = self.weight * torch.where(scores > 0, 1.0, self.mask)
        r = slope * scores - self.weight * self.label
        gamma = self.gamma[:, :, None, None]
        gradient = filter_gradient(self.memory, gamma * slope * r, w.shape[-1])
        return gradient + self.regularisation * w, gamma * slope.square()

    def curvature(self, direction: Tensor, direction_scores: Tensor, slope: Tensor) -> Tensor:
        """g^T (J^T J + lambda) g of a direction [B, C, k, k]: [B]."""
        data = (slope * direction_scores.square()).sum((1, 2, 3))
        return data + self.regularisation * direction.square().sum((1, 2, 3))


class DiscriminativeModel(nn.Module):
    """Learned label, mask, spatial weight, regularisation and step length of the problem.

    Args:
        bins: number of triangular bins.
        bin_width: cells a bin (DiMP: 0.1 at stride 16, so 0.2 at stride 8).
    """

    distance: Tensor

    def __init__(self, bins: int = 100, bin_width: float = 0.2, sigma: float = 1.5) -> None:
        super().__init__()
        self.bins = bins
        self.bin_width = bin_width
        d = torch.arange(bins, dtype=torch.float32) * bin_width
        self.label = nn.Parameter(torch.exp(-0.5 * (d / sigma) ** 2))
        # Inside the target the label must be met exactly, outside a negative score is free.
        self.mask = nn.Parameter(4 * torch.tanh(2 - d / 2))
        self.weight = nn.Parameter(torch.ones(bins))
        self.log_step = nn.Parameter(torch.zeros(()))
        self.regularisation_root = nn.Parameter(torch.tensor(0.1))

    def maps(self, centres: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
        """Centres (row, column) in cells [..., 2] -> y, m, v, each [..., height, width]."""
        rows = torch.arange(height, device=centres.device, dtype=torch.float32)
        cols = torch.arange(width, device=centres.device, dtype=torch.float32)
        dy = rows - centres[..., :1]
        dx = cols - centres[..., 1:]
        distance = torch.sqrt(dy.square()[..., :, None] + dx.square()[..., None, :] + 1e-12)
        position = (distance / self.bin_width).clamp(max=self.bins - 1 - 1e-4)
        low = position.floor()
        share = position - low
        index = low.long()

        def interpolate(coefficients: Tensor) -> Tensor:
            return coefficients[index] * (1 - share) + coefficients[index + 1] * share

        return (
            interpolate(self.label),
            torch.sigmoid(interpolate(self.mask)),
            interpolate(self.weight),
        )

    @property
    def regularisation(self) -> Tensor:
        """lambda, kept away from zero."""
        return self.regularisation_root.square().clamp_min(1e-4)

    @property
    def step(self) -> Tensor:
        """Learned factor on the optimal step length."""
        return self.log_step.clamp(-math.log(10), math.log(4)).exp()

    def problem(self, memory: Tensor, centres: Tensor, gamma: Tensor) -> FilterProblem:
        """memory [B, C, M, H, W], centres (row, column) [B, M, 2], gamma [B, M]."""
        label, mask, weight = self.maps(centres, memory.shape[-2], memory.shape[-1])
        return FilterProblem(memory, label, mask, weight, gamma, self.regularisation)
