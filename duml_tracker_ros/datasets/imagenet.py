"""ImageNet VID and DET: ``{Data,Annotations}/{VID,DET}/SPLIT/**/NAME.{JPEG,xml}``.

Corners are inclusive and count pixels from 0.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from .annotated import Annotation, Record
from .base import DatasetError

SPLITS = ("train", "val")


def train_imagenet_vid(root: Path, stride: int) -> Iterator[Record]:
    """Every ``stride``-th frame of the videos, with track ids. Raises DatasetError."""
    notes = root / "Annotations" / "VID"
    for split in SPLITS:
        for folder in sorted({p.parent for p in (notes / split).glob("**/*.xml")}):
            pictures = root / "Data" / "VID" / folder.relative_to(notes)
            for path in sorted(folder.glob("*.xml"))[::stride]:
                size, targets = _objects(path)
                if targets:
                    picture = pictures / f"{path.stem}.JPEG"
                    frame = int(path.stem)
                    yield Record(
                        str(picture), "imagenet_vid", *size, folder.name, frame, tuple(targets)
                    )


def train_imagenet_det(root: Path, stride: int = 1) -> Iterator[Record]:
    """The stills of the detection challenge. Raises DatasetError."""
    del stride  # stills
    notes = root / "Annotations" / "DET"
    for split in SPLITS:
        for path in sorted((notes / split).glob("**/*.xml")):
            picture = (root / "Data" / "DET" / path.relative_to(notes)).with_suffix(".JPEG")
            # Of the challenge's 456,567 pictures some copies have a part only.
            if not picture.is_file():
                continue
            size, targets = _objects(path)
            if targets:
                yield Record(str(picture), "imagenet_det", *size, targets=tuple(targets))


def _objects(path: Path) -> tuple[tuple[int, int], list[Annotation]]:
    """(width, height) of a picture, and the objects marked in it."""
    try:
        tree = ElementTree.parse(path).getroot()
        size = int(tree.findtext("size/width", "")), int(tree.findtext("size/height", ""))
        targets = []
        for item in tree.iter("object"):
            x0, y0, x1, y1 = (
                float(item.findtext(f"bndbox/{side}", ""))
                for side in ("xmin", "ymin", "xmax", "ymax")
            )
            if x1 - x0 >= 2 and y1 - y0 >= 2:
                track = item.findtext("trackid")
                box = (x0, y0, x1 - x0 + 1, y1 - y0 + 1)
                name = item.findtext("name", "")
                targets.append(Annotation(box, name, None if track is None else int(track)))
    except (ElementTree.ParseError, ValueError) as error:
        raise DatasetError(f"annotation {path}: {error}; restore or remove it") from error
    return size, targets
