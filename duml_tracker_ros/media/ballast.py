"""What a decoder would unpack for nothing: texts and profiles of a PNG, endless scans of a JPEG.

A megabyte of a PNG's text unpacks to a gigabyte, and a progressive JPEG of 150 kB may go over all
its pixels two thousand times.
"""

from __future__ import annotations

import struct

from .markers import FRAMES, SCAN, markers

MOST_SCANS = 100
"""Of one JPEG; encoders write ten."""

# Chunks that make pixels, their transparency and their orientation.
_NEEDED = frozenset(
    {b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"IDAT", b"IEND"}
)
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def without_ballast(kind: str, data: bytes) -> bytes:
    """The same picture, of which a decoder has no more to do than its pixels.

    Usually it is ``data`` itself, which costs a look at its headers.

    Args:
        kind: as `picture.kind_of` names it.

    Raises:
        ValueError: the picture itself is the ballast; says why.
    """
    if kind == "PNG":
        return _png(data)
    if kind != "JPEG":
        return data
    try:
        scans = _scans(data)
    except (ValueError, IndexError):
        raise ValueError(f"JPEG of {len(data)} bytes is cut off or damaged in its header") from None
    if scans > MOST_SCANS:
        raise ValueError(
            f"JPEG of {len(data)} bytes has {scans} scans, and no more than {MOST_SCANS} are read"
        )
    return data


def _png(data: bytes) -> bytes:
    parts, start, at, packed = [], 0, 8, 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + size
        if kind not in _NEEDED:
            parts.append(data[start:at])
            start = end
        elif kind == b"IDAT":
            packed += size
        at = end
        if kind == b"IEND":
            break
    if packed > (most := _most_packed(data)):
        raise ValueError(
            f"PNG of {len(data)} bytes has {packed} bytes of packed pixels, more than its "
            f"{most} unpacked ones"
        )
    if not start:
        return data
    return b"".join([*parts, data[start:]])


def _most_packed(data: bytes) -> int:
    """Bytes of the pixels in any order of rows, with what packing may add to them."""
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    row = (width * bits * _CHANNELS.get(colour, 4) + 7) // 8 + 1
    return 2 * height * row + (1 << 16)


def _scans(data: bytes) -> int:
    """Scans of a JPEG; 1, without a look, where the first one holds everything."""
    components, at = 0, 0
    for marker, at in markers(data):
        if marker in FRAMES:
            # Progressive ones come in many scans.
            components = data[at + 7] if marker in (0xC0, 0xC1) else 256
        elif marker == SCAN and data[at + 2] >= components:
            return 1
    # Within a scan FF is followed by 0.
    return data.count(b"\xff\xda", at - 2)
