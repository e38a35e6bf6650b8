"""Pictures and videos of all kinds: each is read as it is, or it is said what is wrong."""

from __future__ import annotations

import csv
import json
import re
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from media_files import (
    BOXES,
    IMAGES,
    animation,
    encode,
    encoded,
    exif,
    films,
    jpeg,
    oriented,
    pages,
    thermal,
    turned,
)

from duml_tracker_ros.cli.main import main
from duml_tracker_ros.explain.trace import is_trace, read_trace
from duml_tracker_ros.media.folder import FolderError, frames_of
from duml_tracker_ros.media.levels import Levels, choose_levels
from duml_tracker_ros.media.opening import open_source
from duml_tracker_ros.media.pages import pictures_in
from duml_tracker_ros.media.picture import PictureError, decode, kind_of
from duml_tracker_ros.media.source import SourceError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "media.md"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    pytest.importorskip("av", reason="PyAV reads and writes the videos")
    pytest.importorskip("rosbags")
    import media_table

    return media_table.rows(tmp_path_factory.mktemp("media"))


def test_no_kind_of_media_goes_wrong_in_silence(found) -> None:
    from media_table import WRONG

    assert len(found) > 60
    wrong = [name for name, cells, _ in found if WRONG in map(str, cells)]
    assert not wrong


def test_the_page_tells_what_commands_do(found) -> None:
    """Where a codec is missing, a row is; the words may differ with OpenCV's version."""
    told = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and cells[0] not in ("file", "") and ":--" not in cells[0]:
            told[cells[0]] = cells[1:5]
    for name, cells, _ in found:
        assert [str(c) if c else "" for c in cells] == told[name], name


def test_a_cut_jpeg_is_told_from_one_without_its_end_marker() -> None:
    data = encoded(".jpg", IMAGES[0])
    for short in (data[:-2], data[:-1], data[:-2] + bytes(20)):
        assert np.array_equal(decode(short), decode(data))
    for cut in (data[:-40], data[: len(data) // 2], data[:300], data[:4]):
        with pytest.raises(PictureError):
            decode(cut)
    # The end marker of a thumbnail is not that of the picture.
    thumbnail = encoded(".jpg", cv2.resize(IMAGES[0], (40, 30)))
    whole = jpeg(IMAGES[0], 1, thumbnail)
    assert thumbnail in whole
    assert decode(whole).shape == (120, 160, 3)
    with pytest.raises(PictureError, match="cut off"):
        decode(whole[: len(exif(1, thumbnail)) + 1500])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (bytes(900), "900 bytes of zeros"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"PK\x03\x04....", "a zip archive"),
        (b"something else", "no kind of picture begins with"),
        (b"....ftypheic....", "HEIC of 16 bytes"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, words: str) -> None:
    with pytest.raises(PictureError, match=re.escape(words)):
        decode(data)


def test_several_pictures_in_one_file_are_no_frame(tmp_path: Path) -> None:
    files = {"TIFF": pages, "PNG": None, "WebP": None, "GIF": None}
    for kind, make in files.items():
        if make is None:
            pytest.importorskip("PIL")
        for count in (1, 2, 5):
            data = make(IMAGES[:count]) if make else animation(kind, IMAGES[:count])
            assert pictures_in(kind, data) == count
            if count == 1:
                assert decode(data).shape == (120, 160, 3)
                continue
            words = f"{kind} of {len(data)} bytes holds {count} pictures, and a frame is one: write"
            with pytest.raises(PictureError, match=words):
                decode(data)
            for cut in range(0, len(data), len(data) // 40):
                assert 0 <= pictures_in(kind, data[:cut]) <= count
            path = tmp_path / f"{count}.{kind.lower()}"
            path.write_bytes(data)
            if kind == "GIF":
                assert len(list(open_source(str(path)).frames())) == count
            else:
                with pytest.raises(SourceError, match=f"{words} each to a file of its own, in a"):
                    open_source(str(path))


def test_an_animation_as_a_source_is_all_its_pictures_and_a_still_is_none(tmp_path: Path) -> None:
    """Animated AVIF has its first picture once more, as a stream of its own before the others."""
    pytest.importorskip("av")
    features = pytest.importorskip("PIL.features")
    for kind in ("GIF", *(["AVIF"] if features.check("avif") else [])):
        for count in (1, 2, 5):
            path = tmp_path / f"{count}.{kind.lower()}"
            path.write_bytes(animation(kind, IMAGES[:count]))
            if count == 1:
                with pytest.raises(SourceError, match=rf"is one picture \({kind}\); give a video"):
                    open_source(str(path))
                continue
            frames = [frame.image for frame in open_source(str(path)).frames()]
            assert len(frames) == count
            for frame, image in zip(frames, IMAGES, strict=False):
                assert np.abs(frame.astype(int) - image).mean() < 12


def test_a_video_that_is_something_else_is_told(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    for text, words in (
        ("version https://git-lfs.github.com/spec/v1\n", "it is a Git LFS pointer; fetch the file"),
        ("<!DOCTYPE html><html>", "it is a web page"),
    ):
        path.write_text(text)
        with pytest.raises(SourceError, match=rf"clip\.mp4 is no video: {words}"):
            open_source(str(path))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_thumbnails_and_masks_in_a_tiff_are_no_pages(big: bool, order: str) -> None:
    def tiff(*kinds: int | None) -> bytes:
        word, offset, size = ("Q", "Q", 20) if big else ("H", "I", 12)
        magic = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if big else 42)
        data = magic + (
            struct.pack(f"{order}HHQ", 8, 0, 16) if big else struct.pack(f"{order}I", 8)
        )
        for index, kind in enumerate(kinds):
            tags = [(254, kind)] * (kind is not None) + [(256, 64), (257, 48)]
            fields = (struct.pack(f"{order}HH{offset}I", t, 4, 1, v) for t, v in tags)
            body = struct.pack(f"{order}{word}", len(tags))
            body += b"".join(field.ljust(size, b"\0") for field in fields)
            last = index == len(kinds) - 1
            following = 0 if last else len(data) + len(body) + struct.calcsize(f"{order}{offset}")
            data += body + struct.pack(f"{order}{offset}", following)
        return data

    for kinds, count in (
        ((None,), 1),
        ((0, 1), 1),
        ((0, 4, 1), 1),
        ((None, None), 2),
        ((2, 2, 1), 2),
    ):
        assert pictures_in("TIFF", tiff(*kinds)) == count, kinds
    # A file whose directories are a ring.
    ring = bytearray(tiff(None))
    at = struct.calcsize(f"{order}{'Q' if big else 'I'}")
    ring[-at:] = struct.pack(f"{order}{'Q' if big else 'I'}", 16 if big else 8)
    assert pictures_in("TIFF", bytes(ring)) == 1


def test_kinds_are_told_by_content() -> None:
    for suffix, kind in ((".jpg", "JPEG"), (".png", "PNG"), (".bmp", "BMP"), (".tif", "TIFF")):
        assert kind_of(encoded(suffix, IMAGES[0])) == kind
    assert kind_of(encoded(".webp", IMAGES[0])) == "WebP"
    assert kind_of(b"text") is None


def test_levels_keep_small_targets_and_ignore_dead_pixels() -> None:
    scene = np.random.default_rng(0).normal(8000, 30, (240, 320))
    dead = scene.copy()
    dead[5, 5], dead[9, 9] = 0, 65535
    hot = scene.copy()
    hot[100:108, 60:68] += 150
    clip = [image.astype(np.uint16) for image in (scene, dead, hot)]
    levels = choose_levels(clip)
    assert 7700 < levels.low < 7950
    assert 8050 < levels.high < 8300
    shown = levels.apply(clip[2])
    assert int(shown[104, 64]) - int(np.median(shown)) > 80
    assert shown.std() > 20
    # Fixed: the same number is the same grey in every frame.
    floats = np.array([[np.nan, 1.0, 2.0, np.inf]], np.float32)
    assert Levels(1, 2).apply(floats).tolist() == [[0, 0, 255, 255]]
    assert choose_levels([np.full((4, 4), 7, np.uint16)]) == Levels(7.0, 8.0)


def test_folder_in_order_of_what_names_mean(tmp_path: Path) -> None:
    def order(*names: str) -> list[str]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for name in sorted(names):
            (folder / f"{name}.jpg").touch()
        found = [p.stem for p in frames_of(folder).files]
        assert sorted(found) == sorted(names)
        return found

    times = ["45", "45.05", "45.1", "45.15", "45.2", "46"]
    assert order(*times) == times
    counted = ["7.8", "7.9", "7.10", "7.11"]
    assert order(*counted) == counted
    mixed = ["9", "010", "11", "0012"]
    assert order(*mixed) == mixed
    named = ["img_2024-1-9_9", "img_2024-1-9_10", "img_2024-1-10_1"]
    assert order(*named) == named
    assert order("b", "a", "c") == ["a", "b", "c"]
    with pytest.raises(FolderError, match="of the same number"):
        order("1", "01")


def test_what_lies_in_a_folder_and_is_no_file_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "0001.jpg").write_bytes(encoded(".jpg", IMAGES[0]))
    (tmp_path / "0002.jpg").mkdir()
    found = frames_of(tmp_path)
    assert [p.name for p in found.files] == ["0001.jpg"]
    assert found.note() == "not taken for frames: 0002.jpg (no file)"


def test_sources_say_what_they_are_not(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        open_source(str(tmp_path / "no.mp4"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="holds no images"):
        open_source(str(tmp_path / "empty"))


def test_levels_may_be_given(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(encoded(".png", thermal(IMAGES[0])))
    source = open_source(str(tmp_path), Levels(7000, 7765))
    (frame,) = source.frames()
    assert source.notes == ["more than 8 bits: 7000 to 7765 become 0 to 255, over the whole clip"]
    expected = (thermal(IMAGES[0]).astype(float) - 7000) / 3
    assert frame.image is not None
    assert np.abs(frame.image[..., 0] - expected).max() <= 1


def test_eval_takes_levels_and_keeps_runs_of_others_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data" / "clip"
    (folder / "img").mkdir(parents=True)
    for index, image in enumerate(IMAGES):
        (folder / "img" / f"{index}.png").write_bytes(encoded(".png", thermal(image)))
    np.savetxt(folder / "groundtruth_rect.txt", BOXES, fmt="%g", delimiter=",")
    argv = ["eval", "--root", folder.parent, "--tracker", "opencv_kcf", "--threads", "1"]
    argv += ["--quiet", "--out", tmp_path / "out", "--json", tmp_path / "scores.json"]
    found = []
    for levels in ([], ["--levels", "7000,7765"], ["--levels", "7000,7765"], ["--levels=0,9"]):
        assert main([str(word) for word in (*argv, *levels)]) == 0, capsys.readouterr().err
        document = json.loads((tmp_path / "scores.json").read_text())
        about = document["description"].get("pictures", "")
        found.append((about.split(": ")[1].split(",")[0], document["environment"]["resumed"]))
    assert found[0][0].startswith("7153 to 7699 become")
    assert found[1:3] == [("7000 to 7765 become 0 to 255", r) for r in (0, 1)]
    assert found[3] == ("0 to 9 become 0 to 255", 0)
    # All white: nothing is there to follow.
    assert document["mean"]["auc"] < 0.5


def test_track_goes_on_after_frames_that_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "clip", tmp_path / "out"
    folder.mkdir()
    for index, image in enumerate(IMAGES):
        picture = image[::2, ::2] if index == 4 else image
        (folder / f"{index}.png").write_bytes(encoded(".png", picture))
    (folder / "2.png").write_bytes(b"")
    argv = ["track", folder, "--box", "30,40,30,24", "--tracker", "opencv_kcf", "--quiet"]
    argv += ["--video", out / "v.mp4", "--csv", out / "b.csv", "--json", out / "b.json"]
    assert main([str(word) for word in argv]) == 1
    told = capsys.readouterr().err
    assert "frame 2: 2.png: it is empty" in told
    assert "frame 4: 80x60 pixels, those before 160x120" in told
    rows = list(csv.DictReader((out / "b.csv").open()))
    assert [row["state"] == "unreadable" for row in rows] == [i in (2, 4) for i in range(10)]
    assert float(rows[9]["x"]) == pytest.approx(57, abs=4)
    document = json.loads((out / "b.json").read_text())
    assert document["frames"][4]["x"] is None
    assert len(document["problems"]) == 2
    assert document["summary"]["states"] == {"tracking": 7, "unreadable": 2}
    assert len(list(open_source(str(out / "v.mp4")).frames())) == 10


def test_a_film_that_is_cut_off_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("av")
    (film,) = (film for film in films() if film.name == "AVI without its end")
    path = film.write(tmp_path)
    truth = tmp_path / "truth.txt"
    np.savetxt(truth, BOXES, delimiter=",", fmt="%g")
    argv = ["explain", path, "--truth", truth, "--out", tmp_path / "why", "--quiet"]
    assert main([str(word) for word in (*argv, "--device", "cpu", "--threads", 1)]) == 1
    out = capsys.readouterr()
    assert "Not all of the clip was seen: frame 2: it cannot be decoded." in out.out
    assert "holds 3 frames, but says it has 10 frames: it is cut off or damaged" in out.err
    assert "3 frames, but 10 rows of true boxes" in out.err
    assert "10 rows of true boxes" in (tmp_path / "why" / "index.html").read_text()


MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}


@pytest.mark.parametrize("orientation", MATRICES)
def test_a_video_stands_as_a_picture_of_the_same_orientation_does(
    orientation: int, tmp_path: Path
) -> None:
    """Eight ways to stand by a picture's EXIF, and by the matrix of a video."""
    pytest.importorskip("av")
    path = tmp_path / "film.mp4"
    assert encode(path, "mpeg4", "yuv420p", {})
    (frame, *_) = open_source(str(path)).frames()
    path.write_bytes(oriented(*MATRICES[orientation])(path.read_bytes()))
    source = open_source(str(path))
    (turned, *_) = source.frames()
    picture = encoded(".png", frame.image)
    entry = struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0)
    chunk = struct.pack(">I4s", len(entry), b"eXIf") + entry
    chunk += struct.pack(">I", zlib.crc32(b"eXIf" + entry))
    assert np.array_equal(turned.image, decode(picture[:33] + chunk + picture[33:]))
    assert len(source.notes) == (orientation > 1)


def test_explain_takes_a_turned_video_as_track_does(tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = tmp_path / "film.mp4"
    assert encode(path, "mpeg4", "yuv420p", {})
    path.write_bytes(turned(90)(path.read_bytes()))
    x, y, w, h = BOXES[0]
    box = f"{120 - y - h},{x},{h},{w}"
    settings = ["--box", box, "--device", "cpu", "--threads", "1", "--quiet"]
    told, trace = tmp_path / "track.json", tmp_path / "trace"
    assert main(["track", str(path), *settings, "--json", str(told)]) == 0
    out = ["--out", str(tmp_path / "page"), "--trace", str(trace)]
    assert main(["explain", str(path), *settings, *out]) == 0
    (folder,) = trace.iterdir() if not is_trace(trace) else (trace,)
    kept = read_trace(folder)
    boxes = [[frame[k] for k in "xywh"] for frame in json.loads(told.read_text())["frames"]]
    assert np.allclose(kept["box"], [boxes[i] for i in kept["frame"]], atol=0.01)
