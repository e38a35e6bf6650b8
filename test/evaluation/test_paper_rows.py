"""Every row of every table of the papers: a setting, a network to train, or a reason why not."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch

from duml_tracker_ros.cli.main import main
from duml_tracker_ros.datasets import BENCHMARKS
from duml_tracker_ros.evaluation.ablations import ablation_rows
from duml_tracker_ros.evaluation.paper_tables import KINDS, paper_rows
from duml_tracker_ros.tracker.config import load_config
from duml_tracker_ros.tracker.factory import system
from duml_tracker_ros.tracker.network_config import NetworkConfig
from duml_tracker_ros.tracker.settings import build, flat
from duml_tracker_ros.training import study
from duml_tracker_ros.training.recipes import load_train_config

COUNTS = {
    "duml": {
        "Table 1": 6,
        "Table 2": 7,
        "Table 3": 9,
        "Table 4": 2,
        "Table 5": 9,
        "Table 6": 9,
        "Table 7": 9,
        "Table 8": 9,
        "Table 9": 8,
        "Table 10": 8,
        "Table 11": 4,
    },
    "drol": {"Table 1": 15, "Table 2": 5, "Table 3": 6, "Table 4": 6, "Table 5": 12},
    "fcot": {"Table 1": 3, "Table 2": 2, "Table 3": 3, "Table 4": 9},
    "tlpg": {
        "Table 1": 5,
        "Table 2": 10,
        "Table 3": 6,
        "Table 4": 11,
        "Table 5": 10,
        "Table 6": 7,
        "Table 7": 8,
    },
    "siamrcr": {"Table 1": 4, "Table 2": 5, "Table 3": 10, "Table 4": 11, "Table 5": 6},
}
"""Rows (methods, variants) of each table as printed; of TLPG's Tables 1 to 7 some are columns."""


def test_no_row_of_any_table_is_unaccounted_for() -> None:
    found = {
        paper: {table: len(rows) for table, rows in tables.items() if table.startswith("Table")}
        for paper, tables in paper_rows().items()
    }
    assert found == COUNTS
    figures = {p: [t for t in tables if t.startswith("Fig")] for p, tables in paper_rows().items()}
    assert figures["duml"] == ["Fig. 4"]
    assert figures["siamrcr"] == ["Fig. 4"]


def all_rows():
    for paper, tables in paper_rows().items():
        for table, rows in tables.items():
            for row in rows:
                yield pytest.param(paper, table, row, id=f"{paper}-{table}-{row.name}")


def test_every_row_says_one_thing_that_exists() -> None:
    """Settings load, recipes load with their changes, sets are known, reasons are given."""
    for _, table, row in (p.values for p in all_rows()):
        where = f"{table}, {row.name}"
        assert row.kind in KINDS, where
        assert all(name in BENCHMARKS for name in row.datasets), where
        if row.kind == "not":
            assert len(row.reason) > 15, where
            continue
        config = load_config(row.size, row.settings, row.tracker)
        assert config.name in (row.tracker, "duml"), where
        if row.kind == "train":
            recipe = load_train_config(row.recipe, row.training)
            changed = {f"network.{k}": v for k, v in flat(recipe.network).items()}
            # What is trained is what is run.
            wanted = load_config(row.size, {**row.settings, **changed}, row.tracker).network
            assert wanted == config.network, where


def test_rows_of_ablation_and_study_carry_the_labels_of_the_tables() -> None:
    """What `ablation` and `study` print under a table's name is a row of that table."""
    names = {"DuML": "duml", "DROL": "drol", "FCOT": "fcot", "TLPG": "tlpg", "SiamRCR": "siamrcr"}
    tables = paper_rows()
    labelled = 0
    for tracker in ("duml", "drol_rpn", "siamrcr", "fcot", "tlpg"):
        for row in ablation_rows(tracker):
            match = re.fullmatch(r"(\w+), (Table \d+|Fig\. 4)(, .*)?", row.paper)
            if match is None or match[1] not in names:
                continue
            same = [
                one
                for one in tables[names[match[1]]][match[2]]
                if one.kind != "not" and one.settings == row.settings
            ]
            assert same, f"{row.paper}: {row.name} {row.settings}"
            labelled += 1
    assert labelled >= 20
    trained = {r.name for r in (*study.formulations(), *study.pairs(), *study.labels())}
    assert len(trained) == 6 + 9 + 5  # three of the labels are formulations


def test_rows_are_listed_by_the_command(capsys) -> None:
    assert main(["study", "--rows"]) == 0
    text = capsys.readouterr().out
    assert "fcot, Table 2: W/O Online" in text
    assert "not reproduced: " in text
    assert "--set online.learn_box=false" in text


@pytest.mark.parametrize("maps", ["first", "second"])
def test_box_regressor_of_fcot_sees_one_map(maps: str) -> None:
    config = load_config("compact", {"network.decoder.box_maps": maps}, "fcot").network
    net = system("fcot").network(config)
    crops = torch.zeros(1, 3, 193, 193, dtype=torch.uint8)
    found = net.extract(crops)
    assert net._last_two(found).shape[1] == config.decoder.width
    assert net.online_features(found).box.shape[-1] == found[-1].shape[-1]


def test_only_the_box_regressor_of_fcot_stays() -> None:
    from generated_sequence import render

    from duml_tracker_ros.tracker import create_tracker

    pictures, boxes = render(3)
    tracker = create_tracker(
        "fcot",
        device="cpu",
        **{"online.learn_box": False, "online.update": "every_frame", "online.learn_above": 0.0},
        **{"localize.lost_below": 0.0, "localize.found_above": 0.0, "localize.unsure_share": 0.0},
        **{"localize.accurate_below": 0.0, "localize.lost_share": 0.0},
    )
    target = tracker.start(pictures[0], tuple(boxes[0]), "bgr")
    for picture in pictures[1:]:
        tracker.track(picture, [target], "bgr")
    target.finish_update()
    assert torch.equal(target.box.filter, target.box.first_filter)
    assert not torch.equal(target.coarse.filter, target.coarse.first_filter)


@pytest.mark.parametrize(("key", "value"), [("neck", "fpn"), ("neck", "none"), ("enhance", False)])
def test_necks_of_tlpg(key: str, value: object) -> None:
    config = load_config("compact", {f"network.points.{key}": value}, "tlpg").network
    net = system("tlpg").network(config).eval()
    crops = torch.randint(0, 255, (1, 3, 193, 193), dtype=torch.uint8)
    with torch.no_grad():
        first, second, _ = net.extract(crops)
    assert first.shape == second.shape == (1, 48, 25, 25)
    names = {name.partition(".")[0] for name, _ in net.named_parameters()}
    assert ("enhance" in names) == (key != "enhance")


def test_one_stage_of_tlpg_ends_with_its_own_proposals() -> None:
    from generated_sequence import render

    from duml_tracker_ros.tracker import create_tracker

    pictures, boxes = render(2)
    found = []
    for stages in (1, 2):
        tracker = create_tracker("tlpg", device="cpu", **{"proposals.stages": stages})
        tracker.init(pictures[0], tuple(boxes[0]), "bgr")
        found.append(tracker.update(pictures[1], "bgr"))
    one, two = found
    robust, accurate = one.score_maps["robust"], one.score_maps["accurate"]
    assert (accurate[accurate > 0] == robust[accurate > 0]).all()
    assert one.box != two.box


def test_attention_may_come_before_the_compression() -> None:
    from duml_tracker_ros.tracker.online.classifier import OnlineClassifier

    torch.manual_seed(0)
    features = torch.rand(2, 24, 25, 25)
    targets = torch.tensor([[12.0, 12.0, 5.0, 5.0]]).repeat(2, 1)
    config = load_config("compact", name="drol_rpn")
    made = []
    for first in (False, True):
        rule = dataclasses.replace(
            config.classifier, channels=16, attention_first=first, first_steps=1, first_iterations=2
        )
        made.append(OnlineClassifier(rule, config.online, features, targets))
    assert [m.attention[0].shape[1] for m in made] == [16, 24]
    scores = [m.scores(features[:1])[0] for m in made]
    assert scores[0].shape == scores[1].shape
    assert not torch.allclose(*scores)


def test_centerness_is_one_at_the_centre_and_zero_outside() -> None:
    from duml_tracker_ros.training.rcr_objective import centerness

    truth = torch.tensor([[10.0, 20.0, 50.0, 40.0]])
    cells = torch.tensor([[30.0, 30.0], [20.0, 30.0], [5.0, 30.0]])
    found = centerness(cells, truth)[0]
    assert found.tolist() == pytest.approx([1.0, (10 / 30) ** 0.5, 0.0])
    assert build(NetworkConfig, {}).points.neck == "balanced"
