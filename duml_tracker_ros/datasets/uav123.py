"""UAV123: ``data_seq/UAV123/<Seq>/*.jpg``, ``anno/UAV123/<Seq>.txt``, ``configSeqs.m``; from 1."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from . import base
from .base import Dataset, DatasetError, Sequence, SequenceError
from .text import read_text

ATTRIBUTES = (
    "scale variation",
    "aspect ratio change",
    "low resolution",
    "fast motion",
    "full occlusion",
    "partial occlusion",
    "out of view",
    "background clutter",
    "illumination variation",
    "viewpoint change",
    "camera motion",
    "similar object",
)


def uav123(version: str) -> Callable[[Path, str | None], Dataset]:
    def load_all(root: Path, pattern: str | None = None) -> Dataset:
        """Parts of one video are sequences of their own, as ``configSeqs.m`` says."""
        annotations = root / "anno" / version
        files = {p.stem: p for p in sorted(annotations.glob("*.txt"))}
        if not files:
            raise DatasetError(f"no {version} annotation: expected {annotations}/<Seq>.txt")
        ranges = _ranges(root / "configSeqs.m", version)
        folder = root / "data_seq" / version
        if not folder.is_dir():
            folder = root / "data_seq" / "UAV123"

        def load(name: str) -> Sequence:
            where, first, last = ranges.get(name, (name, None, None))
            if not (folder / where).is_dir() and name not in ranges:
                raise SequenceError(
                    name,
                    f"image folder {folder / where} is missing; parts of one video need the data "
                    f"set's configSeqs.m in {root}",
                )
            images = base.images_of(folder / where, name)
            if first is not None and last is not None:
                images = tuple(p for p in images if first <= base.last_number(p) <= last)
            flags = base.numbers(annotations / "att" / f"{name}.txt")
            tags = tuple(a for a, f in zip(ATTRIBUTES, flags, strict=False) if f == 1)
            truth = base.read_boxes(files[name], name, origin=1)
            return base.make_sequence(name, images, truth, attributes=tags)

        return base.collect(version.lower(), list(files), load, pattern)

    return load_all


def _ranges(path: Path, version: str) -> dict[str, tuple[str, int, int]]:
    """Image folder, first and last frame of each sequence, from the toolkit's configuration."""
    if not path.is_file():
        return {}
    found: dict[str, tuple[str, int, int]] = {}
    entry = re.compile(
        r"struct\('name','([^']+)','path','([^']+)','startFrame',(\d+),'endFrame',(\d+)"
    )
    for name, folder, first, last in entry.findall(re.sub(r"\s*,\s*", ",", read_text(path))):
        parts = [p for p in re.split(r"[\\/]", folder) if p]
        if version in parts or version == "UAV123":
            found.setdefault(name, (parts[-1], int(first), int(last)))
    return found
