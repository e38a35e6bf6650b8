"""Train from a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..tracker.compute.device import resolve_device
from .config import TrainConfig
from .recipes import load_train_config
from .replicas import Replicas
from .trainer import Trainer


def train_from_config(
    config: str | Path,
    resume: bool = False,
    out: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Path:
    """Train and return the path of the exported weights (.safetensors, EMA).

    Everything lands in ``out`` (default ``runs/NAME``): ``config.json``, ``log.csv``, ``last.pt``
    (resume point, written atomically) and ``NAME.safetensors``; with ``validate_on`` also
    ``validation.csv`` and ``NAME.best.safetensors``. A first Ctrl-C writes a resume point and
    stops.
    """
    return train(load_train_config(config, overrides), out, resume)


def train(
    config: TrainConfig,
    out: Path | None = None,
    resume: bool = False,
    on_step: Callable[[int], object] | None = None,
) -> Path:
    """As ``train_from_config``, from a configuration in memory.

    Started by ``torchrun``, all processes train together, and the first one writes.

    Args:
        on_step: is told the number of steps after each of them.
    """
    folder = Path(out) if out else Path("runs") / config.name
    replicas = Replicas()
    device = replicas.join(resolve_device(config.device))
    try:
        return Trainer(config, folder, replicas, device, resume).run(on_step)
    finally:
        replicas.leave()
