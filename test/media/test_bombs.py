"""Pictures that claim more pixels than anybody has are refused before they are decoded."""

from __future__ import annotations

import array
import struct
import types
import zlib
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from duml_tracker_ros.cli.main import main
from duml_tracker_ros.explain.trace import Trace, TraceError
from duml_tracker_ros.media import picture
from duml_tracker_ros.media.claims import ENVIRONMENT, MOST_PIXELS, excess
from duml_tracker_ros.media.opening import open_source
from duml_tracker_ros.media.source import SourceError
from duml_tracker_ros.messages.image_codec import CodecError, ImageReader

IMAGE = np.random.default_rng(0).integers(0, 255, (37, 53, 3), np.uint8)
KINDS = (".jpg", ".png", ".bmp", ".tif", ".webp", ".ppm", ".hdr", ".jp2", ".gif", ".avif", ".pbm")


def jpeg_bomb(side: int = 20000) -> bytes:
    """A sound small JPEG whose header claims more."""
    data = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", side, side)
    return bytes(data)


def chunk(kind: bytes, body: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def segment(marker: int, body: bytes) -> bytes:
    """A part of a JPEG's header."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def png_bomb(side: int = 30000) -> bytes:
    """A whole PNG of one colour: a thousand times smaller than its pixels."""
    packer = zlib.compressobj(9)
    rows = [packer.compress(bytes(side // 8 + 1) * 100) for _ in range(side // 100)]
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    body = b"".join(rows) + packer.flush()
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", body) + chunk(b"IEND", b"")


BOMBS = {
    "JPEG": jpeg_bomb(),
    # Rubbish before a marker and filling are skipped, as a decoder does.
    "JPEG with rubbish": jpeg_bomb().replace(b"\xff\xc0", b"\0\1\2\xff\xff\xff\xc0"),
    "PNG": png_bomb(),
    "PNM": b"P5\n# a comment\n40000 40000\n255\n\0",
    "BMP": b"BM" + bytes(12) + struct.pack("<Iii", 40, 40000, -40000) + bytes(40),
    "HDR": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 40000 +X 40000\n\0",
    "TIFF": b"II*\0" + struct.pack("<IHHHIIHHIII", 8, 2, 256, 4, 1, 40000, 257, 4, 1, 40000, 0),
}


@pytest.fixture
def undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No decoder runs."""

    def decode(*_: object) -> None:
        raise AssertionError("a bomb was decoded")

    monkeypatch.setattr(cv2, "imdecode", decode)


@pytest.mark.parametrize("ending", KINDS)
def test_the_claimed_size_is_the_decoded_one(ending: str) -> None:
    image = IMAGE.astype(np.float32) if ending == ".hdr" else IMAGE
    image = image[..., 0] if ending == ".pbm" else image
    try:
        data = cv2.imencode(ending, image)[1].tobytes()
    except cv2.error:
        pytest.skip(f"this OpenCV does not write {ending}")
    kind = picture.kind_of(data)
    assert kind is not None
    height, width = picture.decode(data).shape[:2]
    assert excess(kind, data, width * height) == ""
    reason = excess(kind, data, width * height - 1)
    assert f"{kind} of {len(data)} bytes claims {width} x {height} pixels" in reason
    assert "raise it" in reason
    # Cut within the header no size is known, and nothing is decoded.
    cut = [excess(kind, data[:n], 10**9) for n in range(4, 24)]
    assert all(text == "" or "no size in its header" in text for text in cut)
    assert cut[0]


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_before_they_are_decoded(
    name: str, undecoded: None, tmp_path: Path
) -> None:
    data = BOMBS[name]
    assert len(data) < 120_000
    words = r"claims \d0000 x \d0000 pixels, and max_pixels is 64000000: raise it"
    with pytest.raises(picture.PictureError, match=words):
        picture.decode(data)
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(picture.PictureError, match=f"bomb.png: .*{words}"):
        picture.read(tmp_path / "bomb.png")
    message = types.SimpleNamespace(format="jpeg", data=array.array("B", data))
    for ask in (ImageReader().check_compressed, lambda m: ImageReader().read_compressed(m, 0.0)):
        with pytest.raises(CodecError, match=words):
            ask(message)
    trace = Trace({}, {"frame": np.array([7])}, pictures=[np.frombuffer(data, np.uint8)])
    with pytest.raises(TraceError, match=f"frame 7: .*{words}"):
        trace.picture(0)


def test_the_limit_is_the_readers_own() -> None:
    data = array.array("B", cv2.imencode(".jpg", IMAGE)[1].tobytes())
    message = types.SimpleNamespace(format="jpeg", data=data)
    assert ImageReader(most_pixels=37 * 53).read_compressed(message, 0.0).height == 37
    with pytest.raises(CodecError, match="claims 53 x 37 pixels, and max_pixels is 1960"):
        ImageReader(most_pixels=37 * 53 - 1).read_compressed(message, 0.0)


@pytest.mark.parametrize(
    "data", [b"\x59\xa6\x6a\x95" + bytes(28), b"P7\nWIDTH 40000\nHEIGHT 40000\n", b"", b"\xff" * 99]
)
def test_kinds_whose_header_is_not_known_are_not_decoded(data: bytes, undecoded: None) -> None:
    message = types.SimpleNamespace(format="jpeg", data=array.array("B", data))
    with pytest.raises(CodecError, match=f"{len(data)} bytes of format 'jpeg' are no readable"):
        ImageReader().read_compressed(message, 0.0)


def test_the_command_line_takes_another_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(MOST_PIXELS))
    for index in range(2):
        cv2.imwrite(str(tmp_path / f"{index}.png"), IMAGE)
    command = ["track", str(tmp_path), "--box", "5,5,20,20", "--quiet", "--max-pixels", "1000"]
    assert main(command) != 0
    assert "claims 53 x 37 pixels, and max_pixels is 1000" in capsys.readouterr().err


PNG = cv2.imencode(".png", IMAGE)[1].tobytes()
JPEG = cv2.imencode(".jpg", IMAGE)[1].tobytes()
ZEROS = zlib.compress(bytes(8 << 20), 9)
BALLAST = {
    "profile": chunk(b"iCCP", b"name\0\0" + ZEROS),
    "text": chunk(b"zTXt", b"Comment\0\0" + ZEROS) * 20,
    "text of any language": chunk(b"iTXt", b"XML\0\1\0\0\0" + ZEROS),
    "plain text": chunk(b"tEXt", b"Comment\0" + bytes(9 << 20)),
    "of a program": chunk(b"prVt", bytes(9 << 20)),
}


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("name", BALLAST)
def test_texts_and_profiles_never_reach_the_decoder(
    name: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = 33 if place == "before" else len(PNG) - 12
    seen = []
    decoder = cv2.imdecode

    def decode(data: np.ndarray, flags: int) -> np.ndarray | None:
        seen.append(data.tobytes())
        return decoder(data, flags)

    monkeypatch.setattr(cv2, "imdecode", decode)
    found = picture.decode(PNG[:at] + BALLAST[name] + PNG[at:])
    assert seen == [PNG]
    assert np.array_equal(found, IMAGE)


def test_what_a_picture_needs_does_reach_it() -> None:
    """A palette with transparency, an orientation."""
    turned = struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 0x0112, 3, 1, 6, 0)
    found = picture.decode(PNG[:33] + chunk(b"eXIf", turned) + PNG[33:])
    assert np.array_equal(found, IMAGE.transpose(1, 0, 2)[:, ::-1])
    header = struct.pack(">IIBBBBB", 2, 1, 8, 3, 0, 0, 0)
    palette = chunk(b"PLTE", bytes([9, 8, 7, 6, 5, 4])) + chunk(b"tRNS", bytes([255, 0]))
    body = chunk(b"IHDR", header) + palette + chunk(b"IDAT", zlib.compress(b"\0\0\1"))
    found = picture.decode(PNG[:8] + body + chunk(b"IEND", b""))
    assert found.tolist() == [[[7, 8, 9], [4, 5, 6]]]


def test_pixels_that_unpack_to_more_than_the_picture_are_refused(undecoded: None) -> None:
    head = PNG[:33]
    data = head + chunk(b"IDAT", zlib.compress(bytes(80 << 20), 9)) + chunk(b"IEND", b"")
    with pytest.raises(picture.PictureError, match="bytes of packed pixels, more than its"):
        picture.decode(data)
    plain = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in IMAGE), 0))
    assert len(plain) > IMAGE.nbytes
    with pytest.raises(AssertionError):
        picture.decode(head + plain + chunk(b"IEND", b""))


def test_endless_scans_are_refused(undecoded: None) -> None:
    packed = cv2.imencode(".jpg", IMAGE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    last = packed[packed.rindex(b"\xff\xda") : -2]
    with pytest.raises(picture.PictureError, match="scans, and no more than 100 are read"):
        picture.decode(packed[:-2] + last * 100 + packed[-2:])
    # One baseline picture whose thumbnails hold markers enough is none of these.
    with pytest.raises(AssertionError):
        picture.decode(JPEG[:2] + segment(0xE2, b"\xff\xda" * 200) + JPEG[2:])
    with pytest.raises(AssertionError):
        picture.decode(packed)


def test_headers_of_any_length_are_gone_through_quickly() -> None:
    exif = segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(65000))
    profile = b"".join(
        segment(0xE2, b"ICC_PROFILE\0" + bytes([i + 1, 255]) + bytes(65000)) for i in range(255)
    )
    plain = picture.decode(JPEG)
    for header in (exif * 300, profile, b"\xff" * (50 << 20)):
        assert np.array_equal(picture.decode(JPEG[:2] + header + JPEG[2:]), plain)
    with pytest.raises(picture.PictureError, match="no size in its header"):
        picture.decode(JPEG[:2] + segment(0xFE, b"") * 1_000_000 + JPEG[2:])


@pytest.mark.parametrize(("codec", "ending"), [("ffv1", "mkv"), ("mpeg4", "mp4"), ("mjpeg", "avi")])
def test_videos_that_claim_too_much_are_not_opened(
    codec: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"film.{ending}"
    with av.open(str(path), "w") as film:
        stream = film.add_stream(codec, rate=10)
        stream.width, stream.height = 320, 240
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        picture_of = av.VideoFrame.from_ndarray(np.zeros((240, 320, 3), np.uint8), format="bgr24")
        for frame in (picture_of, picture_of, None):
            film.mux(stream.encode(frame))
    monkeypatch.setenv(ENVIRONMENT, str(320 * 240))
    assert len(list(open_source(str(path)).frames())) == 2
    monkeypatch.setenv(ENVIRONMENT, str(320 * 240 - 1))
    words = "claims 320 x 240 pixels a frame, and max_pixels is 76799: raise it"
    with pytest.raises(SourceError, match=words):
        open_source(str(path))
