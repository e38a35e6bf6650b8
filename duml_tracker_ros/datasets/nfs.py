"""Need for Speed: ``<Seq>/30/<Seq>/*.jpg``, ``<Seq>/30/<Seq>.txt``; corners, pixels from 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .base import (
    Dataset,
    DatasetError,
    Sequence,
    SequenceError,
    collect,
    images_of,
    make_sequence,
)
from .boxes import present


def load_nfs(root: Path, pattern: str | None = None) -> Dataset:
    """The version at 30 frames a second; the boxes of the 240 Hz videos are thinned out."""
    files = {p.parent.parent.name: p for p in sorted(root.glob("*/30/*.txt"))}
    if not files:
        raise DatasetError(f"no NFS sequence below {root}: expected <Seq>/30/<Seq>.txt")

    def load(name: str) -> Sequence:
        path = files[name]
        images = images_of(path.parent / path.stem, name)
        rows = []
        for number, line in enumerate(path.read_text().rstrip().splitlines(), start=1):
            fields = line.split()
            try:
                rows.append([float(v) for v in fields[1:5]])
                lost = len(fields) > 6 and fields[6] == "1"
            except ValueError:
                rows.append([])
            if len(rows[-1]) != 4:
                raise SequenceError(name, f"{path.name} line {number} is not 'id x1 y1 x2 y2 ...'")
            if lost:
                rows[-1] = [np.nan] * 4
        boxes = np.array(rows, dtype=np.float64).reshape(-1, 4)
        boxes[:, 2:] -= boxes[:, :2]
        if len(boxes) > 4 * len(images):
            boxes = boxes[::8]
        # The last 240 Hz block is often incomplete.
        if abs(len(boxes) - len(images)) == 1:
            count = min(len(boxes), len(images))
            boxes, images = boxes[:count], images[:count]
        boxes[~present(boxes)] = np.nan
        return make_sequence(name, images, boxes)

    return collect("nfs", list(files), load, pattern)
