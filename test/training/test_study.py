"""Searches and ablations: variants are kept apart, values are taken only for a real gain."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest
from generated_sequence import render

from duml_tracker_ros.cli.main import main
from duml_tracker_ros.cli.tune import parse_tries
from duml_tracker_ros.datasets import load_folder, vot
from duml_tracker_ros.evaluation import ablations
from duml_tracker_ros.evaluation.calibration import Calibration, fit, reliability
from duml_tracker_ros.evaluation.measures import Measure
from duml_tracker_ros.evaluation.one_pass import run_sequence
from duml_tracker_ros.evaluation.participants import TrackerSpec, create_participant
from duml_tracker_ros.evaluation.variants import Variants, VariantScores, coordinate_search
from duml_tracker_ros.training import study


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two generated sequences of ten frames in the plain layout."""
    root = tmp_path_factory.mktemp("clips")
    for seed in (2, 3):
        images, boxes = render(10, size=(240, 180), seed=seed)
        folder = root / f"clip{seed}"
        (folder / "img").mkdir(parents=True)
        for i, image in enumerate(images):
            assert cv2.imwrite(str(folder / "img" / f"{i:04d}.png"), image)
        np.savetxt(folder / "groundtruth_rect.txt", boxes, fmt="%.3f", delimiter=",")
    return root


def test_variants_differ_and_are_not_run_twice(clips: Path, tmp_path: Path) -> None:
    dataset = load_folder(clips)
    variants = Variants(TrackerSpec("duml", "cpu"), dataset, tmp_path, progress=False)
    usual = variants.run("usual", {})
    blind = variants.run("blind", {"localize.lost_below": 9.0})
    assert blind.mean["auc"] < usual.mean["auc"]
    assert blind.against(usual) == (0, 2)
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("run.json")}
    assert len(stamps) == 4
    assert variants.run("usual", {}).mean["auc"] == usual.mean["auc"]
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("run.json")} == stamps


def test_search_takes_only_what_gains_more_than_the_margin() -> None:
    """On a known landscape: one key helps much, one a little, the last only with the first."""

    class Landscape:
        def run(self, name: str, settings: dict) -> VariantScores:
            auc = 0.5 + (0.1 if settings.get("a") == 2 else 0) + 0.001 * settings.get("b", 0)
            auc += 0.02 if settings.get("a") == 2 and settings.get("c") else 0
            return VariantScores(name, dict(settings), {"auc": auc}, {"clip": auc})

    seen: list[tuple] = []
    tries = {"a": [1, 2, 3], "b": [1, 2], "c": [True]}
    taken = coordinate_search(
        Landscape(),  # type: ignore[arg-type]
        tries,
        0.005,
        lambda key, value, outcome, better: seen.append((key, value, better)),
    )
    assert taken == {"a": 2, "c": True}
    assert seen[0] == ("start", "", True)
    assert ("b", 2, False) in seen


def test_tune_prints_what_to_set(clips: Path, tmp_path: Path, capsys) -> None:
    command = ["tune", "--root", str(clips), "--device", "cpu", "--out", str(tmp_path), "--quiet"]
    tries = ["--set", "localize.lost_below=9.0", "--try", "localize.lost_below=0.25,9.5"]
    assert main([*command, *tries]) == 0
    assert "--set localize.lost_below=0.25" in capsys.readouterr().out
    assert main([*command, "--try", "postprocess.mu"]) == 2
    assert "key=v1,v2" in capsys.readouterr().err
    assert parse_tries(["a=1,2.5,true", "b=x"]) == {"a": [1, 2.5, True], "b": ["x"]}


def test_study_names_every_comparison_once() -> None:
    assert [r.name for r in study.formulations()] == [
        *("OFC-5s", "OFC-1s", "OFR"),
        *("ONR", "ONC-1s", "ONC-5s"),
    ]
    assert len({r.name for r in study.pairs()}) == 9
    assert len({(r.network["offline_branch"], str(r.loss)) for r in study.labels()}) == 8


def test_study_trains_and_compares(clips: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    """One network of each kind, trained for two steps each, from a data set of flat pictures."""
    from train_harness import settings, write_data

    alone, pair, label = study.formulations()[3], study.pairs()[3], study.labels()[4]
    monkeypatch.setattr(study, "MU", (0.0, 0.8))
    monkeypatch.setattr(study, "formulations", lambda: [alone])
    monkeypatch.setattr(study, "pairs", lambda: [pair])
    monkeypatch.setattr(study, "labels", lambda: [label])
    data = write_data(tmp_path / "data")
    options = settings(data, tmp_path / "cache")
    for key in ("steps", "network", "data.root"):
        options.pop(key)
    options["data.mix"] = "{still: 1.0}"
    command = ["study", "--root", str(clips), "--device", "cpu", "--out", str(tmp_path / "out")]
    command += ["--train", str(data), "--steps", "2", "--quiet"]
    for key, value in options.items():
        command += ["--train-set", f"{key}={value}"]
    assert main(command) == 0
    text = capsys.readouterr().out
    for name in ("mu 0 ", "mu 0.8", "voting off", "ONR", "OFC-5s + ONC-1s", "OFC-1s ATSS-MinL2 FC"):
        assert name in text
    assert (tmp_path / "out" / "mu.svg").read_text().startswith("<svg")
    (network,) = (tmp_path / "out" / "networks").glob("ONR-*")
    with (network / "log.csv").open() as stream:
        assert [row["step"] for row in csv.DictReader(stream)] == ["0", "1"]
    stamp = (network / "last.pt").stat().st_mtime_ns
    assert main(command) == 0
    assert (network / "last.pt").stat().st_mtime_ns == stamp


def test_study_and_ablation_print_the_measures_of_the_data_set(
    clips: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    """A, R and EAO on a VOT layout; that a server keeps the truth is said."""
    root = tmp_path / "vot"
    for clip in sorted(clips.iterdir()):
        folder = root / clip.name
        shutil.copytree(clip / "img", folder / "color")
        boxes = np.loadtxt(clip / "groundtruth_rect.txt", delimiter=",")
        boxes[:, :2] += 1
        np.savetxt(folder / "groundtruth.txt", boxes, fmt="%.3f", delimiter=",")
    (root / "list.txt").write_text("clip2\n")
    monkeypatch.setitem(vot.EAO_RANGES, "vot2018", (2, 8))
    monkeypatch.setattr(study, "MU", (0.0, 0.8))
    monkeypatch.setattr(study, "updates", lambda variants: [])
    options = ["--device", "cpu", "--quiet", "--dataset", "vot2018", "--root", str(root)]
    assert main(["study", *options, "--out", str(tmp_path / "study")]) == 0
    text = capsys.readouterr().out
    assert re.search(r"\| variant +\| +A \| +R \| +EAO \|", text)
    assert re.search(r"\| mu 0.8 +\| 0\.\d{3} \| \d+\.\d{3} \| 0\.\d{3} \|", text)
    assert ">EAO<" in (tmp_path / "study" / "mu.svg").read_text()
    table = {"systems": {"duml": [{"row": "as shipped"}]}, "networks": {}}
    monkeypatch.setattr(ablations, "_table", lambda: table)
    out = ["--out", str(tmp_path / "ablation"), "--tracker", "duml"]
    assert main(["ablation", *options, *out]) == 0
    assert re.search(r"\| row +\| +A \| +R \| +EAO \|\n", capsys.readouterr().out)
    (root / "TEST" / "anno").mkdir(parents=True)
    (root / "TEST" / "anno" / "a.txt").write_text("1,2,30,40\n")
    shutil.copytree(root / "clip2" / "color", root / "TEST" / "frames" / "a")
    assert main(["ablation", "--dataset", "trackingnet", "--root", str(root), *out]) == 2
    assert "kept by a server" in capsys.readouterr().err


def test_grid_and_training_data_are_those_of_the_paper(clips: Path, tmp_path: Path) -> None:
    assert len(study.grid()) == 140
    assert len({str(settings) for settings in study.grid()}) == 140
    whole = {name: f"/{name}" for name in study.SOURCES.values()}
    assert [r.name for r in study.training_data(whole)] == ["VYCLG", "VYCD", "VYC", "VC"]
    small = {k: whole[k] for k in ("imagenet_vid", "coco", "youtube_bb")}
    rows = study.training_data(small)
    assert [r.name for r in rows] == ["VYC", "VC"]
    assert rows[1].layouts == {"imagenet_vid": "/imagenet_vid", "coco": "/coco"}

    class Counted:
        seen: ClassVar[list[dict]] = []

        def run(self, name: str, settings: dict, weights: str) -> VariantScores:
            self.seen.append(settings)
            return VariantScores(name, settings, {"auc": settings["postprocess.size_rate"]}, {})

    found = study.grid_mean(
        Counted(),  # type: ignore[arg-type]
        study.formulations()[0],
        "file",
        (Measure("AUC", "auc"),),
    )
    assert found.mean["auc"] == pytest.approx(0.35)
    assert len(Counted.seen) == 140
    assert Counted.seen[0]["network.online_branch"] == "none"


def test_calibration_recovers_a_known_curve() -> None:
    rng = np.random.default_rng(1)
    raw = rng.uniform(0, 1, 4000)
    true = Calibration(8.0, 0.6)
    overlap = np.clip(true(raw) + rng.normal(0, 0.05, 4000), 0, 1)
    weight = np.ones(4000)
    found = fit(raw, overlap, weight)
    assert found.slope == pytest.approx(8.0, abs=0.6)
    assert found.middle == pytest.approx(0.6, abs=0.03)
    before, after = reliability(raw, overlap, weight), reliability(found(raw), overlap, weight)
    assert after.error < 0.02 < before.error
    assert after.frames.sum() == 4000


def test_calibrate_prints_a_table_of_several_trackers(clips: Path, tmp_path: Path, capsys) -> None:
    command = ["calibrate", "--root", str(clips), "--device", "cpu", "--out", str(tmp_path)]
    assert main([*command, "--quiet", "--tracker", "duml", "siamrcr"]) == 0
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("| ")
    ]
    titles, *_, duml, siamrcr = rows
    assert titles[:2] == ["tracker", "sha256"]
    assert titles[-2:] == ["confidence_slope", "confidence_middle"]
    assert [duml[0], siamrcr[0]] == ["duml", "siamrcr"]
    for row in (duml, siamrcr):
        raw, present, fitted = map(float, row[2:5])
        assert 0 <= fitted <= min(raw, present) + 0.02
    assert duml[1] != siamrcr[1]
    assert (tmp_path / "reliability_siamrcr.svg").is_file()
    assert main([*command, "--tracker", "opencv_csrt"]) == 2
    assert "tell no confidence" in capsys.readouterr().err


def test_calibrate_says_what_to_set_and_the_tracker_takes_it(
    clips: Path, tmp_path: Path, capsys
) -> None:
    command = ["calibrate", "--root", str(clips), "--device", "cpu", "--out", str(tmp_path)]
    assert main([*command, "--quiet"]) == 0
    text = capsys.readouterr().out
    words = text.split()
    settings = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    assert [s.split("=")[0] for s in settings] == [
        "localize.confidence_slope",
        "localize.confidence_middle",
    ]
    assert (tmp_path / "reliability.svg").read_text().startswith("<svg")
    overrides = {k: float(v) for k, v in (s.split("=") for s in settings)}
    sequence = load_folder(clips).sequences[0]
    low, high = (
        run_sequence(create_participant(TrackerSpec("duml", "cpu", overrides=o)), sequence)
        for o in ({"localize.confidence_slope": 0.0}, overrides)
    )
    curve = Calibration(*overrides.values())
    assert np.allclose(high.confidence[1:], curve(low.confidence[1:]), atol=2e-3)
    assert main([*command, "--quiet", "--starts", "2"]) == 0
    starts = {f"{sequence.name}+0", f"{sequence.name}-{len(sequence) - 1}"}
    assert starts < {p.parent.name for p in tmp_path.rglob("run.json")}
