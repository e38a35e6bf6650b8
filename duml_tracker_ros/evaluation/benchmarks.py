"""Loaders of the public benchmarks in the layout in which they are published.

=============  ==================================================================  ======
kind           below --root                                                        origin
=============  ==================================================================  ======
otb            <Seq>/img/*.jpg, <Seq>/groundtruth_rect[.K].txt                     1
nfs            <Seq>/30/<Seq>/*.jpg, <Seq>/30/<Seq>.txt                            0
uav123[...]    data_seq/UAV123/<Seq>/*.jpg, anno/UAV123/<Seq>.txt, configSeqs.m    1
lasot          <class>/<class>-K/img/*.jpg, groundtruth.txt; testing_set.txt       0
trackingnet    TEST/frames/<Seq>/K.jpg, TEST/anno/<Seq>.txt                        0
got10k-val     val/list.txt, val/<Seq>/*.jpg, groundtruth.txt, cover.label         0
got10k-test    as above below test/, only the first box given                      0
vot2018...     list.txt, <Seq>/[color/]*.jpg, groundtruth.txt [, anchor.value]     1
=============  ==================================================================  ======

*origin* is the coordinate of the first pixel in the files. It is taken off here, once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from .datasets import (
    Dataset,
    DatasetError,
    Sequence,
    SequenceError,
    collect,
    list_images,
    make_sequence,
    natural_key,
    read_boxes,
)
from .metrics import Array, present
from .vot import EAO_RANGES, Region, parse_region

# Frames that count where a folder holds more images than the benchmark uses: first and last number.
OTB_RANGES = {
    "David": (300, 770),
    "Diving": (1, 215),
    "Football1": (1, 74),
    "Freeman3": (1, 460),
    "Freeman4": (1, 283),
}

UAV123_ATTRIBUTES = (
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


def load_otb(root: Path, pattern: str | None = None) -> Dataset:
    """OTB2015 (OTB-100); sequences with several targets become ``Jogging-1``, ``Jogging-2``."""
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
        images = _images(path.parent / "img", name)
        if path.parent.name in OTB_RANGES:
            first, last = OTB_RANGES[path.parent.name]
            images = tuple(p for p in images if first <= _last_number(p) <= last)
        tags = _words(path.parent / "attrs.txt")
        return make_sequence(name, images, read_boxes(path, name, origin=1), attributes=tags)

    return collect("otb", list(files), load, pattern)


def load_nfs(root: Path, pattern: str | None = None) -> Dataset:
    """Need for Speed at 30 frames a second; the boxes of the 240 Hz videos are thinned out."""
    files = {p.parent.parent.name: p for p in sorted(root.glob("*/30/*.txt"))}
    if not files:
        raise DatasetError(f"no NFS sequence below {root}: expected <Seq>/30/<Seq>.txt")

    def load(name: str) -> Sequence:
        path = files[name]
        images = _images(path.parent / path.stem, name)
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


def _uav123(version: str) -> Callable[[Path, str | None], Dataset]:
    def load_all(root: Path, pattern: str | None = None) -> Dataset:
        """UAV123, UAV20L or UAV123_10fps."""
        annotations = root / "anno" / version
        files = {p.stem: p for p in sorted(annotations.glob("*.txt"))}
        if not files:
            raise DatasetError(f"no {version} annotation: expected {annotations}/<Seq>.txt")
        ranges = _uav123_ranges(root / "configSeqs.m", version)
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
            images = _images(folder / where, name)
            if first is not None and last is not None:
                images = tuple(p for p in images if first <= _last_number(p) <= last)
            flags = _numbers(annotations / "att" / f"{name}.txt")
            tags = tuple(a for a, f in zip(UAV123_ATTRIBUTES, flags, strict=False) if f == 1)
            truth = read_boxes(files[name], name, origin=1)
            return make_sequence(name, images, truth, attributes=tags)

        return collect(version.lower(), list(files), load, pattern)

    return load_all


def _uav123_ranges(path: Path, version: str) -> dict[str, tuple[str, int, int]]:
    """Image folder, first and last frame of each sequence, from the toolkit's configuration."""
    if not path.is_file():
        return {}
    found: dict[str, tuple[str, int, int]] = {}
    entry = re.compile(
        r"struct\('name','([^']+)','path','([^']+)','startFrame',(\d+),'endFrame',(\d+)"
    )
    for name, folder, first, last in entry.findall(re.sub(r"\s*,\s*", ",", path.read_text())):
        parts = [p for p in re.split(r"[\\/]", folder) if p]
        if version in parts or version == "UAV123":
            found.setdefault(name, (parts[-1], int(first), int(last)))
    return found


def load_lasot(root: Path, pattern: str | None = None) -> Dataset:
    """LaSOT's test set: the names in ``testing_set.txt`` where it exists, else all found."""
    folders = {p.parent.name: p.parent for p in sorted(root.glob("*/*/groundtruth.txt"))}
    folders |= {p.parent.name: p.parent for p in sorted(root.glob("*/groundtruth.txt"))}
    names = list(_words(root / "testing_set.txt")) or list(folders)
    if not folders:
        raise DatasetError(
            f"no LaSOT sequence below {root}: expected <class>/<Seq>/groundtruth.txt"
        )

    def load(name: str) -> Sequence:
        if name not in folders:
            raise SequenceError(name, f"named in testing_set.txt but not found below {root}")
        folder = folders[name]
        truth = read_boxes(folder / "groundtruth.txt", name)
        return make_sequence(name, _images(folder / "img", name), truth)

    return collect("lasot", names, load, pattern)


def load_trackingnet(root: Path, pattern: str | None = None) -> Dataset:
    """TrackingNet's test set; only the first box is public."""
    annotations = root / "TEST" / "anno"
    names = [p.stem for p in sorted(annotations.glob("*.txt"))]
    if not names:
        raise DatasetError(f"no TrackingNet test sequence: expected {annotations}/<Seq>.txt")

    def load(name: str) -> Sequence:
        truth = read_boxes(annotations / f"{name}.txt", name)
        images = _images(root / "TEST" / "frames" / name, name)
        return make_sequence(name, images, _first_only(truth, len(images)), truth_given=False)

    return replace(collect("trackingnet", names, load, pattern), submission="trackingnet")


def _got10k(subset: str) -> Callable[[Path, str | None], Dataset]:
    def load_all(root: Path, pattern: str | None = None) -> Dataset:
        """GOT-10k's validation or test part."""
        top = root / subset
        names = list(_words(top / "list.txt"))
        if not names:
            raise DatasetError(f"no GOT-10k {subset} sequence: expected {top}/list.txt")

        def load(name: str) -> Sequence:
            folder = top / name
            images = _images(folder, name)
            truth = read_boxes(folder / "groundtruth.txt", name)
            if subset == "test":
                whole = _first_only(truth, len(images))
                return make_sequence(name, images, whole, truth_given=False)
            cover = np.array(_numbers(folder / "cover.label"))
            if cover.size not in (0, len(images)):
                raise SequenceError(
                    name, f"{len(images)} images but {cover.size} lines in cover.label"
                )
            return make_sequence(name, images, truth, cover=cover if cover.size else None)

        found = collect(f"got10k-{subset}", names, load, pattern)
        if subset == "test":
            return replace(found, submission="got10k")
        return replace(found, protocol="got10k")

    return load_all


def _vot(year: str) -> Callable[[Path, str | None], Dataset]:
    def load_all(root: Path, pattern: str | None = None) -> Dataset:
        """A VOT short-term challenge: supervised until 2019, from anchors since 2020."""
        names = list(_words(root / "list.txt"))
        names = names or sorted(p.parent.name for p in root.glob("*/groundtruth.txt"))
        if not names:
            raise DatasetError(f"no VOT sequence: expected {root}/list.txt")
        anchored = year not in ("vot2018", "vot2019")

        def load(name: str) -> Sequence:
            folder = root / name
            images = folder / "color" if (folder / "color").is_dir() else folder
            regions = _read_regions(folder / "groundtruth.txt", name)
            boxes = np.array([r.bounding_box() for r in regions]).reshape(-1, 4)
            boxes[:, :2] -= 1  # VOT counts pixels from 1
            boxes[~present(boxes)] = np.nan
            anchors = np.array(_numbers(folder / "anchor.value"))
            if anchored and not anchors.any():
                raise SequenceError(name, f"{folder / 'anchor.value'} names no anchor")
            tags = tuple(sorted(p.stem for p in folder.glob("*.tag")))
            found = make_sequence(name, _images(images, name), boxes, attributes=tags)
            if anchored:
                padded = np.zeros(len(found))
                padded[: len(anchors)] = anchors[: len(found)]
                found = replace(found, anchors=padded)
            return replace(found, regions=regions)

        return replace(
            collect(year, names, load, pattern),
            protocol="anchors" if anchored else "supervised",
            eao_range=EAO_RANGES[year],
        )

    return load_all


def _read_regions(path: Path, name: str) -> tuple[Region, ...]:
    try:
        lines = path.read_text().rstrip().splitlines()
    except OSError as error:
        raise SequenceError(name, f"ground truth {path} cannot be read: {error.strerror}") from None
    regions = []
    for number, line in enumerate(lines, start=1):
        try:
            regions.append(parse_region(line))
        except ValueError as error:
            raise SequenceError(name, f"{path.name} line {number}: {error}") from None
    return tuple(regions)


def _images(folder: Path, name: str) -> tuple[Path, ...]:
    if not folder.is_dir():
        raise SequenceError(name, f"image folder {folder} is missing")
    return list_images(folder)


def _first_only(truth: Array, count: int) -> Array:
    """The first box, then rows of NaN for frames whose truth is kept by the server."""
    whole = np.full((max(1, count), 4), np.nan)
    whole[:1] = truth[:1]
    return whole


def _last_number(path: Path) -> int:
    """The number at the end of a file name; -1 without one."""
    numbers = [part for kind, part in natural_key(Path(path.stem)) if kind == 0]
    return int(numbers[-1]) if numbers else -1


def _words(path: Path) -> tuple[str, ...]:
    """Words separated by blanks, commas or lines; nothing when the file does not exist."""
    if not path.is_file():
        return ()
    return tuple(w for w in re.split(r"[,\s]+", path.read_text(encoding="utf-8")) if w)


def _numbers(path: Path) -> list[float]:
    """Numbers separated by blanks, commas or lines; nothing when the file does not exist."""
    try:
        return [float(w) for w in _words(path)]
    except ValueError:
        return []


BENCHMARKS: dict[str, Callable[[Path, str | None], Dataset]] = {
    "otb": load_otb,
    "nfs": load_nfs,
    "uav123": _uav123("UAV123"),
    "uav20l": _uav123("UAV20L"),
    "uav123_10fps": _uav123("UAV123_10fps"),
    "lasot": load_lasot,
    "trackingnet": load_trackingnet,
    "got10k-val": _got10k("val"),
    "got10k-test": _got10k("test"),
    **{year: _vot(year) for year in EAO_RANGES},
}
"""Benchmarks by the name that ``--dataset`` takes."""
