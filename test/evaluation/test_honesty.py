"""What a tracker says of its target against where it is: scores, absent targets, the report."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from generated_sequence import write_sequence

from duml_tracker_ros.cli.main import main
from duml_tracker_ros.datasets import Dataset, DatasetError, Sequence, load_dataset
from duml_tracker_ros.evaluation.honesty import honesty, honesty_of, mean_honesty, reliability_of
from duml_tracker_ros.evaluation.metrics import score_pass
from duml_tracker_ros.evaluation.one_pass import Run
from duml_tracker_ros.evaluation.participants import TrackerSpec
from duml_tracker_ros.evaluation.runner import Evaluation, TrackerScores, evaluate
from duml_tracker_ros.evaluation.splices import absent_pairs, every, fit_to

HERE, OFF, NONE = [10.0, 10.0, 20.0, 20.0], [90.0, 90.0, 20.0, 20.0], [np.nan] * 4


def told(
    name: str, rows: list[tuple[str, list[float], list[float], float]]
) -> tuple[Run, Sequence]:
    """A run and its clip from (state, box, true box, confidence) of each frame after the first."""
    rows = [("init", HERE, HERE, 1.0), *rows]
    states, boxes, truth, confidence = (list(c) for c in zip(*rows, strict=True))
    frames = tuple(Path(f"{i}.png") for i in range(len(rows)))
    run = Run(
        np.array(boxes), np.array(confidence), tuple(states), np.zeros(len(rows)), {}, (200, 200)
    )
    return run, Sequence(name, frames, np.array(truth))


def test_shares_are_of_the_frames_with_and_without_the_target() -> None:
    run, clip = told(
        "a",
        [
            ("tracking", HERE, HERE, 0.9),
            ("tracking", OFF, HERE, 0.8),
            ("uncertain", OFF, HERE, 0.2),
            ("lost", HERE, HERE, 0.1),
            ("tracking", HERE, NONE, 0.9),
            ("uncertain", HERE, NONE, 0.3),
            ("lost", HERE, NONE, 0.1),
            ("lost", HERE, NONE, 0.1),
        ],
    )
    found = honesty(run, clip)
    assert found.as_dict() == {
        "tracking": 0.5,
        "false_claims": 0.25,
        "false_alarms": 0.25,
        "absent_tracking": 0.25,
        "absent_uncertain": 0.25,
        "absent_lost": 0.5,
    }
    sure, other = told("b", [("tracking", HERE, HERE, 1.0)] * 3)
    seen = honesty(sure, other)
    assert (seen.tracking, seen.false_claims) == (1.0, 0.0)
    assert np.isnan(seen.absent_lost)
    both = mean_honesty([found, seen])
    assert both.tracking == pytest.approx(0.75)
    assert both.absent_lost == 0.5, "a clip without absent frames has no say in them"


def test_calibration_error_is_the_distance_of_confidence_and_overlap() -> None:
    # Two bins: told 0.95 at IoU 1, told 0.85 at IoU 0 (half of the frames each).
    rows = [("tracking", HERE, HERE, 0.95), ("tracking", OFF, HERE, 0.85)]
    run, clip = told("a", rows)
    scores = {"a": score_pass(run.boxes, clip.truth)}
    result = Evaluation(Dataset("x", [clip]), {"t": TrackerScores("t", {"a": run}, scores)})
    reliable = reliability_of(result, "t")
    assert reliable is not None
    assert reliable.error == pytest.approx(0.5 * 0.05 + 0.5 * 0.85)
    assert reliable.overlap.tolist() == [0.0, 1.0]
    silent = dataclasses.replace(run, confidence=np.full(3, np.nan))
    result.trackers["t"].runs["a"] = silent
    assert reliability_of(result, "t") is None, "a baseline that tells no confidence"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for index, name in enumerate(("one/Alpha", "one/Beta", "two/Alpha")):
        write_sequence(tmp_path / "data" / name, frames=10 + index, seed=index)
    return tmp_path / "data"


def test_pairs_take_the_target_away_and_keep_the_image_size(root: Path) -> None:
    clips = load_dataset("folder", root)
    pairs = absent_pairs(clips)
    assert len(pairs) == 6
    pair = next(p for p in pairs if p.name == "one/Alpha~two-Alpha")
    assert len(pair) == 10 + 12
    assert np.isfinite(pair.truth[:10]).all()
    assert np.isnan(pair.truth[10:]).all()
    other = next(c for c in clips if c.name == "two/Alpha")
    assert np.array_equal(pair.image(10), other.image(0))
    tall = fit_to(np.arange(40 * 20 * 3, dtype=np.uint8).reshape(40, 20, 3), (160, 120))
    assert tall.shape == (120, 160, 3)
    with pytest.raises(DatasetError, match="two clips at least; --sequences leaves 1"):
        absent_pairs(load_dataset("folder", root, "Beta"))
    with pytest.raises(DatasetError, match="--absent is for sets that are scored in one pass"):
        absent_pairs(dataclasses.replace(clips, protocol="anchors"))


def test_a_sample_of_the_pairs_is_always_the_same(root: Path, capsys) -> None:
    clips = load_dataset("folder", root)
    names = [p.name for p in absent_pairs(clips)]
    drawn = [p.name for p in absent_pairs(clips, 4)]
    assert drawn == [p.name for p in absent_pairs(clips, 4)]
    assert len(drawn) == 4
    assert drawn == [name for name in names if name in drawn]
    assert [p.name for p in absent_pairs(clips, 10)] == names
    assert main(["eval", "--root", str(root), "--pairs", "4"]) == 2
    assert "--pairs is of those of --absent: give both" in capsys.readouterr().err


def test_a_tracker_that_never_says_lost_is_found_out(root: Path) -> None:
    pairs = absent_pairs(load_dataset("folder", root, "one/*"))
    result = evaluate([TrackerSpec("opencv_mil")], pairs, progress=False)
    assert not result.problems
    assert honesty_of(result, "opencv_mil").absent_tracking == 1.0


def test_every_second_frame(root: Path) -> None:
    clips = load_dataset("folder", root)
    fast = every(clips, 4)
    assert [c.name for c in fast] == ["one/Alpha@4", "one/Beta@4", "two/Alpha@4"]
    first, whole = fast.sequences[0], clips.sequences[0]
    assert first.frames == whole.frames[::4]
    assert np.array_equal(first.truth, whole.truth[::4])
    with pytest.raises(DatasetError, match="--stride"):
        every(dataclasses.replace(clips, protocol="supervised"), 2)


def test_the_command_prints_and_plots_it(root: Path, tmp_path: Path, capsys) -> None:
    spoken = tmp_path / "scores.json"
    arguments = ["eval", "--root", str(root), "--sequences", "Alpha", "--absent", "--stride", "2"]
    arguments += ["--device", "cpu", "--threads", "1", "--quiet", "--out", str(tmp_path / "out")]
    assert main([*arguments, "--report", str(tmp_path / "r"), "--json", str(spoken)]) == 0
    printed = capsys.readouterr().out
    assert "| false claims | false alarms | absent: TRACKING |" in printed
    honest = json.loads(spoken.read_text())["honesty"]
    told = [honest[f"absent_{state}"] for state in ("tracking", "uncertain", "lost")]
    assert sum(told) == pytest.approx(1.0)
    assert 0 <= honest["calibration_error"] <= 1
    page = (tmp_path / "r" / "index.html").read_text()
    assert "<h2>Honesty</h2>" in page
    assert "Reliability" in page
