"""Pictures with marked objects: what networks are trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..pixels import Box
from .base import Sequence, read_image


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotated object: box (x, y, w, h) in image pixels, optional polygon rings [N, 2].

    visibility: share of it that is seen, where known.
    """

    box: Box
    label: str = ""
    track: int | str | None = None
    polygon: tuple[np.ndarray, ...] = ()
    visibility: float = 1.0


@dataclass(frozen=True, slots=True)
class Record:
    """One picture: where it lies and what is marked in it."""

    path: str
    source: str
    width: int
    height: int
    video: str | None = None
    frame: int | None = None
    targets: tuple[Annotation, ...] = ()


def records_of(sequence: Sequence, source: str, stride: int) -> Iterator[Record]:
    """Every ``stride``-th frame of a sequence that shows its target; all are of one size."""
    size: tuple[int, int] | None = None
    for t in range(0, len(sequence), stride):
        x, y, w, h = (float(v) for v in sequence.truth[t])
        if not (w >= 2 and h >= 2):  # too small to see, or absent
            continue
        path = sequence.frames[t]
        if size is None:
            size = picture_size(path)
        target = Annotation((x, y, w, h), sequence.label, 0)
        yield Record(str(path), source, *size, sequence.name, t, (target,))


def picture_size(path: str | Path) -> tuple[int, int]:
    """(width, height) from a JPEG's header; other formats are decoded. Raises OSError."""
    with Path(path).open("rb") as file:
        # One that tells of a camera may lie on its side.
        upright = b"Exif\0\0" not in file.read(1 << 16)
        file.seek(0)
        if file.read(2) == b"\xff\xd8" and upright:
            while (head := file.read(4)) and len(head) == 4 and head[0] == 0xFF:
                length = int.from_bytes(head[2:], "big")
                if 0xC0 <= head[1] <= 0xCF and head[1] not in (0xC4, 0xC8, 0xCC):
                    frame = file.read(5)
                    return int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big")
                file.seek(length - 2, 1)
    height, width = read_image(Path(path)).shape[:2]
    return width, height
