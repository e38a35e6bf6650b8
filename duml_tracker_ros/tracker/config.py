"""The settings of a tracker, and the YAML files in ``configs/`` that give one its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from .errors import ConfigError
from .network_config import Channels, Kernel, NetworkConfig
from .registry import REGISTRY, resolve
from .settings import Group, Length, Name, Range, Share, build, flat, load_yaml, merge

PRESET_DIR = Path(__file__).parent / "presets"

Score = Annotated[float, Range(-10, 10)]
"""A bar for scores, which are between 0 and about 1; one that is beyond them decides always."""
Count = Annotated[int, Range(0, 200)]
Rate = Annotated[float, Range(0, 0.99)]
"""Share of a new sample: the ones before keep some."""


@dataclass(frozen=True)
class PostprocessConfig(Group, path="postprocess"):
    """SiamRPN post-processing and score voting (DuML eq. 4, 5).

    ``fusion`` is the weighted ``sum`` of the branches (DuML eq. 1) or the ``product`` of class and
    predicted localisation (SiamRCR). ``scales`` are the sizes, relative to the last one, at which a
    tracker without boxes of its own searches (SiamFC), and ``scale_penalty`` the factor on the
    score at any but the last size. ``penalise`` says which score the size penalty lowers: the
    ``fused`` one, or only that of the ``offline`` branch (DROL). The cosine ``window`` is ``open``,
    small at the border of the map, or ``closed``, 0 there (PySOT). ``first_box`` is how far later
    boxes keep to the way the first one was drawn (``box_bias`` of ``target.TargetTrack``);
    ``refine`` how far the first one itself moves to the network's own, where that is sure of the
    same thing.
    """

    fusion: Literal["sum", "product"] = "sum"
    mu: Share = 0.8
    scales: Annotated[tuple[Annotated[float, Range(0.25, 4)], ...], Length(1, 16)] = (1.0,)
    scale_penalty: Share = 1.0
    penalty_k: Annotated[float, Range(0, 10)] = 0.05
    penalise: Literal["fused", "offline"] = "fused"
    window_influence: Share = 0.35
    window: Literal["open", "closed"] = "open"
    size_rate: Share = 0.4
    max_growth: Annotated[float, Range(1, 1000)] = 1.4
    first_box: Share = 0.0
    refine: Share = 0.0
    voting: bool = True
    voting_epsilon: Share = 0.01
    voting_sigma: Annotated[float, Range(1e-6, 10)] = 0.0025


@dataclass(frozen=True)
class OnlineConfig(Group, path="online"):
    """Memory and update rule of the online branch.

    ``merge`` is the share of the first frame's filter in the one that scores (FCOT eq. 6).
    Without ``learn_box`` FCOT's box regressor stays that of the first frame (its Table 2).
    ``asynchronous`` learns on a thread of its own, so that the answer comes before what is learned
    from it; the next frame waits for that and results are the same. ``auto``: on a CPU with a
    processor more for each of torch's threads.
    """

    memory: Annotated[int, Range(1, 1000)] = 50
    init_iterations: Count = 10
    init_samples: Annotated[int, Range(1, 1000)] = 15
    update: Literal["paper", "every_frame", "never"] = "paper"
    interval: Annotated[int, Range(1, 1000000)] = 20
    iterations: Count = 2
    rate: Rate = 0.1
    distractor_iterations: Count = 1
    distractor_rate: Rate = 0.2
    learn_above: Score = 0.5
    first_above: Score = 0.0
    merge: Share = 0.0
    learn_box: bool = True
    asynchronous: Literal["auto", "always", "never"] = "auto"


@dataclass(frozen=True)
class ClassifierConfig(Group, path="classifier"):
    """DROL's online classifier. ``label_width`` is the Gaussian's sigma as a share of the target.
    Without it (``active``) the Siamese tracker is alone. ``attention`` comes behind the
    compression, or ``attention_first`` (DROL, Table 5).

    ``first_steps`` Gauss-Newton steps of ``first_iterations`` conjugate gradients learn the first
    frame. Every ``template_interval`` frames (0: never) the surest of them becomes the short-term
    template, if its online score exceeds ``template_score``; it is used where its box overlaps
    that of the first template by ``template_overlap`` and its score exceeds the other's by
    ``template_gain`` (DROL eq. 6, 7).
    """

    active: bool = True
    channels: Channels = 64
    kernel: Kernel = 4
    attention: bool = True
    attention_first: bool = False
    regularisation: Annotated[float, Range(1e-9, 1000)] = 0.1
    label_width: Annotated[float, Range(0.01, 10)] = 0.25
    first_steps: Count = 6
    first_iterations: Count = 10
    template_interval: Annotated[int, Range(0, 1000000)] = 5
    template_score: Score = 0.75
    template_overlap: Share = 0.6
    template_gain: Score = 0.5


@dataclass(frozen=True)
class ProposalsConfig(Group, path="proposals"):
    """TLPG's second stage: ``count`` centres from the first one, and which proposal is the result.

    ``ending`` is ``nms``, the one of the highest score, or ``iou``: of those that non-maximum
    suppression removes beside it (IoU above ``overlap``) and itself, the one of the highest
    predicted IoU, improved by ``refine`` steps of gradient ascent. With one of the ``stages`` the
    first one's proposals are the result (Table 2).
    """

    stages: Annotated[int, Range(1, 2)] = 2
    count: Annotated[int, Range(1, 1000)] = 25
    ending: Literal["iou", "nms"] = "iou"
    overlap: Share = 0.5
    refine: Count = 0


@dataclass(frozen=True)
class MaskConfig(Group, path="mask"):
    """DROL-Mask's box from the mask.

    ``box`` is ``minmax``, the bounds of the largest connected part of what is at least
    ``threshold`` probable, ``rotated``, the upright box with the centre, area and aspect of that
    part's smallest rotated rectangle (as VOT makes boxes of rotated ones), or ``regressed``: the
    box head's, as without a mask. A mask whose box overlaps the regressed one by less than
    ``overlap`` is not believed.
    """

    box: Literal["minmax", "rotated", "regressed"] = "minmax"
    threshold: Annotated[float, Range(0.01, 0.99)] = 0.3
    overlap: Annotated[float, Range(0.01, 0.99)] = 0.5


@dataclass(frozen=True)
class MotionConfig(Group, path="motion"):
    """Where the search starts.

    With ``active`` the camera's motion since the last image is taken out, and a target that moves
    steadily is expected farther on (``egomotion``, ``prediction``); without it the search starts
    from the last box.
    """

    active: bool = False


@dataclass(frozen=True)
class LookAlikesConfig(Group, path="lookalikes"):
    """Look-alikes as tracks of their own.

    With ``active`` up to three further peaks of the scores that stay are followed, and what is seen
    in a frame is shared out among them and the target together (``lookalikes``): what has gone its
    own way is not taken for the target.
    """

    active: bool = False


@dataclass(frozen=True)
class ReacquireConfig(Group, path="reacquire"):
    """The search of the whole image for a target that is lost (``elsewhere``).

    Off without ``active``. With it a target that was lost for ``after`` frames is looked for around
    the place where it is expected in one of ``near`` frames only, and elsewhere in the others:
    where its colours are (``palette``), or in the next of the tiles that cover the image, so many
    times as wide as a usual window as ``scales`` say. A tile is seen in a crop of the usual size,
    and shows where to look closely. What is found there must be as plain as a trial asks
    (``localize.proof_share``) and hold for ``hold`` further frames; then it is followed on trial
    (``localize.proof_far``). What was lost for less is hidden near its place, and what is like it
    elsewhere is another thing.
    """

    active: bool = True
    after: Annotated[int, Range(1, 1000)] = 45
    hold: Annotated[int, Range(1, 100)] = 3
    near: Annotated[int, Range(2, 100)] = 4
    scales: Annotated[tuple[Annotated[float, Range(0.1, 10)], ...], Length(1, 8)] = (2.0,)


@dataclass(frozen=True)
class LocalizeConfig(Group, path="localize"):
    """Peak analysis: when the target counts as lost, uncertain or certain.

    ``lost_share``, ``unsure_share`` and ``found_share`` are shares of the score that the target
    usually reaches, a mean that follows at ``usual_rate``. What is found again must have the
    target's colour within ``colour_tolerance`` (chroma, see ``colour``; 0: not looked at).
    Whatever is TRACKING otherwise is UNCERTAIN where the histogram of its colours is less like the
    target's than usual by ``palette_tolerance`` (``palette``; 0: not looked at).
    It is followed on trial then: UNCERTAIN, and nothing is learned of it, until it has been as
    plain as found again takes for ``proof_frames`` frames on end (0: no trial), with an offline
    score of ``proof_share`` of the usual one, of which no more than ``proof_accurate`` is asked.
    What was lost for less than ``proof_after`` frames needs no trial: it is where it was. What is
    found far from there (``reacquire``) needs ``proof_far`` frames; if it is lost before, the
    search goes on where the target was expected.

    While it is lost the square in which it is looked for is wider by ``search_growth`` with each
    frame, ``max_search`` times at most (``nearby``).

    The confidence is a logistic curve of the mean score of both branches, with this slope and
    middle, fitted to the IoU on validation clips; slope 0 gives the mean score itself.
    """

    lost_below: Score = 0.25
    accurate_below: Score = 0.1
    found_above: Score = 0.4
    accurate_found: Score = 0.1
    lost_share: Score = 0.45
    unsure_share: Score = 0.7
    found_share: Score = 0.7
    proof_accurate: Score = 0.45
    proof_share: Score = 0.8
    proof_frames: Count = 3
    proof_after: Count = 15
    proof_far: Count = 15
    usual_rate: Share = 0.02
    colour_tolerance: Annotated[float, Range(0, 1000)] = 0.15
    palette_tolerance: Share = 0.08
    distractor_ratio: Score = 0.8
    neighbourhood: Annotated[float, Range(0, 100)] = 2.2
    search_growth: Annotated[float, Range(1, 10)] = 1.15
    max_search: Annotated[float, Range(1, 8)] = 2.0
    confidence_slope: Annotated[float, Range(0, 1000)] = 0.0
    confidence_middle: Score = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if 1 < self.search_growth < 1.001:
            raise ConfigError(
                f"localize.search_growth = {self.search_growth}: 1, so that the search never "
                "grows, or at least 1.001"
            )


@dataclass(frozen=True)
class TrackerConfig(Group):
    """Everything a tracker is made of.

    ``precision`` of backbone and heads: ``fp32``, ``bf16``, ``int8`` (of engines beside torch, with
    a graph that `duml-tracker export --int8` made), or ``auto``: 16 bits where the processor
    multiplies them, else int8 where there is such a graph. Last layers and what is learned online
    are kept in fp32, but for the products with the memory, in bf16 where the processor has that.

    ``engine`` runs the networks: ``torch``, or on a CPU ``openvino`` or ``onnxruntime``; ``auto``
    is the fastest that is installed (``engine.fastest_engine``). On CUDA ``cuda_graph``
    replays the whole frame of ``duml`` as one recorded graph.

    ``preset`` ``paper`` leaves out what this package adds to the papers (``presets/paper.yaml``);
    what is set beside it counts.
    """

    name: Name = "duml"
    size: Name = "compact"
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    engine: Literal["auto", "torch", "cuda_graph", "openvino", "onnxruntime"] = "auto"
    preset: Literal["", "paper"] = ""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    postprocess: PostprocessConfig = field(default_factory=PostprocessConfig)
    online: OnlineConfig = field(default_factory=OnlineConfig)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    proposals: ProposalsConfig = field(default_factory=ProposalsConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    localize: LocalizeConfig = field(default_factory=LocalizeConfig)
    motion: MotionConfig = field(default_factory=MotionConfig)
    lookalikes: LookAlikesConfig = field(default_factory=LookAlikesConfig)
    reacquire: ReacquireConfig = field(default_factory=ReacquireConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        samples, memory = self.online.init_samples, self.online.memory
        if samples > memory:
            raise ConfigError(
                f"online.init_samples = {samples}: must be at most online.memory ({memory})"
            )


def sizes(name: str = "duml") -> tuple[str, ...]:
    """Names of the sizes a tracker comes in, with those of the one whose networks it borrows."""
    if name not in REGISTRY:
        return ()
    record = REGISTRY[name]
    found = sorted(p.stem.removeprefix(f"{name}_") for p in record.configs.glob(f"{name}_*.yaml"))
    return (*sizes(record.borrows), *found) if record.borrows else tuple(found)


def load_config(
    size: str = "compact", overrides: Mapping[str, Any] | None = None, name: str = "duml"
) -> TrackerConfig:
    """Configuration of a tracker in a size, then dotted overrides.

    What a tracker sets for all its sizes lies over the file of a size that it borrows, and under
    one of its own; its key ``sizes`` holds what it sets for some of them. A preset lies over all of
    that.
    """
    if size not in sizes(name):
        raise ConfigError(f"unknown size {size!r} of {name}; choose from {', '.join(sizes(name))}")
    record = REGISTRY[name]
    own, shared = record.configs / f"{name}_{size}.yaml", record.configs / f"{name}.yaml"
    layers = [shared] if shared.is_file() else []
    if own.is_file():
        layers = [*layers, own]
    else:
        borrowed = REGISTRY[record.borrows]
        layers = [borrowed.configs / f"{borrowed.name}_{size}.yaml", *layers]
    values: dict[str, Any] = {}
    for layer in layers:
        own_values = load_yaml(layer)
        by_size = own_values.pop("sizes", {})
        values = merge(merge(values, flat(own_values)), flat(by_size.get(size, {})))
    wanted = (overrides or {}).get("preset")
    if isinstance(wanted, str) and (PRESET_DIR / f"{wanted}.yaml").is_file():
        preset = load_yaml(PRESET_DIR / f"{wanted}.yaml")
        for part in ("all", name):
            values = merge(values, flat(preset.get(part, {})))
    made: TrackerConfig = build(resolve(record.settings), merge(values, overrides or {}))
    return made
