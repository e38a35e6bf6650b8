"""COCO: ``annotations/instances_SET.json`` and ``SET/*.jpg`` (or ``images/SET``); pixels from 0."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .annotated import Annotation, Record
from .base import DatasetError
from .text import read_text


def train_coco(root: Path, stride: int = 1) -> Iterator[Record]:
    """Pictures with boxes and outlines; crowds are left out. Raises DatasetError."""
    del stride  # stills
    for path in sorted((root / "annotations").glob("instances_*.json")):
        split = path.stem.removeprefix("instances_")
        folder = root / split if (root / split).is_dir() else root / "images" / split
        if folder.is_dir():  # else its pictures were not fetched
            yield from _split(path, folder)


def _split(path: Path, folder: Path) -> Iterator[Record]:
    try:
        data = json.loads(read_text(path))
        names = {c["id"]: c["name"] for c in data["categories"]}
        targets: dict[int, list[Annotation]] = defaultdict(list)
        for item in data["annotations"]:
            x, y, w, h = (float(v) for v in item["bbox"])
            if item.get("iscrowd") or w < 2 or h < 2:
                continue
            rings = item.get("segmentation")
            polygon = tuple(
                np.asarray(ring, np.float32).reshape(-1, 2)
                for ring in (rings if isinstance(rings, list) else ())
                if len(ring) >= 6
            )
            label = names.get(item["category_id"], "")
            targets[item["image_id"]].append(Annotation((x, y, w, h), label, None, polygon))
        pictures = [
            (p["id"], p["file_name"], int(p["width"]), int(p["height"])) for p in data["images"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"annotation {path}: {error!r}; restore it") from error
    for key, name, width, height in pictures:
        if targets[key]:
            yield Record(str(folder / name), "coco", width, height, targets=tuple(targets[key]))
