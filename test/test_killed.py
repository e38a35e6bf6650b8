"""A result is valid or absent: killed at each write, or on a full disk."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kill_harness import killed_within, kills, on_full_disk
from torch import nn

from duml_tracker_ros.datasets import Sequence
from duml_tracker_ros.datasets.region import rectangle
from duml_tracker_ros.evaluation.runner import Run, load_run, save_run
from duml_tracker_ros.evaluation.vot_runs import Trajectory, VotRun, load_vot_run, save_vot_run
from duml_tracker_ros.tracker.checkpoint import load_checkpoint, save_checkpoint
from duml_tracker_ros.tracker.config import NetworkConfig
from duml_tracker_ros.training.kept import Log, save_resume_point
from duml_tracker_ros.whole_set import whole_set


def tree(folder: Path) -> dict[str, bytes]:
    """Content of all files below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def put(folder: Path, files: dict[str, bytes]) -> None:
    """Make a folder hold these files and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


CLIP = Sequence("set/clip", (Path("1.jpg"), Path("2.jpg"), Path("3.jpg")), np.ones((3, 4)))


def run_of(value: float) -> Run:
    """A run that is the same number all over."""
    boxes = np.full((3, 4), value)
    state = f"state{value:.0f}"
    return Run(boxes, np.full(3, value), (state,) * 3, np.full(3, value), {"v": value}, (64, 48))


def vot_run_of(value: float) -> VotRun:
    region = rectangle(np.full(4, value))
    part = Trajectory("clip_001", (region,) * 3, (value,) * 3, (value,) * 3)
    return VotRun((part,), (64, 48), {"v": value})


def values_of(run: Run | VotRun) -> set[float]:
    """All numbers of a run; one, if it is not mixed."""
    if isinstance(run, Run):
        states = [float(state.removeprefix("state")) for state in run.states]
        parts = [run.boxes.ravel().tolist(), run.confidence.tolist(), run.seconds.tolist(), states]
    else:
        part = run.trajectories[0]
        parts = [[v for r in part.regions for v in r.values], part.seconds, part.confidence]
    return {round(v, 3) for values in parts for v in values} | {run.description["v"]}


@pytest.mark.parametrize(
    ("save", "load", "make"),
    [(save_run, load_run, run_of), (save_vot_run, load_vot_run, vot_run_of)],
    ids=["eval", "vot"],
)
def test_a_run_killed_while_it_is_saved_is_the_old_one_or_none(
    tmp_path: Path, save: Any, load: Any, make: Any
) -> None:
    folder = tmp_path / "run"
    save(folder, CLIP, make(1.0), "old")
    before = tree(folder)
    seen = set()
    for step in kills(lambda: save(folder, CLIP, make(2.0), "new"), folder):
        old, new = load(folder, CLIP, "old"), load(folder, CLIP, "new")
        assert old is None or values_of(old) == {1.0}, step
        assert new is None or values_of(new) == {2.0}, step
        seen.add((old is not None, new is not None))
        put(folder, before)
    assert values_of(load(folder, CLIP, "new")) == {2.0}
    assert {(True, False), (False, False)} <= seen
    assert set(tree(folder)) == set(before)


def test_what_a_killed_process_left_behind_goes_with_the_next_set(tmp_path: Path) -> None:
    def write(text: str) -> None:
        with whole_set(tmp_path, "b.txt") as draft:
            (draft / "a.txt").write_text(text)
            (draft / "b.txt").write_text(text)

    for step in kills(lambda: write("x"), tmp_path):
        if step >= 2:
            break
    assert list(tmp_path.glob(".b.txt.*.part"))
    write("y")
    assert tree(tmp_path) == {"a.txt": b"y", "b.txt": b"y"}
    with pytest.raises(ZeroDivisionError), whole_set(tmp_path, "b.txt") as draft:
        (draft / "a.txt").write_text(str(1 // 0))
    assert tree(tmp_path) == {"a.txt": b"y", "b.txt": b"y"}


def network_of(value: float) -> nn.Module:
    net = nn.Linear(64, 64)
    nn.init.constant_(net.weight, value)
    nn.init.constant_(net.bias, value)
    return net


def test_weights_killed_while_they_are_written_are_the_old_or_the_new(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    path = folder / "net.safetensors"
    old, new = network_of(1.0), network_of(2.0)
    save_checkpoint(path, old, NetworkConfig())
    before = tree(folder)

    def found() -> float:
        state = load_checkpoint(path).state
        values = {float(v) for t in state.values() for v in t.flatten()}
        assert len(values) == 1
        return values.pop()

    def save() -> None:
        save_checkpoint(path, new, NetworkConfig())

    seen = []
    for _ in kills(save, folder):
        seen.append(found())
        put(folder, before)
    assert found() == 2.0
    assert set(seen) == {1.0, 2.0}
    assert set(tree(folder)) == set(before)
    assert len(path.with_suffix(".sha256").read_text().splitlines()) == 1
    for size in (1, 100, 5000):
        put(folder, before)
        assert killed_within(save, size) == signal.SIGXFSZ
        assert found() == 1.0
        put(folder, before)
        said = on_full_disk(save, size)
        assert said.startswith(f"WeightsError: {path} cannot be written:"), said
        assert "a former file stays" in said
        assert tree(folder) == before


def test_a_resume_point_killed_while_it_is_written_is_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    last = folder / "last.pt"
    folder.mkdir()
    state = {"step": 1, "net": torch.ones(20000)}
    save_resume_point(state, last)
    before = tree(folder)

    def save() -> None:
        save_resume_point({**state, "step": 2}, last)

    seen = []
    for _ in kills(save, folder):
        seen.append(torch.load(last, weights_only=True)["step"])
        put(folder, before)
    assert set(seen) == {1, 2}
    assert torch.load(last, weights_only=True)["step"] == 2
    for size in (0, 100, 70000):
        put(folder, before)
        assert killed_within(save, size) == signal.SIGXFSZ
        assert torch.load(last, weights_only=True)["step"] == 1
        put(folder, before)
        said = on_full_disk(save, size)
        assert said.startswith(f"ConfigError: {last}: the resume point cannot be written: [Errno")
        assert "earlier step stays. Make room, then go on with --resume" in said
        assert tree(folder) == before


def test_a_resumed_log_has_every_row_once(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    for begin, rows in ((0, (0, 20, 40)), (30, (40, 60)), (0, (0,))):
        with Log(path, ("step", "loss"), begin) as log:
            for step in rows:
                log.row(step, f"{0.1:.4f}")
        path.write_text(path.read_text() + "80,0.5\n100,0.")
    with Log(path, ("step", "loss"), 100):
        pass
    assert path.read_text() == "step,loss\n0,0.1000\n80,0.5\n"

    def fill() -> None:
        with Log(path, ("step", "loss"), 0) as log:
            for step in range(99):
                log.row(step, 0.5)

    said = on_full_disk(fill, 50)
    assert said.startswith(f"ConfigError: {path} cannot be written: File too large. Make room")
