"""Loaders and protocols of the public benchmarks, on small trees in their published layouts."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from generated_sequence import render

from duml_tracker_ros.cli.main import main
from duml_tracker_ros.datasets import BENCHMARKS, DatasetError, load_dataset, read_boxes
from duml_tracker_ros.datasets.region import rectangle, special
from duml_tracker_ros.evaluation.longterm import LongTermScore, score_of
from duml_tracker_ros.evaluation.metrics import score_pass
from duml_tracker_ros.evaluation.paper_rules import by_benchmark
from duml_tracker_ros.evaluation.participants import TrackerSpec
from duml_tracker_ros.evaluation.runner import evaluate
from duml_tracker_ros.evaluation.vot_runs import evaluate_vot
from duml_tracker_ros.tracker import ConfigError, create_tracker
from duml_tracker_ros.tracker.config import load_config
from duml_tracker_ros.tracker.frame.localize import TrackState

KCF = TrackerSpec("opencv_kcf")
START = [30.0, 40.0, 30.0, 24.0]  # the generated target in the first frame, pixels from 0


def images(folder: Path, count: int, form: str = "{:08d}.jpg", first: int = 1) -> np.ndarray:
    """Write frames; returns the true boxes, pixels from 0."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures, boxes = render(count)
    for index, picture in enumerate(pictures):
        assert cv2.imwrite(str(folder / form.format(first + index)), picture)
    return boxes


def write(path: Path, rows: np.ndarray, separator: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(separator.join(f"{v:g}" for v in row) for row in rows) + "\n")


def from_one(boxes: np.ndarray) -> np.ndarray:
    return boxes + np.array([1, 1, 0, 0])


def test_otb_counts_from_one_and_knows_its_odd_sequences(tmp_path: Path) -> None:
    boxes = from_one(images(tmp_path / "Car4" / "img", 8, "{:04d}.jpg"))
    write(tmp_path / "Car4" / "groundtruth_rect.txt", boxes, "\t")
    jogging = from_one(images(tmp_path / "Jogging" / "img", 8, "{:04d}.jpg"))
    write(tmp_path / "Jogging" / "groundtruth_rect.1.txt", jogging)
    write(tmp_path / "Jogging" / "groundtruth_rect.2.txt", jogging + 1)
    (tmp_path / "Jogging" / "groundtruth_rect.txt").write_text("")
    # David's images begin at 1, its truth at 300.
    david = from_one(images(tmp_path / "David" / "img", 12, "{:04d}.jpg", first=295))
    write(tmp_path / "David" / "groundtruth_rect.txt", david[5:])
    data = load_dataset("otb", tmp_path)
    assert not data.problems
    found = {s.name: s for s in data}
    assert list(found) == ["Car4", "David", "Jogging-1", "Jogging-2"]
    assert found["Car4"].truth[0].tolist() == START
    assert found["Jogging-2"].truth[0].tolist() == [31, 41, 31, 25]
    assert found["David"].frames[0].name == "0300.jpg"
    assert len(found["David"]) == 7


def test_nfs_takes_corners_and_every_eighth_box(tmp_path: Path) -> None:
    boxes = images(tmp_path / "ball" / "30" / "ball", 5, "{:05d}.jpg")
    rows = []
    for index, (x, y, w, h) in enumerate(np.repeat(boxes, 8, axis=0)):
        rows.append(f'0 {x:g} {y:g} {x + w:g} {y + h:g} {index} 0 0 0 "ball"')
    (tmp_path / "ball" / "30" / "ball.txt").write_text("\n".join(rows[:-9]) + "\n")
    data = load_dataset("nfs", tmp_path)
    assert not data.problems
    (sequence,) = data
    assert len(sequence) == 4  # the last, incomplete block is dropped
    assert sequence.truth.tolist() == boxes[:4].tolist()


def test_nfs_rows_belong_to_the_frames_they_name(tmp_path: Path) -> None:
    boxes = images(tmp_path / "ball" / "30" / "ball", 6, "{:05d}.jpg")

    def rows(first: int, step: int, leave: set[int]) -> None:
        lines = []
        for index, (x, y, w, h) in enumerate(np.repeat(boxes, step, axis=0)):
            if index not in leave:
                lines.append(f'0 {x:g} {y:g} {x + w:g} {y + h:g} {index + first} 0 0 0 "ball"')
        (tmp_path / "ball" / "30" / "ball.txt").write_text("\n".join(lines) + "\n")

    # One row is missing: of the video of 30 Hz, and of those of 240 Hz, counted from 0 and from 1.
    for first, step, leave, unknown in (
        (0, 1, {2}, {2}),
        (1, 8, {16, 17}, {2}),
        (0, 8, {3}, set()),
    ):
        rows(first, step, leave)
        data = load_dataset("nfs", tmp_path)
        assert not data.problems
        expected = boxes.copy()
        expected[list(unknown)] = np.nan
        assert np.array_equal(data.sequences[0].truth, expected, equal_nan=True)
    rows(0, 1, set())
    path = tmp_path / "ball" / "30" / "ball.txt"
    path.write_text(path.read_text() + path.read_text())
    (problem,) = load_dataset("nfs", tmp_path).problems
    assert "line 7: frame 0 comes twice" in problem.reason


def test_uav123_takes_parts_of_a_video_and_attributes(tmp_path: Path) -> None:
    boxes = from_one(images(tmp_path / "data_seq" / "UAV123" / "bird1", 9, "{:06d}.jpg"))
    images(tmp_path / "data_seq" / "UAV123" / "car1", 4, "{:06d}.jpg")
    write(tmp_path / "anno" / "UAV123" / "bird1_2.txt", boxes[3:7])
    truth = from_one(render(4)[1])
    truth[2] = np.nan
    write(tmp_path / "anno" / "UAV123" / "car1.txt", truth)
    (tmp_path / "anno" / "UAV123" / "att").mkdir()
    (tmp_path / "anno" / "UAV123" / "att" / "car1.txt").write_text("1,0,0,1,0,0,0,0,0,0,0,0\n")
    data = load_dataset("uav123", tmp_path)
    assert [s.name for s in data] == ["car1"]
    assert "configSeqs.m" in data.problems[0].reason
    assert data.sequences[0].attributes == ("scale variation", "fast motion")
    assert data.sequences[0].truth[0].tolist() == START
    assert np.isnan(data.sequences[0].truth[2]).all()
    (tmp_path / "configSeqs.m").write_text(
        r"seqs={struct('name','bird1_2','path','D:\data_seq\UAV123\bird1\','startFrame',4,"
        "'endFrame',7,'nz',6,'ext','jpg','init_rect',[0,0,0,0]),...};"
    )
    data = load_dataset("uav123", tmp_path)
    assert not data.problems
    assert [f.stem for f in data.sequences[0].frames] == ["000004", "000005", "000006", "000007"]


def test_lasot_follows_its_test_list(tmp_path: Path) -> None:
    for name in ("car-1", "car-2"):
        boxes = from_one(images(tmp_path / "car" / name / "img", 5))
        boxes[3] = 0
        write(tmp_path / "car" / name / "groundtruth.txt", boxes)
    assert len(load_dataset("lasot", tmp_path)) == 2
    (tmp_path / "testing_set.txt").write_text("car-2\ncar-9\n")
    data = load_dataset("lasot", tmp_path)
    assert [s.name for s in data] == ["car-2"]
    assert data.problems[0].name == "car-9"
    assert data.sequences[0].truth[0].tolist() == START
    assert np.isnan(data.sequences[0].truth[3]).all()


def test_trackingnet_writes_what_its_server_wants(tmp_path: Path) -> None:
    # TrackingNet numbers its frames 0.jpg, 1.jpg, ... 10.jpg without leading zeros.
    boxes = images(tmp_path / "TEST" / "frames" / "abc_0", 12, "{}.jpg", first=0)
    write(tmp_path / "TEST" / "anno" / "abc_0.txt", boxes[:1])
    data = load_dataset("trackingnet", tmp_path)
    assert data.sequences[0].frames[10].name == "10.jpg"
    out = tmp_path / "out"
    argv = ["eval", "--dataset", "trackingnet", "--root", str(tmp_path), "--quiet"]
    assert main([*argv, "--tracker", "opencv_kcf", "--out", str(out)]) == 0
    with zipfile.ZipFile(out / "trackingnet" / "opencv_kcf.zip") as archive:
        assert archive.namelist() == ["abc_0.txt"]
        rows = np.loadtxt(archive.open("abc_0.txt"), delimiter=",")
    assert rows.shape == (12, 4)
    assert rows[0].tolist() == START


def got10k_tree(root: Path, subset: str, name: str, count: int = 8) -> None:
    folder = root / subset / name
    boxes = images(folder, count)
    if subset == "test":
        boxes = boxes[:1]
    else:
        (folder / "cover.label").write_text("8\n" * (count - 2) + "0\n8\n")
        for label in ("absence", "cut_by_image"):
            (folder / f"{label}.label").write_text("0\n" * count)
        (folder / "meta_info.ini").write_text("[METAINFO]\nresolution: (160, 120)\n")
    write(folder / "groundtruth.txt", boxes)
    (root / subset / "list.txt").write_text(name + "\n")


def test_got10k_val_gives_ao_and_sr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    got10k_tree(tmp_path, "val", "GOT-10k_Val_000001")
    file = tmp_path / "s.json"
    argv = ["eval", "--dataset", "got10k-val", "--root", str(tmp_path), "--quiet"]
    argv += ["--tracker", "opencv_kcf", "--out", str(tmp_path / "out"), "--json", str(file)]
    assert main(argv) == 0
    mean = json.loads(file.read_text())["mean"]
    assert 0.3 < mean["ao"] < 1
    assert 0 <= mean["sr75"] <= mean["sr50"] <= 1
    assert "SR0.75" in capsys.readouterr().out
    data = load_dataset("got10k-val", tmp_path)
    assert evaluate([KCF], data, progress=False).got10k("opencv_kcf").frames == 6


@pytest.mark.parametrize("kind", ["got10k-val", "lasot", "folder"])
def test_hidden_frames_count_in_no_score(kind: str, tmp_path: Path) -> None:
    """What a tracker says of a frame whose labels call the target hidden changes nothing."""
    count, unseen = 12, {4, 5}
    ones = ["1" if i in unseen else "0" for i in range(count)]
    folder = {
        "got10k-val": tmp_path / "val" / "Seq",
        "lasot": tmp_path / "car" / "car-1",
        "folder": tmp_path / "Seq",
    }[kind]
    boxes = images(folder if kind == "got10k-val" else folder / "img", count)
    name = "groundtruth_rect.txt" if kind == "folder" else "groundtruth.txt"
    write(folder / name, from_one(boxes) if kind == "lasot" else boxes)
    if kind == "lasot":
        (folder / "full_occlusion.txt").write_text(",".join(ones) + "\n")
        (folder / "out_of_view.txt").write_text(",".join("0" * count))
    else:
        cover = "\r\n".join("0" if i in unseen else "8" for i in range(count))
        (folder / "cover.label").write_bytes(b"\xef\xbb\xbf" + cover.encode() + b"\r\n")
    (tmp_path / "val").mkdir(exist_ok=True)
    (tmp_path / "val" / "list.txt").write_text("Seq\n")
    data = load_dataset(kind, tmp_path)
    assert not data.problems
    result = evaluate([KCF], data, progress=False)
    (run,) = result.trackers["opencv_kcf"].runs.values()
    (sequence,) = data
    wrong = run.boxes.copy()
    wrong[list(unseen)] = 500.0, 500.0, 3.0, 3.0
    scores = [score_pass(found, sequence.truth).as_dict() for found in (run.boxes, wrong)]
    assert scores[0] == scores[1]
    assert (scores[0]["frames"], scores[0]["absent"]) == (count - 2, 2)
    if kind == "got10k-val":
        assert result.got10k("opencv_kcf").frames == count - 3
        (folder / "cover.label").write_text("8\n" * 3)
        assert "3 lines in cover.label" in load_dataset(kind, tmp_path).problems[0].reason


@pytest.mark.parametrize("code", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_labels_are_read_as_any_system_writes_them(tmp_path: Path, code: str, end: str) -> None:
    from duml_tracker_ros.datasets.base import words
    from duml_tracker_ros.datasets.region import parse_region
    from duml_tracker_ros.datasets.text import read_text

    def file(name: str, lines: list[str]) -> Path:
        (tmp_path / name).write_bytes((end.join(lines) + end).encode(code))
        return tmp_path / name

    path = file("boxes.txt", ["1\t2\t3\t4", "NaN,NaN,NaN,NaN", "5, 6; 7 8", "nan nan nan nan"])
    boxes = read_boxes(path, "clip")
    assert boxes[[0, 2]].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert np.isnan(boxes[[1, 3]]).all()
    assert words(file("list.txt", ["calm", "jump"])) == ("calm", "jump")
    regions = read_text(file("truth.txt", ["1,2,3,4", "1\t2\t3\t4", "nan,nan,nan,nan"])).split("\n")
    assert [parse_region(line).kind for line in regions[:3]] == [
        "rectangle",
        "rectangle",
        "special",
    ]


def test_got10k_test_submission_has_boxes_and_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "GOT-10k_Test_000001"
    got10k_tree(tmp_path, "test", name)
    out = tmp_path / "out"
    argv = ["eval", "--dataset", "got10k-test", "--root", str(tmp_path), "--quiet"]
    assert main([*argv, "--tracker", "opencv_kcf", "--out", str(out)]) == 0
    assert "the truth is not public" in capsys.readouterr().out
    with zipfile.ZipFile(out / "got10k-test" / "opencv_kcf.zip") as archive:
        assert archive.namelist() == [f"{name}/{name}_001.txt", f"{name}/{name}_time.txt"]
        assert np.loadtxt(archive.open(f"{name}/{name}_time.txt")).shape == (8,)
    (tmp_path / "test" / "list.txt").write_text(f"{name}\nGOT-10k_Test_000002\n")
    assert main([*argv, "--tracker", "opencv_kcf", "--out", str(out)]) == 1
    assert "missing: GOT-10k_Test_000002" in capsys.readouterr().err


def test_weights_of_other_data_are_no_entry_of_got10k(tmp_path: Path, capsys) -> None:
    got10k_tree(tmp_path, "test", "GOT-10k_Test_000001", count=3)
    argv = ["eval", "--dataset", "got10k-test", "--root", str(tmp_path), "--quiet"]
    argv += ["--size", "compact", "--device", "cpu", "--out", str(tmp_path / "out")]
    assert main(argv) == 0
    found = capsys.readouterr()
    assert "to submit: " in found.out + found.err
    assert "no valid entry: the weights of duml were trained on data that they" in found.err


def vot_tree(root: Path, *, polygon: bool = False, anchors: bool = False) -> None:
    """Two sequences; in the second the target jumps away half-way, so that a tracker fails."""
    for name in ("calm", "jump"):
        folder = root / name
        boxes = images(folder / "color", 30)
        if name == "jump":
            pictures, original = render(30)
            for index in range(12, 30):
                # Mirrored: the target is somewhere else from one frame to the next.
                source = 41 - index
                picture = np.ascontiguousarray(pictures[source][::-1, ::-1])
                assert cv2.imwrite(str(folder / "color" / f"{index + 1:08d}.jpg"), picture)
                x, y, w, h = original[source]
                boxes[index] = [160 - x - w, 120 - y - h, w, h]
        rows = from_one(boxes)
        if polygon:
            x, y, w, h = rows.T
            rows = np.stack([x, y, x + w, y, x + w, y + h, x, y + h], axis=1)
        write(folder / "groundtruth.txt", rows)
        (folder / "sequence").write_text(
            f"name={name}\nfps=30\nformat=default\nchannel.default=color\n"
            "channels.color=color/%08d.jpg\nwidth=160\nheight=120\n"
        )
        if anchors:
            values = np.zeros((30, 1))
            values[0], values[29] = 1, -1
            write(folder / "anchor.value", values)
    (root / "list.txt").write_text("calm\njump\n")


@pytest.mark.parametrize("polygon", [False, True])
def test_vot_supervised_starts_again_after_a_failure(tmp_path: Path, polygon: bool) -> None:
    vot_tree(tmp_path, polygon=polygon)
    data = load_dataset("vot2018", tmp_path)
    assert data.sequences[0].truth[0].tolist() == START
    out = tmp_path / "out"
    result = evaluate_vot([KCF], data, out=out, progress=False)
    assert not result.problems
    lines = (out / "opencv_kcf" / "baseline" / "jump" / "jump_001.txt").read_text().split()
    assert lines[0] == "1"
    fail = lines.index("2")
    assert 12 <= fail < 16
    assert lines[fail + 1 : fail + 6] == ["0", "0", "0", "0", "1"]
    score = result.trackers["opencv_kcf"].score
    assert score is not None
    assert score.failures == pytest.approx(0.5 * lines.count("2"), abs=0.5)
    assert result.trackers["opencv_kcf"].sequences["calm"].failures == 0
    assert result.trackers["opencv_kcf"].sequences["calm"].accuracy > 0.6
    again = evaluate_vot([KCF], data, out=out, progress=False)
    assert all(r.resumed for r in again.trackers["opencv_kcf"].runs.values())
    assert np.array_equal(again.trackers["opencv_kcf"].score.eao_curve, score.eao_curve)


def test_vot_anchors_run_both_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vot_tree(tmp_path, anchors=True)
    data = load_dataset("vot2022", tmp_path)
    result = evaluate_vot([KCF], data, out=tmp_path / "out", progress=False, jobs=2)
    folder = tmp_path / "out" / "opencv_kcf" / "baseline" / "calm"
    back = (folder / "calm_00000029.txt").read_text().split()
    assert back[0] == "1"
    assert len(back) == 30
    # Backward: the run's second frame is the video's last but one.
    x = float(back[1].split(",")[0])
    assert x == pytest.approx(1 + 30 + 3 * 28, abs=5)
    calm = result.trackers["opencv_kcf"].sequences["calm"]
    jump = result.trackers["opencv_kcf"].sequences["jump"]
    assert calm.robustness == 1
    assert jump.robustness == pytest.approx(0.5, abs=0.1)
    argv = ["eval", "--dataset", "vot2022", "--root", str(tmp_path), "--quiet", "--per-sequence"]
    argv += ["--tracker", "opencv_kcf", "--out", str(tmp_path / "o2")]
    argv += ["--json", str(tmp_path / "s.json")]
    assert main(argv) == 0
    document = json.loads((tmp_path / "s.json").read_text())
    score = result.trackers["opencv_kcf"].score
    assert document["mean"]["robustness"] == pytest.approx(score.robustness)
    assert "EAO" in capsys.readouterr().out


def test_vot_anchor_data_without_anchors_is_named(tmp_path: Path) -> None:
    vot_tree(tmp_path)
    data = load_dataset("vot2021", tmp_path)
    assert [p.name for p in data.problems] == ["calm", "jump"]
    assert "anchor" in data.problems[0].reason


def test_vot_boxes_are_given_and_taken_in_the_files_coordinates() -> None:
    from duml_tracker_ros.evaluation.vot_runs import start_box, to_region

    region = rectangle([10.5, 20.25, 30, 40])
    assert start_box(region) == (9.5, 19.25, 30.0, 40.0)
    assert to_region(start_box(region)).text() == region.text()
    with pytest.raises(ValueError, match="empty"):
        start_box(special(0))


@pytest.mark.parametrize("kind", [k for k in BENCHMARKS if k != "folder"])
def test_a_folder_of_something_else_is_told(kind: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(DatasetError, match="expected"):
        load_dataset(kind, tmp_path)


def test_vot2018_lt_gives_precision_recall_and_f(tmp_path: Path, capsys) -> None:
    """The target leaves for some frames; a tracker that says LOST there loses no precision."""
    boxes = from_one(images(tmp_path / "away", 14))
    boxes[9:12] = np.nan
    write(tmp_path / "away" / "groundtruth.txt", boxes)
    (tmp_path / "list.txt").write_text("away\n")
    argv = ["eval", "--dataset", "vot2018-lt", "--root", str(tmp_path), "--quiet"]
    file = tmp_path / "s.json"
    argv += ["--tracker", "opencv_kcf", "--out", str(tmp_path / "out"), "--json", str(file)]
    assert main(argv) == 0
    mean = json.loads(file.read_text())["mean"]
    assert 0.3 < mean["precision"] <= 1
    assert mean["f_score"] == pytest.approx(
        2 * mean["precision"] * mean["recall"] / (mean["precision"] + mean["recall"])
    )
    assert " Re |" in capsys.readouterr().out


def test_long_term_measures_of_known_answers() -> None:
    """Two sequences; only frames of some confidence count for precision."""
    right, wrong = np.ones(4), np.zeros(4)
    sure, unsure = np.full(4, 0.9), np.full(4, 0.1)
    whole = (np.concatenate([right, wrong]), np.concatenate([sure, unsure]), 4)
    half = (np.concatenate([0.5 * right, wrong]), np.concatenate([sure, unsure]), 8)
    assert score_of([whole]) == LongTermScore(1.0, 1.0, 1.0)
    found = score_of([whole, half])
    assert found.precision == pytest.approx(0.75)
    assert found.recall == pytest.approx((1 + 2 / 8) / 2)


def test_search_size_is_that_of_the_paper_by_rule(tmp_path: Path) -> None:
    """`eval --dataset uav123 --size r50` searches 321 pixels, and 257 elsewhere."""
    boxes = from_one(images(tmp_path / "data_seq" / "UAV123" / "car1", 2, "{:06d}.jpg"))
    write(tmp_path / "anno" / "UAV123" / "car1.txt", boxes)
    data = load_dataset("uav123", tmp_path)
    for name in ("nfs", "lasot", "uav123", "otb", "vot2018"):
        spec = by_benchmark(TrackerSpec("duml", size="r50"), dataclasses.replace(data, name=name))
        large = name in ("nfs", "lasot", "uav123")
        assert load_config("r50", spec.overrides).network.search_size == (321 if large else 257)
    chosen = TrackerSpec("duml", size="r50", overrides={"network.search_size": 289})
    for spec in (chosen, TrackerSpec("duml"), TrackerSpec("siamrcr", size="r50"), KCF):
        assert by_benchmark(spec, data) is spec
    argv = ["eval", "--dataset", "uav123", "--root", str(tmp_path), "--quiet", "--size", "r50"]
    argv += ["--weights", "random", "--device", "cpu", "--out", str(tmp_path / "out")]
    argv += ["--set", "online.init_samples=1", "--set", "online.init_iterations=0"]
    assert main(argv) == 0
    text = next((tmp_path / "out").rglob("run.json")).read_text()
    assert json.loads(text)["tracker"]["config"]["network"]["search_size"] == 321


def test_the_paper_preset_leaves_out_what_was_added() -> None:
    usual, paper = load_config("lite"), load_config("lite", {"preset": "paper"})
    assert min(usual.postprocess.first_box, usual.postprocess.refine) > 0
    assert paper.postprocess.first_box == paper.postprocess.refine == 0
    assert usual.online.interval < paper.online.interval == 20
    assert (paper.online.iterations, paper.online.learn_above) == (2, 0)
    usual, paper = load_config("compact"), load_config("compact", {"preset": "paper"})
    assert usual.postprocess.first_box > 0
    assert paper.postprocess.first_box == 0
    assert paper.localize.colour_tolerance == paper.localize.lost_share == 0
    assert paper.localize.max_search == 1
    assert (paper.network, paper.postprocess.mu) == (usual.network, usual.postprocess.mu)
    # What is set beside it counts; a paper without lost targets has none.
    both = load_config("compact", {"preset": "paper", "localize.max_search": 2.0})
    assert both.localize.max_search == 2
    assert load_config("compact", {"preset": "paper"}, "siamrcr").localize.lost_below == 0
    with pytest.raises(ConfigError, match="preset"):
        load_config("compact", {"preset": "papers"})
    # Not even on a black picture is a target lost.
    tracker = create_tracker("siamrcr", weights="random", device="cpu", preset="paper")
    pictures, boxes = render(3)
    tracker.init(pictures[0], tuple(boxes[0]), "bgr")
    assert tracker.update(np.zeros_like(pictures[1]), "bgr").state is not TrackState.LOST


def test_drol_has_the_papers_first_frame_in_the_papers_size() -> None:
    for name in ("drol_rpn", "drol_mask"):
        config = load_config("r50", name=name)
        assert (config.online.init_samples, config.online.memory) == (30, 250)
        assert (config.classifier.first_steps, config.classifier.first_iterations) == (6, 10)
        assert load_config("compact", name=name).online.init_samples == 15


def test_the_200_clips_of_tlpg_are_drawn_once_and_for_all(tmp_path: Path) -> None:
    boxes = from_one(images(tmp_path / "otb" / "Car4" / "img", 4, "{:04d}.jpg"))
    write(tmp_path / "otb" / "Car4" / "groundtruth_rect.txt", boxes)
    with pytest.raises(DatasetError, match=r"missing: .*lasot.*vot2018"):
        load_dataset("tlpg200", tmp_path)
    for index in range(210):
        folder = tmp_path / "lasot" / "car" / f"car-{index}"
        folder.mkdir(parents=True)
        (folder / "img").symlink_to(tmp_path / "otb" / "Car4" / "img")
        write(folder / "groundtruth.txt", boxes)
    vot_tree(tmp_path / "vot2018")
    first, second = load_dataset("tlpg200", tmp_path), load_dataset("tlpg200", tmp_path)
    names = [s.name for s in first]
    assert len(names) == 200
    assert names == [s.name for s in second]
    assert {n.partition("/")[0] for n in names} >= {"lasot", "vot2018"}
    assert first.protocol == "pass"
