"""The image bank: every training picture decoded once, with boxes, polygons and video tracks."""

from __future__ import annotations

import json
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from ... import progress as bars
from ...datasets import read_image
from ...datasets.annotated import Annotation, Record
from .errors import DataError
from .layouts import read_layout
from .warp import Image

log = logging.getLogger(__name__)


def decode(path: str | Path) -> Image:
    """The picture at `path` as RGB uint8 [H, W, 3]; raises DataError when it cannot be read."""
    try:
        return cv2.cvtColor(read_image(Path(path)), cv2.COLOR_BGR2RGB)
    except OSError as error:
        raise DataError(f"{error}; restore it or drop its record") from error


@dataclass
class Bank:
    """Pictures and their records by index; `images[i]` is None where it is decoded on demand."""

    records: list[Record]
    images: list[Image | None]
    skipped: list[str] = field(default_factory=list)
    tracks: list[list[tuple[int, int]]] = field(default_factory=list, init=False)
    """Per video track the (record, target) indices in order of time; at least two frames each."""

    def __post_init__(self) -> None:
        groups: dict[tuple[str, str, object], list[tuple[int, int]]] = defaultdict(list)
        for i, record in enumerate(self.records):
            if record.video is None:
                continue
            for j, target in enumerate(record.targets):
                groups[record.source, record.video, target.track].append((i, j))
        for group in groups.values():
            if len(group) > 1:
                self.tracks.append(sorted(group, key=lambda at: self.records[at[0]].frame or 0))

    def __len__(self) -> int:
        return len(self.records)

    def image(self, index: int) -> Image:
        """RGB uint8 [H, W, 3] of record `index`, decoded now if it is not held in memory."""
        image = self.images[index]
        return decode(self.records[index].path) if image is None else image

    def target(self, at: tuple[int, int]) -> Annotation:
        return self.records[at[0]].targets[at[1]]

    def merge(self, other: Bank) -> Bank:
        """A bank that holds both."""
        return Bank(
            self.records + other.records, self.images + other.images, self.skipped + other.skipped
        )


def read_index(root: str | Path) -> list[Record]:
    """Records of `root`/index.jsonl.

    One JSON object a line: image, width, height, source, video, frame and objects
    [{id, box, class, polygon?}]. Raises DataError for a missing or malformed index.
    """
    root = Path(root)
    index = root / "index.jsonl"
    if not root.is_dir():
        raise DataError(f"data root {root}: no such folder; give the folder that holds index.jsonl")
    if not index.is_file():
        raise DataError(f"data root {root}: no index.jsonl in it; give the folder that holds one")
    records = []
    with index.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                records.append(_record(root, json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(f"{index} line {number}: {error!r}; repair or delete it") from error
    return records


def _record(root: Path, row: dict) -> Record:
    targets = []
    for item in row.get("objects", ()):
        x, y, w, h = (float(v) for v in item["box"])
        if not (w > 0 and h > 0):
            raise ValueError(f"box {item['box']} is empty")
        rings = tuple(
            np.asarray(ring, dtype=np.float32).reshape(-1, 2)
            for ring in item.get("polygon") or ()
            if len(ring) >= 6
        )
        targets.append(Annotation((x, y, w, h), str(item.get("class", "")), item.get("id"), rings))
    video = row.get("video")
    return Record(
        path=str(root / row["image"]),
        source=str(row.get("source", root.name)),
        width=int(row["width"]),
        height=int(row["height"]),
        video=None if video is None else str(video),
        frame=row.get("frame"),
        targets=tuple(targets),
    )


def exclude(records: Iterable[Record], videos: Sequence[str]) -> list[Record]:
    """Records without those of `videos`, each given as `video` or `source/video` (``davis/goat``).

    Raises DataError for a name that matches nothing: a typo must not leak held-out frames.
    """
    records = list(records)
    known = {name for r in records if r.video for name in (r.video, f"{r.source}/{r.video}")}
    unknown = sorted(set(videos) - known)
    if unknown:
        raise DataError(f"exclude_videos {unknown}: no such video in the data; check the spelling")
    held = set(videos)
    return [r for r in records if r.video not in held and f"{r.source}/{r.video}" not in held]


def load_bank(
    root: str | Path | None,
    *,
    layouts: Mapping[str, str | Path] | None = None,
    exclude_videos: Sequence[str] = (),
    sources: Sequence[str] = (),
    threads: int = 0,
    progress: bool = True,
) -> Bank:
    """The pictures of `root`/index.jsonl, in memory, and those of public data sets, on demand.

    A picture of the index that is missing, broken or of another size than it says is left out; a
    warning gives the count and names the first ones, `Bank.skipped` all of them.

    Args:
        root: None or empty for public data sets alone.
        layouts: name (see ``datasets.TRAINING``) to top folder.
        exclude_videos: left out wherever they come from, see `exclude`.
        sources: of the root only these; empty: all.

    Raises DataError when the data cannot be used.
    """
    if not root and not layouts:
        raise DataError("no data: give a root with index.jsonl, or layouts of public data sets")
    own = of_sources(read_index(root) if root else [], sources)
    public = [
        record
        for name, top in (layouts or {}).items()
        for record in read_layout(name, top, progress=progress)
    ]
    held = {id(r) for r in own + public} - {id(r) for r in exclude(own + public, exclude_videos)}
    own = [r for r in own if id(r) not in held]
    public = [r for r in public if id(r) not in held]
    bank = Bank(public, [None] * len(public))
    if not own:
        return bank
    return load_records(own, threads=threads, progress=progress).merge(bank)


def of_sources(records: Sequence[Record], sources: Sequence[str]) -> list[Record]:
    """The records of some sources, or all if none is named. Raises DataError for an unknown one."""
    known = {record.source for record in records}
    unknown = sorted(set(sources) - known)
    if unknown:
        raise DataError(f"data.sources = {unknown}: the index has {', '.join(sorted(known))}")
    return [record for record in records if not sources or record.source in sources]


def load_records(
    records: Sequence[Record],
    *,
    threads: int = 0,
    progress: bool = True,
    read: Callable[[str | Path], Image] = decode,
) -> Bank:
    """Decodes the pictures of `records` in parallel threads; see `load_bank`."""

    def load(record: Record) -> Image | str:
        try:
            image = read(record.path)
        except DataError as error:
            return str(error)
        if image.shape[:2] != (record.height, record.width):
            found = f"{image.shape[1]}x{image.shape[0]}"
            said = f"{record.width}x{record.height}"
            return f"image {record.path}: {found}, but the index says {said}"
        return image

    kept: list[Record] = []
    images: list[Image | None] = []
    skipped: list[str] = []
    with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as pool:
        loaded = pool.map(load, records)
        bar = bars.progress(loaded, "images", len(records), unit="img", show=progress, leave=False)
        for record, image in zip(records, bar, strict=True):
            if isinstance(image, str):
                skipped.append(image)
            else:
                kept.append(record)
                images.append(image)
    if skipped:
        first = "; ".join(skipped[:5])
        log.warning("%d of %d images skipped: %s", len(skipped), len(records), first)
    if not kept:
        raise DataError("no usable image in the training data; " + "; ".join(skipped[:3]))
    return Bank(kept, images, skipped)
