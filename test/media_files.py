"""Media files of all kinds, sound and damaged: what cameras, phones and copying make of a clip.

Each makes the clip of `generated_sequence`: a patch that glides by (3, 1) pixels a frame. Videos
are written by the program ffmpeg where it is installed, else by PyAV, else by OpenCV as far as it
can.
"""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from generated_sequence import render

COUNT = 10
IMAGES, BOXES = render(COUNT)
WIDE, HIGH = 160, 120

Array = np.ndarray


def encoded(suffix: str, image: Array, *options: int) -> bytes:
    """An image as a file's bytes."""
    done, data = cv2.imencode(suffix, image, list(options))
    assert done, suffix
    return data.tobytes()


def grey(image: Array) -> Array:
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def thermal(image: Array) -> Array:
    """As of a thermal camera: a few hundred levels somewhere in 16 bits."""
    return (7000 + 3 * grey(image).astype(np.int32)).astype(np.uint16)


def exif(orientation: int, thumbnail: bytes = b"") -> bytes:
    """An APP1 segment with an orientation, and a thumbnail behind it."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0) + thumbnail
    body = b"Exif\0\0" + tiff
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def jpeg(image: Array, orientation: int = 1, thumbnail: bytes = b"") -> bytes:
    """A JPEG that a viewer shows as ``image``, stored as a camera on its side stores it."""
    turned = {
        1: image,
        2: image[:, ::-1],
        3: image[::-1, ::-1],
        4: image[::-1],
        5: image.transpose(1, 0, 2),
        6: np.rot90(image),
        7: image.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(image, -1),
    }[orientation]
    data = encoded(".jpg", np.ascontiguousarray(turned), cv2.IMWRITE_JPEG_QUALITY, 95)
    return data[:2] + exif(orientation, thumbnail) + data[2:]


@dataclass(frozen=True)
class Clip:
    """A clip as files of pictures.

    Attributes:
        name: what it is, for the table.
        files: (name, content) of each frame, and of what lies beside them.
        message: content of each frame as messages carry it; None where names alone matter.
    """

    name: str
    files: tuple[tuple[str, bytes], ...]
    message: tuple[bytes, ...] | None

    def write(self, folder: Path) -> Path:
        """Write ``img/`` and the true boxes."""
        (folder / "img").mkdir(parents=True)
        for name, data in self.files:
            (folder / "img" / name).write_bytes(data)
        np.savetxt(folder / "groundtruth_rect.txt", BOXES, fmt="%g", delimiter=",")
        return folder


def kind(name: str, suffix: str, make: Callable[[Array], bytes]) -> Clip:
    """A clip whose frames are all made alike."""
    data = tuple(make(image) for image in IMAGES)
    files = tuple((f"{i:04d}{suffix}", d) for i, d in enumerate(data, start=1))
    return Clip(name, files, data)


def named(name: str, names: Sequence[str], *beside: tuple[str, bytes]) -> Clip:
    """JPEGs of these names, and other files beside them."""
    data = [encoded(".jpg", image) for image in IMAGES]
    return Clip(name, (*zip(names, data, strict=True), *beside), None)


def damaged(name: str, harm: Callable[[bytes], bytes], suffix: str = ".jpg") -> Clip:
    """A clip whose frame 5 has come to harm."""
    data = [encoded(suffix, image) for image in IMAGES]
    data[5] = harm(data[5])
    return Clip(name, tuple((f"{i:04d}{suffix}", d) for i, d in enumerate(data)), tuple(data))


def through_pillow(kind_: str, mode: str) -> Callable[[Array], bytes]:
    def make(image: Array) -> bytes:
        from PIL import Image

        stream = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(image[..., ::-1])).convert(mode).save(stream, kind_)
        return stream.getvalue()

    return make


def pages(images: Sequence[Array]) -> bytes:
    """A TIFF with a page for each image."""
    done, data = cv2.imencodemulti(".tif", list(images))
    assert done
    return data.tobytes()


def animation(kind_: str, images: Sequence[Array]) -> bytes:
    """A file of several pictures, one after the other."""
    from PIL import Image

    stream = io.BytesIO()
    first, *others = (Image.fromarray(np.ascontiguousarray(i[..., ::-1])) for i in images)
    first.save(stream, kind_, save_all=True, append_images=others, duration=40)
    return stream.getvalue()


def pictures() -> list[Clip]:
    """All clips of pictures."""
    plain = [f"{i:04d}.jpg" for i in range(COUNT)]
    mask = encoded(".png", np.zeros((HIGH, WIDE), np.uint8))
    small = encoded(".jpg", cv2.resize(IMAGES[0], (40, 30)))
    thumb = encoded(".jpg", cv2.resize(IMAGES[0], (40, 30)))
    one = encoded(".jpg", IMAGES[0])
    lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"

    def flip(data: bytes) -> bytes:
        at = len(data) // 2
        return data[:at] + bytes(b ^ 0x5A for b in data[at : at + 8]) + data[at + 8 :]

    clips = [
        kind("JPEG", ".jpg", lambda i: encoded(".jpg", i)),
        kind(
            "JPEG, progressive",
            ".jpg",
            lambda i: encoded(".jpg", i, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        ),
        kind("JPEG, grey", ".jpeg", lambda i: encoded(".jpg", grey(i))),
        kind("PNG", ".png", lambda i: encoded(".png", i)),
        kind("PNG, alpha", ".png", lambda i: encoded(".png", cv2.cvtColor(i, cv2.COLOR_BGR2BGRA))),
        kind("PNG, 16 bits grey", ".png", lambda i: encoded(".png", thermal(i))),
        kind("PNG, 16 bits colour", ".png", lambda i: encoded(".png", i.astype(np.uint16) * 257)),
        kind("TIFF", ".tif", lambda i: encoded(".tif", i)),
        kind("TIFF, 16 bits grey", ".tiff", lambda i: encoded(".tif", thermal(i))),
        kind(
            "TIFF, 16 bits signed",
            ".tif",
            lambda i: encoded(".tif", thermal(i).astype(np.int16) - 7300),
        ),
        kind(
            "TIFF, 32-bit floats",
            ".tif",
            lambda i: encoded(".tif", thermal(i).astype(np.float32) / 25),
        ),
        kind("BMP", ".bmp", lambda i: encoded(".bmp", i)),
        kind("WebP", ".webp", lambda i: encoded(".webp", i, cv2.IMWRITE_WEBP_QUALITY, 90)),
        kind("PPM", ".ppm", lambda i: encoded(".ppm", i)),
        kind("PGM, 16 bits", ".pgm", lambda i: encoded(".pgm", thermal(i))),
        kind("JPEG 2000", ".jp2", lambda i: encoded(".jp2", i)),
        kind("PNG named .jpg", ".jpg", lambda i: encoded(".png", i)),
        kind("JPEG named .PNG", ".PNG", lambda i: encoded(".jpg", i)),
        *(
            kind(f"JPEG, EXIF orientation {o}", ".jpg", lambda i, o=o: jpeg(i, o))
            for o in range(2, 9)
        ),
        kind("JPEG without its last two bytes", ".jpg", lambda i: encoded(".jpg", i)[:-2]),
        damaged("one JPEG cut in half", lambda d: d[: len(d) // 2]),
        damaged(
            "one JPEG cut in half, its thumbnail whole",
            lambda d: jpeg(IMAGES[5], 1, thumb)[: len(d) // 2],
        ),
        damaged("one JPEG ends in zeros", lambda d: d[: len(d) // 2] + bytes(len(d) // 2)),
        damaged("one PNG cut in half", lambda d: d[: len(d) // 2], ".png"),
        damaged("one PNG with changed bits", flip, ".png"),
        damaged("one BMP cut in half", lambda d: d[: len(d) // 2], ".bmp"),
        damaged("one TIFF cut in half", lambda d: d[: len(d) // 2], ".tif"),
        damaged("one WebP cut in half", lambda d: d[: len(d) // 2], ".webp"),
        damaged("one file is empty", lambda d: b""),
        damaged("one file is zeros", lambda d: bytes(len(d))),
        damaged("one file is a Git LFS pointer", lambda d: lfs),
        damaged("one file is a web page", lambda d: b"<html>404</html>"),
        damaged("one picture of another size", lambda d: small),
        damaged("one TIFF of two pages", lambda d: pages(IMAGES[5:7])),
        damaged(
            "one picture of 16 bits among those of 8", lambda d: encoded(".png", thermal(IMAGES[5]))
        ),
        named("1.jpg, ... 10.jpg", [f"{i}.jpg" for i in range(1, COUNT + 1)]),
        named("numbers of mixed width", [f"{i:0{2 + i % 3}d}.jpg" for i in range(COUNT)]),
        named("times with decimals", [f"{45 + i / 20:g}.jpg" for i in range(COUNT)]),
        named("7.6.jpg, ... 7.15.jpg", [f"7.{i}.jpg" for i in range(6, 6 + COUNT)]),
        named("one ending in capitals", [*plain[:-1], "0009.JPG"]),
        named("beside ._0001.jpg", plain, ("._0001.jpg", b"\0\5\x16\7\0\2\0\0Mac OS X")),
        named("beside 0001.jpg.bak", plain, ("0001.jpg.bak", one)),
        named("beside masks", plain, *((f"{i:04d}_mask.png", mask) for i in range(COUNT))),
        named("beside thumbnails", plain, *((f"thumb_{i:04d}.jpg", small) for i in range(COUNT))),
        named(
            "beside a second row of pictures", plain, *((f"b{i}.jpg", one) for i in range(COUNT))
        ),
        named("beside a copy", plain, ("0003 (1).jpg", one)),
        named("beside a PNG of the same number", plain, ("0003.png", mask)),
        named("beside Thumbs.db and notes.txt", plain, ("Thumbs.db", b"x"), ("notes.txt", b"x")),
    ]
    try:
        import PIL  # noqa: F401
    except ImportError:
        return clips
    return [
        *clips,
        kind("PNG, palette", ".png", through_pillow("PNG", "P")),
        kind("JPEG, CMYK", ".jpg", through_pillow("JPEG", "CMYK")),
        *(
            damaged(f"one animated {k}", lambda d, k=k: animation(k, IMAGES[5:8]))
            for k in ("PNG", "WebP", "GIF")
        ),
    ]


@dataclass(frozen=True)
class Film:
    """A video file by its codec, and what happens to it."""

    name: str
    suffix: str
    codec: str = "libx264"
    pixels: str = "yuv420p"
    harm: Callable[[bytes], bytes] | None = None
    options: tuple[tuple[str, str], ...] = ()

    def write(self, folder: Path) -> Path | None:
        """Write the video; None where nothing here can encode it."""
        path = folder / f"film{self.suffix}"
        folder.mkdir(parents=True, exist_ok=True)
        if not encode(path, self.codec, self.pixels, dict(self.options)):
            return None
        if self.harm is not None:
            path.write_bytes(self.harm(path.read_bytes()))
        return path


def encode(path: Path, codec: str, pixels: str, options: dict[str, str]) -> bool:
    """Write the clip as a video; False where nothing here can."""
    deep = pixels.startswith("gray16")
    frames = [thermal(i) if deep else i for i in IMAGES]
    form = "gray16le" if deep else "bgr24"
    if shutil.which("ffmpeg"):
        given = [word for key, value in options.items() for word in (f"-{key}", value)]
        command = ["ffmpeg", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", form]
        command += ["-s", f"{WIDE}x{HIGH}", "-r", "25", "-i", "-", "-c:v", codec]
        command += ["-pix_fmt", pixels, "-threads", "1", *given, str(path)]
        data = b"".join(f.tobytes() for f in frames)
        return subprocess.run(command, input=data, capture_output=True).returncode == 0
    try:
        import av
        from av.error import FFmpegError
    except ImportError:
        return _by_opencv(path, codec)
    try:
        with av.open(str(path), "w", options=options) as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = WIDE, HIGH, pixels
            # What several threads write depends on how many the machine has.
            stream.codec_context.thread_count = 1
            stream.options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
            for frame in frames:
                for packet in stream.encode(av.VideoFrame.from_ndarray(frame, format=form)):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
    except (FFmpegError, ValueError):
        return False
    return True


def _by_opencv(path: Path, codec: str) -> bool:
    codes = {"mpeg4": "mp4v", "mjpeg": "MJPG", "ffv1": "FFV1"}
    if codec not in codes:
        return False
    code = cv2.VideoWriter.fourcc(*codes[codec])
    writer = cv2.VideoWriter(str(path), code, 25, (WIDE, HIGH))
    for image in IMAGES:
        writer.write(image)
    writer.release()
    return path.is_file()


def oriented(a: int, b: int, c: int, d: int) -> Callable[[bytes], bytes]:
    """Write into the track header of an MP4 that (x, y) is shown at (a x + c y, b x + d y)."""
    one = 1 << 16
    width, height = (WIDE * one, HIGH * one)
    left, top = (-min(0, u * width) - min(0, v * height) for u, v in ((a, c), (b, d)))
    matrix = (a * one, b * one, 0, c * one, d * one, 0, left, top, 1 << 30)

    def harm(data: bytes) -> bytes:
        at = data.find(b"tkhd") + 4
        at += 4 + (32 if data[at] else 20) + 16
        return data[:at] + struct.pack(">9i", *matrix) + data[at + 36 :]

    return harm


def turned(degrees: int) -> Callable[[bytes], bytes]:
    """A rotation, as phones write it."""
    return oriented(*{90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees])


def cut(share: float) -> Callable[[bytes], bytes]:
    return lambda data: data[: int(share * len(data))]


def holed(share: float, length: int = 300) -> Callable[[bytes], bytes]:
    """Change bits somewhere in the middle."""

    def harm(data: bytes) -> bytes:
        at = int(share * len(data))
        return data[:at] + bytes(b ^ 0x5A for b in data[at : at + length]) + data[at + length :]

    return harm


def films() -> list[Film]:
    """All videos."""
    fast = (("movflags", "faststart"),)
    return [
        Film("MP4, H.264", ".mp4"),
        Film("MP4, MPEG-4", ".mp4", "mpeg4"),
        Film("MP4, HEVC, 10 bits", ".mp4", "libx265", "yuv420p10le"),
        Film("MOV, H.264", ".mov"),
        Film("MOV, ProRes", ".mov", "prores_ks", "yuv422p10le"),
        Film("AVI, Motion JPEG", ".avi", "mjpeg", "yuvj420p"),
        Film("AVI, MPEG-4", ".avi", "mpeg4"),
        Film("MKV, H.264", ".mkv"),
        Film("MKV, FFV1", ".mkv", "ffv1"),
        Film("MKV, FFV1, 16 bits grey", ".mkv", "ffv1", "gray16le"),
        Film("WebM, VP9", ".webm", "libvpx-vp9"),
        Film("MPEG-TS, H.264", ".ts"),
        Film("MP4, turned by 90 degrees", ".mp4", harm=turned(90)),
        Film("MP4, turned by 180 degrees", ".mp4", harm=turned(180)),
        Film("MP4, turned by 270 degrees", ".mp4", harm=turned(270)),
        Film("MP4, mirrored", ".mp4", harm=oriented(-1, 0, 0, 1)),
        Film("MP4, mirrored and turned", ".mp4", harm=oriented(0, 1, 1, 0)),
        Film("MP4 without its end", ".mp4", harm=cut(0.6)),
        Film("MP4 for streaming, without its end", ".mp4", "mpeg4", harm=cut(0.8), options=fast),
        Film("MKV without its end", ".mkv", "ffv1", harm=cut(0.6)),
        Film("WebM without its end", ".webm", "libvpx-vp9", harm=cut(0.7)),
        Film("AVI without its end", ".avi", "mjpeg", "yuvj420p", cut(0.6)),
        Film("MPEG-TS without its end", ".ts", harm=cut(0.75)),
        Film("AVI, changed bits in the middle", ".avi", "mjpeg", "yuvj420p", holed(0.5)),
        Film("MP4, changed bits in the middle", ".mp4", "mpeg4", harm=holed(0.5, 100)),
        Film("text named .mp4", ".mp4", "mpeg4", harm=lambda data: b"no video"),
        Film("empty file named .mp4", ".mp4", "mpeg4", harm=lambda data: b""),
    ]
