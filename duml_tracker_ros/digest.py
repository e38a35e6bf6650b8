"""Digests of what a result was made from: files by their content, values, this package's code."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

PACKAGE = Path(__file__).resolve().parent


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's content. Raises OSError.

    A file is read once in a process, unless its size or time changes.
    """
    path = Path(path)
    status = os.stat(path)
    return _read(path, status.st_ino, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=1_000_000)
def _read(path: Path, inode: int, size: int, time_ns: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def value_digest(*values: Any) -> str:
    """SHA-256 of plain values, arrays, data classes, and lists and mappings of them.

    Paths count as files, by their content. Raises OSError, and TypeError for anything else.
    """
    digest = hashlib.sha256()
    for value in values:
        _feed(digest, value)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    """Every value with its kind and length before it, so that no two run into each other."""
    if isinstance(value, np.ndarray):
        _mark(digest, "array", f"{value.dtype.str} {value.shape}")
        digest.update(np.ascontiguousarray(value).data)
    elif isinstance(value, Path):
        _mark(digest, "file", file_digest(value))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f.name for f in dataclasses.fields(value) if f.compare]
        _mark(digest, "record", f"{type(value).__qualname__} {' '.join(fields)}")
        for name in fields:
            _feed(digest, getattr(value, name))
    elif isinstance(value, Mapping):
        _mark(digest, "mapping", str(len(value)))
        for key in sorted(value, key=str):
            _feed(digest, str(key))
            _feed(digest, value[key])
    elif isinstance(value, (list, tuple)):
        _mark(digest, "list", str(len(value)))
        for item in value:
            _feed(digest, item)
    elif value is None or isinstance(value, (bool, int, float, str, np.generic)):
        _mark(digest, type(value).__name__, repr(value))
    else:
        raise TypeError(f"no digest of a {type(value).__name__}")


def _mark(digest: Any, kind: str, text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    digest.update(f"{kind} {len(data)}:".encode())
    digest.update(data)


@functools.cache
def code_digest(*parts: str) -> str:
    """Digest of parts of this package: folders or files below it, their Python and YAML files."""
    digest = hashlib.sha256()
    for part in parts:
        path = PACKAGE / part
        files = [path] if path.is_file() else [*path.rglob("*.py"), *path.rglob("*.yaml")]
        if not files:
            raise FileNotFoundError(f"{path} is no code of this package")
        for file in sorted(files):
            _mark(digest, "name", file.relative_to(PACKAGE).as_posix())
            _mark(digest, "code", file.read_text(encoding="utf-8"))
    return digest.hexdigest()
