"""The demo without its processes: sources, options, figures, pictures."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import cv2
import generated_sequence
import numpy as np
import pytest

from duml_tracker_ros.demo import main as demo
from duml_tracker_ros.demo.footage import (
    Footage,
    FootageError,
    add_source_options,
    open_source,
    source_arguments,
)
from duml_tracker_ros.demo.pictures import Heatmap, draw_run
from duml_tracker_ros.demo.summary import Received, Truth, failures, summarize, table


def source(*arguments: str) -> Footage:
    parser = argparse.ArgumentParser()
    add_source_options(parser)
    return open_source(parser.parse_args(arguments))


def write_video(path: Path, frames: int = 10) -> Path:
    images, _ = generated_sequence.render(frames)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (160, 120))
    for image in images:
        writer.write(image)
    writer.release()
    return path


# --- sources -------------------------------------------------------------------------------------


def test_folder_gives_images_truth_and_absence(tmp_path: Path) -> None:
    folder = generated_sequence.write_sequence(tmp_path / "seq", 6)
    lines = (folder / "groundtruth_rect.txt").read_text().splitlines()
    lines[3] = "NaN NaN NaN NaN"
    lines[4] = lines[4].replace(",", "\t")
    (folder / "groundtruth_rect.txt").write_text("\n".join(lines) + "\n")
    images, boxes = generated_sequence.render(6)
    found = source("--seq", str(folder))
    frames = list(found.frames())
    assert (found.count, found.order, found.first_box) == (6, "bgr", (30.0, 40.0, 30.0, 24.0))
    assert all(np.array_equal(f.image, i) for f, i in zip(frames, images, strict=True))
    assert [f.box for f in frames[3:5]] == [None, tuple(boxes[4])]
    assert [f.visible for f in frames] == [True, True, True, False, True, True]


def test_size_scales_images_and_boxes_alike(tmp_path: Path) -> None:
    folder = generated_sequence.write_sequence(tmp_path / "seq", 3)
    found = source("--seq", str(folder), "--size", "320x360")
    frames = list(found.frames())
    assert frames[1].image.shape == (360, 320, 3)
    assert frames[1].box == (66.0, 123.0, 60.0, 72.0)
    given = source("--seq", str(folder), "--size", "320x360", "--box", "10,10,20,20")
    assert given.first_box == (20.0, 30.0, 40.0, 60.0)


def test_scene_is_the_default_and_knows_its_truth() -> None:
    found = source("--frames", "4", "--size", "320x240")
    frames = list(found.frames())
    assert len(frames) == found.count == 4
    assert found.order == "rgb"
    assert frames[0].box == found.first_box
    assert frames[0].visible
    assert np.array_equal(frames[2].image, list(found.frames())[2].image)


def test_video_needs_a_box_inside_its_image(tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.avi")
    found = source("--video", str(path), "--box", "30,40,30,24", "--frames", "7")
    frames = list(found.frames())
    assert (len(frames), found.has_truth, found.live) == (7, False, False)
    assert abs(frames[0].image.astype(int) - generated_sequence.render(1)[0][0]).mean() < 6
    with pytest.raises(FootageError, match="BOX=x,y,w,h"):
        source("--video", str(path))
    with pytest.raises(FootageError, match="outside the 160x120"):
        source("--video", str(path), "--box", "170,0,20,20")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seq", "/nowhere"], "/nowhere does not exist"),
        (["--video", "/nowhere.mp4", "--box", "1,2,3,4"], "/nowhere.mp4 does not exist"),
        (["--seq", "a", "--video", "b"], "not both"),
        (["--box", "1,2,3"], "'1,2,3' is not x,y,w,h"),
        (["--box", "1,2,0,4"], "above 0"),
        (["--box", "1,2,nan,4"], "above 0"),
        (["--size", "640"], "'640' is not WIDTHxHEIGHT"),
        (["--size", "8x8"], "64x64"),
    ],
)
def test_bad_input_is_one_clear_line(arguments: list[str], words: str) -> None:
    with pytest.raises(FootageError) as caught:
        source(*arguments)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_broken_folders_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty" / "img").mkdir(parents=True)
    with pytest.raises(FootageError, match="no images"):
        source("--seq", str(tmp_path / "empty"))
    folder = generated_sequence.write_sequence(tmp_path / "short", 4)
    truth = folder / "groundtruth_rect.txt"
    truth.write_text("\n".join(truth.read_text().splitlines()[:2]))
    with pytest.raises(FootageError, match="4 images but 2 lines"):
        source("--seq", str(folder))
    truth.unlink()
    with pytest.raises(FootageError, match=r"groundtruth_rect\.txt"):
        source("--seq", str(folder))
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(FootageError, match=r"text\.mp4"):
        source("--video", str(tmp_path / "text.mp4"), "--box", "1,2,30,40")


def test_another_process_gets_the_same_source() -> None:
    parser = argparse.ArgumentParser()
    add_source_options(parser)
    options = parser.parse_args(["--box=-5,3,20,20", "--frames", "9", "--seed", "3"])
    assert parser.parse_args(source_arguments(options)) == options


# --- figures -------------------------------------------------------------------------------------

PERIOD = 33_333_333


def answer(
    index: int, box: tuple[float, float, float, float] | None, **changes: object
) -> Received:
    values: dict[str, object] = {
        "stamp_ns": 1_000_000_000 + index * PERIOD,
        "frame_id": "camera",
        "state": "TRACKING" if box else "LOST",
        "box": box,
        "confidence": 0.9,
        "target_id": 1,
        "dropped": 0,
        "age": 0.010,
        "latency": 0.008,
        "processing": 0.006,
        "arrival": index / 30,
    }
    return Received(**{**values, **changes})  # type: ignore[arg-type]


SENT = [(index, 1_000_000_000 + index * PERIOD) for index in range(11)]
BOX = (10.0, 10.0, 20.0, 20.0)
TRUTH = [Truth(BOX, True)] * 11


def test_perfect_run() -> None:
    summary = summarize(SENT, "camera", [answer(k, BOX) for k in range(11)], TRUTH)
    assert (summary["frames_sent"], summary["frames_received"], summary["frames_tracked"]) == (
        10,
        10,
        10,
    )
    assert summary["mean_iou"] == summary["success_50"] == 1.0
    assert summary["fps"] == pytest.approx(30)
    assert summary["latency_ms"]["p95"] == pytest.approx(10)
    assert summary["headers_ok"] is True
    assert failures(summary) == []


def test_missing_and_lost_frames_count_zero() -> None:
    half = (10.0, 10.0, 20.0, 10.0)
    received = [answer(1, half), answer(2, None), answer(3, BOX), answer(5, BOX, dropped=1)]
    truth = [*TRUTH[:6], Truth(BOX, False), Truth(None, False), *TRUTH[8:]]
    received[0] = answer(1, half, dropped=4)  # stills
    summary = summarize(SENT, "camera", received, truth)
    # Counted are frames 1 to 5 and 8 to 10; 4 and 8 to 10 were never answered.
    assert summary["frames_with_truth"] == 8
    assert summary["mean_iou"] == pytest.approx((0.5 + 1 + 1) / 8)
    assert summary["success_50"] == pytest.approx(2 / 8)
    assert (summary["frames_missing"], summary["frames_dropped"]) == (6, 1)
    assert summary["states"] == {"TRACKING": 3, "LOST": 1}


def test_answer_to_a_frame_without_target_is_told() -> None:
    truth = [*TRUTH[:10], Truth(None, False)]
    summary = summarize(SENT, "camera", [answer(k, BOX) for k in range(11)], truth)
    assert summary["frames_tracked_while_absent"] == 1


@pytest.mark.parametrize(
    "changes", [{"stamp_ns": 5}, {"frame_id": "map"}, {"stamp_ns": SENT[2][1]}]
)
def test_header_of_no_image_fails_the_run(changes: dict[str, object]) -> None:
    received = [answer(k, BOX) for k in range(10)] + [answer(10, BOX, **changes)]
    summary = summarize(SENT, "camera", received, TRUTH)
    assert (summary["headers_ok"], summary["headers_wrong"]) == (False, 1)
    assert any("header" in reason for reason in failures(summary))


def test_reasons_of_failure() -> None:
    assert failures(summarize(SENT, "camera", [], TRUTH)) == ["no target message came back"]
    lost = summarize(SENT, "camera", [answer(k, None) for k in range(11)], None)
    assert "the tracker never said TRACKING" in failures(lost)
    assert any("0 of 10" in reason for reason in failures(lost))
    off = [answer(k, (300.0, 10.0, 20.0, 20.0)) for k in range(11)]
    assert failures(summarize(SENT, "camera", off, TRUTH)) == ["mean IoU 0.00 is below 0.3"]


def test_backlog_shows_as_growing_latency() -> None:
    slow = [answer(k, BOX, age=0.01 + 0.02 * k) for k in range(11)]
    assert summarize(SENT, "camera", slow, None)["latency_growth_ms"] == pytest.approx(160)


# --- pictures and results ------------------------------------------------------------------------


def test_pictures_show_each_answer_on_its_own_frame(tmp_path: Path) -> None:
    folder = generated_sequence.write_sequence(tmp_path / "seq", 11)
    frames = source("--seq", str(folder))
    heat = np.zeros((120, 160), np.uint8)
    heat[40:64, 45:75] = 255
    _, boxes = generated_sequence.render(11)
    received = [answer(k, tuple(boxes[k])) for k in range(1, 11)]
    truth, files = draw_run(
        tmp_path,
        frames.frames(),
        frames.order,
        25,
        SENT,
        received,
        [Heatmap(SENT[5][1], heat)],
        True,
    )
    assert [t.box for t in truth] == [tuple(b) for b in boxes]
    assert set(files) == {"video", "contact_sheet", "heatmap"}
    sheet = cv2.imread(str(tmp_path / "contact_sheet.png"))
    assert sheet is not None
    assert sheet.shape[1] == 4 * 164 + 4
    overlay = cv2.imread(str(tmp_path / "heatmap.png"))
    assert overlay is not None
    plain = generated_sequence.render(11)[0][5]
    change = np.abs(overlay[4:124, 4:164].astype(int) - plain).sum(2)
    assert change[44:60, 50:70].mean() > 60
    assert change[80:100, 100:150].mean() < 2
    video = cv2.VideoCapture(str(tmp_path / files["video"]))
    count = 0
    while video.read()[0]:
        count += 1
    assert count == 11


def test_report_prints_the_table_and_judges(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = {
        "source": "film",
        "image_size": "640x480",
        "rate": 30.0,
        "tracker": "duml compact",
        "device": "cpu",
        "files": {"video": "track.mp4"},
        **summarize(SENT, "camera", [answer(k, BOX) for k in range(11)], TRUTH),
    }
    summary["failures"] = summary["unreadable"] = []
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    assert demo.report(tmp_path) == 0
    text = capsys.readouterr().out
    assert "mean IoU 1.000" in text
    assert "10 sent, 10 answered" in text
    assert "TRACKING 10" in text
    assert "track.mp4" in text
    summary["failures"] = ["mean IoU 0.10 is below 0.3"]
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    assert demo.report(tmp_path) != 0
    assert "mean IoU 0.10 is below 0.3" in capsys.readouterr().err
    assert "film" in table({**summary, "mean_iou": None, "latency_ms": None})


# --- the command ---------------------------------------------------------------------------------


def test_settings_reach_the_node() -> None:
    options = demo.parse(["--tracker", "drol", "--set", "weights=random", "--set", "size:=r50"])
    assert demo.node_arguments(options) == [
        "--ros-args",
        "-p",
        "tracker:=drol",
        "-p",
        "weights:=random",
        "-p",
        "size:=r50",
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--video", "/nowhere.mp4"], 2, "--box"),
        (["--seq", "/nowhere"], 2, "/nowhere"),
        (["--set", "weights"], 1, "'weights' is not name=value"),
        (["--out", "/proc/results"], 1, "/proc/results"),
    ],
)
def test_bad_command_starts_nothing(
    arguments: list[str],
    status: int,
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = [] if "--out" in arguments else ["--out", str(tmp_path)]
    assert demo.main([*arguments, *out]) == status
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out


@pytest.mark.parametrize(
    ("option", "value", "bounds"),
    [
        ("--rate", "0", "number from 0.5 to 1000"),
        ("--frames", "1", "whole number from 2 to"),
        ("--seed", "-1", "whole number from 0 to"),
    ],
)
def test_numbers_of_the_demo_have_bounds(
    option: str, value: str, bounds: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        demo.main([option, value, "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert f"argument {option}: '{value}' is not a {bounds}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_processes_get_a_domain_and_large_images(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = "FASTDDS_DEFAULT_PROFILES_FILE"
    for name in ("ROS_DOMAIN_ID", profile, "FASTDDS_BUILTIN_TRANSPORTS"):
        monkeypatch.delenv(name, raising=False)
    variables = demo.environment()
    assert 1 <= int(variables["ROS_DOMAIN_ID"]) <= 101
    assert "<segment_size>" in Path(variables[profile]).read_text()
    monkeypatch.setenv("FASTDDS_BUILTIN_TRANSPORTS", "LARGE_DATA")
    assert profile not in demo.environment()
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    assert demo.environment()["ROS_DOMAIN_ID"] == "42"


def test_what_has_done_its_work_may_end_before_the_ground_station(tmp_path: Path) -> None:
    """A recorder that saw no target ends with 3, which is for the report to explain."""
    scripts = {"recorder": "raise SystemExit(3)", "ground_station": "input()"}
    with demo.Processes(tmp_path, dict(os.environ)) as processes:
        for name, text in scripts.items():
            script = tmp_path / f"{name}.py"
            script.write_text("import time; time.sleep(0.5)\n" + text)
            processes.start(name, str(script), [])
        assert demo.watch(processes) == 3
        assert demo.watch(processes, "ground_station", done=["recorder"]) == 1
