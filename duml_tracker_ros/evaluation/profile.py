"""Where the time of an update goes: stages against what the processor could do, and operators."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .bench import make_frames, there_and_back
from .bench_plan import WARM_UP, BenchCase
from .participants import OwnTracker, TrackerSpec
from .workers import limit_threads

OPERATORS = 16
"""Rows of the second table; what is left is summed up."""


@dataclass(frozen=True)
class StageCost:
    """One stage of an update, medians over frames.

    Attributes:
        milliseconds: what it takes.
        flops: multiplications and additions of convolutions and matrix products.
        bytes: weights and memory that have to be read, once each time they are needed.
        floor: milliseconds that these would take at the speeds measured for this processor; the
            larger of both.
    """

    name: str
    milliseconds: float
    flops: float
    bytes: float
    floor: float


@dataclass(frozen=True)
class Profile:
    """Stages, and (operator, microseconds, calls) an update; speeds in GFLOP/s, by precision, and
    GB/s."""

    stages: list[StageCost]
    operators: list[tuple[str, float, float]]
    flop_rates: dict[str, float]
    byte_rate: float


def profile_update(
    spec: TrackerSpec, image: tuple[int, int], frames: int, threads: int | None
) -> Profile:
    """Profile one of this package's trackers on a CPU, in this process, its memory full."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    if threads is not None:
        limit_threads(threads)
    spec = replace(spec, device="cpu")
    case = BenchCase("base", spec.name, spec, *image)
    pictures, box = make_frames(case.width, case.height)
    participant = OwnTracker(spec, profile=True)
    tracker: Any = participant.tracker
    step = 0

    def update(times: dict[str, list[float]] | None = None) -> None:
        nonlocal step
        step += 1
        participant.update(pictures[there_and_back(len(pictures), step)])
        for name, value in tracker.stage_times().items():
            if times is not None:
                times.setdefault(name, []).append(value)

    participant.init(pictures[0], box)
    rule = tracker.info()["config"]["online"]
    for _ in range(WARM_UP + rule["memory"]):
        update()
    times: dict[str, list[float]] = {}
    for _ in range(frames):
        update(times)
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(frames):
            update()
    events = sorted(found.key_averages(), key=lambda e: -e.self_cpu_time_total)
    operators = [
        (e.key, e.self_cpu_time_total / frames, e.count / frames) for e in events if "::" in e.key
    ]
    kept, rest = operators[:OPERATORS], operators[OPERATORS:]
    kept.append(("all others", sum(r[1] for r in rest), sum(r[2] for r in rest)))
    memory = "bf16" if tracker.net.memory_dtype is torch.bfloat16 else "fp32"
    precisions = {"network": tracker.info()["precision"], "online": memory}
    costs = {"network": network_cost(tracker), "online": online_cost(tracker)}
    rates = {p: product_rate(p) for p in dict.fromkeys(precisions.values())}
    byte_rate = read_rate()
    stages = []
    for name, values in times.items():
        flops, size = costs.get(name, (0.0, 0.0))
        floor = 0.0
        if flops:
            floor = max(flops / rates[precisions[name]], size / byte_rate) / 1e6
        stages.append(StageCost(name, float(np.median(values)), flops, size, floor))
    torch.set_grad_enabled(True)
    return Profile(stages, kept, rates, byte_rate)


def network_cost(tracker: Any) -> tuple[float, float]:
    """FLOP and bytes of weights of the search graph."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from ..tracker.factory import load_network, system

    info = tracker.info()
    config = tracker.config
    changed = {"network.search_size": config.network.search_size}
    _, net, _ = load_network(info["name"], "random", info["size"], changed)
    template, search = system(info["name"]).graphs(net)
    n = config.network
    with torch.no_grad():
        kernels: tuple[torch.Tensor, ...] = ()
        if template is not None:
            made = template(torch.zeros(1, 3, n.template_size, n.template_size))
            kernels = made[: len(search.inputs) - 1]
        with FlopCounterMode(display=False) as counter:
            search(torch.zeros(1, 3, n.search_size, n.search_size), *kernels)
    width = {"int8": 1, "fp32": 4}.get(info["precision"], 2)
    return float(counter.get_total_flops()), float(width * net.learned)


def online_cost(tracker: Any) -> tuple[float, float]:
    """FLOP and bytes of one step on a full memory: two products with all samples.

    0 for trackers that do not learn on padded samples.
    """
    online: Any = getattr(getattr(tracker, "_target", None), "online", None)
    memory = getattr(online, "memory", None)
    if memory is None or tracker.config.online.update != "every_frame":
        return 0.0, 0.0
    block = memory.padded.features[: memory.used]
    cells = block[:, 0].numel()
    taps = online.filter.numel() // block.shape[1]
    return 2 * 2.0 * cells * block.shape[1] * taps, 2.0 * block.numel() * block.element_size()


def product_rate(precision: str) -> float:
    """GFLOP/s of a large matrix product in ``fp32``, ``bf16``, ``fp16`` or ``int8``, measured.

    As oneDNN multiplies, the fastest of the libraries at hand: in floating point by a convolution.
    """
    import torch
    import torch.nn.functional as F

    if precision == "int8":
        n = 1024
        matrix = torch.ones(n, n, dtype=torch.int8)
        return 2 * n**3 / _best(lambda: torch._int_mm(matrix, matrix)) / 1e9
    n, side, k = 256, 32, 3
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    last = torch.channels_last
    pixels = torch.rand(1, n, side, side, dtype=dtype).to(memory_format=last)
    weight = torch.rand(n, n, k, k, dtype=dtype).to(memory_format=last)
    with torch.no_grad():
        product = _best(lambda: F.conv2d(pixels, weight, padding=1))
    return 2 * (n * k * side) ** 2 / product / 1e9


def read_rate() -> float:
    """GB/s of a large read, measured."""
    import torch

    data = torch.rand(2**24)
    return data.numel() * 4 / _best(lambda: data.sum()) / 1e9


def _best(work: Callable[[], object], repeats: int = 12) -> float:
    """Shortest of some runs, seconds."""
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def profile_tables(found: Profile) -> list[tuple[list[str], list[list[str]]]]:
    """Header and rows of both tables."""
    stages = [
        [
            s.name,
            f"{s.milliseconds:.2f}",
            f"{s.flops / 1e9:.2f}" if s.flops else "",
            f"{s.bytes / 1e6:.1f}" if s.bytes else "",
            f"{s.floor:.2f}" if s.floor else "",
        ]
        for s in found.stages
    ]
    total = sum(s.milliseconds for s in found.stages)
    floor = sum(s.floor for s in found.stages)
    stages.append(["all", f"{total:.2f}", "", "", f"{floor:.2f}"])
    operators = [[name, f"{us:.0f}", f"{calls:.0f}"] for name, us, calls in found.operators]
    return [
        (["stage", "ms", "GFLOP", "MB", "floor ms"], stages),
        (["operator", "us a frame", "calls"], operators),
    ]
