"""Batches of training samples from worker processes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ..config import DataConfig
from .bank import load_bank
from .cutouts import load_cutouts
from .errors import DataError
from .samples import Shape
from .scenes import load_scenes
from .synthesis import DEFAULT_MIX, Synthesis

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Part:
    """Which of the ``of`` parts of every step's batch a process makes: ``count`` from ``first``."""

    first: int = 0
    count: int = 1
    of: int = 1

    def number(self, k: int) -> int:
        """Number of the process's ``k``-th part among all parts of all steps."""
        return k // self.count * self.of + self.first + k % self.count


class BatchStream(IterableDataset):
    """An endless stream of batches; batch k depends on (seed, k) alone.

    So the stream is the same for any number of workers, and a run resumed at batch `start` sees
    what the uninterrupted one would have seen.
    """

    def __init__(
        self,
        synthesis: Synthesis,
        batch_size: int,
        seed: int = 0,
        start: int = 0,
        part: Part | None = None,
    ) -> None:
        if batch_size < 1:
            raise DataError(f"batch_size {batch_size}: need at least 1")
        if start < 0:
            raise DataError(f"start {start}: need 0 or the number of batches already used")
        self.synthesis = synthesis
        self.batch_size = batch_size
        self.seed = seed
        self.start = start
        self.part = part or Part()

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        index, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        index += self.start * self.part.count
        while True:
            yield self.batch(self.part.number(index))
            index += step

    def batch(self, index: int) -> Batch:
        """Batch number `index` of the stream."""
        rng = random.Random(f"{self.seed}/{index}")
        shape, count = self.synthesis.shape, self.batch_size
        template = np.empty((count, 3, shape.template, shape.template), np.uint8)
        search = np.empty((count, shape.n_search, 3, shape.search, shape.search), np.uint8)
        template_box = np.empty((count, 4), np.float32)
        box = np.full((count, shape.n_search, 4), np.nan, np.float32)
        kind = np.empty(count, np.int64)
        masks: Batch = {}
        if shape.masks:
            sides = (count, shape.n_search, shape.search, shape.search)
            masks["mask"] = torch.zeros(sides, dtype=torch.uint8)
            masks["outlined"] = torch.zeros(sides[:2], dtype=torch.bool)
        for b in range(count):
            sample = self.synthesis.sample(rng)
            template[b] = sample.template.transpose(2, 0, 1)
            template_box[b] = sample.template_box
            kind[b] = sample.kind
            for s, (image, found) in enumerate(zip(sample.search, sample.boxes, strict=True)):
                search[b, s] = image.transpose(2, 0, 1)
                if found is not None:
                    box[b, s] = found
            for s, mask in enumerate(sample.masks):
                if mask is not None:
                    masks["mask"][b, s] = torch.from_numpy(mask)
                    masks["outlined"][b, s] = True
        return {
            "template": torch.from_numpy(template),
            "template_box": torch.from_numpy(template_box),
            "search": torch.from_numpy(search),
            "box": torch.from_numpy(box),
            "visible": torch.from_numpy(~np.isnan(box[:, :, 0])),
            "kind": torch.from_numpy(kind),
            **masks,
        }


def _single_threaded(_: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


@dataclass(frozen=True)
class Batches:
    """What batches are like, and which of an endless row of them are made.

    Attributes:
        template_size, search_size: sides of the crops, pixels.
        n_search: search crops of a sample, of which the first `n_support` always show the target.
        size: samples in a batch.
        start: number of steps already made by an interrupted run.
        part: of a step's batch that is made here.
    """

    template_size: int = 97
    search_size: int = 193
    n_search: int = 2
    n_support: int = 1
    size: int = 32
    seed: int = 0
    start: int = 0
    part: Part = Part()
    pin_memory: bool = False


def loader_of(synthesis: Synthesis, batches: Batches, workers: int = 1) -> DataLoader:
    """An endless iterable of batches, made in `workers` processes (0: in this one)."""
    if workers < 0:
        raise DataError(f"workers {workers}: need 0 or more")
    return DataLoader(
        BatchStream(synthesis, batches.size, batches.seed, batches.start, batches.part),
        batch_size=None,
        num_workers=workers,
        # fork shares the decoded pictures with the workers instead of copying them.
        multiprocessing_context="fork" if workers else None,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_single_threaded,
        pin_memory=batches.pin_memory,
    )


def make_loader(
    data: DataConfig, batches: Batches | None = None, progress: bool = True
) -> DataLoader:
    """Load the data and return an endless iterable of batches (dict):

    - template uint8 [B, 3, Z, Z] and template_box float32 [B, 4]: x, y, w, h in template pixels
    - search uint8 [B, S, 3, X, X]; the first n_support crops always show the target
    - box float32 [B, S, 4]: the target's full extent in search pixels, NaN where it is absent
    - visible bool [B, S]; kind int64 [B], see `SampleKind`
    - with masks: mask uint8 [B, S, X, X], what is seen of the target, and outlined bool [B, S],
      false where the mask means nothing as the outline is not known or the target absent

    Raises DataError when the data cannot be used.
    """
    batches = batches or Batches()
    shape = Shape(
        *(batches.template_size, batches.search_size, batches.n_search, batches.n_support),
        *(data.masks != "none", data.drawn, data.zoom),
    )
    bank = load_bank(
        data.root or None,
        layouts=data.layouts,
        exclude_videos=data.exclude_videos,
        sources=data.sources,
        progress=progress,
    )
    cache = data.cache or None
    limit = data.grabcut_limit
    cutouts = load_cutouts(bank, cache_dir=cache, grabcut_limit=limit, progress=progress)
    mix = data.mix or None
    scenes = None
    wanted = mix or ({} if data.shares else DEFAULT_MIX)
    if data.scene_clips > 0 and wanted.get("scene", 0) > 0:
        scenes = load_scenes(data.scene_clips, cache_dir=cache, progress=progress)
    outlined = data.masks == "only"
    synthesis = Synthesis(
        bank, cutouts, shape, mix, scenes, data.distractors, outlined, data.shares or None
    )
    return loader_of(synthesis, batches, data.workers)
