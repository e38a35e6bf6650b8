"""The discriminative least-squares problem of the online branch (DuML eq. 7, after DiMP).

    L(w) = sum_j gamma_j |v_j (m_j s_j + (1 - m_j) max(0, s_j) - y_j)|^2 + lambda |w|^2

with s_j the filter's scores on sample j. Mask m and spatial weight v are functions of the distance
to the target's centre: linear combinations of triangular bins, learned offline. So is the label y
of online regression (ONR); online classification (ONC) takes it from the anchors' IoU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .filters import apply_filter, filter_gradient
from .labels import bernoulli_label, centre_distance, score_grid
from .padded_samples import PaddedSamples


class SampleMaps(NamedTuple):
    """y, m and v of samples: label [..., A, H, W], mask and weight [..., 1 or A, H, W]."""

    label: Tensor
    mask: Tensor
    weight: Tensor


@dataclass
class FilterProblem:
    """One problem a batch entry; linear in the filter but for the hinge of the mask.

    Attributes:
        memory: features [B, M, C, H, W].
        label, mask, weight: y, m, v [B, M, A, H, W]; mask and weight may have one channel.
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
        """Filters [B, A, C, k, k] -> scores [B, M, A, H, W]; linear in the filter."""
        return apply_filter(self.memory, w)

    def adjoint(self, residual: Tensor, k: int) -> Tensor:
        """Transpose of ``scores``: [B, M, A, H, W] -> [B, A, C, k, k]."""
        return filter_gradient(self.memory, residual, k)

    def loss(self, w: Tensor) -> Tensor:
        """Value of the objective for each batch entry, [B]."""
        s = self.scores(w)
        r = self.weight * (self.mask * s + (1 - self.mask) * s.relu() - self.label)
        data = (self.gamma * r.square().sum((2, 3, 4))).sum(1)
        return data + self.regularisation * w.square().flatten(1).sum(1)

    def linearise(self, w: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Half gradient [B, A, C, k, k] and squared slope [B, M, A, H, W] at a filter.

        The slope is the derivative of the residual by the score, times sqrt(gamma), squared: the
        diagonal of the Gauss-Newton matrix in score space.
        """
        # 1 where the score is positive, else m, which is never above 1.
        slope = self.weight * torch.maximum(scores.sign(), self.mask)
        r = slope * scores - self.weight * self.label
        weighted = self.gamma[:, :, None, None, None] * slope
        gradient = self.adjoint(weighted * r, w.shape[-1])
        return torch.addcmul(gradient, w, self.regularisation), weighted * slope

    def curvature(self, direction: Tensor, direction_scores: Tensor, slope: Tensor) -> Tensor:
        """g^T (J^T J + lambda) g of a direction [B, A, C, k, k]: [B]."""
        data = (slope * direction_scores.square()).flatten(1).sum(1)
        return data + self.regularisation * direction.square().flatten(1).sum(1)


@dataclass
class PaddedProblem(FilterProblem):
    """The problem of one target on its memory; the filter is in taps [1, A k^2, C].

    Attributes:
        padded: the samples; all maps have its empty cells, in which the weight is 0.
    """

    padded: PaddedSamples

    def scores(self, w: Tensor) -> Tensor:
        return self.padded.scores(w[0], self.memory.shape[1])

    def adjoint(self, residual: Tensor, k: int) -> Tensor:
        return self.padded.adjoint(residual)[None]


class DiscriminativeModel(nn.Module):
    """Learned label, mask, spatial weight, regularisation and step length of the problem.

    Args:
        bins: number of triangular bins.
        bin_width: cells a bin (DiMP: 0.1 at stride 16, so 0.2 at stride 8).
        shapes: (w, h) in cells of the anchors to classify; none: regression of a learned label.
        sigma: width of the label, and
        reach: distance where the mask has half its height, in cells, before training.
    """

    shapes: Tensor | None

    def __init__(
        self,
        bins: int = 100,
        bin_width: float = 0.2,
        sigma: float = 1.5,
        shapes: Sequence[tuple[float, float]] = (),
        reach: float = 4.0,
    ) -> None:
        super().__init__()
        self.bins = bins
        self.bin_width = bin_width
        self.register_buffer("shapes", torch.tensor(shapes) if shapes else None, persistent=False)
        self.channels = max(len(shapes), 1)
        d = torch.arange(bins, dtype=torch.float32) * bin_width
        if self.shapes is None:
            self.label = nn.Parameter(torch.exp(-0.5 * (d / sigma) ** 2))
        # Inside the target the label must be met exactly, outside a negative score is free.
        self.mask = nn.Parameter(4 * torch.tanh(2 - d * (2 / reach)))
        self.weight = nn.Parameter(torch.ones(bins))
        self.log_step = nn.Parameter(torch.zeros(()))
        self.regularisation_root = nn.Parameter(torch.tensor(0.1))

    def maps(self, targets: Tensor, height: int, width: int, kernel: int = 1) -> SampleMaps:
        """Targets (row, column, height, width) in cells [..., 4] -> y, m, v.

        Scores of a filter of even side lie half a cell before the cells, and so do its maps.
        """
        targets, height, width = score_grid(targets, height, width, kernel)
        distance = centre_distance(targets, height, width)[..., None, :, :]
        position = (distance / self.bin_width).clamp(max=self.bins - 1 - 1e-4)
        low = position.floor()
        index = low.long()
        # One look-up for all: rows of a table.
        label = () if self.shapes is not None else (self.label,)
        table = torch.stack((self.mask, self.weight, *label))
        below, above = (table[:, i] for i in (index, index + 1))
        mask, weight, *wanted = torch.lerp(below, above, (position - low).to(table.dtype))
        mask = torch.sigmoid(mask)
        if self.shapes is None:
            return SampleMaps(wanted[0], mask, weight)
        hit, care = bernoulli_label(targets, self.shapes, height, width)
        return SampleMaps(hit, mask, weight * care)

    @property
    def regularisation(self) -> Tensor:
        """lambda, kept away from zero."""
        return self.regularisation_root.square().clamp_min(1e-4)

    @property
    def step(self) -> Tensor:
        """Learned factor on the optimal step length."""
        return self.log_step.clamp(-math.log(10), math.log(4)).exp()

    def problem(
        self, memory: Tensor, targets: Tensor, gamma: Tensor, kernel: int = 1
    ) -> FilterProblem:
        """memory [B, M, C, H, W], targets (row, column, height, width) [B, M, 4], gamma [B, M]."""
        maps = self.maps(targets, memory.shape[-2], memory.shape[-1], kernel)
        return FilterProblem(memory, *maps, gamma, self.regularisation)
