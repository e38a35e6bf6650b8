"""Files that a command writes: beside their place first, and never over what it reads or writes."""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO

from .whole_set import FULL, remove_left_behind

STANDARD_OUTPUT = "-"
LONG = 200
"""Bytes of a name beside which one for its draft would be too long."""

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
LABELS = frozenset({".txt", ".label", ".value", ".tag", ".ini", ".m", ".xml", ".jsonl", ".yaml"})
RECORDINGS = frozenset({".mcap", ".db3", ".zstd", ".npz", ".safetensors"})
INPUTS = PICTURES | LABELS | RECORDINGS
"""Endings of what is read of a folder that a command is given."""


class OutputError(Exception):
    """A file that must not be written there; the text names the option and the remedy."""


class Outputs:
    """What one command reads, and what it may write beside that.

    Everything is told to it before the first byte is written.
    """

    def __init__(self) -> None:
        self._files: list[tuple[str, Path]] = []
        self._folders: list[tuple[str, Path]] = []
        self._written: list[tuple[str, Path]] = []

    def reads(self, what: str, path: str | Path | None) -> None:
        """Protect a file, or what a folder holds of data; ``what`` names it in messages.

        What is no path of this machine (a camera's number, an address, None) is passed over.
        """
        if path is None or not (place := Path(path).expanduser()).exists():
            return
        (self._folders if place.is_dir() else self._files).append((what, place.resolve()))

    def file(self, option: str, path: str | Path, *, stream: bool = False) -> Path:
        """The path that an option names, checked, its folder made.

        Args:
            stream: the option may be ``-``, standard output; it is returned as it is.

        Raises:
            OutputError: it is a folder, an input, among the pictures of an input, or what another
                option writes, too; or its folder cannot be made.
        """
        if str(path) == STANDARD_OUTPUT:
            if not stream:
                raise OutputError(f"{option} -: this cannot go to standard output; name a file")
            if any(str(other) == STANDARD_OUTPUT for _, other in self._written):
                raise OutputError(f"{option} -: another option goes to standard output already")
            self._written.append((option, Path(path)))
            return Path(path)
        target = Path(path).expanduser()
        if target.is_dir():
            raise OutputError(f"{option} {target} is a folder; name a file")
        place = target.resolve()
        for what, read in self._files:
            if _same(place, read):
                raise OutputError(f"{option} {target} is {what} itself; name another file")
        for what, folder in self._folders:
            if folder in place.parents and _is_input(place):
                raise OutputError(
                    f"{option} {target} lies among the data of {what} {folder}; "
                    "name a file elsewhere"
                )
        for other, written in self._written:
            if _same(place, written):
                raise OutputError(f"{option} and {other} both name {target}; name two files")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{option} {target}: {error.strerror}") from None
        # What is no plain file, such as /dev/null, needs no draft beside it.
        special = place.exists() and not place.is_file()
        if special and option == "--video":
            raise OutputError(f"{option} {target} is no file: a film is not written in one go")
        if not special and not os.access(place.parent, os.W_OK | os.X_OK):
            raise OutputError(
                f"{option} {target}: {place.parent} cannot be written to; name another folder"
            )
        self._written.append((option, place))
        return target


def unused(stem: str, ending: str = "") -> Path:
    """A name in this folder that is free: the first of ``STEM``, ``STEM-2``, ``STEM-3``, ..."""
    names = itertools.chain([stem], (f"{stem}-{n}" for n in itertools.count(2)))
    return next(p for p in (Path(name + ending) for name in names) if not os.path.lexists(p))


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one file: by name, or as links to the same."""
    if one == other:
        return True
    try:
        return one.samefile(other)
    except OSError:
        return False


def _is_input(place: Path) -> bool:
    suffix = place.suffix.lower()
    return suffix in PICTURES or (suffix in INPUTS and place.exists())


_group: ContextVar[list[tuple[Path, Path]] | None] = ContextVar("group", default=None)


@contextmanager
def together() -> Iterator[None]:
    """Files that `whole` makes in this block belong together and take their places at its end.

    The former ones go before the first new one comes, and these come in the order in which they
    were made: whoever finds the last one finds them all, and new ones never lie beside old ones.
    After an error nothing has changed.
    """
    made: list[tuple[Path, Path]] = []
    token = _group.set(made)
    try:
        yield
        for partial, place in made:
            if place.exists():
                partial.chmod(place.stat().st_mode)
        for _, place in reversed(made):
            if len(made) > 1:
                place.unlink(missing_ok=True)
        for partial, place in made:
            partial.replace(place)
    finally:
        _group.reset(token)
        for partial, _ in made:
            partial.unlink(missing_ok=True)


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes that place when the block ends without error.

    What stood there stays until then, and for good after an error. Links are followed. What is no
    plain file (``/dev/null``, a pipe) is written to itself. Within `together` it takes its place
    with the others.
    """
    place = Path(path).resolve()
    if place.exists() and not place.is_file():
        with _named(path):
            yield place
        return
    stem = place.stem
    if len(os.fsencode(place.name)) > LONG:
        stem = hashlib.sha256(os.fsencode(place.name)).hexdigest()[:16]
    start, end = f".{stem}.", f".part{place.suffix}"
    remove_left_behind(place.parent, start, end)
    partial = place.with_name(f"{start}{os.getpid()}{end}")
    group = _group.get()
    try:
        with _named(path, partial):
            yield partial
        if group is not None and partial.exists():
            group.append((partial, place))
            return
        if place.exists():
            partial.chmod(place.stat().st_mode)
        partial.replace(place)
    finally:
        if group is None or (partial, place) not in group:
            partial.unlink(missing_ok=True)


@contextmanager
def _named(path: str | Path, partial: Path | None = None) -> Iterator[None]:
    """Name the file where a disk is full: the system does not. Nor is its draft what was named."""
    try:
        yield
    except OSError as error:
        if partial is not None and error.filename == str(partial):
            raise OutputError(
                f"{path} cannot be written: {error.strerror}; name another place"
            ) from error
        if error.errno not in FULL:
            raise
        raise OutputError(
            f"{path} cannot be written: {error.strerror}. Make room, or name another place; a "
            "former file stays"
        ) from error


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all; ``-`` is standard output."""
    with open_text(path) as file:
        file.write(text)


@contextmanager
def open_text(path: str | Path) -> Iterator[IO[str]]:
    """A text file in UTF-8 to write into, whole or not at all; ``-`` is standard output.

    Of names that are no UTF-8 the bytes are written as Python shows them.
    """
    if str(path) == STANDARD_OUTPUT:
        yield sys.stdout
        sys.stdout.flush()
        return
    with (
        whole(path) as partial,
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        yield file
