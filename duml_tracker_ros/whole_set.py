"""Results of several files that a kill at any moment leaves valid or absent, never mixed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_set(folder: Path, last: str) -> Iterator[Path]:
    """An empty folder to write a set of files into; without an error they move into ``folder``.

    ``last`` is the file of the set without which it does not count. That of a former set is taken
    away before the first file moves, and the new one moves last, in one rename: whoever finds it
    finds the set that it belongs to. After an error the former set is as it was.

    Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _remove_left_behind(folder, last)
    draft = folder / f".{last}.{os.getpid()}.part"
    draft.mkdir()
    try:
        yield draft
        (folder / last).unlink(missing_ok=True)
        for name in sorted(os.listdir(draft), key=lambda name: name == last):
            os.replace(draft / name, folder / name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _remove_left_behind(folder: Path, last: str) -> None:
    """Remove the drafts of processes that were killed."""
    for draft in folder.glob(f".{last}.*.part"):
        process = draft.name.split(".")[-2]
        if not process.isdecimal() or int(process) == os.getpid() or not _runs(int(process)):
            shutil.rmtree(draft, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
