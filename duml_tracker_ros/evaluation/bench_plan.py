"""What the cost of a tracker may depend on, as cases to measure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .participants import TrackerSpec

WARM_UP = 5
"""Updates before measuring: lazy set-up of the libraries."""


@dataclass(frozen=True)
class BenchCase:
    """One configuration to measure.

    Attributes:
        group: the sweep it belongs to (``image``, ``targets``, ``memory``, ``update``, ...).
        label: its value within the sweep.
        spec: the tracker.
        width, height: of the frames, pixels.
        frames: updates measured.
        warm_up: updates before them; as many as fill the memory where its size is studied.
        threads: of torch and OpenCV; None leaves their choice.
        targets: followed together through the same frames.
        isa: instruction set that the libraries keep to, of ``vector_units.RESTRICTIONS``.
    """

    group: str
    label: str
    spec: TrackerSpec
    width: int = 640
    height: int = 480
    frames: int = 100
    warm_up: int = WARM_UP
    threads: int | None = None
    targets: int = 1
    isa: str | None = None

    @property
    def name(self) -> str:
        """The label, with the instruction set where one was asked for."""
        return f"{self.label} {self.isa}" if self.isa else self.label


SWEEPS = (
    "image",
    "targets",
    "search",
    "memory",
    "update",
    "engine",
    "backbone",
    "baselines",
    "long",
)
"""What cost may depend on; `plan` turns each into cases."""
IMAGE_SIZES = ((320, 240), (640, 480), (1280, 720), (1920, 1080), (3840, 2160))
SEARCH_STEPS = (-2, -1, 0, 1, 2, 4)
MEMORY_SIZES = (15, 25, 50, 100, 200)
UPDATE_RULES = ("never", "paper", "every_frame")
TARGET_COUNTS = (1, 2, 4, 8)
SURE = {
    **dict.fromkeys(("localize.lost_below", "localize.accurate_below"), -9.0),
    **dict.fromkeys(("localize.lost_share", "localize.unsure_share"), -9.0),
    **dict.fromkeys(("online.learn_above", "online.first_above", "localize.found_above"), -9.0),
}
"""Untrained networks are never sure of a target: so they go on, and learn."""
PRECISIONS = {"openvino": ("fp32", "bf16", "int8"), "onnxruntime": ("fp32", "int8")}
"""What is measured of an engine; of others what they take by themselves."""
BASELINES_MEASURED = ("opencv_csrt", "opencv_kcf", "opencv_mil")


def plan(
    spec: TrackerSpec,
    sweeps: Sequence[str],
    *,
    image: tuple[int, int] = (640, 480),
    frames: int = 100,
    long_frames: int = 10000,
    threads: int | None = None,
    baselines: Sequence[TrackerSpec] = (),
    isas: Sequence[str | None] = (),
) -> list[BenchCase]:
    """The cases of some sweeps around one configuration, the plain configuration first.

    All of them for each of ``isas``, where there are any.
    """
    from ..tracker.checkpoint import usual_size

    width, height = image
    base = BenchCase("base", spec.name, spec, width, height, frames, threads=threads)

    def changed(group: str, label: str, **settings: Any) -> BenchCase:
        overrides = {**spec.overrides, **settings}
        return replace(base, group=group, label=label, spec=replace(spec, overrides=overrides))

    cases = [base]
    if "image" in sweeps:
        cases += [
            replace(base, group="image", label=f"{w}x{h}", width=w, height=h)
            for w, h in IMAGE_SIZES
        ]
    if "targets" in sweeps:
        cases += [replace(base, group="targets", label=str(n), targets=n) for n in TARGET_COUNTS]
    if "search" in sweeps:
        usual = _search_size(spec)
        for step in SEARCH_STEPS:
            size = usual + 32 * step
            if size >= 97:
                cases.append(changed("search", str(size), **{"network.search_size": size}))
    if "memory" in sweeps:
        for size in MEMORY_SIZES:
            # Learning on every frame shows what a full memory costs.
            settings = {"online.memory": size, "online.update": "every_frame"}
            settings["online.init_samples"] = min(15, size)
            case = changed("memory", str(size), **settings)
            cases.append(replace(case, warm_up=max(WARM_UP, size)))
    if "update" in sweeps:
        cases += [changed("update", rule, **{"online.update": rule}) for rule in UPDATE_RULES]
        waits = {"online.update": "every_frame", "online.asynchronous": "never"}
        cases.append(changed("update", "every_frame, waits for it", **waits))
    # The paper's size has no shipped weights: what it learned does not change its time.
    paper = replace(spec, size="r50", weights="random", overrides={**spec.overrides, **SURE})
    if "engine" in sweeps:
        for sized, engine in itertools.product((spec, paper), engines(spec.device)):
            for precision in PRECISIONS.get(engine, ("auto",)):
                settings = {
                    "engine": engine,
                    "precision": precision,
                    "online.update": "every_frame",
                }
                chosen = replace(sized, overrides={**sized.overrides, **settings})
                label = f"{sized.size or usual_size(sized.name)} {engine}"
                if precision != "auto":
                    label += f" {precision}"
                cases.append(replace(base, group="engine", label=label, spec=chosen))
    if "backbone" in sweeps:
        for dilated in (False, True):
            settings = {**paper.overrides, "network.backbone.dilated": dilated}
            label = "r50 dilated" if dilated else "r50 original strides"
            chosen = replace(paper, overrides=settings)
            cases.append(replace(base, group="backbone", label=label, spec=chosen))
    if "baselines" in sweeps:
        cases += [replace(base, group="baselines", label=p.name, spec=p) for p in baselines]
    if "long" in sweeps:
        cases.append(replace(base, group="long", label=f"{long_frames} frames", frames=long_frames))
    return [replace(c, isa=isa) for isa in isas or (None,) for c in cases]


def engines(device: str) -> list[str]:
    """Engines that can run on a device, as far as they are installed."""
    from ..tracker.compute.device import resolve_device
    from ..tracker.engine import usable_engines

    return usable_engines(resolve_device(device))


def _search_size(spec: TrackerSpec) -> int:
    """Search size of the configuration, without loading weights."""
    from ..tracker.checkpoint import usual_size
    from ..tracker.config import load_config

    size = spec.size or usual_size(spec.name)
    return load_config(size, spec.overrides, spec.name).network.search_size
