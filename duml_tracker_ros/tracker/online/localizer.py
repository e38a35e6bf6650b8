"""The online branch at run time: the filters of one target and the memory they learn from."""

from __future__ import annotations

import torch
from torch import Tensor

from ..config import OnlineConfig
from .frame_scorer import FrameScorer
from .memory import SampleMemory
from .padded_samples import from_taps, to_taps
from .policy import Decision
from .problem import DiscriminativeModel, PaddedProblem, SampleMaps
from .solver import steepest_descent


class OnlineLocalizer:
    """Robust localisation of one target (DuML eq. 3).

    Label, mask and weight maps of a sample are made once, when something is learned from it. Its
    scores are those it was found with: they are linear in the filter, so that every step updates
    them with the scores of its direction, and a step costs two matrix products instead of three.

    Args:
        features: first-frame samples [N, C, H, W].
        targets: (row, column, height, width) in cells of each [N, 4].
        start: filters to start from [1, A, C, k, k].
        dtype: of the features in the memory and of the products with them.
    """

    def __init__(
        self,
        model: DiscriminativeModel,
        config: OnlineConfig,
        features: Tensor,
        targets: Tensor,
        start: Tensor,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.model, self.merge = model, config.merge
        self._size = features.shape[1], features.shape[2], features.shape[3]
        device, self._kernel = features.device, start.shape[-1]
        self.memory = SampleMemory(self._size, config.memory, device, self._kernel, dtype)
        self.memory.start(features, targets)
        padded, channels = self.memory.padded, model.channels
        # Everything learned stays at its address, so that recorded graphs may read and write it.
        taps = to_taps(start)
        self._both = torch.cat((taps, taps))
        self._first = self._both[len(taps) :]
        self._taps = taps.clone() if self.merge else self._both[: len(taps)]
        self._scores = padded.zeros(channels)
        self._scores[:, : len(features)] = padded.scores(self._taps, len(features))
        shared = 1 if model.shapes is None else channels
        self._maps = SampleMaps(padded.zeros(channels), padded.zeros(1), padded.zeros(shared))
        self._unmapped = list(range(len(features)))
        self._score = FrameScorer(self._size, self._kernel, device)
        self.optimise(config.init_iterations)
        self._first.copy_(self._taps)
        self._blend()

    @property
    def filter(self) -> Tensor:
        """A copy of the latest filters [1, A, C, k, k]."""
        return from_taps(self._taps.clone(), self._kernel)

    @property
    def first_filter(self) -> Tensor:
        """A copy of those of the first frame."""
        return from_taps(self._first.clone(), self._kernel)

    def scores(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Scores [A, H, W] of a frame's features [1, C, H, W].

        By the learning filter, and by that of the first frame, which has learned no mistake since.
        """
        both = self._score(features, self._both)
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
            if scores is None:
                scores = self._score(features[None], self._taps)
            self.memory.padded.inner(self._scores)[0, slot] = scores
            if slot not in self._unmapped:
                self._unmapped.append(slot)
        if decision.iterations:
            self.optimise(decision.iterations)

    def load(self, other: OnlineLocalizer) -> None:
        """Take over what another one of the same size has learned, without new storage."""
        self.memory.load(other.memory)
        self._unmapped = list(other._unmapped)
        for own, source in zip(self._maps, other._maps, strict=True):
            own.copy_(source)
        self._scores.copy_(other._scores)
        self._taps.copy_(other._taps)
        self._both.copy_(other._both)

    def write(self, slot: Tensor, features: Tensor, target: Tensor, scores: Tensor) -> None:
        """Put a frame into a slot of the memory; all of it happens on the device.

        Args:
            slot: index [1], int64; ``memory.reserve`` gives it.
            features, target, scores: as for ``learn``.
        """
        memory, padded = self.memory, self.memory.padded
        maps = self.model.maps(target[None], self._size[1], self._size[2], self._kernel)
        pairs = [(memory.features[0], features[None]), (memory.targets[0], target[None])]
        pairs.append((padded.inner(self._scores)[0], scores[None]))
        pairs += [(padded.inner(b)[0], m) for b, m in zip(self._maps, maps, strict=True)]
        for block, sample in pairs:
            block.index_copy_(0, slot, sample.to(block.dtype))

    def optimise(self, iterations: int) -> None:
        """Steepest descent on the samples in the memory."""
        self.map_samples()
        self.descend(self.memory.weights, iterations)

    def descend(self, gamma: Tensor, iterations: int) -> None:
        """Steepest descent on the first samples in the memory, whose weights are given [1, n]."""
        n = gamma.shape[1]
        features = self.memory.features[:, :n]
        label, mask, weight = (m[:, :n] for m in self._maps)
        lam, padded = self.model.regularisation, self.memory.padded
        problem = PaddedProblem(features, label, mask, weight, gamma, lam, padded)
        found = self._taps[None], self._scores[:, :n]
        for step in steepest_descent(problem, found[0], iterations, self.model.step, found[1]):
            found = step
        self._taps.copy_(found[0][0])
        self._scores[:, :n] = found[1]
        self._blend()

    def map_samples(self) -> None:
        """Make label, mask and weight of the samples that have none yet."""
        slots, self._unmapped = self._unmapped, []
        for first, end in _runs(slots):
            targets = self.memory.targets[0, first:end]
            maps = self.model.maps(targets, self._size[1], self._size[2], self._kernel)
            for buffer, values in zip(self._maps, maps, strict=True):
                self.memory.padded.inner(buffer)[0, first:end] = values

    def _blend(self) -> None:
        """The filter that scores: ``merge`` f_1 + (1 - ``merge``) f_latest (FCOT eq. 6).

        It lies beside the first one, so that a frame is correlated once.
        """
        if self.merge:
            torch.lerp(self._taps, self._first, self.merge, out=self._both[: len(self._taps)])


def _runs(slots: list[int]) -> list[tuple[int, int]]:
    """Slots as ranges [first, end): a slice needs no index on the device."""
    ranges: list[tuple[int, int]] = []
    for slot in sorted(slots):
        if ranges and ranges[-1][1] == slot:
            ranges[-1] = ranges[-1][0], slot + 1
        else:
            ranges.append((slot, slot + 1))
    return ranges
