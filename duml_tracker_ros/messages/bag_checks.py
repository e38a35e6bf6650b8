"""What a bag without checksums still tells of damage: its database, its frames, its stamps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..arguments import shown


def no_bag(path: Path) -> str:
    """Why a path is not opened as a bag; empty for one that may be.

    A pipe in a folder would be waited for, for ever.
    """
    if path.name.startswith("._"):
        return f"is what macOS keeps beside a file: give {path.name[2:]}"
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if file.exists() and not file.is_file() and not file.is_dir():
            return f"holds {file.name}, which is no file but a pipe or a device: remove it"
    return ""


def count_fault(count: object) -> str:
    """What is wrong with a number of messages of a bag's metadata; empty for one that may be."""
    if isinstance(count, int) and 0 <= count < 1 << 63:
        return ""
    return f"says in its metadata.yaml that it has {shown(str(count))} messages of a topic"


def database_faults(path: Path) -> list[str]:
    """What is wrong with the sqlite files of a bag: structure, indices, and what lies beside them.

    Args:
        path: folder of a bag or a .db3 file; others have no such files.
    """
    files = sorted(path.glob("[!.]*.db3")) if path.is_dir() else [path] * (path.suffix == ".db3")
    return [f"{file.name} {fault}" for file in files for fault in _faults(file)]


def _faults(file: Path) -> list[str]:
    found = []
    for ending, what in (("-wal", "PRAGMA wal_checkpoint"), ("-journal", "PRAGMA integrity_check")):
        beside = file.with_name(file.name + ending)
        if beside.is_file() and beside.stat().st_size:
            found.append(
                f"was not closed: {beside.name} beside it holds what is not read; take it in with "
                f"sqlite3 {file.name} '{what}'"
            )
    try:
        import sqlite3
    except ImportError:  # a Python that was built without it
        return found
    try:
        database = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            rows = database.execute("PRAGMA integrity_check(1)").fetchall()
        finally:
            database.close()
    except sqlite3.Error as error:
        rows = [(str(error),)]
    if rows != [("ok",)]:
        said = " ".join(str(rows[0][0] if rows else "nothing").split())
        found.append(
            f"is damaged ({said}): images may be missing, or at wrong times; copy it again, or "
            "mend it with sqlite3's .recover"
        )
    return found


class Order:
    """Follows the headers of a topic's images: one camera, whose clock goes on."""

    def __init__(self) -> None:
        self._frame_id: str | None = None
        self._stamp = -(1 << 63)

    def foreign(self, header: Any) -> str:
        """Why an image is not of the first one's camera; empty when it is."""
        if self._frame_id is None:
            self._frame_id = header.frame_id
        if header.frame_id == self._frame_id:
            return ""
        return (
            f"frame_id is {shown(header.frame_id)}, that of the first {shown(self._frame_id)}: "
            "another camera, or damaged"
        )

    def jump(self, stamp_ns: int) -> str:
        """What is wrong with the next stamp in nanoseconds; empty when it does not go back."""
        last, self._stamp = self._stamp, stamp_ns
        if stamp_ns >= last:
            return ""
        return (
            f"its stamp is {(last - stamp_ns) / 1e9:.3f} s before that of the image before it: the "
            "camera's clock jumped, or one of them is damaged"
        )
