"""What a training will take: a few of its steps, timed, and what they compute, counted."""

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

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from .config import TrainConfig
from .loop import pick_device, train

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
    device = str(pick_device(config.device))
    return Estimate(device, statistics.median(seconds), counted, flop, config.steps)


def _marks(config: TrainConfig, steps: int, mark: Callable[[], Any]) -> list[Any]:
    """What ``mark`` says after each of the first ``steps`` + 1 steps."""
    found: list[Any] = []
    short = dataclasses.replace(config, steps=steps + 1, stop_after=0, validate_on="", thaw_at=0)
    with tempfile.TemporaryDirectory() as folder:
        train(short, Path(folder), on_step=lambda _: found.append(mark()))
    return found
