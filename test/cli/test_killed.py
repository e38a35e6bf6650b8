"""A result is valid or absent: killed at each write, or on a full disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generated_sequence import write_sequence
from kill_harness import killed_within, kills, on_full_disk, put, tree
from torch import nn

from duml_tracker_ros.cli import compare
from duml_tracker_ros.cli.main import build_parser, main
from duml_tracker_ros.cli.study import write as write_study
from duml_tracker_ros.datasets import Sequence, load_folder
from duml_tracker_ros.datasets.region import rectangle
from duml_tracker_ros.evaluation import comparison
from duml_tracker_ros.evaluation.one_pass import Run, load_run, save_run
from duml_tracker_ros.evaluation.vot_runs import Trajectory, VotRun, load_vot_run, save_vot_run
from duml_tracker_ros.outputs import write_text
from duml_tracker_ros.tracker.checkpoint import load_checkpoint, save_checkpoint
from duml_tracker_ros.tracker.network_config import NetworkConfig
from duml_tracker_ros.training.kept import Log, save_whole
from duml_tracker_ros.whole_set import new_folder, whole_set

BOXES = ("30,40,30,24", "32,41,28,22")
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


def killed_command(folder: Path, first: list[object], second: list[object]) -> dict[str, Any]:
    """What `killed_commands.py` found of a command that writes into a folder twice."""
    script = Path(__file__).parents[1] / "killed_commands.py"
    argv = [json.dumps([str(word) for word in words]) for words in (first, second)]
    done = subprocess.run(
        [sys.executable, script, folder, *argv], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_files_of_one_command_are_the_old_or_the_new(tmp_path: Path) -> None:
    """Of each command that writes several: which come last, and no old one beside a new one."""
    folder, root = tmp_path / "out", tmp_path / "data"
    write_sequence(root / "glide", 6)
    baseline = ["--tracker", "opencv_kcf", "--threads", "1", "--quiet"]
    into = [f"--{kind}={folder / f'b.{kind}'}" for kind in ("csv", "json")]
    into += [f"--video={folder / 'b.avi'}"]
    track = [["track", root / "glide", "--box", box, *baseline, *into] for box in BOXES]
    scores = ["--out", tmp_path / "runs", "--json", folder / "b.json", "--report", folder]
    score = [
        ["eval", "--root", root, *baseline, *more, *scores] for more in ([], ["--stride", "2"])
    ]
    for commands, last in ((track, "b.json"), (score, "b.json")):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        result = killed_command(folder, *commands)
        states = [(bool(step["old"]), bool(step["new"])) for step in result["steps"]]
        assert (True, True) not in states
        # The old ones go, and then the new ones come.
        assert states == sorted(states, key=lambda state: (not state[0], state[1]))
        assert {(True, False), (False, False), (False, True)} == set(states)
        whole = result["end"]["new"]
        assert result["end"]["old"] == result["left"] == []
        assert len(whole) == 3 if commands is track else 2
        assert all(step["new"] == whole for step in result["steps"] if last in step["new"])


def test_pages_of_explain_and_bench_are_the_old_or_the_new_with_what_lies_beside(
    tmp_path: Path,
) -> None:
    clip = write_sequence(tmp_path / "data" / "glide", 6)
    folder = tmp_path / "out"
    into = [f"--out={folder}", f"--picture={folder / 'strip.png'}", "--quiet"]
    tell = []
    for box in BOXES:
        trace = tmp_path / f"trace{len(tell)}"
        follow = ["explain", str(clip), f"--box={box}", "--device=cpu", "--threads=1", "--quiet"]
        follow += ["--weights=random", "--size=compact", "--frames=3"]
        assert main([*follow, f"--trace={trace}", f"--out={tmp_path / 'first'}"]) == 0
        tell.append(["explain", trace, *into])
    results = [killed_command(folder, *tell)]
    folder = tmp_path / "bench"
    argv: list[object] = ["bench", "--tracker=opencv_kcf", "--sweep=none", "--threads=1"]
    argv += [f"--report={folder}", f"--json={folder / 'all.json'}"]
    results.append(killed_command(folder, argv, argv))
    for result in results:
        assert len(result["end"]["new"]) == 2
        assert len(result["steps"]) > 4
        for step in result["steps"]:
            assert not (step["old"] and step["new"]), step


def test_a_page_and_its_plots_belong_together(tmp_path: Path) -> None:
    out, page = tmp_path / "out", tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text("a\n<!-- compare -->\n<!-- /compare -->\n<!-- guide -->\n<!-- /guide -->\nz\n")
    baselines, _ = comparison.baseline_contestants({})
    made = []
    for name, frames in (("first", 12), ("second", 9)):
        write_sequence(tmp_path / name / name, frames)
        argv = ["compare", "--root", str(tmp_path / name), "--docs", str(page)]
        clips = load_folder(tmp_path / name)
        kcf = [p for p in baselines if p.label == "opencv_kcf"]
        entries, _ = comparison.compare(kcf, clips, tmp_path / "runs" / name, progress=False)
        made.append((build_parser().parse_args(argv), out, entries, {}, {}))
    compare._write(*made[0])
    before = tree(tmp_path)
    old = {name for name in before if name.startswith(("out", "docs"))}
    states = []
    for _ in kills(lambda: compare._write(*made[1]), tmp_path):
        states.append({n: data for n, data in tree(tmp_path).items() if "/." not in n})
        put(tmp_path, before)
    after = tree(tmp_path)
    assert set(after) == set(before)
    changed = {n for n in old if before[n] != after[n]}
    assert {"out/compare.md", "docs/page.md", "docs/images/compare_success.svg"} <= changed
    seen = set()
    for now in states:
        text = now["docs/page.md"].decode()
        assert text.startswith("a\n")
        assert text.endswith("z\n")
        kinds = {now[n] == before[n] for n in changed - {"docs/page.md"} if n in now}
        assert len(kinds) <= 1, "files of two runs"
        if text.count(compare.CHANGING) == 2:
            seen.add("says so")
        else:
            wanted, said = (before, "old") if "| first |" in text else (after, "new")
            assert {n: now.get(n) for n in old} == {n: wanted[n] for n in old}
            seen.add(said)
    assert {"old", "says so"} <= seen


def test_a_study_is_the_old_one_or_none(tmp_path: Path) -> None:
    write_study(tmp_path, "old", "<svg>old</svg>")
    before = tree(tmp_path)
    seen = set()
    for _ in kills(lambda: write_study(tmp_path, "new", "<svg>new</svg>"), tmp_path):
        now = {n: data for n, data in tree(tmp_path).items() if not n.startswith(".")}
        values = {b"old" in data for data in now.values()}
        assert len(values) <= 1
        assert b"new" not in now.get("study.md", b"") or len(now) == 2
        seen.add((values == {True}, len(now)))
        put(tmp_path, before)
    assert {(True, 2), (True, 1), (False, 0), (False, 1)} <= seen
    assert b"new" in b"".join(tree(tmp_path).values())
    assert set(tree(tmp_path)) == set(before)


def test_a_new_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    folder = tmp_path / "trace"

    def write() -> None:
        with new_folder(folder) as draft:
            for name in ("trace.json", "000001.npz"):
                (draft / name).write_text(name)

    whole = {"trace/trace.json", "trace/000001.npz"}
    seen = []
    for _ in kills(write, tmp_path):
        found = {name for name in tree(tmp_path) if not name.startswith(".")}
        assert found in (set(), whole)
        seen.append(found == whole)
        shutil.rmtree(folder, ignore_errors=True)
    assert False in seen
    assert set(tree(tmp_path)) == whole
    with pytest.raises(OSError, match="not empty"):
        write()
    assert set(tree(tmp_path)) == whole


def test_long_names_and_drafts_of_the_killed(tmp_path: Path) -> None:
    for name in ("x" * 251 + ".txt", "\u00fc" * 120 + ".txt", "[a]*.txt"):
        path = tmp_path / name
        for _ in kills(lambda path=path: write_text(path, "whole"), tmp_path):
            assert not path.exists() or path.read_text() == "whole"
            path.unlink(missing_ok=True)
        assert path.read_text() == "whole"
        assert os.listdir(tmp_path) == [name]
        path.unlink()


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
    save_whole(state, last)
    before = tree(folder)

    def save() -> None:
        save_whole({**state, "step": 2}, last)

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
        assert said.startswith(f"ConfigError: {last}: the resume point cannot be written: File ")
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
