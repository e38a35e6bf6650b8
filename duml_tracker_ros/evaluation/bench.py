"""How long a tracker takes, part by part, and what its cost depends on.

Every case runs in a process of its own, one after the other, on frames made beforehand: no image
decoding, nothing shared with the case before, and memory that belongs to this case alone.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..pixels import Box
from ..vector_units import RESTRICTIONS, brief, vector_units
from .baselines import BASELINES
from .bench_plan import BenchCase
from .participants import OwnTracker, OwnTrackers, Participant, create_participant
from .workers import end_with_parent, limit_threads

INITS = 5
QUIET = 0.01
"""Share of the processors' time that others may take before a case is measured again."""
CURVE_POINTS = 200
LOST_FRAMES = 60
"""Updates that are shown nothing of the target, after all others."""


@dataclass(frozen=True)
class BenchResult:
    """Times in milliseconds, memory in MiB.

    Attributes:
        median, low, high: of the updates; low and high are the 5 and 95 % quantiles.
        mean: of the updates: it counts the frames on which the online module learns.
        parts: median of each stage (mean of the online step, which most frames go without), from
            a run of its own with profiling on, without background updates; empty for baselines.
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
        lost: median and 99 % quantile of processor time (on a GPU: of time) of an update while the
            target is lost, each relative to the median of usual ones; NaN where it is not lost.
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
    lost: tuple[float, float] = (math.nan, math.nan)
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
    times, costs = np.empty(case.frames), np.empty(case.frames)
    clock = time.perf_counter if cuda else time.process_time
    lost = 0
    stolen, ticks = processor_ticks()
    early = resident_memory()
    spent = time.process_time()
    for index in range(case.frames):
        image = frames[there_and_back(len(frames), index + case.warm_up + 1)]
        start, began = time.perf_counter(), clock()
        seen = tracker.update(image)
        times[index], costs[index] = time.perf_counter() - start, clock() - began
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
    while_lost = _lost_costs(tracker, frames[0], clock, float(np.median(costs)))
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
        lost=while_lost,
        engine=_engine(tracker),
        units=brief(vector_units()),
    )


def _lost_costs(
    tracker: Participant, image: NDArray[np.uint8], clock: Callable[[], float], usual: float
) -> tuple[float, float]:
    """Median and 99 % quantile of updates that tell the target lost, relative to usual ones."""
    height, width = image.shape[:2]
    # Above its middle there is nothing but ground.
    ground = np.asarray(cv2.resize(image[: height // 3], (width, height)), np.uint8)
    costs = []
    for _ in range(LOST_FRAMES):
        start = clock()
        seen = tracker.update(ground)
        if seen.state == "lost":
            costs.append(clock() - start)
    if not costs or usual <= 0:
        return math.nan, math.nan
    middle, late = np.percentile(costs, [50, 99]) / usual
    return float(middle), float(late)


def _engine(tracker: Participant) -> str:
    if not isinstance(tracker, OwnTracker):
        return "opencv"
    told = tracker.tracker.info()
    return f"{told['engine']} {told['precision']}"


def _make(case: BenchCase, *, profile: bool = False) -> Participant:
    """The tracker of a case."""
    if case.targets > 1:
        return OwnTrackers(case.spec, case.targets, profile=profile)
    if case.spec.name in BASELINES:
        return create_participant(case.spec)
    return OwnTracker(case.spec, profile=profile)


def _measure_parts(
    case: BenchCase, frames: list[NDArray[np.uint8]], box: Box
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Milliseconds of each stage, and their 5 and 95 % quantiles.

    Measured apart: on a GPU the clock of a stage has to wait for the device.
    """
    if case.spec.name in BASELINES:
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
            name = f"{case.group} {case.name}"
            problems[name] = f"{type(error).__name__}: {error}"
            on_result(name)
    return results, problems
