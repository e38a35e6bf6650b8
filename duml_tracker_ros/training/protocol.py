"""What weights were trained on, and rules of test servers about that."""

from __future__ import annotations

from ..tracker.checkpoint import load_checkpoint
from ..tracker.checkpoint.store import shipped
from ..tracker.errors import ConfigError
from .config import TrainConfig
from .data.synthesis import DEFAULT_MIX

GOT10K = ("got10k",)
"""What weights of a valid entry of GOT-10k's server are trained on: its training part alone. A
backbone from ImageNet is allowed."""


def trained_on(config: TrainConfig) -> list[str]:
    """Names of the data that a recipe's weights come from, those that it starts from included."""
    data = config.data
    found = set(data.layouts)
    if data.root:
        found.add("own pictures")
    mix = data.mix or ({} if data.shares else DEFAULT_MIX)
    if data.scene_clips and mix.get("scene", 0) > 0:
        found.add("generated scenes")
    for file in (config.init_from, config.warm_from):
        if file:
            notes = load_checkpoint(shipped(file)).notes
            found |= set(notes.get("data", "unknown data").split(" + "))
    return sorted(found)


def check_protocol(config: TrainConfig) -> None:
    """Raise ConfigError when the weights would break the rules of ``data.protocol``."""
    if config.data.protocol != "got10k":
        return
    others = sorted(set(trained_on(config)) - set(GOT10K))
    if others:
        raise ConfigError(
            f"data.protocol = 'got10k': an entry of GOT-10k must be trained on its training part "
            f"alone, here it also comes from {', '.join(others)}: leave data.root, other "
            "data.layouts, init_from and warm_from empty and set data.scene_clips=0"
        )
