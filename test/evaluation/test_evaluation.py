"""Data sets, baselines and the one-pass runner on generated sequences."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import pytest
from generated_sequence import render, write_sequence

from duml_tracker_ros.datasets import (
    DatasetError,
    SequenceError,
    load_dataset,
    matches,
    read_image,
)
from duml_tracker_ros.evaluation.baselines import (
    BASELINES,
    BaselineError,
    baseline_models,
    create_baseline,
)
from duml_tracker_ros.evaluation.drawn import drawn_boxes
from duml_tracker_ros.evaluation.one_pass import Run, load_run, results_folder
from duml_tracker_ros.evaluation.participants import TrackerSpec, create_participant
from duml_tracker_ros.evaluation.runner import evaluate
from duml_tracker_ros.evaluation.starts import more_starts
from duml_tracker_ros.evaluation.worst_frames import picture_window
from duml_tracker_ros.tracker import ConfigError

KCF = TrackerSpec("opencv_kcf")
CSRT = TrackerSpec("opencv_csrt")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for index, name in enumerate(("one/Alpha", "one/Beta", "two/Alpha")):
        write_sequence(tmp_path / "data" / name, frames=10 + index, seed=index)
    return tmp_path / "data"


def test_folder_finds_sequences_at_any_depth(root: Path) -> None:
    data = load_dataset("folder", root)
    assert [s.name for s in data] == ["one/Alpha", "one/Beta", "two/Alpha"]
    assert [len(s) for s in data] == [10, 11, 12]
    assert data.sequences[0].truth[1].tolist() == [33, 41, 30, 24]
    images, _ = render(10, seed=0)
    assert np.array_equal(data.sequences[0].image(4), images[4])


def test_sequence_globs_match_whole_name_or_last_part() -> None:
    assert matches("one/Alpha", "Alpha")
    assert matches("one/Alpha", "one/*")
    assert matches("one/Alpha", "Beta, Al*")
    assert not matches("one/Alpha", "one")
    assert matches("anything", None)


def test_frames_are_in_numeric_order(tmp_path: Path) -> None:
    folder = write_sequence(tmp_path / "Seq")
    for path in (folder / "img").iterdir():
        path.rename(path.with_name(f"img{int(path.stem)}.png"))
    names = [f.name for f in load_dataset("folder", tmp_path).sequences[0].frames]
    assert names[:3] == ["img1.png", "img2.png", "img3.png"]
    assert names[-1] == "img12.png"


@pytest.mark.parametrize("separator", ["\t", " ", ", ", ";"])
def test_truth_separators_and_absent_rows(tmp_path: Path, separator: str) -> None:
    folder = write_sequence(tmp_path / "Seq", frames=4)
    rows = [["30", "40", "30", "24"], ["nan"] * 4, ["0"] * 4, ["39", "43", "30.5", "24"]]
    text = "\r\n".join(separator.join(r) for r in rows) + "\r\n\r\n"
    (folder / "groundtruth_rect.txt").write_text(text)
    truth = load_dataset("folder", tmp_path).sequences[0].truth
    assert np.isnan(truth[1:3]).all()
    assert truth[3, 2] == 30.5


def test_every_broken_sequence_is_named_and_the_others_stay(root: Path) -> None:
    def broken(name: str) -> Path:
        return write_sequence(root / "bad" / name)

    (broken("few_lines") / "groundtruth_rect.txt").write_text("1,2,30,40\n" * 7)
    (broken("words") / "groundtruth_rect.txt").write_text("1,2,30,40\n1,2,car,4\n")
    (broken("missing_frame") / "img" / "000005.png").unlink()
    (broken("no_truth") / "groundtruth_rect.txt").unlink()
    boxes = "nan,nan,nan,nan\n" + "1,2,30,40\n" * 11
    (broken("no_start") / "groundtruth_rect.txt").write_text(boxes)
    for image in (broken("no_images") / "img").iterdir():
        image.unlink()
    data = load_dataset("folder", root)
    assert [s.name for s in data] == ["one/Alpha", "one/Beta", "two/Alpha"]
    reasons = {p.name.removeprefix("bad/"): p.reason for p in data.problems}
    assert "12 images but 7" in reasons["few_lines"]
    assert "line 2" in reasons["words"]
    assert "car" in reasons["words"]
    assert "frame after 000004.png is missing" in reasons["missing_frame"]
    assert "cannot be read" in reasons["no_truth"]
    assert "first frame" in reasons["no_start"]
    assert "no image" in reasons["no_images"]


def test_data_set_errors_name_the_remedy(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="--root"):
        load_dataset("folder", tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"known: .*folder"):
        load_dataset("otb9000", root)
    with pytest.raises(DatasetError, match="one/Alpha, one/Beta"):
        load_dataset("folder", root, "Gamma")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"groundtruth_rect\.txt"):
        load_dataset("folder", tmp_path / "empty")


def test_cut_jpeg_is_an_error_and_not_a_grey_image(tmp_path: Path) -> None:
    folder = write_sequence(tmp_path / "Seq", suffix=".jpg")
    victim = folder / "img" / "000006.jpg"
    assert read_image(victim).shape == (120, 160, 3)
    victim.write_bytes(victim.read_bytes()[:-400])
    sequence = load_dataset("folder", tmp_path).sequences[0]
    with pytest.raises(
        SequenceError, match=r"Seq: frame 5: .*000006.jpg: JPEG of 3709 bytes is cut off"
    ):
        sequence.image(5)


@pytest.mark.parametrize(
    ("name", "least"), [("opencv_kcf", 0.7), ("opencv_csrt", 0.6), ("opencv_mil", 0.4)]
)
def test_peer_follows_a_clear_target(root: Path, name: str, least: float) -> None:
    data = load_dataset("folder", root, "one/Alpha")
    score = evaluate([TrackerSpec(name)], data, progress=False).trackers[name].mean()
    assert score["average_overlap"] > least
    assert score["ms_median"] > 0


def test_peer_errors_name_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match="opencv_csrt"):
        create_baseline("opencv_best")
    with pytest.raises(BaselineError, match=r"--model opencv_nano=BACKBONE\.onnx,NECKHEAD\.onnx"):
        create_baseline("opencv_nano")
    with pytest.raises(BaselineError, match="does not exist"):
        create_baseline("opencv_vit", [tmp_path / "vit.onnx"])
    junk = tmp_path / "junk.onnx"
    junk.write_bytes(b"not a network")
    images, boxes = render(1)
    with pytest.raises(BaselineError, match="cannot load"):
        create_baseline("opencv_vit", [junk]).init(images[0], tuple(boxes[0]))
    with pytest.raises(BaselineError, match="outside"):
        create_baseline("opencv_kcf").init(images[0], (500.0, 0.0, 10.0, 10.0))
    with pytest.raises(BaselineError, match="NAME=FILE"):
        baseline_models(["vit.onnx"])
    assert baseline_models(["opencv_nano=a,b"]) == {"opencv_nano": ("a", "b")}
    assert "opencv_mil" in BASELINES


def test_results_are_kept_per_frame_in_text(root: Path, tmp_path: Path) -> None:
    data = load_dataset("folder", root, "one/Alpha")
    run = evaluate([KCF], data, out=tmp_path / "out", progress=False)
    folder = results_folder(tmp_path / "out", "opencv_kcf", "one/Alpha")
    boxes = np.loadtxt(folder / "Alpha_001.txt", delimiter=",")
    assert boxes.shape == (10, 4)
    assert boxes[0].tolist() == [30, 40, 30, 24]
    assert np.loadtxt(folder / "Alpha_time.txt").shape == (10,)
    assert len((folder / "Alpha_001_confidence.value").read_text().split()) == 10
    assert (folder / "Alpha_001_state.txt").read_text().split()[:2] == ["init", "tracking"]
    assert np.array_equal(run.trackers["opencv_kcf"].runs["one/Alpha"].boxes, boxes)


def test_interrupted_evaluation_continues_where_it_stopped(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = evaluate([KCF], load_dataset("folder", root, "one/*"), out=out, progress=False)
    # A run that was cut off before its last file counts as not done.
    (results_folder(out, "opencv_kcf", "one/Beta") / "run.json").unlink()
    second = evaluate([KCF], load_dataset("folder", root), out=out, progress=False)
    resumed = {n: r.resumed for n, r in second.trackers["opencv_kcf"].runs.items()}
    assert resumed == {"one/Alpha": True, "one/Beta": False, "two/Alpha": False}
    assert (
        first.trackers["opencv_kcf"].as_dict()["sequences"]["one/Alpha"]
        == second.trackers["opencv_kcf"].as_dict()["sequences"]["one/Alpha"]
    )
    fresh = evaluate([KCF], load_dataset("folder", root), out=out, fresh=True, progress=False)
    assert not any(r.resumed for r in fresh.trackers["opencv_kcf"].runs.values())


def test_results_of_other_input_are_not_taken(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate([KCF], load_dataset("folder", root, "one/Alpha"), out=out, progress=False)
    truth = root / "one" / "Alpha" / "groundtruth_rect.txt"
    truth.write_text(truth.read_text().replace("30,40,30,24", "31,40,30,24", 1))
    again = evaluate([KCF], load_dataset("folder", root, "one/Alpha"), out=out, progress=False)
    assert not again.trackers["opencv_kcf"].runs["one/Alpha"].resumed


def test_damaged_results_are_run_again(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    data = load_dataset("folder", root, "one/Alpha")
    evaluate([KCF], data, out=out, progress=False)
    folder = results_folder(out, "opencv_kcf", "one/Alpha")
    (folder / "Alpha_001.txt").write_text("30,40,30,24\n")
    assert load_run(folder, data.sequences[0]) is None
    again = evaluate([KCF], data, out=out, progress=False)
    assert not again.trackers["opencv_kcf"].runs["one/Alpha"].resumed


def test_corrupt_frame_spoils_only_its_sequence(root: Path) -> None:
    (root / "one" / "Beta" / "img" / "000007.png").write_bytes(b"nonsense")
    result = evaluate([KCF], load_dataset("folder", root), progress=False)
    assert list(result.trackers["opencv_kcf"].scores) == ["one/Alpha", "two/Alpha"]
    assert "frame 6" in result.problems["one/Beta"]


def test_parallel_run_gives_the_same_boxes(root: Path, tmp_path: Path) -> None:
    data = load_dataset("folder", root)
    alone = evaluate([KCF, CSRT], data, progress=False)
    (root / "two" / "Alpha" / "img" / "000003.png").write_bytes(b"")
    shared = evaluate([KCF, CSRT], data, jobs=2, threads=1, out=tmp_path / "out", progress=False)
    assert set(shared.problems) == {"two/Alpha (opencv_kcf)", "two/Alpha (opencv_csrt)"}
    for name in ("opencv_kcf", "opencv_csrt"):
        for sequence in ("one/Alpha", "one/Beta"):
            one = alone.trackers[name].runs[sequence].boxes
            assert np.array_equal(one, shared.trackers[name].runs[sequence].boxes)


def test_time_is_the_trackers_own(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding and waiting between frames is not counted."""
    data = load_dataset("folder", root, "one/Alpha")
    clock, waited = time.perf_counter, 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: clock() + waited)

    class Slow(type(data.sequences[0])):  # type: ignore[misc]
        def image(self, index: int) -> np.ndarray:
            nonlocal waited
            waited += 1000.0
            return super().image(index)

    slow = Slow(data.sequences[0].name, data.sequences[0].frames, data.sequences[0].truth)
    data.sequences[0] = slow
    run = evaluate([TrackerSpec("opencv_mosse")], data, progress=False)
    assert waited >= 1e4
    assert run.trackers["opencv_mosse"].mean()["ms_median"] < 1e5


def test_means_by_group_and_names(root: Path) -> None:
    result = evaluate([KCF], load_dataset("folder", root), progress=False)
    document = result.trackers["opencv_kcf"].as_dict()
    assert set(document["groups"]) == {"one", "two"}
    values = [s["auc"] for s in document["sequences"].values()]
    assert document["mean"]["auc"] == pytest.approx(np.mean(values))
    assert document["groups"]["one"]["auc"] == pytest.approx(np.mean(values[:2]))
    assert document["mean"]["frames"] == 33
    assert json.loads(json.dumps(document)) == document
    with pytest.raises(ValueError, match="twice"):
        evaluate([KCF, KCF], load_dataset("folder", root), progress=False)


def test_more_starts_go_forth_and_back_from_frames_with_the_target(tmp_path: Path) -> None:
    folder = write_sequence(tmp_path / "clip", frames=12)
    rows = (truth := folder / "groundtruth_rect.txt").read_text().splitlines()
    truth.write_text("\n".join([*rows[:2], "nan,nan,nan,nan", *rows[3:]]))
    (clip,) = load_dataset("folder", tmp_path)
    runs = more_starts(load_dataset("folder", tmp_path), 6).sequences
    names = ["+0", "-11", "+3", "-9", "+4", "-7"]
    assert [r.name for r in runs] == [f"{clip.name}{n}" for n in names]
    assert [len(r) for r in runs] == [12, 12, 9, 10, 8, 8]
    for run in runs:
        order = [clip.frames.index(f) for f in run.frames]
        assert order == sorted(order, reverse="-" in run.name[len(clip.name) :])
        assert np.array_equal(run.truth, clip.truth[order], equal_nan=True)
        assert np.isfinite(run.truth[0]).all()
    found = evaluate([KCF], more_starts(load_dataset("folder", tmp_path), 6), progress=False)
    assert set(found.trackers["opencv_kcf"].scores) == {r.name for r in runs}
    other = dataclasses.replace(load_dataset("folder", tmp_path), protocol="anchors")
    with pytest.raises(DatasetError, match="one pass"):
        more_starts(other, 2)


def test_jitter_starts_from_the_same_drawn_boxes_every_time(root: Path) -> None:
    clips = load_dataset("folder", root)
    drawn, again = drawn_boxes(clips, 3), drawn_boxes(clips, 3)
    assert [s.name for s in drawn][:3] == [f"{clips.sequences[0].name}~{i}" for i in (1, 2, 3)]
    for one, other in zip(drawn, again, strict=True):
        assert np.array_equal(one.selection, other.selection)
        x, y, w, h = one.truth[0]
        a, b, wide, high = one.selection
        assert abs(a + wide / 2 - x - w / 2) <= 0.1 * w
        assert abs(b + high / 2 - y - h / 2) <= 0.1 * h
        assert 0.85 <= wide / w <= 1.15
        assert 0.85 <= high / h <= 1.15
    assert len({tuple(s.selection) for s in drawn}) == len(drawn.sequences)
    found = evaluate([KCF], drawn_boxes(clips, 1), progress=False)
    runs = found.trackers[KCF.name].runs
    for clip in drawn_boxes(clips, 1):
        assert np.allclose(runs[clip.name].boxes[0], clip.selection, atol=1e-3)


def test_our_own_tracker_is_evaluated_and_its_settings_mark_the_results(
    root: Path, tmp_path: Path
) -> None:
    data = load_dataset("folder", root, "one/Alpha")

    def run(**overrides: object) -> Run:
        spec = TrackerSpec("duml", device="cpu", weights="random", overrides=overrides)
        result = evaluate([spec], data, out=tmp_path / "out", progress=False)
        assert not result.problems
        return result.trackers["duml"].runs["one/Alpha"]

    first = run(**{"online.init_iterations": 1})
    assert not first.resumed
    assert np.isfinite(first.boxes).all()
    assert set(first.states[1:]) <= {"tracking", "uncertain", "lost"}
    assert ((first.confidence >= 0) & (first.confidence <= 1)).all()
    again = run(**{"online.init_iterations": 1})
    assert again.resumed
    assert np.array_equal(again.boxes, first.boxes)
    other = run(**{"online.init_iterations": 1, "postprocess.mu": 0.1})
    assert not other.resumed


def test_unknown_setting_is_reported(root: Path) -> None:
    spec = TrackerSpec("duml", weights="random", overrides={"online.intervall": 3})
    with pytest.raises(ConfigError, match=r"online\.intervall"):
        create_participant(spec)


def test_report_pictures_hold_all_boxes_and_enlarge_small_targets() -> None:
    image = np.zeros((360, 640, 3), np.uint8)
    small = np.array([600.0, 300.0, 9.0, 12.0])
    left, top, width, height = picture_window(image, [small])
    assert width / height == pytest.approx(640 / 360, abs=0.05)
    assert height < 90
    assert left <= 600 <= 609 <= left + width <= 640
    assert top <= 300 <= 312 <= top + height <= 360
    far = np.array([20.0, 10.0, 30.0, 30.0])
    assert picture_window(image, [small, far]) == (0, 0, 640, 360)
    assert picture_window(image, [small, np.array([-9e4, 9e4, 5.0, 5.0])])[2] <= 640
    assert picture_window(image, []) == (0, 0, 640, 360)
