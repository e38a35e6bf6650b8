"""Traces on disk: a folder with `trace.json` and numbered .npz files of some frames each.

The .npz files hold plain arrays (see `record`) and are read without pickle, so a trace from
somebody else can do no harm.
"""

from __future__ import annotations

import errno
import json
import zipfile
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..media.picture import PictureError, as_bgr, decode
from ..outputs import write_text
from ..pixels import Box, Pixels
from ..tracker import TrackResult
from .record import COLUMNS, MAPS, RAGGED, SIZES, STATES, record

FORMAT = 1
META = "trace.json"
FRAMES_A_FILE = 50
# What one file may unpack to; a damaged or hostile one shall not fill the memory.
MOST_BYTES = 1 << 30


class TraceError(Exception):
    """A trace that cannot be read; the text names the file and what is wrong with it."""


class Budget:
    """Disk space that traces share: when it is used up the oldest files go.

    Args:
        limit: in bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._files: deque[tuple[Path, int]] = deque()
        self._used = 0

    def take(self, path: Path) -> None:
        """Count a file that was just written; the newest one always stays."""
        size = path.stat().st_size
        self._files.append((path, size))
        self._used += size
        while self._used > self.limit and len(self._files) > 1:
            oldest, size = self._files.popleft()
            oldest.unlink(missing_ok=True)
            self._used -= size


class TraceWriter:
    """Writes the trace of one target, a file every `FRAMES_A_FILE` frames and on `flush`.

    Args:
        folder: made with the first frame; it must not hold a trace.
        about: what `trace.json` shall say: plain data.

    Raises:
        OSError: from `add` and `flush`, when the folder cannot be written.
    """

    def __init__(self, folder: Path, budget: Budget, about: dict[str, Any]) -> None:
        self.folder = folder
        self._budget = budget
        self._about = about
        self._rows: list[dict[str, Any]] = []
        self._next = 1
        self._begun = False
        self._files = 0

    def add(self, stamp_ns: int, image: Pixels, order: str, result: TrackResult) -> None:
        """Append a frame; call it before the next one is tracked.

        Args:
            image: uint8 [H, W, C] in the channel order `order`.
        """
        if not self._begun:
            self._begun = True
            if is_trace(self.folder):
                raise FileExistsError(errno.EEXIST, "a trace is there already", str(self.folder))
            self.folder.mkdir(parents=True, exist_ok=True)
            document = {"format": FORMAT, **self._about}
            write_text(self.folder / META, json.dumps(document, indent=1, default=str) + "\n")
        self._rows.append(record(self._next, stamp_ns, image, order, result))
        self._next += 1
        if len(self._rows) >= FRAMES_A_FILE:
            self.flush()

    def skip(self) -> None:
        """Count a frame that could not be read: the next one keeps its number."""
        self._next += 1

    def flush(self) -> None:
        """Write what is not on disk yet; more frames may follow."""
        rows, self._rows = self._rows, []
        if not rows:
            return
        self._files += 1
        arrays: dict[str, Any] = {
            name: np.array([row[name] for row in rows], kind).reshape(len(rows), *shape)
            for name, (kind, shape) in COLUMNS.items()
        }
        arrays |= {
            name: np.array([row[name] for row in rows], np.int64).reshape(len(rows), *shape)
            for name, shape in SIZES.items()
        }
        arrays |= {
            name: np.concatenate([row[name] for row in rows]).astype(kind)
            for name, kind in RAGGED.items()
        }
        path = self.folder / f"{self._files:06d}.npz"
        partial = path.with_suffix(".part")
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        partial.replace(path)
        self._budget.take(path)


@dataclass
class Trace:
    """A trace in memory; rows of all arrays are frames.

    Attributes:
        about: what `trace.json` says.
        columns: arrays [N, ...] by the names of `record.COLUMNS`.
        maps: [3, H, W] of each frame, `record.MAPS`; None where the tracker has none.
        memory: sample weights of each frame.
        pictures: JPEG of each frame, of the square `picture_region`.
    """

    about: dict[str, Any]
    columns: dict[str, np.ndarray]
    maps: list[np.ndarray | None] = field(default_factory=list)
    memory: list[np.ndarray] = field(default_factory=list)
    pictures: list[np.ndarray] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.columns["frame"])

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    @property
    def states(self) -> list[str]:
        """Name of each frame's state."""
        return [STATES[code] for code in self.columns["state"]]

    def picture(self, index: int) -> np.ndarray:
        """Picture of a frame, uint8 [S, S, 3] RGB. Raises TraceError when it is no JPEG."""
        try:
            bgr = as_bgr(decode(self.pictures[index].tobytes()))
        except PictureError as error:
            raise TraceError(f"the picture of frame {self['frame'][index]}: {error}") from error
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))

    def heat(self, index: int, name: str, size: int) -> np.ndarray | None:
        """A score map in the geometry of the picture resized to `size`: float32 [size, size]."""
        maps = self.maps[index]
        if maps is None:
            return None
        score = maps[MAPS.index(name)].astype(np.float32)
        px, py, side, _ = self["picture_region"][index].tolist()
        x, y, w, h = self["map_region"][index].tolist()
        scale = size / side
        rows, cols = score.shape
        sx, sy = w / cols * scale, h / rows * scale
        # Pixel centres sit at +0.5 in both grids.
        left, top = (x - px) * scale, (y - py) * scale
        matrix = np.array([[sx, 0.0, left + 0.5 * sx - 0.5], [0.0, sy, top + 0.5 * sy - 0.5]])
        return np.asarray(cv2.warpAffine(score, matrix, (size, size), flags=cv2.INTER_LINEAR))

    def to_picture(self, index: int, box: Box, size: int) -> Box:
        """A box in image pixels as one in the picture resized to `size`."""
        px, py, side, _ = self["picture_region"][index].tolist()
        x, y, w, h = box
        scale = size / side
        return (x - px) * scale, (y - py) * scale, w * scale, h * scale


def is_trace(path: Path) -> bool:
    """True for a folder that holds a trace."""
    return (path / META).is_file()


def read_trace(folder: Path) -> Trace:
    """Read a trace; files of it that the budget has removed are left out.

    Raises:
        TraceError: it is damaged, of another version, or has no frames.
    """
    try:
        about = json.loads((folder / META).read_text(encoding="utf-8"))
        version = about["format"]
    except OSError as error:
        raise TraceError(f"{folder / META} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise TraceError(f"{folder / META} is damaged, or of no trace") from error
    if version != FORMAT:
        raise TraceError(f"{folder} is a trace of format {version}; this version reads {FORMAT}")
    parts = [_read(path) for path in sorted(folder.glob("[0-9]*.npz"))]
    if not parts:
        raise TraceError(f"{folder} holds no frames: nothing was tracked")
    columns = {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}
    trace = Trace(about, columns)
    for part in parts:
        sizes = part["maps_size"]
        blocks = _split(part["maps"], 3 * sizes[:, 0] * sizes[:, 1])
        for (rows, cols), block in zip(sizes.tolist(), blocks, strict=True):
            trace.maps.append(block.reshape(3, rows, cols) if block.size else None)
        trace.memory += _split(part["memory"], part["memory_size"])
        trace.pictures += _split(part["picture"], part["picture_size"])
    return trace


def _split(values: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
    return np.split(values, np.cumsum(sizes)[:-1])


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MOST_BYTES:
                raise ValueError("it is too large")
        with np.load(path, allow_pickle=False) as file:
            part = {name: file[name] for name in (*COLUMNS, *RAGGED, *SIZES)}
        _check(part)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise TraceError(f"{path} is damaged or no part of a trace: {error}") from error
    return part


def _check(part: dict[str, np.ndarray]) -> None:
    """Raise ValueError where arrays do not fit each other."""
    count = len(part["frame"])
    expected = {name: (kind, (count, *shape)) for name, (kind, shape) in COLUMNS.items()}
    expected |= {name: (np.int64, (count, *shape)) for name, shape in SIZES.items()}
    for name, (kind, shape) in expected.items():
        if part[name].dtype != kind or part[name].shape != shape:
            raise ValueError(f"{name} is {part[name].dtype} {part[name].shape}")
    if (part["state"] >= len(STATES)).any():
        raise ValueError("an unknown state")
    for name in RAGGED:
        sizes = part[f"{name}_size"]
        wanted = 3 * sizes[:, 0] * sizes[:, 1] if name == "maps" else sizes
        if (sizes < 0).any() or part[name].shape != (wanted.sum(),):
            raise ValueError(f"{name} does not fit its sizes")
