"""VOT's challenges: ``list.txt``, ``<Seq>/[color/]*.jpg``, ``<Seq>/groundtruth.txt``; from 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from . import base
from .base import Dataset, DatasetError, Sequence, SequenceError
from .boxes import present
from .region import Region, parse_region
from .text import read_text

EAO_RANGES = {
    "vot2018": (100, 356),
    "vot2019": (46, 291),
    "vot2020": (115, 755),
    "vot2021": (115, 755),
    "vot2022": (115, 755),
}
"""Lengths over which each year's EAO averages the expected-overlap curve, both ends included."""

PROTOCOLS = {
    "vot2018": "supervised",
    "vot2019": "supervised",
    "vot2020": "anchors",
    "vot2021": "anchors",
    "vot2022": "anchors",
    "vot2018-lt": "longterm",
}


def vot(year: str) -> Callable[[Path, str | None], Dataset]:
    def load_all(root: Path, pattern: str | None = None) -> Dataset:
        """A challenge of one year: short-term, or long-term (no anchors, truth of NaN)."""
        names = list(base.words(root / "list.txt"))
        names = names or sorted(p.parent.name for p in root.glob("*/groundtruth.txt"))
        if not names:
            raise DatasetError(f"no VOT sequence: expected {root}/list.txt")
        anchored = PROTOCOLS[year] == "anchors"

        def load(name: str) -> Sequence:
            folder = root / name
            images = folder / "color" if (folder / "color").is_dir() else folder
            regions = _read_regions(folder / "groundtruth.txt", name)
            boxes = np.array([r.bounding_box() for r in regions]).reshape(-1, 4)
            boxes[:, :2] -= 1  # VOT counts pixels from 1
            boxes[~present(boxes)] = np.nan
            anchors = np.array(base.numbers(folder / "anchor.value"))
            if anchored and not anchors.any():
                raise SequenceError(name, f"{folder / 'anchor.value'} names no anchor")
            tags = tuple(sorted(p.stem for p in folder.glob("*.tag")))
            found = base.make_sequence(name, base.images_of(images, name), boxes, attributes=tags)
            if anchored:
                padded = np.zeros(len(found))
                padded[: len(anchors)] = anchors[: len(found)]
                found = replace(found, anchors=padded)
            return replace(found, regions=regions)

        return replace(
            base.collect(year, names, load, pattern),
            protocol=PROTOCOLS[year],
            eao_range=EAO_RANGES.get(year),
        )

    return load_all


def _read_regions(path: Path, name: str) -> tuple[Region, ...]:
    try:
        lines = read_text(path).rstrip().splitlines()
    except OSError as error:
        raise SequenceError(name, f"ground truth {path} cannot be read: {error.strerror}") from None
    regions = []
    for number, line in enumerate(lines, start=1):
        try:
            regions.append(parse_region(line))
        except ValueError as error:
            raise SequenceError(name, f"{path.name} line {number}: {error}") from None
    return tuple(regions)
