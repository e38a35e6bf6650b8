"""Plain folders of images with one file of boxes: the layout of one's own clips."""

from __future__ import annotations

import os
from pathlib import Path

from . import base
from .base import Dataset, DatasetError, Sequence, SequenceError


def load_folder(root: Path, pattern: str | None = None) -> Dataset:
    """Plain folders: ``<root>/.../<name>/img/*`` with ``groundtruth_rect.txt``, found at any depth.

    Boxes count pixels from 0. Optional ``attributes.txt`` holds tags separated by commas or lines;
    frames that label files (`hidden`) say are hidden count as those without a target.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for folder, children, files in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            # A link to a folder that is known: one above it, say, which would have no end.
            children.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        # A sequence whose truth file is gone must be reported, not overlooked.
        if "groundtruth_rect.txt" in files or "img" in children:
            found.append(Path(folder))
            children.clear()
        children.sort()
    found.sort()
    if not found:
        raise DatasetError(
            f"no sequence below {root}: expected <name>/img/* with <name>/groundtruth_rect.txt"
        )
    folders = {(p.relative_to(root).as_posix() if p != root else p.name): p for p in found}

    def load(name: str) -> Sequence:
        folder = folders[name]
        images = folder / "img"
        if not images.is_dir():
            raise SequenceError(name, f"image folder {images} is missing")
        tags: tuple[str, ...] = ()
        if (folder / "attributes.txt").is_file():
            tags = base.words(folder / "attributes.txt")
        truth = base.read_labels(folder / "groundtruth_rect.txt", name)
        return base.make_sequence(name, base.list_images(images, name), truth, attributes=tags)

    return base.collect("folder", list(folders), load, pattern)
