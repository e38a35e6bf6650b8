"""The command line as a user meets it: outputs, exit statuses and one-line errors."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from generated_sequence import write_sequence

from duml_tracker_ros.cli.common import CliError, parse_settings, table
from duml_tracker_ros.cli.main import COMMANDS, build_parser, main
from duml_tracker_ros.media.opening import open_source
from duml_tracker_ros.tracker.checkpoint import save_checkpoint
from duml_tracker_ros.tracker.config import load_config
from duml_tracker_ros.tracker.network.siamese import SiameseNet


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for index, name in enumerate(("one/Alpha", "two/Beta")):
        write_sequence(tmp_path / "data" / name, frames=10 + index, seed=index)
    return tmp_path / "data"


def fails(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """Run with a mistake in the arguments; returns the single line that tells it."""
    try:
        status = main([str(a) for a in argv])
    except SystemExit as stop:  # argparse's own errors
        status = stop.code
    out = capsys.readouterr()
    assert status == 2
    assert "Traceback" not in out.err
    lines = out.err.strip().splitlines()
    assert len(lines) == 1, out.err
    return lines[0]


def evaluate(root: Path, *argv: object) -> int:
    out = root.parent / "out"
    return main(["eval", "--quiet", "--root", str(root), "--out", str(out), *map(str, argv)])


def test_every_command_teaches_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], *([name] for name in COMMANDS)):
        with pytest.raises(SystemExit) as stop:
            build_parser().parse_args([*words, "--help"])
        assert stop.value.code == 0
        assert "examples:\n  # " in capsys.readouterr().out


def test_module_runs_as_a_program() -> None:
    command = [sys.executable, "-m", "duml_tracker_ros.cli"]
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: duml-tracker")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2


def test_eval_of_one_tracker_writes_the_documented_json(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = root.parent / "scores" / "s.json"
    assert evaluate(root, "--tracker", "opencv_kcf", "--device", "cpu", "--json", file) == 0
    document = json.loads(file.read_text())
    assert document["tracker"] == "opencv_kcf"
    assert set(document["sequences"]) == {"one/Alpha", "two/Beta"}
    for part in (document["mean"], *document["sequences"].values()):
        assert {"auc", "precision20", "norm_precision20", "ms_median", "frames"} <= set(part)
        assert (part["lost_sequences"], part["lost_frames"]) == (0, 0)
        assert 0 <= part["auc"] <= 1
    assert document["mean"]["frames"] == 21
    assert document["environment"]["device"] == "cpu"
    printed = capsys.readouterr().out
    assert f"{document['mean']['auc']:.3f}" in printed


def test_eval_of_several_trackers_keeps_them_apart(root: Path) -> None:
    file = root.parent / "s.json"
    assert evaluate(root, "--tracker", "opencv_kcf", "opencv_mosse", "--json", file) == 0
    document = json.loads(file.read_text())
    assert set(document["trackers"]) == {"opencv_kcf", "opencv_mosse"}
    assert document["trackers"]["opencv_kcf"]["sequences"]["one/Alpha"]["frames"] == 10


def test_eval_selects_sequences(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(root, "--tracker", "opencv_kcf", "--sequences", "Be*", "--per-sequence") == 0
    printed = capsys.readouterr().out
    assert "two/Beta" in printed
    assert "one/Alpha" not in printed


def test_eval_names_what_it_could_not_score(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "one" / "Alpha" / "groundtruth_rect.txt").write_text("1,2,3,4\n")
    (root / "two" / "Beta" / "img" / "000004.png").write_bytes(b"")
    write_sequence(root / "good")
    file = root.parent / "s.json"
    assert evaluate(root, "--tracker", "opencv_kcf", "--json", file) == 1
    errors = capsys.readouterr().err
    assert "not scored: one/Alpha: 10 images but 1" in errors
    assert "not scored: two/Beta: frame 3" in errors
    document = json.loads(file.read_text())
    assert list(document["sequences"]) == ["good"]
    assert set(document["problems"]) == {"one/Alpha", "two/Beta"}


def test_report_is_one_page_that_loads_nothing(root: Path) -> None:
    (root / "one" / "Alpha" / "attributes.txt").write_text("OCC, SV\n")
    folder = root.parent / "report"
    assert evaluate(root, "--tracker", "opencv_kcf", "opencv_mosse", "--report", folder) == 0
    assert [p.name for p in folder.iterdir()] == ["index.html"]
    page = (folder / "index.html").read_text()
    for text in ("Success [AUC]", "Precision [at 20 px]", "two/Beta", "Per attribute", "OCC"):
        assert text in page
    assert page.count("<svg") >= 5
    assert page.count("data:image/jpeg;base64,") >= 8
    outside = page.replace("http://www.w3.org/2000/svg", "")
    assert "http" not in outside
    assert "<script" not in outside
    assert "<link" not in outside


def test_eval_mistakes_are_told_in_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ("eval", "--root", root)
    assert "opencv_csrt" in fails(capsys, *data, "--tracker", "opencv_cssrt")
    assert "twice" in fails(capsys, *data, "--tracker", "opencv_kcf", "opencv_kcf")
    assert "does not exist" in fails(capsys, "eval", "--root", root / "x")
    assert "unknown data set 'got'" in fails(capsys, *data, "--dataset", "got")
    assert "no sequence matches" in fails(
        capsys, *data, "--tracker", "opencv_kcf", "--sequences", "Zeta"
    )
    assert "--device 'gpu'" in fails(capsys, *data, "--tracker", "opencv_kcf", "--device", "gpu")
    assert "--jobs" in fails(capsys, *data, "--jobs", "0")
    assert "key=value" in fails(capsys, *data, "--tracker", "opencv_kcf", "--set", "online")
    assert "is a folder" in fails(capsys, *data, "--tracker", "opencv_kcf", "--json", root)
    assert "--root" in fails(capsys, "eval")
    assert "invalid choice" in fails(capsys, "evil")


def test_debug_shows_where(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["eval", "--root", str(root / "x"), "--tracker", "opencv_kcf"]
    assert main([*argv, "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_settings_are_read_as_numbers_words_and_lists() -> None:
    settings = parse_settings(["a.b=3", "c=0.5", "d=every_frame", "e=[1, 2]", "f=true"])
    assert settings == {"a.b": 3, "c": 0.5, "d": "every_frame", "e": [1, 2], "f": True}
    with pytest.raises(CliError, match=r"--set 'c': '\[1' is not a number"):
        parse_settings(["c=[1"])


def test_table_is_aligned_markdown() -> None:
    lines = ["| a    |   b |", "| :--- | --: |", "| wxyz |   1 |"]
    assert table(["a", "b"], [["wxyz", "1"]]).splitlines() == lines


def test_track_folder_writes_csv_and_json(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table_file, json_file = root.parent / "o" / "b.csv", root.parent / "o" / "b.json"
    argv = ["track", root / "one" / "Alpha", "--box", "36,42,30,24", "--start", 2, "--frames", 5]
    argv += ["--tracker", "opencv_kcf", "--csv", table_file, "--json", json_file, "--quiet"]
    assert main([str(a) for a in argv]) == 0
    with table_file.open() as file:
        rows = list(csv.DictReader(file))
    assert [int(r["frame"]) for r in rows] == [2, 3, 4, 5, 6]
    assert float(rows[-1]["x"]) == pytest.approx(48, abs=4)
    document = json.loads(json_file.read_text())
    assert document["summary"]["frames"] == 5
    assert document["frames"][0]["w"] == 30
    assert "5 frames" in capsys.readouterr().out


def test_track_writes_an_annotated_video(root: Path) -> None:
    made = root.parent / "made.mp4"
    folder = root / "one" / "Alpha"
    argv = ["track", folder, "--box", "30,40,30,24", "--tracker", "opencv_kcf", "--quiet"]
    assert main([*map(str, argv), "--video", str(made), "--fps", "10"]) == 0
    source = open_source(str(made))
    pictures = [frame.image for frame in source.frames()]
    assert len(pictures) == 10
    assert source.rate == pytest.approx(10)
    assert pictures[0].shape == (120, 160, 3)
    # The drawn box makes the frame differ from the recorded one where the target is.
    original = next(open_source(str(folder)).frames()).image
    difference = np.abs(pictures[0].astype(int) - original).max(axis=2)
    assert difference[36:70, 26:66].max() > 60
    # And the video can be tracked in turn.
    argv = ["track", made, "--box", "30,40,30,24", "--tracker", "opencv_kcf", "--quiet"]
    assert main([*map(str, argv), "--csv", str(root.parent / "v.csv")]) == 0
    assert len((root.parent / "v.csv").read_text().splitlines()) == 11


DRAW = """
import sys
from duml_tracker_ros.cli import main, window

class Person(window.PictureWindow):
    # Drags from one corner to the other with the mouse, then presses Enter; again until it is seen,
    # as a window that is not shown yet or has no focus gets neither.
    def select(self, rgb):
        canvas, later, waits = self._canvas, self._root.after, [True]
        def draw():
            if not waits:
                return
            canvas.event_generate("<ButtonPress-1>", x=60, y=64)
            canvas.event_generate("<B1-Motion>", x=45, y=50)
            canvas.event_generate("<B1-Motion>", x=30, y=40)
            later(50, press)
        def press():
            self._root.focus_force()
            self._root.event_generate("<Return>")
            later(300, draw)
        later(300, draw)
        try:
            return super().select(rgb)
        finally:
            waits.clear()

window.PictureWindow = Person
sys.exit(main.main(sys.argv[1:]))
"""


def test_target_is_drawn_in_a_window(root: Path) -> None:
    pytest.importorskip("tkinter")
    if shutil.which("Xvfb") is None:
        pytest.skip("no Xvfb to open a window on; apt-get install xvfb")
    argv = ["track", root / "one" / "Alpha", "--select", "--show", "--tracker", "opencv_kcf"]
    argv += ["--quiet", "--csv", root.parent / "drawn.csv"]
    command = [sys.executable, "-c", DRAW, *map(str, argv)]
    reading, writing = os.pipe()
    screen = ("-screen", "0", "640x480x24", "-nolisten", "tcp")
    with subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), *screen], pass_fds=[writing], stderr=subprocess.DEVNULL
    ) as server:
        os.close(writing)
        try:
            with os.fdopen(reading) as pipe:
                display = f":{pipe.readline().strip()}"
            done = subprocess.run(
                command,
                env={**os.environ, "DISPLAY": display},
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        finally:
            server.terminate()
    assert done.returncode == 0, done.stderr
    assert "--box 30,40,30,24" in done.stdout
    assert "10 frames" in done.stdout
    assert len((root.parent / "drawn.csv").read_text().splitlines()) == 11


def test_track_mistakes_are_told_in_one_line(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    folder = root / "one" / "Alpha"
    baseline = ("--tracker", "opencv_kcf", "--csv", root.parent / "b.csv", "--quiet")
    assert "--box x,y,w,h or with --select" in fails(capsys, "track", folder, *baseline)
    assert "does not exist" in fails(capsys, "track", root / "no.mp4", "--box", "1,2,3,4")
    assert "for example" in fails(capsys, "track", folder, "--box", "1,2,3")
    assert "no area" in fails(capsys, "track", folder, "--box", "1,2,0,4")
    assert "give --box" in fails(capsys, "track", folder, "--select", *baseline)
    assert "outside" in fails(capsys, "track", folder, "--box", "900,2,9,9", *baseline)
    assert "has 10 frames" in fails(
        capsys, "track", folder, "--box", "1,2,9,9", "--start", "10", *baseline
    )
    assert "no images" in fails(capsys, "track", root, "--box", "1,2,9,9", *baseline)
    assert "no score map" in fails(
        capsys, "track", folder, "--box", "1,2,9,9", "--heatmap", *baseline
    )
    (root / "text.mp4").write_text("not a video")
    assert "cannot be opened" in fails(capsys, "track", root / "text.mp4", "--box", "1,2,9,9")


def test_export_mistakes_are_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    there = importlib.util.find_spec
    argv = ("export", "--out", tmp_path / "onnx", "--weights", "random")
    with monkeypatch.context() as patch:
        patch.setattr(
            importlib.util, "find_spec", lambda n, *a: None if "onnx" in n else there(n, *a)
        )
        assert "pip install onnx onnxscript" in fails(capsys, *argv)
        patch.setattr(importlib.util, "find_spec", lambda n, *a: True)
        assert "32 k + 1" in fails(capsys, *argv, "--search-size", "200")
        assert "does not exist" in fails(
            capsys, "export", "--out", tmp_path / "o", "--weights", tmp_path / "w.safetensors"
        )
        assert "unknown size" in fails(capsys, *argv, "--size", "huge")
        config = load_config(name="siamrcr").network
        save_checkpoint(tmp_path / "rcr.safetensors", SiameseNet(config), config)
        other = ("export", "--out", tmp_path / "o", "--weights", tmp_path / "rcr.safetensors")
        assert "was made for network." in fails(capsys, *other)


def left_over(mark: str) -> list[str]:
    """Processes that have ``mark`` in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


@pytest.mark.parametrize(
    ("how", "jobs"), [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGKILL, 2)]
)
def test_interrupted_eval_stops_at_once_and_continues(tmp_path: Path, how: int, jobs: int) -> None:
    for index in range(12):
        write_sequence(tmp_path / "data" / f"Seq{index}", frames=20, seed=index, suffix=".jpg")
    out, file = tmp_path / "out", tmp_path / "s.json"
    # The installed script where there is one: worker processes import it.
    script = shutil.which("duml-tracker")
    command = [script] if script else [sys.executable, "-m", "duml_tracker_ros.cli"]
    command += ["eval", "--root", tmp_path / "data"]
    command += ["--tracker", "opencv_csrt", "--out", out, "--jobs", jobs, "--json", file, "--quiet"]
    command += ["--threads", 1]
    words = [str(c) for c in command]
    mark = f"MARK_{tmp_path.name}"
    environment = {**os.environ, mark: "1"}
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 120
    while not list(out.rglob("run.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(how)
    _, errors = process.communicate(timeout=120)
    deadline = time.monotonic() + 120
    while left_over(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left_over(mark)
    if how == signal.SIGINT:
        assert process.returncode == 130, errors
        assert "the same command continues" in errors
    assert "Traceback" not in errors
    finished = len(list(out.rglob("run.json")))
    assert 1 <= finished < 12
    subprocess.run(words, check=True)
    document = json.loads(file.read_text())
    assert document["environment"]["resumed"] == finished
    assert len(document["sequences"]) == 12


def test_track_lays_the_score_map_over_the_video(root: Path) -> None:
    made = root.parent / "heat.mp4"
    argv = ["track", str(root / "one" / "Alpha"), "--box", "30,40,30,24", "--weights", "random"]
    argv += ["--device", "cpu", "--frames", "3", "--heatmap", "--video", str(made), "--quiet"]
    assert main([*argv, "--set", "online.init_iterations=1"]) == 0
    assert len(list(open_source(str(made)).frames())) == 3


def test_info_tells_versions_trackers_and_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--weights", "random", "--device", "cpu", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["tracker"]["device"] == "cpu"
    assert document["trackers"]["opencv_csrt"] == "OpenCV"
    assert "--model opencv_nano=" in document["trackers"]["opencv_nano"]
    assert document["environment"]["torch"]
    assert main(["info", "--weights", "random"]) == 0
    assert "search_size: " in capsys.readouterr().out
