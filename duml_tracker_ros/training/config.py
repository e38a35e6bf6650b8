"""What one training run is made of. The YAML files in ``configs/`` are the shipped recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..tracker.config import ConfigError, build, load_yaml, merge
from .assignment import ASSIGNMENTS
from .fc_objective import FcLossConfig
from .fcot_objective import FcotLossConfig
from .mask_labels import MaskLossConfig
from .rcr_objective import RcrLossConfig
from .tlpg_objective import TlpgLossConfig

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
    masks: str = "none"
    exclude_videos: tuple[str, ...] = ()


@dataclass(frozen=True)
class LossConfig:
    """Weights of the joint loss (DuML eq. 6) and of its parts.

    ``candidates`` 0 is the paper's: 15 for OFC-5s, 11 for OFC-1s. ``ofr_sigma`` and
    ``label_sigma`` are in cells.
    """

    online: float = 1.0
    offline: float = 10.0
    box: float = 1.2
    iou: float = 1.2
    box_kind: str = "l1"
    normalise: str = "per_class"
    assignment: str = "ATSS-MaxIoU"
    candidates: int = 0
    cls_loss: str = "focal"
    ofr_loss: str = "penalty_reduced"
    ofr_sigma: float = 2.0
    unroll: int = 4
    label_sigma: float = 1.5
    hinge: float = 0.05


@dataclass(frozen=True)
class TrainConfig:
    """One run for the network of ``tracker``, whose loss is set by the group of its name (``loss``
    for DuML). ``stop_after`` ends it early (0: not) on the schedule of all ``steps``.

    A sample has ``support`` search frames for the online filter to learn from and ``query`` ones
    to judge it on (DuML: 3 and 2). ``validate_on`` is a folder of clips (``NAME/img/``,
    ``NAME/groundtruth_rect.txt``), ``init_from`` a checkpoint of the whole network,
    ``backbone_from`` a torchvision ImageNet file for the ResNet-50, ``warm_from`` a checkpoint of
    another tracker, or the name of shipped weights, of which all that fits is taken, or only what
    belongs to ``warm_parts``. Parts of the network whose names stand in ``freeze`` (``backbone``,
    ``offline.levels.0``) stay as they are.
    """

    tracker: str = "duml"
    size: str = "compact"
    name: str = "duml_compact"
    network: dict[str, Any] = field(default_factory=dict)
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    drol_fc: FcLossConfig = field(default_factory=FcLossConfig)
    drol_mask: MaskLossConfig = field(default_factory=MaskLossConfig)
    fcot: FcotLossConfig = field(default_factory=FcotLossConfig)
    tlpg: TlpgLossConfig = field(default_factory=TlpgLossConfig)
    siamrcr: RcrLossConfig = field(default_factory=RcrLossConfig)
    steps: int = 10000
    batch: int = 32
    support: int = 3
    query: int = 2
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
    validate_on: str = ""
    init_from: str = ""
    backbone_from: str = ""
    warm_from: str = ""
    warm_parts: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    stop_after: int = 0

    def __post_init__(self) -> None:
        if self.loss.box_kind not in ("l1", "giou", "both"):
            raise ConfigError(f"loss.box_kind = {self.loss.box_kind!r}: l1, giou or both")
        choices = {
            "assignment": ASSIGNMENTS,
            "cls_loss": ("focal", "ce"),
            "ofr_loss": ("penalty_reduced", "regressive"),
        }
        for key, values in choices.items():
            if getattr(self.loss, key) not in values:
                raise ConfigError(
                    f"loss.{key} = {getattr(self.loss, key)!r}: choose from {', '.join(values)}"
                )
        if self.loss.normalise not in ("per_class", "positives"):
            raise ConfigError(f"loss.normalise = {self.loss.normalise!r}: per_class or positives")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise ConfigError(f"precision = {self.precision!r}: auto, fp32 or bf16")
        for key in ("steps", "batch", "support", "query", "checkpoint_every", "validate_every"):
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
