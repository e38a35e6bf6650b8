"""How many pixels a picture claims to have, read from its header before anything is decoded.

A file of a kilobyte may claim billions, and a decoder makes room for all of them. The readers here
skip what decoders skip, so that both find the same size.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator

from .markers import FRAMES, markers

MOST_PIXELS = 64_000_000
"""Of one picture, where nothing else is asked for."""
ENVIRONMENT = "DUML_MAX_PIXELS"
"""Another limit for this process and those it starts; ``duml-tracker --max-pixels`` sets it."""

Size = tuple[int, int]


def most_pixels() -> int:
    """The limit of this process."""
    text = os.environ.get(ENVIRONMENT, "")
    return int(text) if text.isdecimal() else MOST_PIXELS


def bounded(most: int) -> dict[str, str]:
    """Options of FFmpeg that bound what a codec makes room for, its own margins included."""
    return {"max_pixels": str(2 * most + (1 << 20))}


def excess(kind: str, data: bytes, most: int | None = None) -> str:
    """Why a picture is not decoded: it claims more than ``most`` pixels, or its header is cut off.

    Empty for one that may be decoded.

    Args:
        kind: as `picture.kind_of` names it.
        most: None for the limit of this process.
    """
    limit = most_pixels() if most is None else most
    try:
        width, height = _READERS[kind](data)
    except (struct.error, ValueError, IndexError, KeyError):
        return f"{kind} of {len(data)} bytes has no size in its header: it is cut off or damaged"
    if width * height <= limit:
        return ""
    return (
        f"{kind} of {len(data)} bytes claims {width} x {height} pixels, and max_pixels is {limit}: "
        "raise it if the picture is really that large"
    )


def _jpeg(data: bytes) -> Size:
    for marker, at in markers(data):
        if marker in FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 3)
            return width, height
    raise ValueError("picture before its header")


def _png(data: bytes) -> Size:
    kind, width, height = struct.unpack_from(">4sII", data, 12)
    if kind != b"IHDR":
        raise ValueError("no header")
    return width, height


def _bmp(data: bytes) -> Size:
    (length,) = struct.unpack_from("<I", data, 14)
    if length == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return abs(width), abs(height)


def _gif(data: bytes) -> Size:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _tiff(data: bytes) -> Size:
    """The largest sides of pictures and tiles in all directories: which are decoded is not said."""
    end = "<" if data[:1] == b"I" else ">"
    big = struct.unpack_from(f"{end}H", data, 2)[0] == 43
    count, entry, offset, first = ("Q", 20, "Q", 8) if big else ("H", 12, "I", 4)
    sides = {256: 0, 257: 0, 322: 0, 323: 0}
    seen: set[int] = set()
    (at,) = struct.unpack_from(f"{end}{offset}", data, first)
    while at and at not in seen:
        seen.add(at)
        (entries,) = struct.unpack_from(f"{end}{count}", data, at)
        at += struct.calcsize(count)
        for here in range(at, at + min(entries, 4096) * entry, entry):
            tag, kind = struct.unpack_from(f"{end}HH", data, here)
            if tag in sides:
                code = {3: "H", 4: "I", 16: "Q"}[kind]
                value = struct.unpack_from(f"{end}{code}", data, here + (12 if big else 8))[0]
                sides[tag] = max(sides[tag], value)
        (at,) = struct.unpack_from(f"{end}{offset}", data, at + entries * entry)
    width, height = max(sides[256], sides[322]), max(sides[257], sides[323])
    if not width or not height:
        raise ValueError("no size")
    return width, height


def _webp(data: bytes) -> Size:
    kind, payload = data[12:16], data[20:30]
    if kind == b"VP8X":
        width, height = (int.from_bytes(payload[i : i + 3], "little") + 1 for i in (4, 7))
    elif kind == b"VP8L":
        bits = int.from_bytes(payload[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", payload, 6))
    else:
        raise ValueError("no picture")
    return width, height


def _pnm(data: bytes) -> Size:
    head = re.sub(rb"#[^\r\n]*", b" ", data[2:4096])
    width, height = re.split(rb"\s+", head.strip(), maxsplit=2)[:2]
    return int(width), int(height)


def _hdr(data: bytes) -> Size:
    found = re.search(rb"\n[-+]([XY]) (\d+) [-+][XY] (\d+)\n", data[:65536])
    if found is None:
        raise ValueError("no size")
    first, second = int(found[2]), int(found[3])
    return (second, first) if found[1] == b"Y" else (first, second)


def _exr(data: bytes) -> Size:
    at = data.index(b"dataWindow\0box2i\0")
    left, top, right, bottom = struct.unpack_from("<iiii", data, at + 21)
    return abs(right - left) + 1, abs(bottom - top) + 1


def _jpeg2000(data: bytes) -> Size:
    at = data.index(b"\xff\x4f\xff\x51")
    right, bottom, left, top = struct.unpack_from(">IIII", data, at + 8)
    return right - min(left, right), bottom - min(top, bottom)


def _isobmff(data: bytes) -> Size:
    """AVIF and HEIC: the largest of the sizes that the items are said to have."""
    sizes = list(_properties(data))
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return width, height


def _properties(data: bytes) -> Iterator[Size]:
    at = data.find(b"ispe")
    while at >= 0:
        width, height = struct.unpack_from(">II", data, at + 8)
        yield width, height
        at = data.find(b"ispe", at + 4)


_READERS: dict[str, Callable[[bytes], Size]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "BMP": _bmp,
    "GIF": _gif,
    "TIFF": _tiff,
    "WebP": _webp,
    "PNM": _pnm,
    "HDR": _hdr,
    "OpenEXR": _exr,
    "JPEG 2000": _jpeg2000,
    "AVIF": _isobmff,
    "HEIC": _isobmff,
}
