"""What a training sample is, and what is done to every one of them."""

from __future__ import annotations

import enum
import math
import random
from dataclasses import dataclass, field

import cv2
import numpy as np

from ...pixels import Box
from .errors import DataError
from .warp import Image


class SampleKind(enum.IntEnum):
    """How a sample was made; the value stands in the batch."""

    PASTE = 0
    STILL = 1
    VIDEO = 2
    PATCH = 3
    SCENE = 4


@dataclass(frozen=True, slots=True)
class Shape:
    """Crop sizes in pixels and the number of search crops of a sample.

    The first `n_support` search crops always show the target, unhidden, to learn from. With `masks`
    the search crops of targets whose outline is known carry a mask. A share `drawn` of the
    templates is cut around a box as a hand draws it: its centre off by up to a tenth of its sides,
    those by up to 15 %. `zoom` is the greatest change of scale of a search crop, as a logarithm.
    """

    template: int = 97
    search: int = 193
    n_search: int = 2
    n_support: int = 1
    masks: bool = False
    drawn: float = 0.0
    zoom: float = 0.6

    def __post_init__(self) -> None:
        if not 0 <= self.drawn <= 1:
            raise DataError(f"data.drawn = {self.drawn}: a share, between 0 and 1")
        if not 0 <= self.zoom <= 1.2:
            raise DataError(f"data.zoom = {self.zoom}: between 0 and 1.2 (a factor of 3.3)")
        if not 16 <= self.template <= self.search:
            raise DataError(
                f"template_size {self.template}, search_size {self.search}: "
                "need 16 <= template_size <= search_size"
            )
        if not 1 <= self.n_support <= self.n_search:
            raise DataError(
                f"n_search {self.n_search}, n_support {self.n_support}: "
                "need 1 <= n_support <= n_search"
            )

    def is_query(self, f: int) -> bool:
        """Whether crop f of a sample (0: the template) may hide or lack the target."""
        return f > self.n_support


@dataclass(slots=True)
class TrainingSample:
    """Crops RGB uint8 and boxes (x, y, w, h) in crop pixels; None where the target is absent.

    masks: what is seen of the target, uint8 in the geometry of the search crops; None where the
    outline is not known or the target absent; empty unless the shape asks for masks.
    """

    kind: SampleKind
    template: Image
    template_box: Box
    search: list[Image]
    boxes: list[Box | None]
    masks: list[Image | None] = field(default_factory=list)


class Crops:
    """The crops of a sample as they are made, the template first."""

    def __init__(self) -> None:
        self._images: list[Image] = []
        self._boxes: list[Box | None] = []
        self._masks: list[Image | None] = []

    def add(self, image: Image, box: Box | None = None, mask: Image | None = None) -> None:
        self._images.append(image)
        self._boxes.append(box)
        self._masks.append(mask)

    def sample(self, kind: SampleKind, shape: Shape) -> TrainingSample:
        template, *search = self._images
        template_box, *boxes = self._boxes
        assert template_box is not None
        masks = self._masks[1:] if shape.masks else []
        return TrainingSample(kind, template, template_box, search, boxes, masks)


def flip(sample: TrainingSample, rng: random.Random) -> TrainingSample:
    """Mirrors all crops of the sample alike: sideways half of the time, seldom upside down."""
    for axis, chance in ((1, 0.5), (0, 0.08)):
        if rng.random() >= chance:
            continue

        def mirror(box: Box, size: int, axis: int = axis) -> Box:
            x, y, w, h = box
            return (size - x - w, y, w, h) if axis == 1 else (x, size - y - h, w, h)

        sample.template_box = mirror(sample.template_box, sample.template.shape[0])
        sample.template = cv2.flip(sample.template, axis)
        size = sample.search[0].shape[0]
        sample.boxes = [None if b is None else mirror(b, size) for b in sample.boxes]
        sample.search = [cv2.flip(image, axis) for image in sample.search]
        sample.masks = [None if m is None else cv2.flip(m, axis) for m in sample.masks]
    return sample


def degrade(sample: TrainingSample, rng: random.Random) -> TrainingSample:
    """Motion blur on single search crops; grey and JPEG artefacts on whole samples."""
    grey = rng.random() < 0.1
    quality = rng.randint(20, 75) if rng.random() < 0.12 else 0
    images = [sample.template, *sample.search]
    for k in range(len(images)):
        if k > 0 and rng.random() < 0.1:
            images[k] = _streak(images[k], rng)
        if grey:
            images[k] = cv2.cvtColor(
                cv2.cvtColor(images[k], cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB
            )
        if quality:
            _, data = cv2.imencode(".jpg", images[k], (cv2.IMWRITE_JPEG_QUALITY, quality))
            images[k] = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    sample.template, sample.search = images[0], images[1:]
    return sample


def _streak(image: Image, rng: random.Random) -> Image:
    """Motion blur along a random direction, centred so that boxes keep their place."""
    length = rng.uniform(2.0, 6.0)
    kernel = np.zeros((11, 11), np.float32)
    angle = rng.uniform(0, math.pi)
    dx, dy = math.cos(angle) * length / 2, math.sin(angle) * length / 2
    first = (round((5 - dx) * 16), round((5 - dy) * 16))
    last = (round((5 + dx) * 16), round((5 + dy) * 16))
    cv2.line(kernel, first, last, 1.0, 1, cv2.LINE_AA, shift=4)
    return cv2.filter2D(image, -1, kernel / kernel.sum())
