"""Differences of two trackers in pairs of runs, and how sure they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from generated_sequence import write_sequence

from duml_tracker_ros.datasets import load_folder
from duml_tracker_ros.evaluation.drawn import drawn_boxes
from duml_tracker_ros.evaluation.paired import clips_of, difference
from duml_tracker_ros.evaluation.splices import every
from duml_tracker_ros.evaluation.starts import more_starts


def runs(clips: int, each: int, spread: float, between: float, gain: float, seed: int):
    """Scores of two trackers: one run differs by ``spread``, a clip's by ``between``."""
    rng = np.random.default_rng(seed)
    place, first, second = {}, {}, {}
    for clip in range(clips):
        own = gain + between * rng.normal()
        for run in range(each):
            name = f"{clip}+{run}"
            place[name], second[name] = str(clip), rng.uniform(0.2, 0.8)
            first[name] = second[name] + own + spread * rng.normal()
    return first, second, place


@pytest.mark.parametrize(("spread", "between"), [(0.02, 0.0), (0.0, 0.02), (0.02, 0.02)])
def test_the_interval_holds_the_truth_as_often_as_it_says(spread: float, between: float) -> None:
    held, width = 0, []
    for seed in range(60):
        found = difference(*runs(12, 4, spread, between, 0.01, seed))
        held += found.low <= 0.01 <= found.high
        width.append(found.high - found.low)
    assert 49 <= held <= 60
    # Runs of one clip say less than runs of as many clips.
    known = 2 * 1.96 * np.sqrt(between**2 / 12 + spread**2 / 48)
    assert 0.75 * known < np.mean(width) < 1.5 * known


def test_a_single_lost_target_moves_the_mean_and_not_the_medians() -> None:
    first, second, place = runs(9, 5, 0.0, 0.0, 0.0, 1)
    assert dataclasses.astuple(difference(first, second, place)) == (0, 0, 0, 0, 0, 0)
    first["3+2"] -= 0.45
    found = difference(first, second, place)
    assert found.mean == pytest.approx(-0.01)
    assert (found.better, found.worse) == (0, 1)
    assert found.low < found.mean < found.high == 0
    assert abs(found.median) < abs(found.mean)
    with pytest.raises(ValueError, match="no sequence in common"):
        difference(first, {}, place)


def test_runs_of_the_same_pictures_are_one_clip(tmp_path: Path) -> None:
    for seed, name in enumerate(("Jogging-1", "Jogging-2")):
        write_sequence(tmp_path / name, frames=8, seed=seed)
    data = load_folder(tmp_path)
    for many in (more_starts(every(data, 2), 4), drawn_boxes(data, 2), data):
        clips = clips_of(many)
        assert len(clips) == len(many)
        assert {name.split("-")[1][0] for name in clips} == {"1", "2"}
        for name, clip in clips.items():
            assert Path(clip).parent.name == name[: len("Jogging-1")]
