"""Trackers inside the public toolkits: real offline runs on small local workspaces."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_benchmarks import got10k_tree, vot_tree

from duml_tracker_ros.datasets import load_dataset
from duml_tracker_ros.evaluation.participants import TrackerSpec
from duml_tracker_ros.evaluation.runner import evaluate
from duml_tracker_ros.evaluation.vot_runs import evaluate_vot

os.environ.setdefault("MPLBACKEND", "Agg")

SPEC = TrackerSpec("opencv_kcf")
STACK = """
experiments:
  baseline:
    type: {kind}
    {options}
    analyses:
      - type: {kind}_average_ar
      - type: {kind}_eao_score
        low: 5
        high: 25
        {extra}
"""
EXTRA = "eaocurve: {curves: {high: 25}}"


def test_got10k_run_gives_our_own_boxes_and_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiments = pytest.importorskip("got10k.experiments.got10k")
    from duml_tracker_ros.evaluation.got10k_adapter import got10k_tracker

    monkeypatch.chdir(tmp_path)
    name = "GOT-10k_Val_000001"
    got10k_tree(tmp_path, "val", name, 14)
    experiment = experiments.ExperimentGOT10k(str(tmp_path), subset="val")
    experiment.run(got10k_tracker(SPEC))
    theirs = experiment.report([SPEC.name])[SPEC.name]["overall"]
    ours = evaluate([SPEC], load_dataset("got10k-val", tmp_path), progress=False)
    boxes = np.loadtxt(
        tmp_path / f"results/GOT-10k/{SPEC.name}/{name}/{name}_001.txt", delimiter=","
    )
    assert ours.trackers[SPEC.name].runs[name].boxes == pytest.approx(boxes, abs=1e-3)
    score = ours.got10k(SPEC.name)
    assert score.ao == pytest.approx(theirs["ao"], abs=1e-4)
    assert score.sr50 == pytest.approx(theirs["sr"], abs=1e-6)


def workspace(root: Path, kind: str) -> Path:
    """A workspace of the toolkit with our tracker behind TraX."""
    supervised = kind == "supervised"
    vot_tree(root / "sequences", anchors=not supervised)
    (root / "stack.yaml").write_text(
        "title: local\ndataset: null\n"
        + STACK.format(
            kind=kind,
            options="repetitions: 1\n    skip_initialize: 5" if supervised else "anchor: anchor",
            extra="" if supervised else EXTRA,
        )
    )
    (root / "config.yaml").write_text("stack: stack.yaml\nregistry: [trackers.ini]\n")
    package = Path(importlib.util.find_spec("duml_tracker_ros").origin).parent.parent
    (root / "trackers.ini").write_text(
        f"[kcf]\nlabel = kcf\nprotocol = traxpython\npaths = {package}\n"
        "command = from duml_tracker_ros.evaluation.trax_adapter import serve;"
        f" serve('{SPEC.name}')\n"
    )
    return root


@pytest.mark.parametrize(("kind", "data"), [("supervised", "vot2018"), ("multistart", "vot2020")])
def test_vot_toolkit_run_gives_our_own_trajectories(tmp_path: Path, kind: str, data: str) -> None:
    pytest.importorskip("vot")
    pytest.importorskip("trax")
    root = workspace(tmp_path, kind)
    command = [sys.executable, "-m", "vot", "evaluate", "--workspace", str(root), "kcf"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "VOT_RESULTS_BINARY": "false"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ours = evaluate_vot(
        [SPEC], load_dataset(data, root / "sequences"), out=tmp_path / "out", progress=False
    )
    assert not ours.problems
    compared = 0
    for path in sorted((tmp_path / "out").rglob("*_0*.txt")):
        other = root / "results" / "kcf" / "baseline" / path.parent.name / path.name
        mine, theirs = path.read_text().split(), other.read_text().split()
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            left = np.array([float(v) for v in a.split(",")])
            right = np.array([float(v) for v in b.split(",")])
            assert left == pytest.approx(right, abs=1e-3), path.name
        compared += 1
    assert compared == (2 if kind == "supervised" else 4)
