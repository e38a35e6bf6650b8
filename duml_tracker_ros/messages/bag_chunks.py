"""Chunks of mcap files are unpacked to the size they claim, and no further.

A chunk of a megabyte may unpack to gigabytes, whatever it claims.
"""

from __future__ import annotations

from typing import Any

MOST_BYTES = 1 << 30
"""Of one unpacked chunk; recorders write 1 MiB, or a message if that is more."""


def bound_chunks() -> None:
    """Let rosbags unpack no chunk further than it claims, nor than ``MOST_BYTES``."""
    from rosbags.rosbag2 import storage_mcap

    for name, unpack in (("zstd", _zstd), ("lz4", _lz4)):
        if name in storage_mcap.DECOMPRESSORS:
            storage_mcap.DECOMPRESSORS[name] = unpack


def _zstd(data: bytes, size: int) -> bytes:
    from rosbags.rosbag2 import storage_mcap

    return _unpacked(storage_mcap.zstd.ZstdDecompressor(), data, size)


def _lz4(data: bytes, size: int) -> bytes:
    from lz4.frame import LZ4FrameDecompressor  # type: ignore[import-untyped]

    return _unpacked(LZ4FrameDecompressor(), data, size)


def _unpacked(unpacker: Any, data: bytes, size: int) -> bytes:
    if size > MOST_BYTES:
        raise ValueError(
            f"a chunk of {len(data)} bytes claims to unpack to {size}, and no more than "
            f"{MOST_BYTES} are read"
        )
    found: bytes = unpacker.decompress(data, max_length=size + 1)
    if len(found) > size:
        raise ValueError(f"a chunk of {len(data)} bytes unpacks to more than the {size} it claims")
    return found
