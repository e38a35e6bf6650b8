"""Recipes: YAML files that say what a training is made of; those in ``configs/`` are shipped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..tracker.errors import ConfigError
from ..tracker.settings import build, load_yaml, merge
from .config import TrainConfig
from .objectives import objective

CONFIG_DIR = Path(__file__).parent / "configs"


def resolve(config: str | Path) -> Path:
    """A path, or the name of a shipped recipe."""
    path = Path(config)
    if path.is_file():
        return path
    shipped = CONFIG_DIR / f"{config}.yaml"
    if shipped.is_file():
        return shipped
    names = ", ".join(sorted(p.stem for p in CONFIG_DIR.glob("*.yaml")))
    raise ConfigError(f"no training configuration {str(config)!r}: give a file or one of {names}")


def load_train_config(
    config: str | Path, overrides: Mapping[str, Any] | None = None
) -> TrainConfig:
    """Read a recipe, with dotted overrides laid over it. Raises ConfigError."""
    values = merge(load_yaml(resolve(config)), overrides or {})
    return build(objective(values.get("tracker", TrainConfig.tracker)).config, values)
