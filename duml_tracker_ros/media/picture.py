"""One picture out of bytes, wherever they come from: a file, a bag, a message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .ballast import without_ballast
from .claims import excess
from .markers import SCAN, markers
from .pages import pictures_in
from .plain_files import read_bytes

Pixels = NDArray[Any]

# First bytes of each kind; a longer one stands before a shorter one that it begins with.
_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"GIF8", "GIF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "HDR"),
    (b"BM", "BMP"),
    *((b"P%d" % number, "PNM") for number in range(1, 7)),
)
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC"}
_NO_PICTURE = (
    (b"version https://git-lfs", "a Git LFS pointer; fetch the file with git lfs pull"),
    (b"<", "a web page or XML"),
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a zip archive"),
)

# Grey stays grey, 16 bits and floats stay, alpha goes, the orientation the file tells is applied.
_FLAGS = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR
_END = b"\xff\xd9"


class PictureError(OSError):
    """Bytes that are no picture that can be used; the text says what they are instead."""


def kind_of(data: bytes | memoryview) -> str | None:
    """The kind of a picture by its content, whatever its name says; None for anything else."""
    head = bytes(data[:32])
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12])
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)


def check(data: bytes | memoryview, most: int | None = None) -> str:
    """The kind of a picture, judged by its first bytes in microseconds.

    Args:
        most: pixels that it may have; None for the limit of this process (`claims`).

    Raises:
        PictureError: no picture, or its header claims more pixels.
    """
    kind = kind_of(data)
    if kind is None:
        raise PictureError(_what_else(bytes(data[:64]), len(data)))
    if reason := excess(kind, bytes(data), most):
        raise PictureError(reason)
    return kind


def several(kind: str, data: bytes) -> str:
    """Why a file is no frame: it holds more than one picture; empty when it holds one."""
    count = pictures_in(kind, data)
    if count < 2:
        return ""
    return (
        f"{kind} of {len(data)} bytes holds {count} pictures, and a frame is one: write each to a "
        "file of its own"
    )


def decode(data: bytes | memoryview, most: int | None = None) -> Pixels:
    """Pixels ``[H, W]`` of grey pictures, ``[H, W, 3]`` BGR of all others, upright.

    The type is the picture's own: uint8, or uint16, int16 and float32 where it has more than 8
    bits; `levels` makes 8 of them.

    Raises:
        PictureError: no picture, or several, of a kind that OpenCV does not read, of more pixels
            than the limit of `claims`, cut off, or damaged.
    """
    kind = check(data, most)
    if reason := several(kind, bytes(data)):
        raise PictureError(reason)
    try:
        lean = without_ballast(kind, bytes(data))
    except ValueError as error:
        raise PictureError(str(error)) from None
    pixels = _jpeg(lean) if kind == "JPEG" else _decoded(lean)
    if pixels is None:
        raise PictureError(f"{kind} of {len(data)} bytes is cut off, damaged, or not for OpenCV")
    return pixels


def read(path: str | Path) -> Pixels:
    """`decode` of a file. Raises PictureError that names it."""
    path = Path(path)
    if path.exists() and not path.is_file():
        raise PictureError(f"image {path} is no file")
    try:
        return decode(read_bytes(path))
    except PictureError as error:
        raise PictureError(f"image {path}: {error}") from None
    except FileNotFoundError:
        raise PictureError(f"image {path} is missing") from None
    except OSError as error:
        raise PictureError(f"image {path} cannot be read: {error.strerror}") from None


def as_bgr(pixels: Pixels) -> NDArray[np.uint8]:
    """uint8 ``[H, W, 3]`` of uint8 pixels as `decode` gives them."""
    if pixels.ndim == 3:
        return pixels
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), dtype=np.uint8)


def _decoded(data: bytes | memoryview) -> Pixels | None:
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)
    except cv2.error:
        return None
    return None if found is None else np.asarray(found)


def _jpeg(data: bytes) -> Pixels | None:
    """A JPEG, though only its end marker may be missing.

    OpenCV fills the lost part of a cut one with grey and may report success.

    Raises PictureError when a part of the picture is missing.
    """
    scan = _scan_start(data)
    # Within a scan FF is followed by 0, so this is no pair of bytes of the picture.
    if scan and data.rfind(_END) >= scan:
        return _decoded(data)
    body = data.rstrip(b"\0").rstrip(b"\xff")
    # Where all of the picture is there, it does not matter what comes before the end marker.
    found, same = (_decoded(body + filling + _END) for filling in (b"", b"\x55" * 512))
    if not scan or found is None or same is None or not np.array_equal(found, same):
        raise PictureError(f"JPEG of {len(data)} bytes is cut off")
    return found


def _scan_start(data: bytes) -> int:
    """Where the first scan of a JPEG begins, past its header with its thumbnail; 0: nowhere."""
    try:
        return next((at - 2 for marker, at in markers(data) if marker == SCAN), 0)
    except ValueError:
        return 0


def _what_else(head: bytes, size: int) -> str:
    if not size:
        return "it is empty"
    if not any(head):
        return f"{size} bytes of zeros"
    return mistaken(head) or f"no kind of picture begins with {head[:8]!r}"


def mistaken(head: bytes) -> str:
    """What a file is that is often taken for pictures or videos; empty for anything else."""
    found = next((what for magic, what in _NO_PICTURE if head.lstrip().startswith(magic)), None)
    return f"it is {found}" if found else ""
