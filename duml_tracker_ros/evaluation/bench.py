"""How long a tracker takes, part by part, and what its cost depends on.

Every case runs in a process of its own, one after the other, on frames made beforehand: no image
decoding, nothing shared with the case before, and memory that belongs to this case alone.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import html
import itertools
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..vector_units import RESTRICTIONS, brief, vector_units
from .participants import OwnTracker, OwnTrackers, Participant, TrackerSpec, create_participant
from .peers import PEERS, Box
from .runner import end_with_parent, limit_threads
from .svg import Axis, Bar, Series, axis_for, bar_chart, colour, line_chart

WARM_UP = 5
"""Updates before measuring: lazy set-up of the libraries."""

INITS = 5
QUIET = 0.01
"""Share of the processors' time that others may take before a case is measured again."""
CURVE_POINTS = 200


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


@dataclass(frozen=True)
class BenchResult:
    """Times in milliseconds, memory in MiB.

    Attributes:
        median, low, high: of the updates; low and high are the 5 and 95 % quantiles.
        mean: of the updates: it counts the frames on which the online module learns.
        parts: median of each stage (mean of the online step, which most frames go without), from
            a run of its own with profiling on, without background updates; empty for peers.
        parts_spread: 5 and 95 % quantiles of each stage.
        late: 99 % quantile of the updates.
        init: median of several starts; init_spread: the shortest and the longest.
        memory: resident memory of the process at the end, above an empty one with the libraries.
        growth: memory gained between the first tenth of the updates and the end.
        device_memory: peak memory allocated on the GPU; None on a CPU.
        stolen: share of the processors' time that the host of a virtual machine gave to others
            meanwhile; NaN where the system does not tell.
        seen: share of updates on which the tracker did not report a loss.
        curve: medians of ``CURVE_POINTS`` consecutive slices, to show a trend over time.
        cpu: processor time of an update, mean, of all threads of the process: what others take
            of the machine is not in it.
        engine: what ran the networks, and in which precision.
        units: vector units that the libraries could use.
    """

    case: BenchCase
    median: float
    mean: float
    low: float
    high: float
    late: float
    init: float
    init_spread: tuple[float, float]
    parts: dict[str, float]
    parts_spread: dict[str, tuple[float, float]]
    memory: float
    growth: float
    device_memory: float | None
    stolen: float
    seen: float
    curve: tuple[float, ...]
    cpu: float
    engine: str = ""
    units: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def make_frames(width: int, height: int, count: int = 12) -> tuple[list[NDArray[np.uint8]], Box]:
    """BGR frames of a textured target that glides over a textured ground, and its first box.

    The target's side is an eighth of the image's shorter side, so that the searched region grows
    with the image as it does with a camera of higher resolution.
    """
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 170, (max(2, height // 24), max(2, width // 24), 3), np.uint8)
    ground = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    side = max(12, min(width, height) // 8)
    patch = cv2.resize(
        rng.integers(0, 255, (4, 5, 3), np.uint8),
        (round(side * 1.25), side),
        interpolation=cv2.INTER_CUBIC,
    )
    step = max(1, side // 12)
    left, top = width // 2 - side, height // 2 - side // 2
    frames = []
    for index in range(count):
        image = ground.copy()
        x = left + step * index
        image[top : top + patch.shape[0], x : x + patch.shape[1]] = patch
        frames.append(np.asarray(image, dtype=np.uint8))
    return frames, (float(left), float(top), float(patch.shape[1]), float(patch.shape[0]))


def there_and_back(count: int, index: int) -> int:
    """Frame to show at step ``index``: 0, 1, ..., count-1, ..., 1, 0, 1, ... without a jump."""
    period = 2 * (count - 1)
    at = index % period
    return at if at < count else period - at


def resident_memory() -> float:
    """Resident memory of this process in MiB; NaN where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def processor_ticks() -> tuple[float, float]:
    """Ticks of all processors so far: those stolen by the host, and all; NaN if nobody tells."""
    try:
        ticks = [int(v) for v in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return float(ticks[7]), float(sum(ticks))
    except (OSError, ValueError, IndexError):
        return float("nan"), float("nan")


def measure(case: BenchCase) -> BenchResult:
    """Measure one case in this process."""
    import torch

    if case.threads is not None:
        limit_threads(case.threads)
    frames, box = make_frames(case.width, case.height)
    torch.nn.functional.conv2d(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 3, 3))
    gc.collect()
    empty = resident_memory()
    tracker = _make(case)
    if case.isa and _engine(tracker).startswith("onnxruntime"):
        raise RuntimeError("ONNX Runtime cannot be kept to an instruction set; take --isa all")
    inits = []
    for _ in range(INITS):
        start = time.perf_counter()
        tracker.init(frames[0], box)
        inits.append(time.perf_counter() - start)
    cuda = isinstance(tracker, OwnTracker) and tracker.tracker.device.type == "cuda"
    inits = [seconds / case.targets for seconds in inits]
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    for index in range(1, case.warm_up + 1):
        tracker.update(frames[there_and_back(len(frames), index)])
    times = np.empty(case.frames)
    lost = 0
    stolen, ticks = processor_ticks()
    early = resident_memory()
    spent = time.process_time()
    for index in range(case.frames):
        image = frames[there_and_back(len(frames), index + case.warm_up + 1)]
        start = time.perf_counter()
        seen = tracker.update(image)
        times[index] = time.perf_counter() - start
        lost += seen.state == "lost"
        if index == case.frames // 10:
            early = resident_memory()
    spent = time.process_time() - spent
    end = resident_memory()
    stolen, ticks = (b - a for a, b in zip((stolen, ticks), processor_ticks(), strict=True))
    times *= 1e3
    slices = np.array_split(times, min(CURVE_POINTS, case.frames))
    low, middle, high, late = np.percentile(times, [5, 50, 95, 99])
    device_memory = torch.cuda.max_memory_allocated() / 2**20 if cuda else None
    parts, spread = _measure_parts(case, frames, box)
    return BenchResult(
        case=case,
        median=float(middle),
        mean=float(times.mean()),
        low=float(low),
        high=float(high),
        late=float(late),
        init=float(np.median(inits) * 1e3),
        init_spread=(min(inits) * 1e3, max(inits) * 1e3),
        parts=parts,
        parts_spread=spread,
        memory=end - empty,
        growth=end - early,
        device_memory=device_memory,
        stolen=stolen / max(ticks, 1.0),
        seen=1 - lost / case.frames,
        curve=tuple(float(np.median(s)) for s in slices),
        cpu=spent / case.frames * 1e3,
        engine=_engine(tracker),
        units=brief(vector_units()),
    )


def _engine(tracker: Participant) -> str:
    if not isinstance(tracker, OwnTracker):
        return "opencv"
    told = tracker.tracker.info()
    return f"{told['engine']} {told['precision']}"


def _make(case: BenchCase, *, profile: bool = False) -> Participant:
    """The tracker of a case."""
    if case.targets > 1:
        return OwnTrackers(case.spec, case.targets, profile=profile)
    if case.spec.name in PEERS:
        return create_participant(case.spec)
    return OwnTracker(case.spec, profile=profile)


def _measure_parts(
    case: BenchCase, frames: list[NDArray[np.uint8]], box: Box
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Milliseconds of each stage, and their 5 and 95 % quantiles.

    Measured apart: on a GPU the clock of a stage has to wait for the device.
    """
    if case.spec.name in PEERS:
        return {}, {}
    tracker = _make(case, profile=True)
    assert isinstance(tracker, OwnTracker)
    tracker.init(frames[0], box)
    found: dict[str, list[float]] = {}
    for index in range(1, min(case.frames, 100) + case.warm_up + 1):
        tracker.update(frames[there_and_back(len(frames), index)])
        if index > case.warm_up:
            for name, value in tracker.tracker.stage_times().items():
                found.setdefault(name, []).append(value)
    parts = {n: float(np.mean(v) if n == "online" else np.median(v)) for n, v in found.items()}
    spread = {
        n: (float(np.percentile(v, 5)), float(np.percentile(v, 95))) for n, v in found.items()
    }
    return parts, spread


def run_case(case: BenchCase, repeats: int = 1) -> BenchResult:
    """Measure one case in a fresh process.

    Again, up to ``repeats`` times, while the host of a virtual machine takes more than ``QUIET`` of
    the processors; the least disturbed run counts.
    """
    best = _run_case(case)
    for _ in range(repeats - 1):
        if not best.stolen > QUIET:
            break
        best = min(best, _run_case(case), key=lambda result: result.stolen)
    return best


def _run_case(case: BenchCase) -> BenchResult:
    with (
        _restricted(case.isa),
        concurrent.futures.ProcessPoolExecutor(
            1, mp_context=multiprocessing.get_context("spawn"), initializer=end_with_parent
        ) as pool,
    ):
        return pool.submit(measure, case).result()


@contextlib.contextmanager
def _restricted(isa: str | None) -> Iterator[None]:
    """Let processes that start meanwhile keep to an instruction set."""
    changed = RESTRICTIONS[isa] if isa else {}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


SWEEPS = ("image", "targets", "search", "memory", "update", "engine", "backbone", "peers", "long")
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
PEERS_MEASURED = ("opencv_csrt", "opencv_kcf", "opencv_mil")


def plan(
    spec: TrackerSpec,
    sweeps: Sequence[str],
    *,
    image: tuple[int, int] = (640, 480),
    frames: int = 100,
    long_frames: int = 10000,
    threads: int | None = None,
    peers: Sequence[TrackerSpec] = (),
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
    if "peers" in sweeps:
        cases += [replace(base, group="peers", label=p.name, spec=p) for p in peers]
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


def bench(
    cases: Sequence[BenchCase],
    on_result: Callable[[BenchResult | str], object] = lambda _: None,
    repeats: int = 1,
) -> tuple[list[BenchResult], dict[str, str]]:
    """Measure all cases, each up to ``repeats`` times (`run_case`).

    Returns the results and, by case, why others could not be measured.
    """
    results: list[BenchResult] = []
    problems: dict[str, str] = {}
    for case in cases:
        try:
            results.append(run_case(case, repeats))
            on_result(results[-1])
        except Exception as error:  # one impossible configuration must not end the others
            name = f"{case.group} {_label(case)}"
            problems[name] = f"{type(error).__name__}: {error}"
            on_result(name)
    return results, problems


def render_bench(
    results: Sequence[BenchResult], problems: dict[str, str], environment: dict[str, Any]
) -> str:
    """One self-contained page: a table and a chart per sweep."""
    from .report import STYLE, html_table

    groups: dict[str, list[BenchResult]] = {}
    for result in results:
        groups.setdefault(result.case.group, []).append(result)
    bases = groups.get("base", [])
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        f"<title>Tracking speed</title><style>{STYLE}</style></head><body>",
        "<h1>Tracking speed</h1>",
        "<p class='note'>Milliseconds per update on frames in memory: median, and 5 to 95 %. Every "
        "case ran in a process of its own. The target's side is an eighth of the image's shorter "
        "side. Parts come from a second run with profiling on.</p>",
    ]
    for group, found in groups.items():
        parts.append(f"<h2>{html.escape(group)}</h2>")
        parts.append(html_table(*bench_table(found, results)))
        shown = [*bases, *found] if group in ("update", "engine", "backbone", "peers") else found
        parts.append(f"<div class='plots'>{_chart(group, shown)}</div>")
    if problems:
        rows = [[html.escape(n), html.escape(r)] for n, r in problems.items()]
        parts += ["<h2 class='bad'>Not measured</h2>", html_table(["case", "reason"], rows)]
    rows = [[html.escape(str(k)), html.escape(str(v))] for k, v in environment.items()]
    parts += ["<h2>Environment</h2>", html_table(["", ""], rows), "</body></html>"]
    return "\n".join(parts)


REFERENCES = {"of csrt": "opencv_csrt", "of nano": "opencv_nano"}
"""Columns of times relative to a peer's."""


def bench_table(
    results: Sequence[BenchResult], measured: Sequence[BenchResult] = ()
) -> tuple[list[str], list[list[str]]]:
    """Header and rows for printing.

    Times are set against others of the same instruction set among ``measured``: ``ratio`` against
    the plain configuration, ``of csrt`` and ``of nano`` against these peers.
    """
    parts = list(dict.fromkeys(p for r in results for p in r.parts))
    against = {n: p for n, p in REFERENCES.items() if any(r.case.spec.name == p for r in measured)}
    devices = ["GPU MiB"] if any(r.device_memory is not None for r in results) else []
    header = ["case", "engine", "vectors", "median ms", "5-95 %", "99 %", "ratio", *against, *parts]
    header += ["cpu ms", "init ms", "MiB", *devices, "stolen", "seen"]
    rows = []
    for r in results:
        row = [f"{r.case.group} {r.case.label}", r.engine, r.units]
        row += [f"{r.median:.2f}", f"{r.low:.2f}-{r.high:.2f}", f"{r.late:.2f}"]
        row.append(_ratio(r, [m for m in measured if m.case.group == "base"]))
        row += [_ratio(r, [m for m in measured if m.case.spec.name == p]) for p in against.values()]
        row += [f"{r.parts[n]:.2f}" if n in r.parts else "" for n in parts]
        row += [f"{r.cpu:.2f}", f"{r.init:.1f}", f"{r.memory:.0f}"]
        if devices:
            row.append("" if r.device_memory is None else f"{r.device_memory:.0f}")
        row.append("" if math.isnan(r.stolen) else f"{r.stolen:.1%}")
        rows.append([*row, f"{r.seen:.0%}"])
    return header, rows


def _ratio(result: BenchResult, references: Sequence[BenchResult]) -> str:
    """Time against the reference of the same instruction set; empty without one."""
    same = [r.median for r in references if r.case.isa == result.case.isa]
    return f"{result.median / same[0]:.2f}" if same else ""


def further_targets(results: Sequence[BenchResult]) -> str:
    """What each target beyond the first costs, in words; empty without such a sweep."""
    isas = [r.case.isa for r in results]
    found = [r for r in results if r.case.group == "targets" and r.case.isa == isas[0]]
    found.sort(key=lambda r: r.case.targets)
    if len(found) < 2:
        return ""
    first = found[0].mean
    costs = [(r.mean - first) / (r.case.targets - 1) for r in found[1:]]
    texts = [
        f"{cost:.2f} ms ({cost / first:.0%} of the first) with {r.case.targets}"
        for r, cost in zip(found[1:], costs, strict=True)
    ]
    return f"each further target, on average: {', '.join(texts)}"


def _chart(group: str, results: Sequence[BenchResult]) -> str:
    """Time against the sweep's value, where the value is a number; over time for a long run."""
    if group == "long":
        longest = results[0]
        steps = np.linspace(0, longest.case.frames, len(longest.curve))
        return line_chart(
            "Time per frame over a long run",
            [Series("median of each slice", steps, longest.curve, colour(0))],
            Axis("frame", 0, longest.case.frames),
            axis_for("ms per frame", longest.curve),
            width=760,
        )
    values = [_value(r) for r in results]
    if any(v is None for v in values):
        bars = [Bar(_label(r.case), r.median, r.low, r.high) for r in results]
        return bar_chart("Median time and 5 to 95 %", bars, "ms per frame")
    points = sorted(zip(values, results, strict=True), key=lambda p: p[0] or 0.0)
    xs = [v or 0.0 for v, _ in points]
    found = [r for _, r in points]
    names = list(dict.fromkeys(p for r in found for p in r.parts))
    series = [
        Series(
            "whole update",
            xs,
            [r.median for r in found],
            colour(0),
            markers=True,
            low=[r.low for r in found],
            high=[r.high for r in found],
        )
    ]
    series += [
        Series(name, xs, [r.parts.get(name, float("nan")) for r in found], colour(i + 1))
        for i, name in enumerate(names)
    ]
    label = {
        "image": "megapixels",
        "targets": "targets",
        "search": "search size, pixels",
        "memory": "samples in memory",
    }
    return line_chart(
        f"Time against {group}",
        series,
        Axis(label.get(group, group), 0, max(xs) * 1.04),
        axis_for("ms per frame", [r.high for r in found]),
        width=560,
        height=320,
    )


def _label(case: BenchCase) -> str:
    return f"{case.label} {case.isa}" if case.isa else case.label


def _value(result: BenchResult) -> float | None:
    """The number that a case stands for in its sweep."""
    if result.case.group == "image":
        return result.case.width * result.case.height / 1e6
    try:
        return float(result.case.label)
    except ValueError:
        return None
