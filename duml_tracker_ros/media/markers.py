"""The header of a JPEG, marker by marker, as decoders go through it."""

from __future__ import annotations

import re
from collections.abc import Iterator

SCAN = 0xDA
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers that begin a frame: all of C0 to CF but tables, extensions and conditioning."""

_END = 0xD9
_BARE = frozenset({0x00, 0x01, *range(0xD0, _END)})
_FILLING = re.compile(rb"\xff+")
# A profile has up to 255 parts, and a text of 64 MiB a thousand.
_MOST = 4096


def markers(data: bytes) -> Iterator[tuple[int, int]]:
    """Each marker of the header, to that of the first scan, and where its segment begins.

    What is no marker is skipped, and so is filling before one.

    Raises:
        ValueError: it is cut off, or has more segments than any picture.
    """
    at = 2
    for _ in range(_MOST):
        filling = _FILLING.search(data, at)
        if filling is None or filling.end() + 3 > len(data):
            raise ValueError("cut off")
        at = filling.end() + 1
        marker = data[at - 1]
        if marker in _BARE:
            continue
        if marker == _END:
            raise ValueError("no picture")
        yield marker, at
        if marker == SCAN:
            return
        at += int.from_bytes(data[at : at + 2], "big")
    raise ValueError("too many segments")
