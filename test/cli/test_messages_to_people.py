"""What commands say is so, and takes what people write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from generated_sequence import render, write_sequence

from duml_tracker_ros.cli.main import main
from duml_tracker_ros.evaluation.baselines import BaselineError, create_baseline
from duml_tracker_ros.media.addresses import without_password, without_passwords
from duml_tracker_ros.media.picture import PictureError, read
from duml_tracker_ros.tracker.checkpoint.store import save_state
from duml_tracker_ros.tracker.errors import WeightsError
from duml_tracker_ros.tracker.network_config import NetworkConfig

ADDRESS = "rtsp://operator:hush@127.0.0.1:1/stream?channel=2&password=hush"


def track(*argv: object) -> int:
    return main([str(word) for word in ("track", *argv, "--tracker", "opencv_kcf", "--quiet")])


def test_a_box_may_begin_with_a_minus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_sequence(tmp_path / "Seq", frames=3)
    for box in ("-5,40,60,24", "-5.5,40,60,24", "-.5,40,60,24"):
        assert track(folder, "--box", box, "--csv", tmp_path / "b.csv") == 0, capsys.readouterr()
    assert (tmp_path / "b.csv").read_text().splitlines()[1].startswith("0,-0.5,40.0,60.0,24.0")
    demo = pytest.importorskip("duml_tracker_ros.demo.main", reason="needs ROS 2")
    assert demo.parse(["--box", "-5,40,60,24"]).box == "-5,40,60,24"


def test_a_box_that_is_cut_is_told_and_one_hardly_in_the_image_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, table = write_sequence(tmp_path / "Seq", frames=3), tmp_path / "b.csv"
    assert track(folder, "--box", "-30,40,60,24", "--csv", table) == 0
    assert "--box: 50% of it lies in the image of 160x120" in capsys.readouterr().err
    table.unlink()
    follow = ["explain", str(folder / "img"), "--weights=random", "--quiet"]
    follow += [f"--out={tmp_path / 'why'}"]
    for command in (
        lambda: track(folder, "--box", "-50,40,55,24", "--csv", table),
        lambda: main([*follow, "--box=-50,40,55,24"]),
    ):
        assert command() == 2
        words = "only 9% lies in the image of 160x120 pixels (at least 20% must)"
        assert words in capsys.readouterr().err
    assert not table.exists()


def test_places_that_take_no_file_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_sequence(tmp_path / "Seq", frames=3)
    for option, place, words in (
        ("--video", "/dev/null", "--video /dev/null is no file"),
        ("--csv", "/proc/boxes.csv", "/proc/boxes.csv cannot be written: "),
    ):
        assert track(source, "--box", "30,40,30,24", option, place) == 2
        error = capsys.readouterr().err
        assert words in error
        assert ".part" not in error


@pytest.mark.parametrize("box", [(159.4, 40, 30, 24), (-29.4, 40, 30, 24), (40, 119.4, 30, 24)])
def test_peers_tell_of_a_box_at_the_border_in_words(box: tuple[float, ...]) -> None:
    image = render(1)[0][0]
    with pytest.raises(BaselineError, match="is outside the 160x120 image"):
        create_baseline("opencv_csrt").init(image, box)


def test_no_message_names_its_file_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    frames, _ = render(20)
    size = (frames[0].shape[1], frames[0].shape[0])
    film = cv2.VideoWriter("film.avi", cv2.VideoWriter.fourcc(*"MJPG"), 25, size)
    for frame in frames:
        film.write(frame)
    film.release()
    Path("cut.avi").write_bytes(Path("film.avi").read_bytes()[:20000])
    folder = write_sequence(tmp_path / "Seq", frames=3) / "img"
    spoilt = folder / "000002.png"
    spoilt.write_bytes(spoilt.read_bytes()[:40])
    Path("no.onnx").write_text("no model")
    box = "--box=30,40,30,24"
    for command, file, words in (
        (["track", "cut.avi", box, "--csv=c"], "cut.avi", "it holds "),
        (["track", "Seq/img", box, "--csv=d"], spoilt.name, "frame 1: 000002.png: PNG of 40 bytes"),
        (["explain", "cut.avi", box, "--weights=random", "--out=e"], "cut.avi", "it holds "),
    ):
        more = ["--tracker=opencv_kcf"] if command[0] == "track" else []
        assert main([*command, *more, "--quiet"]) == 1
        lines = capsys.readouterr().err.splitlines()
        assert any(words in line for line in lines), lines
        assert all(line.count(file) <= 1 for line in lines), lines
    with pytest.raises(BaselineError, match=r"cannot load no\.onnx: ") as refused:
        create_baseline("opencv_vit", ["no.onnx"]).init(frames[0], (30, 40, 30, 24))
    assert str(refused.value).count("no.onnx") == 1
    Path("file").touch()
    with pytest.raises(WeightsError, match=r"file/w\.safetensors cannot be written: ") as refused:
        save_state(Path("file/w.safetensors"), {}, NetworkConfig())
    assert str(refused.value).count("file/") == 1


def test_names_of_any_bytes_are_told_in_one_line_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (b"no utf \xff\xfe", b"two\nlines", b"\x1b[31mred"):
        folder = write_sequence(tmp_path / "all" / os.fsdecode(name), frames=4)
        spoilt = folder / "img" / "000003.png"
        spoilt.write_bytes(spoilt.read_bytes()[:40])
        box = ["--box=30,40,30,24", "--quiet"]
        assert track(folder, *box, "--csv=c.csv") == 1
        assert main(["explain", str(folder), *box, "--weights=random", f"--out={name.hex()}"]) == 1
        assert main(["track", str(folder / "none"), *box]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 3, said
        assert all(c.isprintable() or c == "\n" for c in said), said
        assert "PNG of 40 bytes" in (tmp_path / name.hex() / "index.html").read_text("utf-8")
    write_sequence(tmp_path / "all" / os.fsdecode(b"whole \xff"), frames=4)
    command = ["eval", "--root=all", "--tracker=opencv_kcf", "--quiet", "--out=runs"]
    assert main([*command, "--json=e.json", "--report=report"]) == 1
    assert r"no utf \udcff\udcfe" in (tmp_path / "report" / "index.html").read_text("utf-8")
    scored = [line for line in capsys.readouterr().err.splitlines() if line.startswith("not sc")]
    assert len(scored) == 3
    assert all(line.isprintable() for line in scored), scored


def test_names_that_kill_opencv_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, odd = write_sequence(tmp_path / "Seq", frames=3), os.fsdecode(b"\xff")
    Path(f"{odd}.onnx").write_text("no model")
    model = ["--tracker=opencv_vit", f"--model=opencv_vit={odd}.onnx", "--csv=b.csv"]
    box = "--box=30,40,30,24"
    for command in (
        [str(folder), "--tracker=opencv_kcf", f"--video={odd}.mp4"],
        [f"rtsp://{odd}", "--tracker=opencv_kcf", "--csv=b.csv"],
        [str(folder), *model],
    ):
        assert main(["track", *command, box, "--quiet"]) == 2
        assert "its name is no UTF-8, which OpenCV does not take" in capsys.readouterr().err
    # All others are ours or Python's to open.
    assert track(folder, box, f"--csv={odd}.csv", f"--json={odd}.json") == 0
    demo = pytest.importorskip("duml_tracker_ros.demo.main", reason="needs ROS 2")
    assert demo.main(["--out", odd, "--frames=2"]) == 1
    assert "its name is no UTF-8" in capsys.readouterr().err


def test_opencv_assertions_become_words(monkeypatch: pytest.MonkeyPatch) -> None:
    images, boxes = render(2)
    baseline = create_baseline("opencv_kcf")
    baseline.init(images[0], tuple(boxes[0]))

    class Fails:
        def init(self, image: np.ndarray, box: object) -> None:
            cv2.resize(np.zeros((0, 0)), (1, 1))

        def update(self, image: np.ndarray) -> None:
            cv2.resize(np.zeros((0, 0)), (1, 1))

    baseline._tracker = Fails()
    assert baseline.update(images[1]).state == "lost"
    monkeypatch.setattr(baseline, "_make", Fails)
    with pytest.raises(BaselineError, match="take a larger one inside it"):
        baseline.init(images[0], tuple(boxes[0]))


def test_passwords_of_addresses_are_told_to_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    assert track(ADDRESS, "--box", "1,2,9,9") == 2
    out = capfd.readouterr()
    assert "rtsp://127.0.0.1:1/stream?channel=2&password=... cannot be opened" in out.err
    assert "hush" not in out.err + out.out
    assert main(["explain", ADDRESS, "--box", "1,2,9,9"]) == 2
    assert "hush" not in capfd.readouterr().err
    assert without_password("rtsp://host/a@b") == "rtsp://host/a@b"
    assert without_password("flight.mp4") == "flight.mp4"
    for text in (f"no {ADDRESS!r}: x", "udp:operator:hush@10.0.0.1:14550", "https:/o:hush@host/w"):
        assert "hush" not in without_passwords(text)
    for text in ("at 10:30:05, a@b.org", "a: b: c@d", "(0:1:2) x@y", "frame 3: /data/a@b.png"):
        assert without_passwords(text) == text


@pytest.mark.parametrize(
    "words",
    [
        (
            "track",
            ".",
            "--box",
            "1,2,30,40",
            "--weights",
            "https://operator:hush@host/w.safetensors",
        ),
        ("eval", "--root", "https://operator:hush@host/data", "--quiet"),
        (
            "bag",
            "https://operator:hush@host/b.mcap",
            "--topic",
            "/i",
            "--box",
            "1,2,3,4",
            "--out",
            "o",
        ),
        ("track", "https:/operator:hush@host/data", "--box", "1,2,3,4"),
    ],
)
def test_passwords_of_addresses_in_any_option_are_told_to_nobody(
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((64, 64, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    assert main([*words]) != 0
    out = capfd.readouterr()
    assert "host/" in out.err
    assert "hush" not in out.err + out.out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SOURCE", ("track", "", "--box", "1,2,30,40")),
        ("CLIP", ("explain", " ")),
        ("--root", ("eval", "--root", "")),
        ("--root", ("compare", "--root", "")),
        ("BAG", ("bag", "", "--topic", "/i", "--box", "1,2,30,40", "--out", "o")),
        ("--csv", ("track", "0.png", "--box", "1,2,30,40", "--csv=")),
        ("--weights", ("track", "0.png", "--box", "1,2,30,40", "--weights", "")),
        ("--sequences", ("eval", "--root", ".", "--sequences", "")),
        ("--out", ("export", "--out", "")),
        ("--out", ("train", "duml_lite", "--out", "")),
    ],
)
def test_an_empty_name_is_not_this_folder(
    name: str,
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((64, 64, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main([*words])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert "it is empty; a variable of the shell may not be set" in said
    assert f"duml-tracker {words[0]}: error: argument {name}: " in said
    assert [p.name for p in tmp_path.iterdir()] == ["0.png"]


def test_an_option_that_no_tracker_takes_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_sequence(tmp_path / "Seq", frames=3)
    for option in ("--set=online.interval=3", "--weights=mine.safetensors", "--size=lite"):
        assert track(folder, "--box", "30,40,30,24", "--csv", tmp_path / "b.csv", option) == 2
        told = f"{option.split('=')[0]} is for this package's trackers"
        assert told in capsys.readouterr().err
    command = ["eval", "--root", str(tmp_path), "--tracker", "opencv_kcf", "--quiet"]
    assert main([*command, "--switch", "online.interval=3"]) == 2
    assert "--switch is for this package's trackers" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["Seq"]
    assert main(["export", "--int8", "--data", str(tmp_path), "--out", str(tmp_path / "o")]) == 2
    assert f"error: --data: data root {tmp_path}: no index.jsonl" in capsys.readouterr().err


def test_what_exists_is_no_camera_and_no_keyword(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("0001", "scene"):
        write_sequence(tmp_path / name, frames=4)
    assert track("0001", "--box", "30,40,30,24", "--csv", "b.csv") == 0
    assert "4 frames" in capsys.readouterr().out
    assert main(["explain", "scene", "--quiet", "--device", "cpu", "--out", "why"]) == 0
    # The trace has no row for the frame with the given box.
    assert "over 3 frames" in capsys.readouterr().out
    picture = tmp_path / "0001" / "img" / "000001.png"
    assert track(picture, "--box", "1,2,9,9", "--csv", "b.csv") == 2
    assert "is one picture (PNG)" in capsys.readouterr().err


def test_a_pipe_a_device_or_a_folder_is_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reading a pipe would wait for ever, and a device has no end."""
    folder = write_sequence(tmp_path / "Seq", frames=3)
    pipe = tmp_path / "pipe.safetensors"
    os.mkfifo(pipe)
    for place in (pipe, Path("/dev/zero"), tmp_path):
        assert main(["explain", str(folder / "img"), "--truth", str(place)]) == 2
        assert f"ground truth {place} cannot be read: it is no file" in capsys.readouterr().err
        assert main(["info", "--weights", str(place), "--json"]) == 0
        assert f"weights file {place} is no file" in capsys.readouterr().out
        assert main(["import", "pysot", str(place), "--out", str(tmp_path / "w.safetensors")]) == 2
        assert f"weights file {place} is no file" in capsys.readouterr().err
    for place in (pipe, Path("/dev/zero")):
        assert main(["eval", "--root", str(place), "--tracker", "opencv_kcf"]) == 2
        assert str(place) in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/kmsg").is_file(), reason="not on this system")
def test_what_the_system_makes_up_is_not_waited_for(tmp_path: Path) -> None:
    """/proc/kmsg is a file by its kind, and never ends; only root is kept waiting."""
    endless = "/proc/kmsg"
    folder = write_sequence(tmp_path / "Seq", frames=3) / "img"
    lines = (
        (["track", endless, "--box", "1,2,9,9"], f"{endless} is no video: it is empty"),
        (["explain", endless], f"{endless} is no video: it is empty"),
        (["explain", folder, "--truth", endless], "there is no true box in that frame"),
        (["track", folder, "--box", "1,2,9,9", "--weights", endless], f"{endless} is empty"),
        (["import", "pysot", endless, "--out", "w.safetensors"], f"{endless} is empty"),
    )
    code = "import json, sys; from duml_tracker_ros.cli.main import main\n"
    code += "for line in json.loads(sys.argv[1]): print(main(line), file=sys.stderr)"
    command = [sys.executable, "-c", code, json.dumps([line for line, _ in lines], default=str)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=tmp_path)
    for _, words in lines:
        assert words in done.stderr
    assert done.stderr.splitlines().count("2") == len(lines)
    linked = tmp_path / "Linked"
    linked.mkdir()
    for name in ("0001.jpg", "0002.jpg"):
        (linked / name).symlink_to(endless)
    with pytest.raises(PictureError, match=r"0001.jpg: it is empty"):
        read(linked / "0001.jpg")


def test_a_camera_has_a_small_number(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("9" * 30, "9" * 200):
        assert track(text, "--box", "1,2,9,9") == 2
        said = capsys.readouterr().err
        assert f"there is no camera '{text[:30]}" in said
        assert len(said) < 200
    assert track("\u00b2", "--box", "1,2,9,9") == 2
    assert "\u00b2 does not exist" in capsys.readouterr().err


def test_bars_are_for_terminals(tmp_path: Path) -> None:
    write_sequence(tmp_path / "data" / "Seq")
    command = [sys.executable, "-m", "duml_tracker_ros.cli", "eval", "--root", tmp_path / "data"]
    command += ["--tracker", "opencv_kcf", "--out", tmp_path / "out"]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "AUC" in done.stdout
