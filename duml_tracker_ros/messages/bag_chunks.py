"""What a bag has packed is unpacked to the size it claims or a recording may have, and no further.

A chunk, a message or a file of a megabyte may unpack to gigabytes, whatever it claims.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import IO, Any

MOST_BYTES = 1 << 30
"""Of one unpacked chunk or message; recorders write chunks of 1 MiB, or a message if that is more.
A packed file may always have as much."""
MOST_TIMES = 1000
"""How many times as large as it is a packed file may become: pictures shrink to a hundredth."""
LEFT_FREE = 1 << 28
"""Bytes that are left to others of the folder that packed files are unpacked into."""


class UnpackError(ValueError):
    """Something of a bag would unpack to more than it may; the text says what and how much."""


def bound_unpacking() -> None:
    """Let rosbags unpack no chunk, no message and no file further than they may."""
    from rosbags.rosbag2 import reader, storage_mcap

    for name, unpack in (("zstd", _zstd), ("lz4", _lz4)):
        if name in storage_mcap.DECOMPRESSORS:
            storage_mcap.DECOMPRESSORS[name] = unpack
    if not isinstance(reader.zstd, _Bounded):
        reader.zstd = _Bounded(reader.zstd)  # type: ignore[assignment]


class _Bounded:
    """Stands for the zstd that rosbags unpacks messages and files of bags with."""

    def __init__(self, zstd: Any) -> None:
        self._zstd = zstd

    def decompress(self, data: bytes) -> bytes:
        """Unpack one message."""
        found = b""
        while data or not found:
            unpacker = self._zstd.ZstdDecompressor()
            found += unpacker.decompress(data, max_length=MOST_BYTES + 1 - len(found))
            if len(found) > MOST_BYTES:
                raise UnpackError(f"a message unpacks to more than the {MOST_BYTES} that are read")
            if not unpacker.eof:
                raise ValueError("a packed message is cut off")
            data = unpacker.unused_data
        return found

    def open(self, packed: IO[bytes], mode: str) -> _File:
        """A packed file to read from."""
        return _File(self._zstd.open(packed, mode), os.fstat(packed.fileno()).st_size)


class _File:
    """Reads an unpacked file as far as it may go: into a temporary folder, which it must not fill.

    Args:
        file: gives what is unpacked.
        size: of the packed file, bytes.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._read = file, 0
        self._most = max(MOST_BYTES, MOST_TIMES * size)
        self._said = f"a file of {size} bytes unpacks to more than"

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int = -1) -> bytes:
        """The next bytes; none at the end."""
        found = self._file.read(size)
        self._read += len(found)
        if self._read > self._most:
            raise UnpackError(
                f"{self._said} the {self._most} that are read: unpack it with zstd -d if it is "
                "really a recording"
            )
        place = tempfile.gettempdir()
        if found and shutil.disk_usage(place).free < LEFT_FREE + len(found):
            raise UnpackError(
                f"{self._said} {place} has room for: name a larger folder in the variable TMPDIR, "
                "or unpack it with zstd -d"
            )
        return found


def _zstd(data: bytes, size: int) -> bytes:
    from rosbags.rosbag2 import storage_mcap

    return _unpacked(storage_mcap.zstd.ZstdDecompressor(), data, size)


def _lz4(data: bytes, size: int) -> bytes:
    from lz4.frame import LZ4FrameDecompressor  # type: ignore[import-untyped]

    return _unpacked(LZ4FrameDecompressor(), data, size)


def _unpacked(unpacker: Any, data: bytes, size: int) -> bytes:
    if size > MOST_BYTES:
        raise UnpackError(
            f"a chunk of {len(data)} bytes claims to unpack to {size}, and no more than "
            f"{MOST_BYTES} are read"
        )
    found: bytes = unpacker.decompress(data, max_length=size + 1)
    if len(found) > size:
        raise UnpackError(f"a chunk of {len(data)} bytes unpacks to more than the {size} it claims")
    return found
