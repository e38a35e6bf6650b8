"""Public data sets in their published layouts, as records whose pictures are decoded when drawn.

They hold too many pictures for memory, so the banks of this module keep paths and boxes only.
Boxes come out 0-based and continuous, in pixels of the stored picture.
"""

from __future__ import annotations

import configparser
import csv
import json
import re
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .bank import Bank, DataError, Record, Target, decode

STRIDE = 5
"""Of a video every STRIDE-th frame is kept: neighbours teach little and records cost memory."""


def load_layout(
    name: str, root: str | Path, *, stride: int = STRIDE, progress: bool = True
) -> Bank:
    """The data set `name` (a key of LAYOUTS) under `root`, as a bank decoded on demand.

    stride: keep every stride-th frame of a video. Raises DataError for an unknown name, a folder
    that lacks the layout's files, or annotations that cannot be read.
    """
    if name not in LAYOUTS:
        raise DataError(f"layout {name!r}: unknown; choose from {', '.join(LAYOUTS)}")
    if stride < 1:
        raise DataError(f"stride {stride}: need 1 or more")
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{name} root {root}: no such folder; give the data set's top folder")
    found = tqdm(LAYOUTS[name](root, stride), name, unit="img", disable=not progress, leave=False)
    records = list(found)
    if not records:
        raise DataError(f"{name} root {root}: no annotated picture in it; give the top folder")
    return Bank(records, [None] * len(records))


def picture_size(path: str | Path) -> tuple[int, int]:
    """(width, height) from a JPEG's header; other formats are decoded."""
    with Path(path).open("rb") as file:
        if file.read(2) == b"\xff\xd8":
            while (head := file.read(4)) and len(head) == 4 and head[0] == 0xFF:
                length = int.from_bytes(head[2:], "big")
                if 0xC0 <= head[1] <= 0xCF and head[1] not in (0xC4, 0xC8, 0xCC):
                    frame = file.read(5)
                    return int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big")
                file.seek(length - 2, 1)
    height, width = decode(path).shape[:2]
    return width, height


def _sequence(
    source: str,
    video: str,
    label: str,
    frames: list[Path],
    boxes: np.ndarray,
    stride: int,
    keep: np.ndarray | None = None,
    size: tuple[int, int] | None = None,
) -> Iterator[Record]:
    """Records of a single-object video; boxes [N, 4], `keep` marks frames that show the target."""
    if len(frames) != len(boxes):
        raise DataError(
            f"{source} video {video}: {len(frames)} pictures but {len(boxes)} boxes; "
            "complete or remove it"
        )
    for t in range(0, len(frames), stride):
        x, y, w, h = (float(v) for v in boxes[t])
        if not (w >= 2 and h >= 2) or (keep is not None and not keep[t]):
            continue
        if size is None:
            size = picture_size(frames[t])
        target = Target((x, y, w, h), label, 0)
        yield Record(str(frames[t]), source, size[0], size[1], video, t, (target,))


def _table(path: Path) -> np.ndarray:
    """Numbers [N, K] of a text file separated by commas or blanks; DataError names a bad file."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        rows = [
            [float(v) for v in re.split(r"[,\s]+", line.strip())] for line in lines if line.strip()
        ]
        return np.array(rows, dtype=np.float64)
    except (OSError, ValueError) as error:
        raise DataError(f"annotation {path}: {error}; restore or remove the video") from error


def _boxes(path: Path) -> np.ndarray:
    table = _table(path)
    if table.ndim != 2 or table.shape[1] != 4:
        raise DataError(f"annotation {path}: needs four numbers a line (x, y, w, h)")
    return table


def _flags(path: Path, count: int) -> np.ndarray:
    """Per-frame flags of an optional file; none set where it is missing."""
    if not path.is_file():
        return np.zeros(count, bool)
    flags = _table(path).reshape(-1) != 0
    if len(flags) != count:
        raise DataError(f"annotation {path}: {len(flags)} flags for {count} frames; restore it")
    return flags


def _pictures(folder: Path) -> list[Path]:
    """Pictures of a folder by the number in their name."""
    found = [p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png")]
    return sorted(found, key=lambda p: (int(re.sub(r"\D", "", p.stem) or 0), p.name))


def got10k(root: Path, stride: int) -> Iterator[Record]:
    """GOT-10k: [train/]GOT-10k_Train_*/{*.jpg, groundtruth.txt, absence.label, meta_info.ini}."""
    top = root / "train" if (root / "train").is_dir() else root
    for folder in sorted(p.parent for p in top.glob("*/groundtruth.txt")):
        boxes = _boxes(folder / "groundtruth.txt")
        absent = _flags(folder / "absence.label", len(boxes))
        meta = configparser.ConfigParser()
        meta.read(folder / "meta_info.ini", encoding="utf-8")
        label = meta.get("METAINFO", "object_class", fallback="")
        yield from _sequence(
            "got10k", folder.name, label, _pictures(folder), boxes, stride, ~absent
        )


def lasot(root: Path, stride: int) -> Iterator[Record]:
    """LaSOT: [class/]class-n/{img/*.jpg, groundtruth.txt, full_occlusion.txt, out_of_view.txt}."""
    for path in sorted((*root.glob("*/groundtruth.txt"), *root.glob("*/*/groundtruth.txt"))):
        folder = path.parent
        boxes = _boxes(path)
        boxes[:, :2] -= 1  # annotated from 1
        hidden = _flags(folder / "full_occlusion.txt", len(boxes))
        hidden |= _flags(folder / "out_of_view.txt", len(boxes))
        label = folder.name.rpartition("-")[0]
        frames = _pictures(folder / "img")
        yield from _sequence("lasot", folder.name, label, frames, boxes, stride, ~hidden)


def trackingnet(root: Path, stride: int) -> Iterator[Record]:
    """TrackingNet: TRAIN_k/{anno/VIDEO.txt, frames/VIDEO/n.jpg}."""
    for path in sorted(root.glob("TRAIN_*/anno/*.txt")):
        frames = path.parent.parent / "frames" / path.stem
        if not frames.is_dir():  # a chunk whose frames were not fetched
            continue
        yield from _sequence("trackingnet", path.stem, "", _pictures(frames), _boxes(path), stride)


def coco(root: Path, stride: int) -> Iterator[Record]:
    """COCO: annotations/instances_SET.json and SET/*.jpg (or images/SET); crowds are left out."""
    del stride  # stills
    for path in sorted((root / "annotations").glob("instances_*.json")):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            names = {c["id"]: c["name"] for c in data["categories"]}
            targets: dict[int, list[Target]] = defaultdict(list)
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
                targets[item["image_id"]].append(Target((x, y, w, h), label, None, polygon))
            pictures = [
                (p["id"], p["file_name"], int(p["width"]), int(p["height"])) for p in data["images"]
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"annotation {path}: {error!r}; restore it") from error
        split = path.stem.removeprefix("instances_")
        folder = root / split if (root / split).is_dir() else root / "images" / split
        if not folder.is_dir():  # a split whose pictures were not fetched
            continue
        for key, name, width, height in pictures:
            if targets[key]:
                yield Record(str(folder / name), "coco", width, height, targets=tuple(targets[key]))


def imagenet_vid(root: Path, stride: int) -> Iterator[Record]:
    """ImageNet VID: {Data,Annotations}/VID/SPLIT/**/VIDEO/nnnnnn.{JPEG,xml}, with track ids."""
    notes = root / "Annotations" / "VID"
    for split in ("train", "val"):
        for folder in sorted({p.parent for p in (notes / split).glob("**/*.xml")}):
            pictures = root / "Data" / "VID" / folder.relative_to(notes)
            for path in sorted(folder.glob("*.xml"))[::stride]:
                record = _vid_frame(path, pictures / f"{path.stem}.JPEG", folder.name)
                if record is not None:
                    yield record


def _vid_frame(path: Path, picture: Path, video: str) -> Record | None:
    try:
        tree = ElementTree.parse(path).getroot()
        width, height = int(tree.findtext("size/width", "")), int(tree.findtext("size/height", ""))
        targets = []
        for item in tree.iter("object"):
            # Inclusive corners, counted from 0.
            x0, y0, x1, y1 = (
                float(item.findtext(f"bndbox/{side}", ""))
                for side in ("xmin", "ymin", "xmax", "ymax")
            )
            if x1 - x0 >= 2 and y1 - y0 >= 2:
                track = int(item.findtext("trackid", ""))
                box = (x0, y0, x1 - x0 + 1, y1 - y0 + 1)
                targets.append(Target(box, item.findtext("name", ""), track))
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"annotation {path}: {error}; restore or remove it") from error
    if not targets:
        return None
    frame = int(path.stem)
    return Record(str(picture), "imagenet_vid", width, height, video, frame, tuple(targets))


def youtube_bb(root: Path, stride: int) -> Iterator[Record]:
    """YouTube-BB: SET.csv of the authors and SET/class_id/ID_MS_CLASS_OBJECT.jpg frames."""
    del stride  # annotated once a second, so every frame counts
    for path in sorted(root.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.reader(file), 1):
                try:
                    video, time, kind, label, track, presence = row[:6]
                    x0, x1, y0, y1 = (float(v) for v in row[6:10])
                except ValueError as error:
                    raise DataError(f"{path} line {number}: {error}; restore it") from error
                if presence != "present" or not (x1 > x0 and y1 > y0):
                    continue
                picture = root / path.stem / kind / f"{video}_{time}_{kind}_{track}.jpg"
                # Many of the videos are gone from the web: what is missing is normal here.
                if not picture.is_file():
                    continue
                name = f"{video}+{kind}+{track}"
                width, height = picture_size(picture)
                box = (x0 * width, y0 * height, (x1 - x0) * width, (y1 - y0) * height)
                target = Target(box, label, track)
                yield Record(
                    str(picture), "youtube_bb", width, height, name, int(float(time)), (target,)
                )


LAYOUTS: Mapping[str, Callable[[Path, int], Iterator[Record]]] = {
    "got10k": got10k,
    "lasot": lasot,
    "trackingnet": trackingnet,
    "coco": coco,
    "imagenet_vid": imagenet_vid,
    "youtube_bb": youtube_bb,
}
