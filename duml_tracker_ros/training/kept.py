"""What a training keeps on disk: a kill or a full disk leaves each file whole, and no row twice."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

import torch

from ..tracker.errors import ConfigError


def save_whole(state: dict[str, Any], path: Path) -> None:
    """Write a resume point whole or not at all. Raises ConfigError that says what stays."""
    partial = path.with_suffix(".partial")
    failed: list[OSError] = []
    try:
        with partial.open("wb", buffering=0) as file:
            torch.save(state, cast(IO[bytes], _Noticed(file, failed)))
            os.fsync(file.fileno())
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        # Torch tells a full disk as "unexpected pos".
        first = failed[0] if failed else error
        cause = getattr(first, "strerror", None) or first
        before = f"{path} of an earlier step stays" if path.exists() else "there is none yet"
        raise ConfigError(
            f"{path}: the resume point cannot be written: {cause}; {before}. Make room, then go "
            "on with --resume"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


class _Noticed:
    """A file whose first failure to write is kept: torch loses it."""

    def __init__(self, file: IO[bytes], failed: list[OSError]) -> None:
        self._file, self._failed = file, failed

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        try:
            # One call writes 2 GiB at most, and what still fits on a full disk.
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._failed.append(error)
            raise
        return memoryview(data).nbytes

    def flush(self) -> None:
        self._file.flush()


def write_whole(path: Path, text: str) -> None:
    """Write a text file whole or not at all. Raises ConfigError."""
    with _whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def copy_whole(source: Path, path: Path) -> None:
    """Copy a file whole or not at all. Raises ConfigError."""
    with _whole(path) as partial:
        shutil.copyfile(source, partial)


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    partial = path.with_suffix(".partial")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        partial.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{path} cannot be written: {error.strerror or error}. Make room, then go on with --resume"
    )


class Log:
    """A table that a run appends to, and a resumed one goes on with: a context manager.

    Args:
        begin: rows whose first column is at least that are left out, since a resumed run makes them
            again, and so is a row that was cut off.

    Raises:
        ConfigError: it cannot be written.
    """

    def __init__(self, path: Path, columns: Sequence[str], begin: int) -> None:
        self._path = path
        header = ",".join(columns)
        try:
            found = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        except OSError as error:
            raise _unwritable(path, error) from error
        self.rows = [
            cells
            for line in found.splitlines(keepends=True)[1:]
            if line.endswith("\n")
            and len(cells := line.strip().split(",")) == len(columns)
            and cells[0].isdecimal()
            and int(cells[0]) < begin
        ]
        write_whole(path, "".join(f"{row}\n" for row in (header, *map(",".join, self.rows))))
        self._file = path.open("a", encoding="utf-8")

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        # What it would complain of, `row` has told.
        with contextlib.suppress(OSError):
            self._file.close()

    def row(self, *values: object) -> None:
        """Append a row; it is in the file when this returns."""
        try:
            self._file.write(",".join(map(str, values)) + "\n")
            self._file.flush()
        except OSError as error:
            raise _unwritable(self._path, error) from error
