"""Which loss trains which tracker's network: found by the tracker's registration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..tracker.errors import ConfigError
from ..tracker.registry import REGISTRY, resolve
from .config import TrainConfig

Loss = Callable[[Any, Mapping[str, Tensor], Any, torch.autocast], tuple[Tensor, dict[str, Tensor]]]
"""Of a network, a batch (see ``objective.joint_loss``), a recipe (`Objective.config`) and the
context that the network computes in: the loss, and its parts by name."""


class Objective(NamedTuple):
    """A loss, which of its parts the log shows, and the class of its recipes: ``TrainConfig``, or
    one derived from it with the objective's own settings."""

    loss: Loss
    parts: tuple[str, ...]
    config: type[TrainConfig] = TrainConfig


def objective(tracker: str) -> Objective:
    """The objective of a tracker. Raises ConfigError for one that has none."""
    able = [name for name, record in REGISTRY.items() if record.objective]
    if tracker not in able:
        raise ConfigError(f"tracker = {tracker!r}: train one of {', '.join(able)}")
    found: Objective = resolve(REGISTRY[tracker].objective)
    return found
