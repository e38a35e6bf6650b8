"""What is kept is reused for the very inputs it was made from: runs, cut-outs, scenes, networks."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from generated_sequence import render, write_sequence

from duml_tracker_ros import digest
from duml_tracker_ros.cli.main import main
from duml_tracker_ros.datasets import load_dataset
from duml_tracker_ros.digest import file_digest, value_digest
from duml_tracker_ros.evaluation import run_key
from duml_tracker_ros.evaluation.participants import TrackerSpec
from duml_tracker_ros.evaluation.runner import evaluate
from duml_tracker_ros.evaluation.splices import absent_pairs
from duml_tracker_ros.evaluation.workers import limit_threads
from duml_tracker_ros.training import study
from duml_tracker_ros.training.data.bank import Bank, Record
from duml_tracker_ros.training.data.cutouts import load_cutouts
from duml_tracker_ros.training.data.scenes import load_scenes

KCF = TrackerSpec("opencv_kcf")


def resumed(data, out: Path, spec: TrackerSpec = KCF) -> list[bool]:
    result = evaluate([spec], data, out=out, progress=False)
    assert not result.problems
    return [run.resumed for run in result.trackers[spec.name].runs.values()]


def test_other_pixels_under_the_same_names_are_scored_anew(tmp_path: Path) -> None:
    """Two cameras of one flight: same names, same boxes, same sizes of the files."""
    write_sequence(tmp_path / "visible" / "Seq")
    flat = write_sequence(tmp_path / "infrared" / "Seq") / "img"
    for path in flat.iterdir():
        cv2.imwrite(str(path), np.full((120, 160, 3), 90, np.uint8))
    scores = {}
    for name in ("visible", "infrared", "visible"):
        file = tmp_path / "scores.json"
        argv = ["eval", "--root", tmp_path / name, "--tracker", "opencv_kcf", "--quiet"]
        argv += ["--out", tmp_path / "out", "--json", file]
        assert main([str(a) for a in argv]) == 0
        document = json.loads(file.read_text())
        assert document["environment"]["resumed"] == 0
        scores.setdefault(name, []).append(document["mean"]["auc"])
    assert scores["visible"][0] == scores["visible"][1] > 0.7
    assert scores["infrared"][0] < 0.5


def test_one_changed_pixel_or_row_of_the_truth_is_a_new_run(tmp_path: Path) -> None:
    folder, out = write_sequence(tmp_path / "data" / "Seq"), tmp_path / "out"

    def load():
        return load_dataset("folder", tmp_path / "data")

    assert resumed(load(), out) == [False]
    assert resumed(load(), out) == [True]
    last = folder / "img" / "000012.png"
    image = cv2.imread(str(last))
    image[5, 5] ^= 1
    before = last.stat()
    cv2.imwrite(str(last), image)
    os.utime(last, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert resumed(load(), out) == [False]
    assert resumed(load(), out) == [True]
    truth = folder / "groundtruth_rect.txt"
    rows = truth.read_text().splitlines()
    truth.write_text("\n".join([*rows[:-1], "1,2,3,4"]) + "\n")
    assert resumed(load(), out) == [False]
    # Another place, the same content: nothing to run.
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    assert resumed(load_dataset("folder", tmp_path / "elsewhere"), out) == [True]


def test_what_computes_belongs_to_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sequence(tmp_path / "data" / "Seq")
    data, out = load_dataset("folder", tmp_path / "data"), tmp_path / "out"
    assert resumed(data, out) == [False]
    monkeypatch.setattr(cv2, "__version__", "4.0.0")
    assert resumed(data, out) == [False]
    limit_threads(cv2.getNumThreads() + 1)
    assert resumed(data, out) == [False]
    limit_threads(1)
    monkeypatch.setattr(run_key, "code_digest", lambda *parts: "other code")
    assert resumed(data, out) == [False]


def test_moved_images_of_a_splice_are_another_run(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_sequence(tmp_path / "data" / name)
    data, out = absent_pairs(load_dataset("folder", tmp_path / "data")), tmp_path / "out"
    data.sequences = data.sequences[:1]
    assert resumed(data, out) == [False]
    shifts = tuple((i, 0) for i in range(len(data.sequences[0])))
    data.sequences[0] = dataclasses.replace(data.sequences[0], shifts=shifts)
    assert resumed(data, out) == [False]
    assert resumed(data, out) == [True]


def test_vot_truth_decides_where_runs_start_again(tmp_path: Path) -> None:
    images, boxes = render(20)
    (tmp_path / "vot" / "clip").mkdir(parents=True)
    for index, image in enumerate(images):
        cv2.imwrite(str(tmp_path / "vot" / "clip" / f"{index + 1:08d}.jpg"), image)
    truth = tmp_path / "vot" / "clip" / "groundtruth.txt"
    rows = boxes + np.array([1, 1, 0, 0])
    np.savetxt(truth, rows, delimiter=",", fmt="%g")
    (tmp_path / "vot" / "list.txt").write_text("clip\n")

    def failures() -> tuple[int, float]:
        file = tmp_path / "vot.json"
        argv = ["eval", "--dataset", "vot2018", "--root", tmp_path / "vot", "--quiet"]
        argv += ["--tracker", "opencv_kcf", "--out", tmp_path / "out", "--json", file]
        assert main([str(a) for a in argv]) == 0
        document = json.loads(file.read_text())
        return document["environment"]["resumed"], document["mean"]["failures"]

    assert failures() == (0, 0)
    assert failures() == (1, 0)
    rows[8:12, 0] += 100
    np.savetxt(truth, rows, delimiter=",", fmt="%g")
    again, count = failures()
    assert again == 0
    assert count >= 1


def test_cutouts_are_those_of_the_pictures_at_hand(tmp_path: Path) -> None:
    def bank(colour: int) -> Bank:
        image = np.random.default_rng(1).integers(90, 110, (100, 140, 3), dtype=np.uint8)
        cv2.circle(image, (70, 50), 28, (230, 40, colour), -1)
        return Bank([Record("photos/disc_0.jpg", "photos", 140, 100)], [image])

    def colour(found) -> int:
        (cutout,) = found
        return int(cutout.rgba[cutout.rgba.shape[0] // 2, cutout.rgba.shape[1] // 2, 2])

    options = {"cache_dir": tmp_path, "grabcut_source": "photos", "progress": False}
    assert colour(load_cutouts(bank(30), **options)) == 30
    assert colour(load_cutouts(bank(200), **options)) == 200
    assert colour(load_cutouts(bank(30), **options)) == 30


def test_scenes_are_those_of_the_code_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from duml_tracker_ros.training.data import scenes

    options = {"width": 160, "height": 120, "cache_dir": tmp_path, "progress": False}
    load_scenes(1, 2, **options)
    load_scenes(1, 2, **options)
    assert len(list(tmp_path.glob("scenes-*.npz"))) == 1
    monkeypatch.setattr(scenes, "code_digest", lambda *parts: "other code")
    load_scenes(1, 2, **options)
    assert len(list(tmp_path.glob("scenes-*.npz"))) == 2


def test_a_studys_network_is_that_of_its_recipe_and_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[Path] = []

    def train(config, resume, out, overrides):
        out.mkdir(parents=True, exist_ok=True)
        (out / "weights.safetensors").write_bytes(b"")
        trained.append(out)
        return out / "weights.safetensors"

    monkeypatch.setattr(study, "train_from_config", train)
    data = tmp_path / "data"
    data.mkdir()
    (data / "index.jsonl").write_text('{"image": "a.jpg"}\n')
    (data / "a.jpg").write_bytes(b"one")
    (recipe, *_) = study.formulations()

    def network(steps: int = 10, **settings: object) -> Path:
        given = {"data.root": str(data), **settings}
        return study.train_recipe(recipe, tmp_path / "nets", "duml_compact", given, steps)

    first, status = network(), (data / "a.jpg").stat()
    assert network() == first
    assert len(trained) == 1
    others = [network(11), network(lr=1e-4)]
    (data / "a.jpg").write_bytes(b"two")
    # As a copy that keeps times would leave it.
    os.utime(data / "a.jpg", ns=(status.st_atime_ns, status.st_mtime_ns))
    digest._read.cache_clear()
    others.append(network())
    assert len({first, *others}) == 4
    assert len(trained) == 4


def test_a_digest_tells_values_kinds_and_borders_apart(tmp_path: Path) -> None:
    values = [1, 1.0, True, "1", None, [1], [[1]], ["ab", "c"], ["a", "bc"], {"a": 1}, {"a": "1"}]
    values += [np.zeros(2), np.zeros((1, 2)), np.zeros(2, np.float32), np.array([0, np.nan])]
    assert len({value_digest(v) for v in values}) == len(values)
    assert value_digest({"a": 1, "b": 2}) == value_digest({"b": 2, "a": 1})
    with pytest.raises(TypeError, match="object"):
        value_digest(object())
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    assert file_digest(file) == value_digest_of(b"abc")
    file.write_bytes(b"abd")
    assert file_digest(file) == value_digest_of(b"abd")


def value_digest_of(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()
