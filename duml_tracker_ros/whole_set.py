"""Results of several files that a kill at any moment leaves valid or absent, never mixed."""

from __future__ import annotations

import errno
import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a disk that takes no more."""


@contextmanager
def whole_set(folder: Path, last: str) -> Iterator[Path]:
    """An empty folder to write a set of files into; without an error they move into ``folder``.

    ``last`` is the file of the set without which it does not count. That of a former set is taken
    away before the first file moves, and the new one moves last, in one rename: whoever finds it
    finds the set that it belongs to. After an error the former set is as it was.

    Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_left_behind(folder, f".{last}.", ".part")
    draft = folder / f".{last}.{os.getpid()}.part"
    draft.mkdir()
    try:
        with _named(folder):
            yield draft
        (folder / last).unlink(missing_ok=True)
        for name in sorted(os.listdir(draft), key=lambda name: name == last):
            os.replace(draft / name, folder / name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder beside ``folder`` to write into; it takes that name when the block ends without
    error, and is removed after one.

    Raises OSError, FileExistsError too.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    start, end = f".{folder.name}.", ".part"
    remove_left_behind(folder.parent, start, end)
    draft = folder.with_name(f"{start}{os.getpid()}{end}")
    draft.mkdir()
    try:
        with _named(folder):
            yield draft
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Name the folder where a disk is full: the system does not."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL or error.filename is not None:
            raise
        words = f"{os.strerror(error.errno)}, make room"
        raise OSError(error.errno, words, str(folder)) from error


def remove_left_behind(folder: Path, start: str, end: str) -> None:
    """Remove drafts, named ``START<process>END``, of processes that were killed."""
    for draft in folder.glob(f"{glob.escape(start)}*{glob.escape(end)}"):
        process = draft.name.removeprefix(start).removesuffix(end)
        if process.isdecimal() and (int(process) == os.getpid() or not _runs(int(process))):
            with suppress(OSError):
                if draft.is_dir():
                    shutil.rmtree(draft)
                else:
                    draft.unlink()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
