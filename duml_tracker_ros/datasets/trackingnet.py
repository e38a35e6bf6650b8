"""TrackingNet: ``{TRAIN_K,TEST}/{frames/<Seq>/K.jpg, anno/<Seq>.txt}``; pixels from 0."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from . import base
from .base import Dataset, DatasetError, Sequence


def load_trackingnet(root: Path, pattern: str | None = None) -> Dataset:
    """The test set; only the first box is public."""
    annotations = root / "TEST" / "anno"
    names = [p.stem for p in sorted(annotations.glob("*.txt"))]
    if not names:
        raise DatasetError(f"no TrackingNet test sequence: expected {annotations}/<Seq>.txt")

    def load(name: str) -> Sequence:
        truth = base.read_boxes(annotations / f"{name}.txt", name)
        images = base.images_of(root / "TEST" / "frames" / name, name)
        return base.make_sequence(
            name, images, base.first_only(truth, len(images)), truth_given=False
        )

    return replace(base.collect("trackingnet", names, load, pattern), submission="trackingnet")


def train_trackingnet(root: Path) -> Iterator[Sequence]:
    """The twelve chunks of the training part, as far as their frames were fetched.

    Raises SequenceError for a damaged sequence.
    """
    for path in sorted(root.glob("TRAIN_*/anno/*.txt")):
        frames = path.parent.parent / "frames" / path.stem
        if frames.is_dir():
            images, truth = base.images_of(frames, path.stem), base.read_boxes(path, path.stem)
            yield base.make_sequence(path.stem, images, truth, start=False)
