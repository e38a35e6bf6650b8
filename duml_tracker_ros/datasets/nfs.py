"""Need for Speed: ``<Seq>/30/<Seq>/*.jpg``, ``<Seq>/30/<Seq>.txt``; corners, pixels from 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from . import base
from .base import Dataset, DatasetError, Sequence, SequenceError
from .boxes import Array, present
from .text import read_text


def load_nfs(root: Path, pattern: str | None = None) -> Dataset:
    """The version at 30 frames a second; the boxes of the 240 Hz videos are thinned out."""
    files = {p.parent.parent.name: p for p in sorted(root.glob("*/30/*.txt"))}
    if not files:
        raise DatasetError(f"no NFS sequence below {root}: expected <Seq>/30/<Seq>.txt")

    def load(name: str) -> Sequence:
        path = files[name]
        images = base.images_of(path.parent / path.stem, name)
        rows: dict[int, list[float]] = {}
        for number, line in enumerate(read_text(path).rstrip().splitlines(), start=1):
            try:
                values = [float(v) for v in line.split()[1:7]]
                x0, y0, x1, y1 = values[:4]
                frame = int(values[4])
            except (ValueError, IndexError):
                raise SequenceError(
                    name, f"{path.name} line {number} is not 'id x1 y1 x2 y2 frame lost ...'"
                ) from None
            if frame in rows:
                raise SequenceError(name, f"{path.name} line {number}: frame {frame} comes twice")
            lost = values[5:] == [1]
            rows[frame] = [np.nan] * 4 if lost else [x0, y0, x1 - x0, y1 - y0]
        boxes = _by_frame(rows, len(images))
        # The last 240 Hz block is often incomplete.
        if abs(len(boxes) - len(images)) == 1:
            count = min(len(boxes), len(images))
            boxes, images = boxes[:count], images[:count]
        boxes[~present(boxes)] = np.nan
        return base.make_sequence(name, images, boxes)

    return base.collect("nfs", list(files), load, pattern)


def _by_frame(rows: dict[int, list[float]], images: int) -> Array:
    """Boxes of the images; a frame without a row has none.

    Rows carry the number of their frame, from 0 or 1, in the video of 30 or of 240 Hz.
    """
    last = max(rows, default=0)
    # A file from 0 whose first row is missing ends one earlier than one from 1.
    first = 0 if 0 in rows or last + 1 == images else 1
    step = 8 if last - first + 1 > 4 * images else 1
    count = (last - first) // step + 1
    nothing = [np.nan] * 4
    boxes = [rows.get(first + step * i, nothing) for i in range(count)]
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)
