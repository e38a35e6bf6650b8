"""All data sets by name: what trackers are evaluated on, and what networks are trained on.

======================  ==================================================================  ======
to evaluate             below its top folder                                                origin
======================  ==================================================================  ======
folder                  .../<Seq>/img/*, .../<Seq>/groundtruth_rect.txt                     0
otb                     <Seq>/img/*.jpg, <Seq>/groundtruth_rect[.K].txt                     1
nfs                     <Seq>/30/<Seq>/*.jpg, <Seq>/30/<Seq>.txt                            0
uav123[...]             data_seq/UAV123/<Seq>/*.jpg, anno/UAV123/<Seq>.txt, configSeqs.m    1
lasot                   <class>/<class>-K/img/*.jpg, groundtruth.txt; testing_set.txt       1
trackingnet             TEST/frames/<Seq>/K.jpg, TEST/anno/<Seq>.txt                        0
got10k-val              val/list.txt, val/<Seq>/*.jpg, groundtruth.txt, cover.label         0
got10k-test             as above below test/, only the first box given                      0
vot2018... vot2018-lt   list.txt, <Seq>/[color/]*.jpg, groundtruth.txt [, anchor.value]     1
======================  ==================================================================  ======

*origin* is the coordinate of the first pixel in the files. It is taken off by the loaders, once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from .annotated import Record, records_of
from .base import Dataset, DatasetError, Sequence
from .coco import train_coco
from .folder import load_folder
from .got10k import got10k, train_got10k, train_got10k_for_vot
from .imagenet import train_imagenet_det, train_imagenet_vid
from .lasot import load_lasot, train_lasot
from .nfs import load_nfs
from .otb import load_otb
from .tlpg200 import load_tlpg200
from .trackingnet import load_trackingnet, train_trackingnet
from .uav123 import uav123
from .vot import PROTOCOLS, vot
from .youtube_bb import train_youtube_bb

Loader = Callable[[Path, str | None], Dataset]
Reader = Callable[[Path, int], Iterator[Record]]

BENCHMARKS: dict[str, Loader] = {
    "folder": load_folder,
    "otb": load_otb,
    "nfs": load_nfs,
    "uav123": uav123("UAV123"),
    "uav20l": uav123("UAV20L"),
    "uav123_10fps": uav123("UAV123_10fps"),
    "lasot": load_lasot,
    "trackingnet": load_trackingnet,
    "got10k-val": got10k("val"),
    "got10k-test": got10k("test"),
    **{name: vot(name) for name in PROTOCOLS},
    "tlpg200": load_tlpg200,
}
"""Benchmarks by the name that ``--dataset`` takes."""


def videos(source: str, read: Callable[[Path], Iterator[Sequence]]) -> Reader:
    """Records of the frames of videos."""

    def records(root: Path, stride: int) -> Iterator[Record]:
        for sequence in read(root):
            yield from records_of(sequence, source, stride)

    return records


TRAINING: dict[str, Reader] = {
    "got10k": videos("got10k", train_got10k),
    "got10k_vot": videos("got10k", train_got10k_for_vot),
    "lasot": videos("lasot", train_lasot),
    "trackingnet": videos("trackingnet", train_trackingnet),
    "coco": train_coco,
    "imagenet_vid": train_imagenet_vid,
    "imagenet_det": train_imagenet_det,
    "youtube_bb": train_youtube_bb,
}
"""What may be trained on, by the name that ``data.layouts`` takes: records with every
``stride``-th frame of a video, decoded by nobody yet."""


def load_dataset(kind: str, root: str | Path, sequences: str | None = None) -> Dataset:
    """Load a data set in its published layout.

    Args:
        kind: a key of `BENCHMARKS`.
        root: the data set's folder.
        sequences: comma-separated globs on sequence names; None takes all.

    Raises:
        DatasetError: unknown kind, no such folder, nothing found, or nothing matches.
    """
    if kind not in BENCHMARKS:
        raise DatasetError(f"unknown data set {kind!r}; known: {', '.join(BENCHMARKS)}")
    path = Path(root).expanduser()
    if not path.is_dir():
        raise DatasetError(f"data set folder {path} does not exist; give it with --root")
    return BENCHMARKS[kind](path, sequences)
