"""Steepest descent with the step length of the Gauss-Newton curvature (DuML eq. 8).

The solver knows of problems, not of trackers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor


class LinearScoreProblem(Protocol):
    """A least-squares problem whose residual depends on scores that are linear in w."""

    def scores(self, w: Tensor) -> Tensor: ...

    def linearise(self, w: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]: ...

    def curvature(self, direction: Tensor, direction_scores: Tensor, slope: Tensor) -> Tensor: ...


def steepest_descent(
    problem: LinearScoreProblem,
    w: Tensor,
    iterations: int,
    step: Tensor | float = 1.0,
    scores: Tensor | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (filter, its scores on the problem's samples) after each iteration.

    The scores are linear in w, so those of the new filter follow from those of the direction,
    which the curvature needs anyway: two matrix products an iteration, not three.

    Args:
        w: start, [B, ...].
        scores: scores of ``w`` where they are known already.
    """
    if scores is None:
        scores = problem.scores(w)
    for _ in range(iterations):
        gradient, slope = problem.linearise(w, scores)
        direction_scores = problem.scores(gradient)
        bend = problem.curvature(gradient, direction_scores, slope)
        length = step * gradient.flatten(1).square().sum(1) / bend.clamp_min(1e-8)
        w = torch.addcmul(w, gradient, _spread(length, w), value=-1)
        scores = torch.addcmul(scores, direction_scores, _spread(length, scores), value=-1)
        yield w, scores


def _spread(values: Tensor, like: Tensor) -> Tensor:
    """One value a batch entry [B], to broadcast over the other axes."""
    return values.view(-1, *[1] * (like.dim() - 1))
