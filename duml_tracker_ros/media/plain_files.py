"""Reading what is named as a file, and may be none: pipes, devices, what the system makes up.

A pipe waits for somebody who writes, a device has no end. What the system makes up as it is read
(below /proc) says that it has no bytes, and some of it waits, too: /proc/kmsg for ever.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

LARGEST_TEXT = 1 << 20
"""Bytes of a file of settings or of a secret, at most."""


def no_file(path: str | Path) -> str:
    """Why what lies at a path is not read as a file; empty for a file with something in it.

    Raises OSError when nothing lies there.
    """
    path = Path(path)
    status = path.stat()
    if not path.is_file():
        return "it is no file"
    return "" if status.st_size else "it is empty"


def read_bytes(path: str | Path, most: int | None = None) -> bytes:
    """A whole file; of an empty one nothing is read.

    Raises:
        OSError: it is no file, or larger than ``most`` bytes, or cannot be read.
    """
    path = Path(path)
    if reason := no_file(path):
        if path.is_file():
            return b""
        raise OSError(errno.EINVAL, reason)
    if most is not None and (size := os.stat(path).st_size) > most:
        raise OSError(errno.EFBIG, f"it has {size} bytes, more than {most}")
    return path.read_bytes()
