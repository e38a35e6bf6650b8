"""Configuration as data: frozen dataclasses, one YAML file a tracker, unknown keys refused."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from .errors import ConfigError

CONFIG_DIR = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class BackboneConfig:
    """Feature extractor. ``slim`` is ours; ``resnet50`` is torchvision's by name and layout,
    ``alexnet`` SiamFC's. ``unpadded`` is SiamRPN++'s variant of a dilated ``resnet50``: no padding
    where it strides, 3x3 convolutions in the shortcuts. ``shallow`` are strides of finer maps
    handed out besides (masks)."""

    kind: str = "slim"
    widths: tuple[int, ...] = (24, 48, 96, 128)
    blocks: tuple[int, ...] = (1, 2, 2)
    strides: tuple[int, ...] = (8, 16)
    dilated: bool = False
    shallow: tuple[int, ...] = ()
    unpadded: bool = False


@dataclass(frozen=True)
class DecoderConfig:
    """FCOT's decoder and heads: channels of the decoder and of the features of the coarse and
    fine classifier and the box regressor, and the sides of their filters."""

    width: int = 32
    coarse: int = 64
    fine: int = 32
    box: int = 32
    kernel: int = 5
    box_kernel: int = 3
    deformable: bool = False


@dataclass(frozen=True)
class PointsConfig:
    """TLPG's deformable central correlation: channels of its features, side of the grid of points,
    share of the target that is its centre region (sigma_c), and hidden channels of IoU-Net."""

    channels: int = 64
    kernel: int = 5
    shrink: float = 0.3
    iou: int = 32


@dataclass(frozen=True)
class MaskNetConfig:
    """DROL-Mask's mask branch: ``cells`` a side of the response map that a mask spans, hidden
    channels of the mask vector, and channels of its map at half the response's resolution, at the
    response's, and at each finer one."""

    cells: int = 17
    vector: int = 64
    widths: tuple[int, ...] = (32, 32, 16, 8)

    def __post_init__(self) -> None:
        if self.cells % 4 != 1:
            raise ConfigError(
                f"network.mask.cells = {self.cells}: must be 4 k + 1 (13, 17, 21, ...), so that "
                "the mask has the response's cell in its centre at every resolution"
            )


@dataclass(frozen=True)
class NetworkConfig:
    """A network. Sizes are crop pixels and of the form 32 k + 1, or 32 k - 1 without padding.

    ``kind`` says which: ``dual_modal`` (DuML, and DROL beside it), ``siamese`` (SiamRCR) or
    ``encoder_decoder`` (FCOT, whose own part is ``decoder``), ``proposals`` (TLPG, ``points``) or
    ``mask`` (DROL-Mask, ``mask``).

    ``offline_branch`` and ``online_branch`` name the paper's formulations (DuML, Table 1), or
    ``none`` for a uni-modal tracker. A formulation in 5 scales (``5s``) has a score for each of
    ``anchor_ratios``; without any of them there is one square anchor. ``FC`` is full correlation
    without a box (SiamFC), ``RPN`` SiamRPN++'s head. With ``separate_towers`` the box has a tower
    of its own.

    ``pixels`` says what the backbone sees: ``imagenet`` (RGB, normalised) or ``bgr`` (BGR, 0..255);
    ``crop`` how windows are cut: ``exact``, or of ``whole`` pixels as PySOT does. Sides of anchors
    are rounded down to multiples of ``anchor_grain``, if there is one.
    """

    kind: str = "dual_modal"
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    template_size: int = 97
    search_size: int = 193
    stride: int = 8
    neck: int = 64
    matching: str = "depthwise"
    kernel: int = 7
    hidden: int = 64
    tower: int = 1
    separate_towers: bool = False
    anchor_size: float = 48.0
    anchor_ratios: tuple[float, ...] = (0.33, 0.5, 1.0, 2.0, 3.0)
    anchor_grain: float = 0.0
    pixels: str = "imagenet"
    crop: str = "exact"
    online_channels: int = 64
    online_kernel: int = 5
    online_bins: int = 100
    online_bin_width: float = 0.2
    offline_branch: str = "OFC-5s"
    online_branch: str = "ONR"
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    points: PointsConfig = field(default_factory=PointsConfig)
    mask: MaskNetConfig = field(default_factory=MaskNetConfig)

    def __post_init__(self) -> None:
        unpadded = self.backbone.unpadded
        form = "32 k - 1 (127, 255, 287" if unpadded else "32 k + 1 (97, 129, 193, 257, 321"
        for key in ("template_size", "search_size"):
            value = getattr(self, key)
            if value % 32 != (31 if unpadded else 1):
                raise ConfigError(
                    f"network.{key} = {value}: must be {form}, ...), "
                    "or the feature maps of the levels do not align"
                )
        if unpadded != (self.offline_branch == "RPN"):
            raise ConfigError(
                f"network.backbone.unpadded = {unpadded} with network.offline_branch = "
                f"{self.offline_branch!r}: RPN goes with an unpadded backbone, and no other branch"
            )
        choices = {
            "kind": KINDS,
            "matching": ("depthwise", "pixelwise"),
            "offline_branch": (*OFFLINE, "FC", "RPN"),
            "online_branch": ONLINE,
            "pixels": ("imagenet", "bgr"),
            "crop": ("exact", "whole"),
        }
        for key, values in choices.items():
            if getattr(self, key) not in values:
                raise ConfigError(
                    f"network.{key} = {getattr(self, key)!r}: choose from {', '.join(values)}"
                )
        if self.offline_branch == self.online_branch == "none":
            raise ConfigError("network.offline_branch and network.online_branch are both 'none'")

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ratios h / w of the anchors that boxes are relative to."""
        branches = self.offline_branch, self.online_branch
        scales = any(b.endswith("-5s") or b == "RPN" for b in branches)
        return self.anchor_ratios if scales else (1.0,)

    @property
    def border(self) -> int:
        """Crop pixels between the edge and the outermost cells of the score map."""
        if not self.backbone.unpadded:
            return 0
        # Of the features 7; then a 3x3 convolution and the correlation, neither of them padded.
        return 7 + self.stride * (1 + self.kernel // 2)

    def scores(self, branch: str) -> int:
        """Score channels of a branch: one an anchor, or one for all."""
        return len(self.ratios) if branch.endswith("-5s") else 1


@dataclass(frozen=True)
class PostprocessConfig:
    """SiamRPN post-processing and score voting (DuML eq. 4, 5).

    ``fusion`` is the weighted ``sum`` of the branches (DuML eq. 1) or the ``product`` of class and
    predicted localisation (SiamRCR). ``scales`` are the sizes, relative to the last one, at which a
    tracker without boxes of its own searches (SiamFC), and ``scale_penalty`` the factor on the
    score at any but the last size. ``penalise`` says which score the size penalty lowers: the
    ``fused`` one, or only that of the ``offline`` branch (DROL). The cosine ``window`` is ``open``,
    small at the border of the map, or ``closed``, 0 there (PySOT). ``first_box`` is how far later
    boxes keep to the way the first one was drawn, see ``target.TargetTrack.style``.
    """

    fusion: str = "sum"
    mu: float = 0.8
    scales: tuple[float, ...] = (1.0,)
    scale_penalty: float = 1.0
    penalty_k: float = 0.05
    penalise: str = "fused"
    window_influence: float = 0.35
    window: str = "open"
    size_rate: float = 0.4
    max_growth: float = 1.4
    first_box: float = 0.0
    voting: bool = True
    voting_epsilon: float = 0.01
    voting_sigma: float = 0.0025


@dataclass(frozen=True)
class OnlineConfig:
    """Memory and update rule of the online branch.

    ``merge`` is the share of the first frame's filter in the one that scores (FCOT eq. 6).
    ``asynchronous`` learns on a thread of its own, so that the answer comes before what is learned
    from it; the next frame waits for that and results are the same. ``auto``: on a CPU with a
    processor more for each of torch's threads.
    """

    memory: int = 50
    init_iterations: int = 10
    init_samples: int = 15
    update: str = "paper"
    interval: int = 20
    iterations: int = 2
    rate: float = 0.1
    distractor_iterations: int = 1
    distractor_rate: float = 0.2
    learn_above: float = 0.5
    first_above: float = 0.0
    merge: float = 0.0
    asynchronous: str = "auto"


@dataclass(frozen=True)
class ClassifierConfig:
    """DROL's online classifier. ``label_width`` is the Gaussian's sigma as a share of the target.
    Without it (``active``) the Siamese tracker is alone.

    ``first_steps`` Gauss-Newton steps of ``first_iterations`` conjugate gradients learn the first
    frame. Every ``template_interval`` frames (0: never) the surest of them becomes the short-term
    template, if its online score exceeds ``template_score``; it is used where its box overlaps
    that of the first template by ``template_overlap`` and its score exceeds the other's by
    ``template_gain`` (DROL eq. 6, 7).
    """

    active: bool = True
    channels: int = 64
    kernel: int = 4
    attention: bool = True
    regularisation: float = 0.1
    label_width: float = 0.25
    first_steps: int = 6
    first_iterations: int = 10
    template_interval: int = 5
    template_score: float = 0.75
    template_overlap: float = 0.6
    template_gain: float = 0.5


@dataclass(frozen=True)
class ProposalsConfig:
    """TLPG's second stage: ``count`` centres from the first one, and which proposal is the result.

    ``ending`` is ``nms``, the one of the highest score, or ``iou``: of those that non-maximum
    suppression removes beside it (IoU above ``overlap``) and itself, the one of the highest
    predicted IoU, improved by ``refine`` steps of gradient ascent.
    """

    count: int = 25
    ending: str = "iou"
    overlap: float = 0.5
    refine: int = 0


@dataclass(frozen=True)
class MaskConfig:
    """DROL-Mask's box from the mask.

    ``box`` is ``minmax``, the bounds of the largest connected part of what is at least
    ``threshold`` probable, ``rotated``, the upright box with the centre, area and aspect of that
    part's smallest rotated rectangle (as VOT makes boxes of rotated ones), or ``regressed``: the
    box head's, as without a mask. A mask whose box overlaps the regressed one by less than
    ``overlap`` is not believed.
    """

    box: str = "minmax"
    threshold: float = 0.3
    overlap: float = 0.5

    def __post_init__(self) -> None:
        if self.box not in ("minmax", "rotated", "regressed"):
            raise ConfigError(f"mask.box = {self.box!r}: minmax, rotated or regressed")
        for key in ("threshold", "overlap"):
            if not 0 < getattr(self, key) < 1:
                raise ConfigError(f"mask.{key} = {getattr(self, key)}: above 0 and below 1")


@dataclass(frozen=True)
class MotionConfig:
    """Where the search starts.

    With ``active`` the camera's motion since the last image is taken out, and a target that moves
    steadily is expected farther on (``egomotion``, ``prediction``); without it the search starts
    from the last box.
    """

    active: bool = False


@dataclass(frozen=True)
class LocalizeConfig:
    """Peak analysis: when the target counts as lost, uncertain or certain.

    ``lost_share``, ``unsure_share`` and ``found_share`` are shares of the score that the target
    usually reaches, a mean that follows at ``usual_rate``. What is found again must have the
    target's colour within ``colour_tolerance`` (chroma, see ``colour``; 0: not looked at).

    The confidence is a logistic curve of the mean score of both branches, with this slope and
    middle, fitted to the IoU on validation clips; slope 0 gives the mean score itself.
    """

    lost_below: float = 0.25
    accurate_below: float = 0.1
    found_above: float = 0.4
    accurate_found: float = 0.1
    lost_share: float = 0.45
    unsure_share: float = 0.7
    found_share: float = 0.7
    usual_rate: float = 0.02
    colour_tolerance: float = 0.15
    distractor_ratio: float = 0.8
    neighbourhood: float = 2.2
    search_growth: float = 1.15
    max_search: float = 2.0
    confidence_slope: float = 0.0
    confidence_middle: float = 0.5


@dataclass(frozen=True)
class TrackerConfig:
    """Everything a tracker is made of.

    ``precision`` of backbone and heads: ``fp32``, ``bf16``, or ``auto`` (bf16 where the processor
    multiplies bf16 matrices). What is learned online is kept in fp32; its products with the memory
    are in bf16, too.

    ``engine`` runs the networks: ``torch``, or on a CPU ``openvino`` or ``onnxruntime``. On CUDA
    ``cuda_graph`` replays the whole frame of ``duml`` as one recorded graph.
    """

    name: str = "duml"
    size: str = "compact"
    precision: str = "auto"
    engine: str = "torch"
    network: NetworkConfig = field(default_factory=NetworkConfig)
    postprocess: PostprocessConfig = field(default_factory=PostprocessConfig)
    online: OnlineConfig = field(default_factory=OnlineConfig)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    proposals: ProposalsConfig = field(default_factory=ProposalsConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    localize: LocalizeConfig = field(default_factory=LocalizeConfig)
    motion: MotionConfig = field(default_factory=MotionConfig)

    def __post_init__(self) -> None:
        o, p = self.online, self.postprocess
        if self.precision not in PRECISIONS:
            raise ConfigError(f"precision = {self.precision!r}: choose from {PRECISIONS}")
        if self.engine not in ENGINES:
            raise ConfigError(f"engine = {self.engine!r}: choose from {', '.join(ENGINES)}")
        if o.update not in UPDATE_RULES:
            raise ConfigError(f"online.update = {o.update!r}: choose from {UPDATE_RULES}")
        if o.asynchronous not in ASYNCHRONOUS:
            raise ConfigError(
                f"online.asynchronous = {o.asynchronous!r}: choose from {', '.join(ASYNCHRONOUS)}"
            )
        if p.penalise not in ("fused", "offline"):
            raise ConfigError(f"postprocess.penalise = {p.penalise!r}: fused or offline")
        if p.window not in ("open", "closed"):
            raise ConfigError(f"postprocess.window = {p.window!r}: open or closed")
        if p.fusion not in ("sum", "product"):
            raise ConfigError(f"postprocess.fusion = {p.fusion!r}: sum or product")
        if self.proposals.ending not in ("iou", "nms"):
            raise ConfigError(f"proposals.ending = {self.proposals.ending!r}: iou or nms")
        if not 1 <= o.init_samples <= o.memory:
            raise ConfigError(
                f"online.init_samples = {o.init_samples}: between 1 and online.memory ({o.memory})"
            )
        shares = ("mu", p.mu), ("window_influence", p.window_influence), ("first_box", p.first_box)
        for key, value in shares:
            if not 0 <= value <= 1:
                raise ConfigError(f"postprocess.{key} = {value}: between 0 and 1")


PRECISIONS = ("auto", "fp32", "bf16")
ENGINES = ("torch", "cuda_graph", "openvino", "onnxruntime")
ASYNCHRONOUS = ("auto", "always", "never")
UPDATE_RULES = ("paper", "every_frame", "never")
KINDS = ("dual_modal", "siamese", "encoder_decoder", "proposals", "mask")
OFFLINE = ("OFC-5s", "OFC-1s", "OFR", "none")
ONLINE = ("ONR", "ONC-1s", "ONC-5s", "none")

T = TypeVar("T")


def build(cls: type[T], values: Mapping[str, Any], path: str = "") -> T:
    """Make a dataclass from nested mappings. Raises ConfigError that names an unknown key."""
    hints = typing.get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    out: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{path}{key}"
        if key not in known:
            raise ConfigError(f"unknown key {name!r}; known here: {', '.join(sorted(known))}")
        out[key] = _convert(hints[key], value, name)
    return cls(**out)


def _convert(kind: Any, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if dataclasses.is_dataclass(value):
            return value
        if not isinstance(value, Mapping):
            raise ConfigError(f"{name} = {value!r}: a mapping is expected")
        return build(typing.cast(type, kind), value, f"{name}.")
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{name} = {value!r}: a list is expected")
        return tuple(_convert(typing.get_args(kind)[0], v, name) for v in value)
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if kind is bool and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if typing.get_origin(kind) is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{name} = {value!r}: a mapping is expected")
        return dict(value)
    if kind in (int, str, bool) and type(value) is kind:
        return value
    if kind in (int, float) and isinstance(value, str):
        try:
            return kind(value)
        except ValueError:
            pass
    wanted = getattr(kind, "__name__", str(kind))
    raise ConfigError(f"{name} = {value!r}: {wanted} is expected")


def merge(base: Mapping[str, Any], dotted: Mapping[str, Any]) -> dict[str, Any]:
    """Lay dotted keys ({"online.update": "never"}) over nested mappings."""
    out: dict[str, Any] = {
        k: (merge(v, {}) if isinstance(v, Mapping) else v) for k, v in base.items()
    }
    for key, value in dotted.items():
        node = out
        *parents, leaf = key.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ConfigError(f"unknown key {key!r}: {parent!r} has no keys below it")
        node[leaf] = value
    return out


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping. Raises ConfigError that names the file."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: a mapping of keys is expected")
    return data


def sizes(name: str = "duml") -> tuple[str, ...]:
    """Names of the sizes a tracker comes in, those of DuML included if it borrows its networks."""
    found = sorted(p.stem.removeprefix(f"{name}_") for p in CONFIG_DIR.glob(f"{name}_*.yaml"))
    return (*sizes(), *found) if (CONFIG_DIR / f"{name}.yaml").is_file() else tuple(found)


def load_config(
    size: str = "compact", overrides: Mapping[str, Any] | None = None, name: str = "duml"
) -> TrackerConfig:
    """Configuration of a tracker in a size, then dotted overrides.

    What a tracker sets for all its sizes (DROL) lies over DuML's file of a size, and under one of
    its own.
    """
    if size not in sizes(name):
        raise ConfigError(f"unknown size {size!r} of {name}; choose from {', '.join(sizes(name))}")
    own, shared = CONFIG_DIR / f"{name}_{size}.yaml", CONFIG_DIR / f"{name}.yaml"
    layers = [own]
    if shared.is_file():
        layers = [shared, own] if own.is_file() else [CONFIG_DIR / f"duml_{size}.yaml", shared]
    values: dict[str, Any] = {}
    for layer in layers:
        values = merge(values, _flat(load_yaml(layer)))
    return build(TrackerConfig, merge(values, overrides or {}))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            out |= _flat(value, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = value
    return out
