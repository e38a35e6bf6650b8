"""Fixed memory of training samples: preallocated, first-frame samples protected."""

from __future__ import annotations

import torch
from torch import Tensor

from ..compute.transfer import numbers
from .padded_samples import PaddedSamples


class SampleMemory:
    """Features, targets and weights of at most ``capacity`` samples of one target.

    Features are kept as one block, ready for products with filters of side ``kernel``.
    Weights sum to 1. A new sample takes share ``rate`` of the total; the first-frame samples
    together never fall below ``first_share``. When the memory is full, the sample with the
    smallest weight that is not protected makes room.
    """

    def __init__(
        self,
        size: tuple[int, int, int],
        capacity: int,
        device: torch.device,
        kernel: int = 1,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """``size``: channels, height and width of the features."""
        self.capacity = capacity
        self.padded = PaddedSamples(size, capacity, kernel, device, dtype)
        self.features = self.padded.features[None]
        self.targets = torch.zeros(1, capacity, 4, device=device)
        # The bookkeeping is a few floats: on the host it costs no launch and no sync.
        self._weights = [0.0] * capacity
        self.used = 0
        self.protected = 0
        self.first_share = 0.25

    def start(self, features: Tensor, targets: Tensor) -> None:
        """Begin with first-frame samples: features [N, C, H, W], targets [N, 4].

        A target is (row, column, height, width) in cells.
        """
        count = features.shape[0]
        if not 0 < count <= self.capacity:
            raise ValueError(f"{count} first-frame samples do not fit a memory of {self.capacity}")
        self.features[0, :count] = features
        self.targets[0, :count] = targets
        self._weights = [1.0 / count] * count + [0.0] * (self.capacity - count)
        self.used = self.protected = count

    def insert(self, feature: Tensor, target: Tensor, rate: float) -> int | None:
        """Add one sample [C, H, W] with its target [4]. Return its slot, or None when full."""
        slot = self.reserve(rate)
        if slot is not None:
            self.features[0, slot] = feature
            self.targets[0, slot] = target
        return slot

    def reserve(self, rate: float) -> int | None:
        """The slot of a new sample, which is still to be written; None when full."""
        if self.used < self.capacity:
            slot = self.used
            self.used += 1
        elif self.protected == self.capacity:
            return None
        else:
            free = range(self.protected, self.capacity)
            slot = min(free, key=self._weights.__getitem__)
        self._weights[slot] = 0.0
        total = sum(self._weights)
        self._weights = [w * (1 - rate) / total for w in self._weights]
        self._weights[slot] = rate
        self._keep_first_share()
        return slot

    def _keep_first_share(self) -> None:
        first = sum(self._weights[: self.protected])
        if first >= self.first_share or self.used == self.protected:
            return
        up, down = self.first_share / first, (1 - self.first_share) / (1 - first)
        self._weights = [
            w * (up if i < self.protected else down) for i, w in enumerate(self._weights)
        ]

    @property
    def weights(self) -> Tensor:
        """Sample weights [1, used] on the memory's device."""
        return numbers(self._weights[: self.used], self.features.device)[None]

    def load(self, other: SampleMemory) -> None:
        """Take over all samples of a memory of the same size, without new storage."""
        self.padded.load(other.padded)
        self.targets.copy_(other.targets)
        self._weights = list(other._weights)
        self.used, self.protected = other.used, other.protected
        self.first_share = other.first_share

    def all_shares(self) -> list[float]:
        """Sample weights of all ``capacity`` slots, 0 in empty ones."""
        return self._weights

    def shares(self) -> tuple[float, ...]:
        """Sample weights, first-frame samples first, without asking the device."""
        return tuple(self._weights[: self.used])

    def view(self) -> tuple[Tensor, Tensor, Tensor]:
        """Features [1, used, C, H, W] (a view), targets [1, used, 4], weights [1, used]."""
        n = self.used
        return self.features[:, :n], self.targets[:, :n], self.weights
