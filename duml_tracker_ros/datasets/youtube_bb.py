"""YouTube-BB: ``SET.csv`` of its authors and ``SET/class_id/ID_MS_CLASS_OBJECT.jpg`` frames."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from .annotated import Annotation, Record, picture_size
from .base import DatasetError


def train_youtube_bb(root: Path, stride: int = 1) -> Iterator[Record]:
    """Frames that were annotated and fetched, once a second. Raises DatasetError."""
    del stride  # annotated so seldom that every frame counts
    for path in sorted(root.glob("*.csv")):
        with path.open(newline="", encoding="utf-8-sig") as file:
            for number, row in enumerate(csv.reader(file), 1):
                try:
                    video, time, kind, label, track, presence = row[:6]
                    x0, x1, y0, y1 = (float(v) for v in row[6:10])
                except ValueError as error:
                    raise DatasetError(f"{path} line {number}: {error}; restore it") from error
                if presence != "present" or not (x1 > x0 and y1 > y0):
                    continue
                picture = root / path.stem / kind / f"{video}_{time}_{kind}_{track}.jpg"
                # Many of the videos are gone from the web: what is missing is normal here.
                if not picture.is_file():
                    continue
                name = f"{video}+{kind}+{track}"
                width, height = picture_size(picture)
                box = (x0 * width, y0 * height, (x1 - x0) * width, (y1 - y0) * height)
                target = Annotation(box, label, track)
                yield Record(
                    str(picture), "youtube_bb", width, height, name, int(float(time)), (target,)
                )
