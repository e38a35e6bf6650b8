"""What commands write: whole or not at all, and never over what they read or write beside."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from generated_sequence import render, write_sequence
from kill_harness import as_anybody, on_full_disk

from duml_tracker_ros.cli.main import main
from duml_tracker_ros.explain.trace import Budget, TraceWriter
from duml_tracker_ros.media.claims import ENVIRONMENT
from duml_tracker_ros.outputs import OutputError, Outputs, open_text, unused, whole, write_text
from duml_tracker_ros.viz import VideoSink
from duml_tracker_ros.viz.video import VideoError
from duml_tracker_ros.whole_set import whole_set

BOX = "30,40,30,24"


def write_video(path: Path, count: int = 6) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (160, 120))
    for image in render(count)[0]:
        writer.write(image)
    writer.release()
    return path


def track(source: Path | str, *argv: object) -> int:
    words = ["track", source, "--box", BOX, "--tracker", "opencv_kcf", "--quiet", *argv]
    return main([str(word) for word in words])


def refused(capsys: pytest.CaptureFixture[str], argv: list[object]) -> str:
    capsys.readouterr()
    assert main([str(word) for word in argv]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("way", ["itself", "dots", "link", "hard link", "linked folder"])
def test_no_path_leads_an_output_to_the_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], way: str
) -> None:
    source = write_video(tmp_path / "a" / "x.avi")
    before = source.read_bytes()
    (tmp_path / "link.avi").symlink_to(source)
    (tmp_path / "hard.avi").hardlink_to(source)
    (tmp_path / "b").symlink_to(source.parent)
    out = {
        "itself": source,
        "dots": tmp_path / "a" / ".." / "a" / "x.avi",
        "link": tmp_path / "link.avi",
        "hard link": tmp_path / "hard.avi",
        "linked folder": tmp_path / "b" / "x.avi",
    }[way]
    for option in ("--video", "--csv", "--json"):
        assert track(source, option, out) == 2
        assert f"{option} {out} is SOURCE itself" in capsys.readouterr().err
    assert source.read_bytes() == before


def test_no_output_lands_on_another_or_among_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_sequence(tmp_path / "data" / "Seq")
    frame, truth = folder / "img" / "000002.png", folder / "groundtruth_rect.txt"
    before = frame.read_bytes(), truth.read_bytes()
    both = tmp_path / "both"
    baseline = ["--tracker", "opencv_kcf", "--quiet"]
    place = ["track", folder, "--box", BOX, *baseline]
    assert "--json and --csv both name" in refused(capsys, [*place, "--csv", both, "--json", both])
    assert "cannot go to standard output" in refused(capsys, [*place, "--video", "-"])
    assert "another option goes" in refused(capsys, [*place, "--csv", "-", "--json", "-"])
    for out in (frame, truth, folder / "img" / "new.png"):
        assert "among the data of SOURCE" in refused(capsys, [*place, "--csv", out])
    data = ["eval", "--root", tmp_path / "data", "--out", tmp_path / "out", *baseline]
    assert "among the data of --root" in refused(capsys, [*data, "--json", truth])
    page = tmp_path / "report" / "index.html"
    same = [*data, "--json", page, "--report", page.parent]
    assert "--report and --json both name" in refused(capsys, same)
    clip = ["explain", folder, "--quiet"]
    assert "among the data of CLIP" in refused(capsys, [*clip, "--picture", frame])
    other = tmp_path / "other.txt"
    other.write_bytes(before[1])
    given = [*clip, "--truth", other, "--picture", other]
    assert "is --truth itself" in refused(capsys, given)
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"weights")
    given = ["bench", "--sweep", "none", "--weights", weights, "--json", weights]
    assert "is --weights itself" in refused(capsys, given)
    given = ["import", "pysot", weights, "--out", weights]
    assert "is FILE itself" in refused(capsys, given)
    assert (frame.read_bytes(), truth.read_bytes()) == before
    assert weights.read_bytes() == b"weights"
    assert not both.exists()
    # What is no data of a folder may lie there, and be written again.
    assert track(folder, "--csv", folder / "boxes.csv") == 0
    assert track(folder, "--csv", folder / "boxes.csv") == 0


def test_default_names_of_different_sources_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    sources = [write_video(tmp_path / f"{name}.avi") for name in ("flight.01", "flight.02")]
    sources += [write_video(tmp_path / "other" / "flight.01.avi")]
    sources += [write_sequence(tmp_path / name, frames=4) / "img" for name in "AB"]
    for source in sources:
        assert track(source) == 0
    names = sorted(os.listdir())
    assert names == [
        "A_img_tracked.mp4",
        "B_img_tracked.mp4",
        "flight.01_tracked-2.mp4",
        "flight.01_tracked.mp4",
        "flight.02_tracked.mp4",
    ]
    # A second run of the same source takes a new name, too.
    assert track(sources[0]) == 0
    assert "flight.01_tracked-3.mp4" in capsys.readouterr().out
    assert unused("A_img_tracked", ".mp4") == Path("A_img_tracked-2.mp4")


def test_two_roots_of_one_name_have_results_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for top in ("one", "two"):
        write_sequence(tmp_path / top / "img1" / "Seq", frames=4)
    for top in ("one", "two", "one"):
        argv = ["eval", "--root", tmp_path / top / "img1", "--tracker", "opencv_kcf", "--quiet"]
        assert main([str(a) for a in argv]) == 0
    assert len(list(Path("runs/eval").glob("img1-*/folder/opencv_kcf/Seq/run.json"))) == 2


def test_what_breaks_off_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from duml_tracker_ros.evaluation import baselines

    folder, files = write_sequence(tmp_path / "Seq"), {}
    for option, name in (("--video", "v.avi"), ("--csv", "b.csv"), ("--json", "b.json")):
        files[option] = tmp_path / name
        files[option].write_text("of last week")
    real = baselines.OpenCvTracker.update

    def breaks(self, image):
        if np.array_equal(image, images[4]):
            raise OSError("no space left on device")
        return real(self, image)

    images = [cv2.imread(str(p)) for p in sorted((folder / "img").iterdir())]
    words = [word for pair in files.items() for word in pair]
    with monkeypatch.context() as patch:
        patch.setattr(baselines.OpenCvTracker, "update", breaks)
        assert track(folder, *words) == 2
    assert [path.read_text() for path in files.values()] == ["of last week"] * 3
    assert sorted(os.listdir(tmp_path)) == ["Seq", "b.csv", "b.json", "v.avi"]
    assert track(folder, *words) == 0
    assert sum(1 for _ in csv.DictReader(files["--csv"].open())) == 12
    assert json.loads(files["--json"].read_text())["summary"]["frames"] == 12
    assert sorted(os.listdir(tmp_path)) == ["Seq", "b.csv", "b.json", "v.avi"]


def test_a_video_in_place_of_one_that_cannot_be_written_spares_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cv2.VideoWriter

    class NoMpeg4:
        fourcc = staticmethod(real.fourcc)

        def __new__(cls, path: str, fourcc: int, *rest: object) -> object:
            return real() if fourcc == real.fourcc(*"mp4v") else real(path, fourcc, *rest)

    monkeypatch.setattr(cv2, "VideoWriter", NoMpeg4)
    source = write_video(tmp_path / "x.avi")
    before = source.read_bytes()
    with pytest.raises(VideoError, match=r"x\.avi, which would be written instead, exists"):
        VideoSink(tmp_path / "x.mp4", 25).write(np.zeros((120, 160, 3), np.uint8))
    assert source.read_bytes() == before
    assert os.listdir(tmp_path) == ["x.avi"]


def test_standard_output_takes_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_sequence(tmp_path / "data" / "Seq", frames=5)
    monkeypatch.chdir(tmp_path)
    assert track(folder, "--csv", "-") == 0
    out = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out.out)))
    assert [row["frame"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert "5 frames" in out.err
    assert track(folder, "--json", "-") == 0
    assert len(json.loads(capsys.readouterr().out)["frames"]) == 5
    argv = ["eval", "--root", "data", "--tracker", "opencv_kcf", "--quiet", "--json", "-"]
    assert main(argv) == 0
    out = capsys.readouterr()
    assert json.loads(out.out)["mean"]["frames"] == 5
    assert "AUC" in out.err
    assert not Path("-").exists()


def test_whole_replaces_files_follows_links_and_spares_devices(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    with open_text(link) as file:
        file.write("new")
        file.flush()
        assert real.read_text() == "old"
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o640
    with contextlib.suppress(KeyboardInterrupt), open_text(real) as file:
        file.write("half")
        raise KeyboardInterrupt
    assert real.read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "real"]
    with whole("/dev/null") as place:
        assert place == Path("/dev/null")
    assert not Path("/dev/null").is_file()


def test_what_a_command_reads_may_be_named_in_any_way(tmp_path: Path) -> None:
    outputs = Outputs()
    for text in ("0", "rtsp://camera/stream", None, "default", tmp_path / "missing"):
        outputs.reads("SOURCE", text)
    assert outputs.file("--csv", tmp_path / "new" / "b.csv").parent.is_dir()
    with pytest.raises(OutputError, match="is a folder"):
        outputs.file("--csv", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"--csv .*file/b\.csv: "):
        outputs.file("--csv", tmp_path / "file" / "b.csv")


def test_a_trace_is_not_written_into_another(tmp_path: Path) -> None:
    (tmp_path / "trace.json").write_text("{}")
    writer = TraceWriter(tmp_path, Budget(1 << 20), {})
    with pytest.raises(OSError, match="a trace is there already"):
        writer.add(0, np.zeros((8, 8, 3), np.uint8), "rgb", None)  # type: ignore[arg-type]


def test_the_demo_does_not_remove_its_source(tmp_path: Path) -> None:
    main_module = pytest.importorskip("duml_tracker_ros.demo.main", reason="needs ROS 2")
    video = write_video(tmp_path / "track.avi")
    argv = ["--video", str(video), "--box", BOX, "--out", str(tmp_path)]
    with pytest.raises(main_module.DemoError, match=r"track\.avi is --video itself"):
        main_module.prepare(main_module.parse(argv))
    assert video.exists()


@contextlib.contextmanager
def files_of(size: int) -> Iterator[None]:
    """No file grows beyond a size; Python ignores the signal that comes with it."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


def test_a_full_disk_is_named_and_the_former_file_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    said = on_full_disk(lambda: write_text(path, "x" * 10000), 100)
    assert said.startswith(f"OutputError: {path} cannot be written: File too large. Make room, or")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]
    source = write_video(tmp_path / "x.avi", 3)
    for option in ("--csv", "--json"):
        assert track(source, option, "/dev/full") == 2
        error = capsys.readouterr().err
        assert "error: /dev/full cannot be written: No space left on device. Make room" in error


@pytest.mark.parametrize("name", ["b.mp4", "b.avi"])
def test_a_video_that_a_full_disk_cuts_off_is_no_success(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """OpenCV says nothing of what it could not write."""
    source, out = write_video(tmp_path / "x.avi", 30), tmp_path / "out"
    out.mkdir()
    (out / name).write_bytes(b"former")
    whole_size = tmp_path / name
    assert track(source, "--video", whole_size) == 0
    for size in (2000, whole_size.stat().st_size * 2 // 3):
        with files_of(size):
            status = track(source, "--video", out / name)
        said = capfd.readouterr()
        assert status == 2, said
        assert f"cannot write {out / 'b'}" in said.err
        assert "the disk may be full: make room" in said.err
        assert (out / name).read_bytes() == b"former"
        assert os.listdir(out) == [name]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_on_a_full_disk_is_named(
    storage: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from test_bag import write_bag

    write_bag(tmp_path / "bag")
    line = ["bag", str(tmp_path / "bag"), "--topic=/camera/image", f"--box={BOX}", "--quiet"]
    line += ["--tracker=opencv_kcf", f"--storage={storage}", f"--out={tmp_path / 'results'}"]
    with files_of(1500):
        status = main(line)
    said = capfd.readouterr()
    assert status == 2, said
    assert f"{tmp_path / 'results'} cannot be " in said.err
    assert "Make room, or name another place" in said.err or "File too large" in said.err
    assert sorted(os.listdir(tmp_path)) == ["bag"]


def test_a_set_of_files_on_a_full_disk_is_named(tmp_path: Path) -> None:
    def write() -> None:
        with whole_set(tmp_path / "set", "b.txt") as draft, (draft / "a.txt").open("wb") as file:
            file.write(bytes(5000))

    said = on_full_disk(write, 1000)
    assert f"File too large, make room: '{tmp_path / 'set'}'" in said
    assert not list(tmp_path.rglob("*.txt"))


def test_what_can_be_no_folder_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sequence(tmp_path / "data" / "Seq", 3)
    (tmp_path / "file").write_text("x")
    for command in (["eval"], ["compare", "--no-speed"]):
        argv = [*command, "--root", tmp_path / "data", "--tracker", "opencv_kcf", "--quiet"]
        for out in (tmp_path / "file", tmp_path / "file" / "below", "/dev/full"):
            assert "is no folder; name another one" in refused(capsys, [*argv, "--out", out])
        assert "File name too long" in refused(capsys, [*argv, "--out", "x" * 300])
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize(
    ("option", "name"),
    [
        *(("--csv", "b.csv"), ("--json", "b.json"), ("--video", "b.avi"), ("--out", "page")),
        *(("--picture", "p.png"), ("--trace", "t"), ("--report", "r"), ("--out", "runs")),
    ],
)
def test_a_folder_that_cannot_be_written_to_is_named_before_anything_runs(
    option: str, name: str, tmp_path: Path
) -> None:
    folder = write_sequence(tmp_path / "data" / "Seq", 3)
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "b.csv").write_text("old")
    closed.chmod(0o555)
    argv = {
        "--csv": ["track", folder, "--box", BOX],
        "--json": ["track", folder, "--box", BOX],
        "--video": ["track", folder, "--box", BOX],
        "--picture": ["explain", folder, f"--out={tmp_path / 'page'}"],
        "--trace": ["explain", folder, f"--out={tmp_path / 'page'}"],
        "--out": ["explain", folder] if name == "page" else ["eval", "--root", tmp_path / "data"],
        "--report": ["eval", "--root", tmp_path / "data", f"--out={tmp_path / 'runs'}"],
    }[option]
    own = argv[0] == "explain"
    argv += ["--weights=random"] if own else ["--tracker=opencv_kcf"]
    line = [str(word) for word in (*argv, option, closed / name, "--quiet")]
    run = as_anybody(line)
    assert run.returncode == 2, run.stderr
    assert f"{option} {closed / name}" in run.stderr
    inside = name in ("page", "r")  # files in a folder that would be made
    words = "Permission denied" if inside else f"{closed} cannot be written to; name another folder"
    assert words in run.stderr
    closed.chmod(0o755)
    assert [p.name for p in closed.iterdir()] == ["b.csv"]
    assert (closed / "b.csv").read_text() == "old"


def test_a_video_has_no_name_of_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_video(tmp_path / "x.avi", 3)
    for name in ("v.png", "v.JPG", "v.tiff"):
        assert track(source, "--video", tmp_path / name) == 2
        assert "that is the name of a picture; use .mp4" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["x.avi"]


def test_a_limit_of_pixels_that_is_no_number_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in ("1e6", "-5", "0", "many"):
        monkeypatch.setenv(ENVIRONMENT, text)
        with pytest.raises(SystemExit) as stop:
            track(tmp_path)
        assert stop.value.code == 2
        said = capsys.readouterr().err
        assert f"{ENVIRONMENT}={text} is not a whole number above 0: change or unset it" in said
