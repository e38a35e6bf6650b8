"""LaSOT: ``<class>/<class>-K/{img/*.jpg, groundtruth.txt, full_occlusion.txt, out_of_view.txt}``.

Pixels count from 1: its author says that 1 is the smallest coordinate, and none of the 1,400
sequences has a 0 (github.com/HengLan/LaSOT_Evaluation_Toolkit, issue 14). Frames in which the
target is fully occluded or out of view are absent, as in that toolkit (``annos/absent``). The 280
sequences of ``testing_set.txt`` are the test set of protocol II; they are never trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from . import base
from .base import Dataset, DatasetError, Sequence, SequenceError

TEST_SET, TRAIN_SET = "testing_set.txt", "training_set.txt"


def load_lasot(root: Path, pattern: str | None = None) -> Dataset:
    """The test set: the names in ``testing_set.txt`` where it exists, else all found."""
    folders = _folders(root)
    names = list(base.words(root / TEST_SET)) or list(folders)

    def load(name: str) -> Sequence:
        if name not in folders:
            raise SequenceError(name, f"named in {TEST_SET} but not found below {root}")
        return _sequence(folders[name])

    return base.collect("lasot", names, load, pattern)


def train_lasot(root: Path) -> Iterator[Sequence]:
    """Yield the sequences to train on: all found but the names in ``testing_set.txt``.

    Raises DatasetError when nothing says which sequences are for testing, SequenceError for a
    damaged one.
    """
    folders = _folders(root)
    test, train = base.words(root / TEST_SET), base.words(root / TRAIN_SET)
    if not test and not train:
        raise DatasetError(
            f"LaSOT root {root}: neither {TEST_SET} nor {TRAIN_SET} in it, so its test sequences "
            "would be trained on; put the file of the data set there"
        )
    for name, folder in folders.items():
        if name not in test and (not train or name in train):
            yield _sequence(folder, start=False)


def _folders(root: Path) -> dict[str, Path]:
    """Folders of the sequences by name; raises DatasetError when there is none."""
    found = sorted((*root.glob("*/*/groundtruth.txt"), *root.glob("*/groundtruth.txt")))
    if not found:
        raise DatasetError(
            f"no LaSOT sequence below {root}: expected <class>/<Seq>/groundtruth.txt"
        )
    return {p.parent.name: p.parent for p in found}


def _sequence(folder: Path, start: bool = True) -> Sequence:
    name = folder.name
    truth = base.read_boxes(folder / "groundtruth.txt", name, origin=1)
    for label in ("full_occlusion", "out_of_view"):
        truth[base.flags(folder / f"{label}.txt", len(truth), name)] = np.nan
    images = base.images_of(folder / "img", name)
    return base.make_sequence(name, images, truth, label=name.rpartition("-")[0], start=start)
