"""OTB2015 (OTB-100): ``<Seq>/img/*.jpg``, ``<Seq>/groundtruth_rect[.K].txt``; pixels from 1."""

from __future__ import annotations

from pathlib import Path

from . import base
from .base import Dataset, DatasetError, Sequence

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
        images = base.images_of(path.parent / "img", name)
        if path.parent.name in RANGES:
            first, last = RANGES[path.parent.name]
            images = tuple(p for p in images if first <= base.last_number(p) <= last)
        tags = base.words(path.parent / "attrs.txt")
        return base.make_sequence(
            name, images, base.read_boxes(path, name, origin=1), attributes=tags
        )

    return base.collect("otb", list(files), load, pattern)
