"""Clips put together from parts of others, so that the target is surely absent for a while."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..datasets import Dataset, DatasetError, Sequence
from .metrics import Array, present

PRESENT = 50
"""Frames of the target's own clip before it is gone."""
ABSENT = 60
"""Frames of another clip after that."""
SEED = 0
"""Of the pairs that are drawn where not all are asked for."""
LEAST = 10
"""Frames in which a target that returns must be whole, or it has no return."""
FAR = 0.3
"""How far from its place it returns at least, as a share of the image's width or height."""


@dataclass(frozen=True)
class Splice(Sequence):
    """A sequence whose images come from clips of several sizes; all take that of the first frame.

    ``shifts`` are how far each image is moved, in pixels (x, y): what leaves at one border comes
    in at the opposite one.
    """

    shifts: tuple[tuple[int, int], ...] = ()

    def image(self, index: int) -> NDArray[np.uint8]:
        image = super().image(index)
        first = image if index == 0 else super().image(0)
        image = fit_to(image, (first.shape[1], first.shape[0]))
        dx, dy = self.shifts[index] if self.shifts else (0, 0)
        return np.roll(image, (dy, dx), (0, 1)) if dx or dy else image


def fit_to(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The middle of an image, scaled to cover ``size`` (width, height)."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    scale = max(size[0] / width, size[1] / height)
    large = max(round(width * scale), size[0]), max(round(height * scale), size[1])
    image = np.asarray(cv2.resize(image, large, interpolation=cv2.INTER_AREA), np.uint8)
    left, top = (large[0] - size[0]) // 2, (large[1] - size[1]) // 2
    return np.ascontiguousarray(image[top : top + size[1], left : left + size[0]])


def absent_pairs(dataset: Dataset, count: int = 0) -> Dataset:
    """All ordered pairs of clips: the first `PRESENT` frames of one, then `ABSENT` of another.

    A pair is named ``otb/Crossing~bag``. The target is given in the first part as far as it is
    known, and absent in the second.

    Args:
        count: only so many of them, drawn at random and always the same; 0: all.

    Raises:
        DatasetError: there are no two clips, or the data set has a protocol of its own.
    """
    _require_two(dataset, "--absent")
    drawn = list(itertools.permutations(dataset, 2))
    if 0 < count < len(drawn):
        order = np.random.default_rng(SEED).permutation(len(drawn))[:count]
        drawn = [drawn[index] for index in sorted(order)]
    pairs: list[Sequence] = [absent_pair(a, b) for a, b in drawn]
    return dataclasses.replace(dataset, sequences=pairs)


def absent_pair(clip: Sequence, other: Sequence) -> Splice:
    """The beginning of ``clip``, then that of ``other``, in which its target is not."""
    frames = (*clip.frames[:PRESENT], *other.frames[:ABSENT])
    truth = np.full((len(frames), 4), np.nan)
    known = clip.truth[:PRESENT]
    truth[: len(known)] = known
    # Names with a slash are groups; the last part tells the clip.
    name = f"{clip.name}~{other.name.replace('/', '-')}"
    return Splice(name, frames, truth, clip.attributes)


def returns(dataset: Dataset) -> Dataset:
    """Targets that come back: the beginning of a clip, `ABSENT` frames of another one, then the
    clip's next ones with the target in another part of the image. Each clip with two others.

    A run is named ``otb/Crossing~bag~back``. What is moved over one border comes in at the opposite
    one; a run ends before that border cuts the target.

    Raises:
        DatasetError: there are too few clips, or the data set has a protocol of its own.
    """
    _require_two(dataset, "--returns")
    clips = list(dataset)
    runs: list[Sequence] = []
    for step in sorted({1, len(clips) // 2} - {0}):
        for index, clip in enumerate(clips):
            run = _return(clip, clips[(index + step) % len(clips)])
            if run is not None:
                runs.append(run)
    if not runs:
        raise DatasetError("--returns: in no sequence is there room for the target elsewhere")
    return dataclasses.replace(dataset, sequences=runs)


def _return(clip: Sequence, other: Sequence) -> Splice | None:
    """None where nothing of the clip is left to return."""
    first = min(PRESENT, len(clip) // 2)
    height, width = clip.image(0).shape[:2]
    rest = clip.truth[first : first + ABSENT]
    if not present(rest[:1])[0]:
        return None
    shift, count = _elsewhere(rest, np.array([width, height]))
    if count < LEAST:
        return None
    gap = other.frames[:ABSENT]
    frames = (*clip.frames[:first], *gap, *clip.frames[first : first + count])
    moved = rest[:count] + np.array([*shift, 0, 0])
    truth = np.vstack([clip.truth[:first], np.full((len(gap), 4), np.nan), moved])
    still, there = ((0, 0),) * (first + len(gap)), (shift,) * count
    name = f"{clip.name}~{other.name.replace('/', '-')}~back"
    return Splice(name, frames, truth, clip.attributes, shifts=(*still, *there))


def _elsewhere(boxes: Array, size: NDArray[np.int_]) -> tuple[tuple[int, int], int]:
    """The shift of the image after which its target stays whole for longest, far from where it was.

    Returns:
        The shift in pixels (x, y), and for how many frames it is whole; 0 where there is none.
    """
    middle = boxes[0, :2] + boxes[0, 2:] / 2
    best, longest = (0, 0), (0, 0.0)
    for place in itertools.product(np.linspace(0.1, 0.9, 9), repeat=2):
        shift = np.rint(np.array(place) * size - middle).astype(int)
        far = float(np.abs(shift / size).max())
        corner = boxes[:, :2] + shift
        with np.errstate(invalid="ignore"):
            whole = (corner >= 0).all(1) & (corner + boxes[:, 2:] <= size).all(1)
        cut = np.flatnonzero(~whole)
        count = int(cut[0]) if len(cut) else len(boxes)
        if far >= FAR and (count, far) > longest:
            best, longest = (int(shift[0]), int(shift[1])), (count, far)
    return best, longest[0]


def _require_two(dataset: Dataset, option: str) -> None:
    """Raise DatasetError where clips cannot be put together: of another protocol, or too few."""
    dataset.require_pass(option)
    if len(dataset) < 2:
        raise DatasetError(f"{option} needs two clips at least; --sequences leaves {len(dataset)}")


def every(dataset: Dataset, stride: int) -> Dataset:
    """Only every ``stride``-th frame of each clip, as of a camera that moves so much faster.

    Clips are named ``Crossing@4``.

    Raises:
        DatasetError: the data set has a protocol of its own, or no public truth.
    """
    dataset.require_pass("--stride")
    clips = [
        dataclasses.replace(
            clip,
            name=f"{clip.name}@{stride}",
            frames=clip.frames[::stride],
            truth=clip.truth[::stride],
            cover=None if clip.cover is None else clip.cover[::stride],
        )
        for clip in dataset
        if present(clip.truth[::stride]).any()
    ]
    return dataclasses.replace(dataset, sequences=clips)
