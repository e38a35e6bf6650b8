"""The benchmark: what it measures, on frames of its own."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from duml_tracker_ros import vector_units as vector_module
from duml_tracker_ros.cli.main import main
from duml_tracker_ros.evaluation import bench as bench_module
from duml_tracker_ros.evaluation import bench_plan
from duml_tracker_ros.evaluation.baselines import FrameAnswer
from duml_tracker_ros.evaluation.bench import BenchResult, bench, make_frames, measure
from duml_tracker_ros.evaluation.bench_page import bench_table, further_targets, render_bench
from duml_tracker_ros.evaluation.bench_plan import IMAGE_SIZES, BenchCase, plan
from duml_tracker_ros.evaluation.participants import TrackerSpec
from duml_tracker_ros.evaluation.svg import Bar, bar_chart
from duml_tracker_ros.tracker import create_tracker
from duml_tracker_ros.vector_units import brief, missing_for, vector_units

KCF = TrackerSpec("opencv_kcf")


def test_frames_show_a_target_that_moves_as_told() -> None:
    frames, box = make_frames(320, 240)
    x, y, w, h = (int(v) for v in box)
    first = frames[0][y : y + h, x : x + w]
    step = max(1, h // 12)
    third = frames[2][y : y + h, x + 2 * step : x + 2 * step + w]
    assert np.array_equal(first, third)
    assert not np.array_equal(first, frames[2][y : y + h, x : x + w])


def test_plan_changes_one_thing_at_a_time() -> None:
    cases = plan(TrackerSpec("duml", overrides={"postprocess.mu": 0.7}), ["memory", "update"])
    assert cases[0].group == "base"
    for case in cases[1:]:
        assert case.spec.overrides["postprocess.mu"] == 0.7
        assert (case.width, case.height) == (640, 480)
    rules = [c.spec.overrides["online.update"] for c in cases if c.group == "update"]
    assert rules == ["never", "paper", "every_frame", "every_frame"]
    waits = [c.spec.overrides.get("online.asynchronous") for c in cases if c.group == "update"]
    assert waits == [None, None, None, "never"]
    searched = [c for c in plan(TrackerSpec("duml"), ["search"]) if c.group == "search"]
    sizes = [c.spec.overrides["network.search_size"] for c in searched]
    assert len(sizes) >= 4
    assert all(s % 32 == 1 for s in sizes)
    backbones = [c for c in plan(TrackerSpec("duml"), ["backbone"]) if c.group == "backbone"]
    assert [c.spec.overrides["network.backbone.dilated"] for c in backbones] == [False, True]
    assert {(c.spec.size, c.spec.weights) for c in backbones} == {("r50", "random")}
    together = [c for c in plan(TrackerSpec("duml"), ["targets"]) if c.group == "targets"]
    assert [c.targets for c in together] == [1, 2, 4, 8]
    full = [c for c in plan(TrackerSpec("duml"), ["memory"]) if c.group == "memory"]
    assert all(c.warm_up >= c.spec.overrides["online.memory"] for c in full)
    images = [c for c in plan(KCF, ["image"]) if c.group == "image"]
    assert [(c.width, c.height) for c in images] == list(IMAGE_SIZES)


def test_measure_tells_times_memory_and_success() -> None:
    result = measure(BenchCase("base", "kcf", KCF, 320, 240, frames=20))
    assert 0 < result.low <= result.median <= result.high
    assert result.init > 0
    assert result.seen == 1
    assert len(result.curve) == 20
    assert np.isfinite([result.memory, result.growth]).all()
    assert result.device_memory is None
    assert math.isnan(result.stolen) or 0 <= result.stolen < 1


def test_the_least_disturbed_run_of_a_case_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    case = BenchCase("base", "kcf", KCF, 320, 240, frames=2, warm_up=0)
    result = measure(case)
    runs = []

    def disturbed(shares: list[float]) -> float:
        runs.clear()
        monkeypatch.setattr(
            bench_module,
            "_run_case",
            lambda case: (
                runs.append(dataclasses.replace(result, stolen=shares[len(runs)])) or runs[-1]
            ),
        )
        return bench_module.run_case(case, 3).stolen

    assert disturbed([0.2, 0.1, 0.3]) == 0.1
    assert len(runs) == 3
    assert disturbed([0.2, 0.005, 0.3]) == 0.005
    assert len(runs) == 2
    # Nobody tells: once is all that can be had.
    assert math.isnan(disturbed([math.nan]))
    assert len(runs) == 1


def test_measure_tells_the_parts_of_our_own_tracker() -> None:
    overrides = {"online.update": "every_frame", "online.init_iterations": 1}
    spec = TrackerSpec("duml", device="cpu", weights="random", overrides=overrides)
    result = measure(BenchCase("base", "duml", spec, 320, 240, frames=6))
    assert {"crop", "network", "localize"} <= set(result.parts)
    assert all(v > 0 for v in result.parts.values())
    for name, (low, high) in result.parts_spread.items():
        assert 0 <= low <= high
        assert name == "online" or low <= result.parts[name] <= high
    assert result.init_spread[0] <= result.init <= result.init_spread[1]


def test_lost_updates_are_set_against_usual_ones() -> None:
    class Counter:
        """Takes 1 to see the target and 2 to miss it, of a clock of its own."""

        time, missed = 0.0, 0

        def update(self, image: np.ndarray) -> FrameAnswer:
            self.missed += 1
            state = "lost" if self.missed > 5 else "tracking"
            self.time += 2.0 if self.missed > 5 else 1.0
            return FrameAnswer((0.0, 0.0, 1.0, 1.0), 0.0, state, None)

    counter, image = Counter(), np.zeros((24, 32, 3), np.uint8)
    told = bench_module._lost_costs(counter, image, lambda: counter.time, 1.0)
    assert told == (2.0, 2.0)
    result = measure(BenchCase("base", "kcf", KCF, 320, 240, frames=3))
    header, rows = bench_table([dataclasses.replace(result, lost=told)])
    assert rows[0][header.index("lost, 99 %")] == "2.00, 2.00"
    header, rows = bench_table([dataclasses.replace(result, lost=(math.nan, math.nan))])
    assert rows[0][header.index("lost, 99 %")] == ""


def test_cost_of_further_targets() -> None:
    spec = TrackerSpec("duml", device="cpu", weights="random")
    cases = [c for c in plan(spec, ["targets"], image=(320, 240), frames=4) if c.targets in (1, 2)]
    results = [measure(c) for c in cases if c.group == "targets"]
    assert [r.case.label for r in results] == ["1", "2"]
    assert re.search(
        r"each further target, .* \(-?\d+% of the first\) with 2$", further_targets(results)
    )
    assert further_targets(results[:1]) == ""


def test_a_case_that_cannot_be_measured_does_not_end_the_others() -> None:
    bad = TrackerSpec("opencv_vit", models=("nowhere.onnx",))
    cases = [BenchCase("baselines", "vit", bad), BenchCase("base", "kcf", KCF, frames=3)]
    results, problems = bench(cases)
    assert [r.case.label for r in results] == ["kcf"]
    assert "nowhere.onnx" in problems["baselines vit"]
    page = render_bench(results, problems, {"processor": "any"})
    assert "nowhere.onnx" in page
    bars = bar_chart("Speed", [Bar("a<b", 10, 5, 20), Bar("c", 20, 20, 20)], "ms")
    assert "a&lt;b" in bars
    widths = [float(w) for w in re.findall(r'<rect [^>]*width="([\d.]+)"', bars)]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.2)
    header, rows = bench_table(results, results)
    assert rows[0][header.index("ratio")] == "1.00"


def test_times_are_set_against_peers_of_the_same_instruction_set() -> None:
    result = measure(BenchCase("base", "kcf", KCF, 320, 240, frames=2, warm_up=0))

    def timed(group: str, name: str, isa: str | None, median: float) -> BenchResult:
        case = dataclasses.replace(result.case, group=group, spec=TrackerSpec(name), isa=isa)
        return dataclasses.replace(result, case=case, median=median)

    found = [timed("base", "duml", None, 3.0), timed("baselines", "opencv_csrt", None, 12.0)]
    found += [timed("base", "duml", "avx2", 6.0), timed("baselines", "opencv_csrt", "avx2", 15.0)]
    header, rows = bench_table(found, found)
    assert "of nano" not in header
    assert [row[header.index("of csrt")] for row in rows] == ["0.25", "1.00", "0.40", "1.00"]
    assert [row[header.index("ratio")] for row in rows] == ["1.00", "4.00", "1.00", "2.50"]


@pytest.mark.skipif("AVX512" not in vector_units({}), reason="nothing to leave out")
def test_an_instruction_set_binds_every_library() -> None:
    program = (
        "import cv2, torch;"
        "print(torch.backends.cpu.get_cpu_capability(), '*AVX512-SKX?' in "
        "cv2.getCPUFeaturesLine().split(), torch.backends.mkldnn.is_available())"
    )
    told = {}
    for isa in (None, "avx2"):
        with bench_module._restricted(isa):
            run = [sys.executable, "-c", program]
            told[isa] = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert told == {None: "AVX512 False True\n", "avx2": "AVX2 True True\n"}
    assert not os.environ.get("OPENCV_CPU_DISABLE")
    (result,), _ = bench([BenchCase("base", "kcf", KCF, 320, 240, 2, isa="avx2")])
    assert (result.units, result.engine) == ("AVX2", "opencv")
    cases = plan(KCF, ["long"], isas=["avx2", None])
    assert [(c.group, c.isa) for c in cases] == [
        (group, isa) for isa in ("avx2", None) for group in ("base", "long")
    ]


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--isa", "mmx"], "--isa 'mmx': choose from avx2"),
        (["--isa", "avx2", "--set", "engine=onnxruntime"], "cannot be restricted"),
        (["--sweep", "none", "--model", "opencv_nano=a,b"], "add --sweep baselines"),
        (["--sweep", "baselines", "--model", "opencv_nano=a,b"], "model file a does not exist"),
        (["--sweep", "baselines", "--model", "opencv_nano=a"], "needs 2 model files"),
        (["--sweep", "peers", "--model", "opencv_nano=a"], "needs 2 model files"),
    ],
)
def test_bench_refuses_what_it_would_ignore(argv: list[str], told: str, capsys) -> None:
    assert main(["bench", "--device", "cpu", "--weights", "random", *argv]) == 2
    assert told in capsys.readouterr().err


def test_vector_units_are_named_for_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    zen = frozenset(["avx2", "avx_vnni", "avx512bw", "avx512_vnni", "avx512_bf16"])
    monkeypatch.setattr(vector_module, "flags", lambda: zen)
    assert brief(vector_units({})) == "AVX512 VNNI BF16"
    assert brief(vector_units({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"})) == "AVX512 VNNI"
    assert brief(vector_units({"ONEDNN_MAX_CPU_ISA": "avx2_vnni"})) == "AVX2 VNNI"
    assert brief(vector_units({"ONEDNN_MAX_CPU_ISA": "AVX2"})) == "AVX2"
    assert missing_for("amx") == "AMX"
    assert missing_for("avx512_vnni") is None
    monkeypatch.setattr(vector_module, "flags", lambda: frozenset({"asimd", "asimddp", "bf16"}))
    assert brief(vector_units({})) == "NEON DOT BF16"


def test_engine_sweep_learns_on_every_frame_in_both_sizes(monkeypatch) -> None:
    spec = TrackerSpec("duml", device="cpu", size="compact")
    cases = [c for c in plan(spec, ["engine"]) if c.group == "engine"]
    assert [c.label.split()[0] for c in cases] == sorted(c.label.split()[0] for c in cases)
    assert cases[0].label == "compact torch"
    assert {c.spec.overrides["online.update"] for c in cases} == {"every_frame"}
    assert all("cuda_graph" not in c.label for c in cases)
    if "openvino" in bench_plan.engines("cpu"):
        precise = [c for c in cases if c.label.startswith("compact openvino ")]
        assert [c.spec.overrides["precision"] for c in precise] == ["fp32", "bf16", "int8"]
    monkeypatch.setattr(bench_plan, "engines", lambda device: ["torch", "cuda_graph"])
    labels = [c.label for c in plan(spec, ["engine"]) if c.group == "engine"]
    assert labels == ["compact torch", "compact cuda_graph", "r50 torch", "r50 cuda_graph"]
    # An untrained network learns all the same.
    settings = {**cases[0].spec.overrides, **bench_plan.SURE, "online.memory": 20}
    tracker = create_tracker("duml", "random", "cpu", **settings)
    frames, box = make_frames(320, 240)
    tracker.init(frames[0], box, "bgr")
    told = [tracker.update(frame, "bgr") for frame in frames[1:4]]
    assert [r.diagnostics.decision.iterations for r in told] == [1, 1, 1]


def test_bench_command_prints_and_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["bench", "--tracker", "opencv_kcf", "--sweep", "long", "--frames", "4"]
    argv += ["--long-frames", "30", "--image", "320x240", "--threads", "1"]
    argv += ["--json", str(tmp_path / "b.json"), "--report", str(tmp_path / "page")]
    assert main(argv) == 0
    document = json.loads((tmp_path / "b.json").read_text())
    assert [r["case"]["group"] for r in document["results"]] == ["base", "long"]
    assert document["results"][1]["case"]["frames"] == 30
    page = (tmp_path / "page" / "index.html").read_text()
    assert "Time per frame over a long run" in page
    printed = capsys.readouterr().out
    assert "base opencv_kcf" in printed
    assert "memory" in printed
    assert main(["bench", "--tracker", "opencv_kcf", "--sweep", "weather"]) == 2
    assert "weather" in capsys.readouterr().err


def test_profile_sets_the_online_step_against_its_floor() -> None:
    from duml_tracker_ros.evaluation.profile import profile_update

    spec = TrackerSpec("duml", device="cpu", overrides={"online.update": "every_frame"})
    found = profile_update(spec, (320, 240), frames=2, threads=None)
    stages = {stage.name: stage for stage in found.stages}
    assert {"crop", "network", "localize", "online"} <= set(stages)
    # Two products of 25 taps of 64 channels with at most 30 samples of 25 x 25 cells.
    assert 0 < stages["online"].flops <= 2 * 2 * 25 * 64 * 30 * 25 * 25
    assert all(stages[name].floor > 0 for name in ("network", "online"))
