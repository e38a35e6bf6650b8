"""The network that a recipe trains."""

from __future__ import annotations

import dataclasses

from ..tracker.checkpoint.store import how_to_make
from ..tracker.config import load_config
from ..tracker.errors import ConfigError
from ..tracker.factory import system
from ..tracker.network.base import CropNet
from ..tracker.network_config import NetworkConfig
from ..tracker.settings import build, flat, merge
from .config import TrainConfig


def make_network(config: TrainConfig) -> tuple[CropNet, NetworkConfig]:
    """The network that a recipe trains, with random weights. Raises ConfigError."""
    recipe = how_to_make(config.size, config.tracker)
    if recipe != f"duml-tracker train {config.tracker}_{config.size}":
        raise ConfigError(
            f"tracker = {config.tracker!r}, size = {config.size!r}: it has no network of its own "
            f"to train, its weights are made by '{recipe}'"
        )
    base = dataclasses.asdict(load_config(config.size, name=config.tracker).network)
    network = build(NetworkConfig, merge(base, flat(config.network)))
    return system(config.tracker).network(network), network
