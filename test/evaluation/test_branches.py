"""Where each branch has its peak beside the true box."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from generated_sequence import render

from duml_tracker_ros.cli.main import main
from duml_tracker_ros.datasets import load_folder
from duml_tracker_ros.evaluation.branches import study_branches
from duml_tracker_ros.evaluation.participants import TrackerSpec

ASIDE = 0.7
"""How far the wanted place is moved aside, in widths of the target."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip with its true boxes, and the same one with boxes that are beside the target."""
    root = tmp_path_factory.mktemp("clips")
    images, boxes = render(14, size=(240, 180), seed=2)
    moved = boxes.copy()
    moved[1:, 0] += ASIDE * moved[1:, 2]
    for name, truth in (("true", boxes), ("moved", moved)):
        (root / name / "img").mkdir(parents=True)
        for i, image in enumerate(images):
            assert cv2.imwrite(str(root / name / "img" / f"{i:04d}.png"), image)
        np.savetxt(root / name / "groundtruth_rect.txt", truth, fmt="%.3f", delimiter=",")
    return root


def test_peaks_are_judged_by_the_true_box_and_filters_learn_from_it(clips: Path) -> None:
    """Where the wanted place is another one, only a filter that learns of it can be right."""
    spec = TrackerSpec("duml", "cpu")
    rules = {
        "never": {"online.update": "never"},
        "much": {"online.update": "every_frame", "online.rate": 0.9},
    }
    true, moved = (
        study_branches(spec, load_folder(clips, name), rules, progress=False)
        for name in ("true", "moved")
    )
    assert set(true) == set(moved) == {(r, side) for r in rules for side in (1.0, 2.0)}
    for shares in true.values():
        assert set(shares.right.values()) == {1.0}
        assert shares.either == 1
        assert shares.online_alone == shares.offline_alone == 0
        assert shares.box > 0.5
        for at, elsewhere in shares.scores.values():
            assert at > elsewhere
    for shares in moved.values():
        online, offline = shares.right["online"], shares.right["offline"]
        assert shares.either == pytest.approx(offline + shares.online_alone)
        assert shares.either == pytest.approx(online + shares.offline_alone)
        assert offline < 0.5
    never, much = moved["never", 1.0], moved["much", 1.0]
    assert never.online_alone < 0.2
    assert much.online_alone > never.online_alone + 0.3


def test_study_prints_the_branches(clips: Path, tmp_path: Path, capsys) -> None:
    command = ["study", "--branches", "--root", str(clips), "--sequences", "true"]
    command += ["--device", "cpu", "--out", str(tmp_path)]
    assert main([*command, "--train", str(tmp_path)]) == 2
    assert "--branches trains nothing" in capsys.readouterr().err
    assert main([*command, "--quiet"]) == 0
    printed = capsys.readouterr().out
    table = (tmp_path / "branches.md").read_text()
    assert table in printed
    rows = [line.split("|")[1:4] for line in table.splitlines()[2:]]
    wanted = [(rule, side) for rule in ("never", "paper", "as set", "every_frame") for side in "12"]
    assert [(rule.strip(), side.strip()) for rule, side, _ in rows] == wanted
    assert {share.strip() for *_, share in rows} == {"100.0%"}
