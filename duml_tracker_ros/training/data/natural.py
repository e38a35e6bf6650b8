"""Samples of real pictures: boxes on stills, random patches, and video tracks."""

from __future__ import annotations

import math
import random

import cv2

from ...datasets.annotated import Annotation
from . import warp
from .bank import Bank
from .compositor import Compositor, Fill
from .pools import Pool
from .samples import Crops, SampleKind, TrainingSample
from .warp import Affine, Image


class StillMaker:
    """Annotated objects of single pictures: template and search crops by different warps."""

    kind = SampleKind.STILL

    def __init__(self, compositor: Compositor, pool: Pool) -> None:
        self.compositor = compositor
        self.pool = pool

    def __bool__(self) -> bool:
        return bool(self.pool)

    def pick(self, rng: random.Random) -> tuple[Image, Annotation]:
        i, j = self.pool.draw(rng)
        return self.compositor.bank.image(i), self.compositor.bank.records[i].targets[j]

    def make(self, rng: random.Random) -> TrainingSample:
        compositor, shape = self.compositor, self.compositor.shape
        image, target = self.pick(rng)
        _, _, w, h = target.box
        outside = compositor.outside(rng, image)
        resolution = compositor.resolution(rng, math.sqrt(w * h))
        others = compositor.strangers(rng)
        # A polygon gives exact boxes after any turn, a bare box does not.
        loose = 2.5 if target.polygon else 1.0
        base = warp.linear(1.0, rng.gauss(0, 0.04) * loose, math.exp(rng.gauss(0, 0.06)))
        crops = Crops()
        for f in range(shape.n_search + 1):
            query = shape.is_query(f)
            if query and rng.random() < 0.05:
                crops.add(compositor.elsewhere(rng, shape.search, resolution))
                continue
            matrix = base
            if f > 0:
                turn = max(-0.18, min(0.18, rng.gauss(0, 0.05))) * loose
                # Seldom a stretch far beyond what the picture shows: boxes follow what is seen now,
                # not the template's aspect.
                strain = math.exp(rng.gauss(0, 0.09 if rng.random() < 0.7 else 0.35))
                matrix = _after(warp.linear(1.0, turn, strain, rng.gauss(0, 0.03) * loose), base)
            crop, box, mask = compositor.window(
                rng, image, target, matrix, f, resolution, outside, others
            )
            if query and rng.random() < 0.15 and compositor.cutouts:
                compositor.occlude(rng, crop, box, image, mask)
            crops.add(crop, box, mask)
        return crops.sample(self.kind, shape)


class PatchMaker(StillMaker):
    """Any rectangle with something to see in it, of aspect 0.3 to 3: no class is ever unknown."""

    kind = SampleKind.PATCH

    def __init__(self, compositor: Compositor, outlined: bool = False) -> None:
        self.compositor = compositor
        # Nothing in a picture says where the object in a rectangle ends.
        self.pool = Pool() if outlined else compositor.backgrounds

    def pick(self, rng: random.Random) -> tuple[Image, Annotation]:
        for attempt in range(8):
            image = self.compositor.bank.image(self.pool.draw(rng))
            rows, cols = image.shape[:2]
            side = math.exp(rng.uniform(math.log(16.0), math.log(0.5 * min(rows, cols))))
            root = math.exp(0.5 * max(-1.2, min(1.2, rng.gauss(0, 0.5))))
            w, h = min(side * root, 0.8 * cols), min(side / root, 0.8 * rows)
            x, y = rng.uniform(0, cols - w), rng.uniform(0, rows - h)
            part = image[int(y) : int(y + h) + 1, int(x) : int(x + w) + 1]
            deviation = cv2.meanStdDev(part)[1]
            if float(deviation.max()) > 22 or attempt == 7:
                break
        return image, Annotation((x, y, w, h))


class VideoMaker:
    """Frames of one track, in any order; `kind` tells real video from rendered scenes."""

    def __init__(self, compositor: Compositor, bank: Bank, tracks: Pool, kind: SampleKind) -> None:
        self.compositor = compositor
        self.bank = bank
        self.tracks = tracks
        self.kind = kind

    def __bool__(self) -> bool:
        return bool(self.tracks)

    def make(self, rng: random.Random) -> TrainingSample:
        compositor, bank, shape = self.compositor, self.bank, self.compositor.shape
        track = self.tracks.draw(rng)
        frames = [track[t] for t in _times(rng, len(track), shape.n_search + 1)]
        # Nobody starts a tracker on a hidden target.
        best = max(range(len(frames)), key=lambda k: bank.target(frames[k]).visibility)
        if bank.target(frames[0]).visibility < 0.8:
            frames[0], frames[best] = frames[best], frames[0]
        _, _, w, h = bank.target(frames[0]).box
        resolution = compositor.resolution(rng, math.sqrt(w * h), 0.12)
        others = []
        if self.kind is SampleKind.VIDEO and rng.random() < 0.5:
            others = compositor.strangers(rng)
        tilt = warp.linear(1.0, rng.gauss(0, 0.04), math.exp(rng.gauss(0, 0.05)))
        outside: Fill | None = None
        crops = Crops()
        for f, (i, j) in enumerate(frames):
            if shape.is_query(f) and rng.random() < 0.05:
                crops.add(compositor.elsewhere(rng, shape.search, resolution))
                continue
            image, target = bank.image(i), bank.records[i].targets[j]
            outside = compositor.outside(rng, image) if outside is None else outside
            crop, box, mask = compositor.window(
                rng, image, target, tilt, f, resolution, outside, others
            )
            crops.add(crop, box, mask)
        return crops.sample(self.kind, shape)


def _after(second: Affine, first: Affine) -> Affine:
    """`first`, then `second`."""
    out = second[:, :2] @ first
    out[:, 2] += second[:, 2]
    return out


def _times(rng: random.Random, length: int, count: int) -> list[int]:
    """Frame indices of a track, in any order, half of them within 10 steps, repeated if short."""
    reach = min(length - 1, rng.choice((3, 6, 10, 20, 40, 80)))
    start = int(rng.random() * (length - reach))
    if reach + 1 >= count:
        frames = rng.sample(range(start, start + reach + 1), count)
    else:
        frames = [start + int(rng.random() * (reach + 1)) for _ in range(count)]
    return sorted(frames) if rng.random() < 0.5 else frames
