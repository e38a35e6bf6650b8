"""What one training run is made of. The YAML files in ``configs/`` are the shipped recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..tracker.config import ConfigError, build, load_yaml, merge

CONFIG_DIR = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class DataConfig:
    """Where the images come from and how many batches are prepared ahead."""

    root: str = ""
    cache: str = ""
    workers: int = 1
    mix: dict[str, float] = field(default_factory=dict)
    layouts: dict[str, str] = field(default_factory=dict)
    grabcut_limit: int = 2500
    scene_clips: int = 150
    distractors: int = 4
    exclude_videos: tuple[str, ...] = ()


@dataclass(frozen=True)
class LossConfig:
    """Weights of the joint loss (DuML eq. 6) and of its parts."""

    online: float = 1.0
    offline: float = 10.0
    box: float = 1.2
    iou: float = 1.2
    box_kind: str = "l1"
    normalise: str = "per_class"
    candidates: int = 15
    unroll: int = 4
    label_sigma: float = 1.5
    hinge: float = 0.05


@dataclass(frozen=True)
class TrainConfig:
    """One run. ``stop_after`` ends it early (0: not) on the schedule of all ``steps``."""

    size: str = "compact"
    name: str = "duml_compact"
    network: dict[str, Any] = field(default_factory=dict)
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    steps: int = 10000
    batch: int = 32
    lr: float = 2e-3
    weight_decay: float = 2e-3
    warmup: int = 150
    flat: float = 0.4
    clip: float = 5.0
    ema: float = 0.997
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    checkpoint_every: int = 500
    validate_every: int = 1000
    init_from: str = ""
    stop_after: int = 0

    def __post_init__(self) -> None:
        if self.loss.box_kind not in ("l1", "giou", "both"):
            raise ConfigError(f"loss.box_kind = {self.loss.box_kind!r}: l1, giou or both")
        if self.loss.normalise not in ("per_class", "positives"):
            raise ConfigError(f"loss.normalise = {self.loss.normalise!r}: per_class or positives")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise ConfigError(f"precision = {self.precision!r}: auto, fp32 or bf16")
        for key in ("steps", "batch", "checkpoint_every", "validate_every"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{key} = {getattr(self, key)}: at least 1")


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
    return build(TrainConfig, merge(load_yaml(resolve(config)), overrides or {}))
