"""What a training will take: a few steps, timed; what they compute and keep in memory, counted."""

from __future__ import annotations

import dataclasses
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from ..tracker.compute.device import resolve_device
from .config import TrainConfig
from .loop import train
from .networks import make_network
from .objectives import objective
from .replicas import Replicas
from .trainer import in_bf16

TIMED = 10
COUNTED = 2
SKIPPED = 2
"""Steps before those: the loader's workers start, and the libraries choose their kernels."""


@dataclass(frozen=True)
class Estimate:
    """What one step takes, and all of them.

    Attributes:
        device: that the steps ran on.
        seconds: median of a step.
        calls: of operators, forth, back and augmentation included.
        flops: of their matrix products and convolutions.
        steps: of the whole training.
    """

    device: str
    seconds: float
    calls: int
    flops: int
    steps: int

    @property
    def hours(self) -> float:
        """Of the whole training, without its start and validation."""
        return self.seconds * self.steps / 3600


class _Calls(TorchDispatchMode):
    """Counts operators."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += 1
        return func(*args, **(kwargs or {}))


def estimate(config: TrainConfig) -> Estimate:
    """Run the first steps of a training in a temporary folder, with everything that ever learns
    learning. Raises ConfigError."""
    times = _marks(config, SKIPPED + TIMED, time.perf_counter)
    seconds = [b - a for a, b in itertools.pairwise(times[SKIPPED:])]
    flops = FlopCounterMode(display=False)
    with flops, _Calls() as calls:
        marks = _marks(config, SKIPPED + COUNTED, lambda: (calls.count, flops.get_total_flops()))
    before, after = marks[SKIPPED], marks[-1]
    counted, flop = ((b - a) // COUNTED for a, b in zip(before, after, strict=True))
    device = str(resolve_device(config.device))
    return Estimate(device, statistics.median(seconds), counted, flop, config.steps)


@dataclass(frozen=True)
class Memory:
    """What a training keeps on one device, in bytes.

    Attributes:
        samples: of a step that are on the device at a time.
        sample: what one of them keeps for the way back.
        weights: with their gradients, moments and moving average.
    """

    samples: int
    sample: int
    weights: int

    @property
    def total(self) -> int:
        return self.samples * self.sample + self.weights


class _Assumed(TorchFunctionMode):
    """Numbers for the few operations whose results depend on values that nobody computes."""

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func is Tensor.nonzero:
            count = min(args[0].numel(), 64)
            found = args[0].new_zeros((count, args[0].dim()), dtype=torch.int64)
            return found.unbind(1) if (kwargs or {}).get("as_tuple") else found
        if func is Tensor.item:
            return 0
        return func(*args, **(kwargs or {}))


def memory(config: TrainConfig, replicas: Replicas | None = None) -> Memory:
    """Count what one sample's forward pass keeps for the way back; nothing is computed.

    Needs no data, and no memory of that size. Raises ConfigError.
    """
    half = in_bf16(config, resolve_device(config.device))
    frames = config.support + config.query
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with FakeTensorMode(allow_non_fake_inputs=True), _Assumed():
        net, network = make_network(config)
        net.train()
        search = network.search_size
        batch = {
            "template": torch.zeros(1, 3, network.template_size, network.template_size),
            "search": torch.zeros(1, frames, 3, search, search),
            "box": torch.full((1, frames, 4), network.template_size / 2),
            "mask": torch.zeros(1, frames, search, search, dtype=torch.uint8),
            "outlined": torch.ones(1, frames, dtype=torch.bool),
        }
        own = {p.untyped_storage()._cdata for p in net.parameters()}
        cast = torch.autocast("cpu", torch.bfloat16, enabled=half)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            # The sums hold what they were made from until it is counted.
            result = objective(config.tracker).loss(net, batch, config, cast)
        size = 4 * sum(p.numel() for p in net.parameters())
        del result
    moments = 1 if config.optimiser == "sgd" else 2
    parts = (replicas or Replicas()).world * config.accumulate
    return Memory(-(-config.batch // parts), sum(kept.values()), size * (3 + moments))


def _marks(config: TrainConfig, steps: int, mark: Callable[[], Any]) -> list[Any]:
    """Return the results of ``mark`` after each of the first ``steps`` + 1 steps."""
    found: list[Any] = []
    short = dataclasses.replace(config, steps=steps + 1, stop_after=0, validate_on="", thaw_at=0)
    with tempfile.TemporaryDirectory() as folder:
        train(short, Path(folder), on_step=lambda _: found.append(mark()))
    return found
