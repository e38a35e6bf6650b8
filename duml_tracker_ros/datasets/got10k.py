"""GOT-10k: ``{train,val,test}/{list.txt, <Seq>/{*.jpg, groundtruth.txt, *.label}}``.

Boxes are taken as they are, as the data set's own toolkit does when it starts a tracker and scores
it. An entry of its server must be trained on its training part alone (`training.data`), and VOT
forbids to train on 1,000 of the training part's videos, which are among its own
(``got10k_vot.yaml``, VOT2019's list).
"""

from __future__ import annotations

import configparser
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import yaml

from . import base
from .base import Dataset, DatasetError, Sequence, SequenceError

TRAIN = "GOT-10k_Train_"


def got10k(subset: str) -> Callable[[Path, str | None], Dataset]:
    """Loader of the part for validation or test."""

    def load_all(root: Path, pattern: str | None = None) -> Dataset:
        top = root / subset
        names = list(base.words(top / "list.txt"))
        if not names:
            raise DatasetError(f"no GOT-10k {subset} sequence: expected {top}/list.txt")

        def load(name: str) -> Sequence:
            folder = top / name
            images = base.images_of(folder, name)
            truth = base.read_boxes(folder / "groundtruth.txt", name)
            if subset == "test":
                whole = base.first_only(truth, len(images))
                return base.make_sequence(name, images, whole, truth_given=False)
            cover = np.array(base.numbers(folder / "cover.label"))
            there = (folder / "cover.label").is_file()
            if there and cover.size != len(images):
                raise SequenceError(
                    name, f"{len(images)} images but {cover.size} lines in cover.label"
                )
            # AO leaves out what is covered; so do all other scores.
            unseen = cover == 0 if there else base.hidden(folder, len(truth), name)
            unseen[:1] = False
            if len(unseen) == len(truth):
                truth[unseen] = np.nan
            return base.make_sequence(name, images, truth, cover=cover if there else None)

        found = base.collect(f"got10k-{subset}", names, load, pattern)
        if subset == "test":
            return replace(found, submission="got10k")
        return replace(found, protocol="got10k")

    return load_all


def train_got10k(root: Path) -> Iterator[Sequence]:
    """The training part alone, below ``root`` or ``root/train``.

    Raises SequenceError for a damaged sequence.
    """
    top = root / "train" if (root / "train").is_dir() else root
    for folder in sorted(p.parent for p in top.glob(f"{TRAIN}*/groundtruth.txt")):
        truth = base.read_boxes(folder / "groundtruth.txt", folder.name)
        absent = base.flags(folder / "absence.label", len(truth), folder.name)
        truth[absent | base.hidden(folder, len(truth), folder.name)] = np.nan
        meta = configparser.ConfigParser()
        meta.read(folder / "meta_info.ini", encoding="utf-8-sig")
        label = meta.get("METAINFO", "object_class", fallback="")
        images = base.images_of(folder, folder.name)
        yield base.make_sequence(folder.name, images, truth, label=label, start=False)


def train_got10k_for_vot(root: Path) -> Iterator[Sequence]:
    """`train_got10k` without the videos that VOT forbids to train on."""
    return (s for s in train_got10k(root) if s.name not in forbidden_by_vot())


@cache
def forbidden_by_vot() -> frozenset[str]:
    """Names of the videos of the training part that VOT forbids to train on."""
    listed = yaml.safe_load((Path(__file__).parent / "got10k_vot.yaml").read_text())
    return frozenset(f"{TRAIN}{number:06d}" for number in listed)
