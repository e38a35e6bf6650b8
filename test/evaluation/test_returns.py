"""Targets that leave and come back: counts, spliced clips, generated ones, the command."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from generated_sequence import write_sequence

from duml_tracker_ros.cli.main import main
from duml_tracker_ros.datasets import DatasetError, Sequence, load_dataset
from duml_tracker_ros.evaluation.long_scenes import VIEW, long_scenes
from duml_tracker_ros.evaluation.one_pass import Run
from duml_tracker_ros.evaluation.returns import absences, add_returns, returns_of
from duml_tracker_ros.evaluation.splices import returns

HERE, OFF, GONE = [10.0, 10.0, 20.0, 20.0], [90.0, 90.0, 20.0, 20.0], [np.nan] * 4


def told(parts: list[tuple[int, str, list[float], list[float]]]) -> tuple[Run, Sequence]:
    """A run and its clip from (frames, state, box, true box)."""
    rows = [("init", HERE, HERE)]
    rows += [(state, box, true) for n, state, box, true in parts for _ in range(n)]
    states, boxes, truth = (list(c) for c in zip(*rows, strict=True))
    count = len(rows)
    run = Run(np.array(boxes), np.ones(count), tuple(states), np.zeros(count), {}, (200, 200))
    return run, Sequence("a", (Path("a.png"),) * count, np.array(truth))


def test_an_absence_ends_with_a_return_in_time_or_not() -> None:
    seen, lost = (20, "tracking", HERE, HERE), (20, "lost", HERE, GONE)
    prompt = (10, "lost", HERE, HERE)
    run, clip = told([seen, lost, prompt, seen, lost, (40, "lost", HERE, HERE), lost])
    assert absences(clip.truth) == [(21, 41), (71, 91)], "the last one has no return"
    found = returns_of(run, clip)
    assert (found.absences, found.found, found.wrong) == (2, 1, 0)
    assert found.true_positive_rate == pytest.approx(40 / 90)
    assert found.true_negative_rate == 1.0
    # The best of any share of frames told LOST at random: none here.
    assert found.geometric_mean == pytest.approx(math.sqrt(40 / 90))
    run, clip = told([seen, lost, prompt, seen, lost, (5, "lost", HERE, HERE)])
    assert returns_of(run, clip).absences == 1, "of five frames nobody can tell"
    both = add_returns([found, found])
    assert (both.absences, both.found, both.with_target) == (4, 2, 180)
    assert math.isnan(add_returns([]).true_positive_rate)


@pytest.mark.parametrize(
    ("gone", "wrong"),
    [
        ([(20, "lost", HERE, GONE)], 0),
        ([(3, "tracking", HERE, GONE), (17, "lost", HERE, GONE)], 0),
        ([(19, "lost", HERE, GONE), (1, "tracking", OFF, GONE)], 1),
        ([(20, "uncertain", OFF, GONE)], 0),
        ([(20, "lost", HERE, GONE), (5, "tracking", OFF, HERE)], 1),
    ],
)
def test_what_else_is_taken_for_the_target(gone: list, wrong: int) -> None:
    run, clip = told([(20, "tracking", HERE, HERE), *gone, (20, "tracking", HERE, HERE)])
    assert returns_of(run, clip).wrong == wrong
    assert returns_of(run, clip).found == 1


def test_a_tracker_that_always_sees_its_target_has_no_true_negative() -> None:
    run, clip = told([(20, "tracking", HERE, HERE), (20, "tracking", HERE, GONE)])
    found = returns_of(run, clip)
    assert (found.true_positive_rate, found.true_negative_rate) == (1.0, 0.0)
    assert found.geometric_mean == pytest.approx(0.5), "half of the frames at random"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for index, name in enumerate(("Alpha", "Beta", "Gamma")):
        write_sequence(tmp_path / "data" / name, frames=60, seed=index)
    return tmp_path / "data"


def test_a_spliced_target_returns_whole_in_another_part_of_the_image(root: Path) -> None:
    clips = load_dataset("folder", root)
    runs = returns(clips)
    assert [r.name for r in runs] == ["Alpha~Beta~back", "Beta~Gamma~back", "Gamma~Alpha~back"]
    run, clip = runs.sequences[0], clips.sequences[0]
    ((gone, back),) = absences(run.truth)
    assert (gone, back) == (30, 90)
    assert np.array_equal(run.image(gone), clips.sequences[1].image(0))
    shift = (run.truth[back] - clip.truth[30])[:2].astype(int)
    assert max(abs(shift[0]) / 160, abs(shift[1]) / 120) >= 0.3
    for index in range(back, len(run)):
        x, y, w, h = run.truth[index].astype(int)
        assert 0 <= x <= 160 - w
        assert 0 <= y <= 120 - h
        a, b, _, _ = clip.truth[index - back + 30].astype(int)
        there = clip.image(index - back + 30)[b : b + h, a : a + w]
        assert np.array_equal(run.image(index)[y : y + h, x : x + w], there)
    with pytest.raises(DatasetError, match="--returns needs two clips at least"):
        returns(load_dataset("folder", root, "Alpha"))


def test_generated_clips_have_their_target_where_the_truth_says() -> None:
    (clip,) = long_scenes(1, seconds=25)
    assert len(clip) == 750
    gaps = absences(clip.truth)
    assert gaps
    assert all(15 <= back - gone <= 650 for gone, back in gaps)
    gone, back = gaps[0]
    left, returned = clip.truth[gone - 1], clip.truth[back]
    assert np.hypot(*(left - returned)[:2]) > 60, "at another border"
    first, settled = clip.truth[0], clip.truth[back + 25]
    assert not 0.95 < settled[2] * settled[3] / (first[2] * first[3]) < 1.05, "of another size"

    def patch(index: int, box: np.ndarray) -> np.ndarray:
        x, y, w, h = (round(float(v)) for v in box)
        grey = cv2.cvtColor(clip.image(index)[y : y + h, x : x + w], cv2.COLOR_BGR2GRAY)
        return cv2.resize(grey, (36, 24))

    target = patch(0, first)
    for index in (gone - 15, back + 25):
        assert clip.image(index).shape == (VIEW[1], VIEW[0], 3)
        x, y, w, h = clip.truth[index]
        places = [(0, 0), (w, 0), (-w, 0), (0, h), (0, -h)]
        found = [
            cv2.matchTemplate(patch(index, np.array([x + a, y + b, w, h])), target, 5)[0, 0]
            for a, b in places
        ]
        assert np.argmax(found) == 0


def test_the_command_compares_a_setting_with_itself_and_counts_returns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, spoken = tmp_path / "data", tmp_path / "scores.json"
    for seed, name in enumerate(("Alpha", "Beta")):
        write_sequence(root / name, frames=24, seed=seed)
    arguments = ["eval", "--root", str(root), "--returns"]
    arguments += ["--device", "cpu", "--threads", "1", "--quiet", "--out", str(tmp_path / "out")]
    arguments += ["--switch", "reacquire.active=false localize.proof_frames=0"]
    assert main([*arguments, "--json", str(spoken)]) == 0
    printed = capsys.readouterr().out
    off = "duml reacquire.active=false localize.proof_frames=0"
    assert printed.count(f"| {off} |") == 4, "scores, honesty, returns, difference"
    assert "| clips better, worse |" in printed
    assert "| found again | wrong taken |" in printed
    trackers = json.loads(spoken.read_text())["trackers"]
    assert set(trackers) == {"duml", off}
    assert trackers[off]["description"]["config"]["reacquire"]["active"] is False
    assert trackers["duml"]["description"]["config"]["reacquire"]["active"] is True
    assert trackers[off]["returns"]["absences"] == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scenes", "1", "--root", "x"], "--scenes takes the place of a data set: leave out"),
        ([], "--root names the folder of the data set; or take --scenes N"),
    ],
)
def test_where_the_clips_come_from_must_be_said_once(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", *arguments]) == 2
    assert words in capsys.readouterr().err
