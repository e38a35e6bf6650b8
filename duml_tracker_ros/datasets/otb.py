"""OTB2015 (OTB-100): ``<Seq>/img/*.jpg``, ``<Seq>/groundtruth_rect[.K].txt``; pixels from 1."""

from __future__ import annotations

from pathlib import Path

from .base import (
    Dataset,
    DatasetError,
    Sequence,
    collect,
    images_of,
    last_number,
    make_sequence,
    read_boxes,
    words,
)

RANGES = {
    "David": (300, 770),
    "Diving": (1, 215),
    "Football1": (1, 74),
    "Freeman3": (1, 460),
    "Freeman4": (1, 283),
}
"""First and last frame where a folder holds more images than the benchmark uses."""


def load_otb(root: Path, pattern: str | None = None) -> Dataset:
    """Sequences with several targets become ``Jogging-1``, ``Jogging-2``."""
    files: dict[str, Path] = {}
    for path in sorted(root.glob("*/groundtruth_rect*.txt")):
        # An empty groundtruth_rect.txt stands beside numbered ones in some copies.
        if path.stat().st_size == 0:
            continue
        number = path.name.split(".")[1] if path.name.count(".") == 2 else ""
        files[path.parent.name + (f"-{number}" if number else "")] = path
    if not files:
        raise DatasetError(f"no OTB sequence below {root}: expected <Seq>/groundtruth_rect.txt")

    def load(name: str) -> Sequence:
        path = files[name]
        images = images_of(path.parent / "img", name)
        if path.parent.name in RANGES:
            first, last = RANGES[path.parent.name]
            images = tuple(p for p in images if first <= last_number(p) <= last)
        tags = words(path.parent / "attrs.txt")
        return make_sequence(name, images, read_boxes(path, name, origin=1), attributes=tags)

    return collect("otb", list(files), load, pattern)
