"""The online branch at run time: the filters of one target and the memory they learn from."""

from __future__ import annotations

import torch
from torch import Tensor

from ..config import OnlineConfig
from .filters import apply_filter
from .memory import SampleMemory
from .policy import Decision
from .problem import DiscriminativeModel, FilterProblem
from .solver import steepest_descent


class OnlineLocalizer:
    """Robust localisation of one target (DuML eq. 3).

    Label, mask and weight maps of a sample are made once, when it enters the memory. So are its
    scores: they are linear in the filter, so that every step updates them with the scores of its
    direction, and a step costs two matrix products instead of three.

    Args:
        features: first-frame samples [N, C, H, W].
        targets: (row, column, height, width) in cells of each [N, 4].
        start: filters to start from [1, A, C, k, k].
    """

    def __init__(
        self,
        model: DiscriminativeModel,
        config: OnlineConfig,
        features: Tensor,
        targets: Tensor,
        start: Tensor,
    ) -> None:
        self.model = model
        count, channels, height, width = features.shape
        self.memory = SampleMemory(channels, height, width, config.memory, features.device)
        self.memory.start(features, targets)
        self.merge = config.merge
        maps = model.maps(targets, height, width, start.shape[-1])
        self._maps = [self._buffer(m, config.memory) for m in maps]
        for buffer, values in zip(self._maps, maps, strict=True):
            buffer[0, :count] = values
        scores = apply_filter(self.memory.view()[0], start)
        self._scores = self._buffer(scores[0], config.memory)
        self._scores[:, :count] = scores
        self.filter = start
        self.optimise(config.init_iterations)
        self.first_filter = self.filter
        self._stack()

    def scores(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Scores [A, H, W] of a frame's features [1, C, H, W].

        By the learning filter, and by that of the first frame, which has learned no mistake since.
        """
        both = apply_filter(features[:, None], self._both)[0, 0]
        count = self.model.channels
        return both[:count], both[count:]

    def learn(
        self, features: Tensor, target: Tensor, scores: Tensor | None, decision: Decision
    ) -> None:
        """Remember a frame and improve the filter.

        Args:
            features: of the frame [C, H, W].
            target: (row, column, height, width) in cells [4].
            scores: what ``scores`` gave for it [A, H, W]; None if that was with another filter
                than the latest, as it is for merged ones.
        """
        if not decision.insert:
            return
        slot = self.memory.insert(features, target, decision.rate)
        if slot is not None:
            height, width = features.shape[-2:]
            maps = self.model.maps(target, height, width, self.filter.shape[-1])
            for buffer, values in zip(self._maps, maps, strict=True):
                buffer[0, slot] = values
            if scores is None:
                scores = apply_filter(features[None, None], self.filter)[0, 0]
            self._scores[0, slot] = scores
        if decision.iterations:
            self.optimise(decision.iterations)
            self._stack()

    def optimise(self, iterations: int) -> None:
        """Steepest descent on the samples in the memory."""
        features, _, gamma = self.memory.view()
        n = self.memory.used
        label, mask, weight = (m[:, :n] for m in self._maps)
        problem = FilterProblem(features, label, mask, weight, gamma, self.model.regularisation)
        scores = self._scores[:, :n]
        for step in steepest_descent(problem, self.filter, iterations, self.model.step, scores):
            self.filter, scores = step
        self._scores[:, :n] = scores

    def _stack(self) -> None:
        """Both filters in one tensor, so that a frame is correlated once.

        The one that scores is ``merge`` f_1 + (1 - ``merge``) f_latest (FCOT eq. 6).
        """
        current = self.filter
        if self.merge:
            current = self.merge * self.first_filter + (1 - self.merge) * self.filter
        self._both = torch.cat((current, self.first_filter), 1)

    @staticmethod
    def _buffer(like: Tensor, capacity: int) -> Tensor:
        return like.new_zeros(1, capacity, *like.shape[1:])
