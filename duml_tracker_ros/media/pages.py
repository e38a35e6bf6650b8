"""How many pictures one file holds: pages of a TIFF, steps of an animation.

A frame is one picture. Decoders give the first one and say nothing of the others.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

# NewSubfileType: a smaller copy, or a mask of another one.
_NO_PAGE = 1 | 4
_MOST = 100_000


def pictures_in(kind: str, data: bytes) -> int:
    """Pictures of full size in a file; 1 where its kind holds but one, or it is damaged.

    Args:
        kind: as `picture.kind_of` names it.
    """
    counter = _COUNTERS.get(kind)
    try:
        return 1 if counter is None else max(counter(data), 1)
    except (struct.error, ValueError, IndexError):
        return 1


def _tiff(data: bytes) -> int:
    end = "<" if data[:1] == b"I" else ">"
    big = struct.unpack_from(f"{end}H", data, 2)[0] == 43
    count, entry, offset, first = ("Q", 20, "Q", 8) if big else ("H", 12, "I", 4)
    seen: set[int] = set()
    pages = 0
    (at,) = struct.unpack_from(f"{end}{offset}", data, first)
    while at and at not in seen and len(seen) < _MOST:
        seen.add(at)
        (entries,) = struct.unpack_from(f"{end}{count}", data, at)
        at += struct.calcsize(count)
        subfile = 0
        # Entries are in the order of their tags, and this one has the least.
        for here in range(at, at + min(entries, 2) * entry, entry):
            (tag,) = struct.unpack_from(f"{end}H", data, here)
            if tag == 254:
                (subfile,) = struct.unpack_from(f"{end}I", data, here + (12 if big else 8))
        pages += not subfile & _NO_PAGE
        (at,) = struct.unpack_from(f"{end}{offset}", data, at + entries * entry)
    return pages


def _png(data: bytes) -> int:
    """Steps of an animation, which are announced before the picture."""
    at = 8
    while data[at + 4 : at + 8] not in (b"IDAT", b""):
        if data[at + 4 : at + 8] == b"acTL":
            return int(struct.unpack_from(">I", data, at + 8)[0])
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return 1


def _webp(data: bytes) -> int:
    at, found = 12, 0
    while at + 8 <= len(data) and found < _MOST:
        found += data[at : at + 4] == b"ANMF"
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return found


def _gif(data: bytes) -> int:
    at, found = 13 + _colours(data[10]), 0
    while data[at] != 0x3B and found < _MOST:
        if data[at] == 0x2C:
            found += 1
            at += 10 + _colours(data[at + 9]) + 1
        elif data[at] == 0x21:
            at += 2
        else:
            break
        while data[at]:
            at += 1 + data[at]
        at += 1
    return found


def _colours(flags: int) -> int:
    """Bytes of a table of colours."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _isobmff(data: bytes) -> int:
    return 2 if data[8:12] in (b"avis", b"msf1", b"hevc") else 1


_COUNTERS: dict[str, Callable[[bytes], int]] = {
    "TIFF": _tiff,
    "PNG": _png,
    "WebP": _webp,
    "GIF": _gif,
    "AVIF": _isobmff,
    "HEIC": _isobmff,
}
