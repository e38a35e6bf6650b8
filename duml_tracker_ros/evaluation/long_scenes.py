"""Generated long clips: the camera looks away again and again, and comes back another way."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..datasets import Dataset, Sequence
from ..datasets.boxes import Array
from ..scene import AerialScene, SceneSettings

VIEW = (320, 240)
WORLD = (960, 720)
RATE = 30
"""Images a second."""
STAY = 2, 5
"""Seconds for which the target is in view."""
GONE = 1, 20
"""Seconds for which it is not."""
PASSAGE = 12
"""Frames that the camera takes to look away, and back."""
ZOOM = 0.8, 1.3
"""Magnification, another one at each return."""
PART = 0.6
"""Share of the target's box that must be in view to count as there."""


@dataclass(frozen=True)
class LongScene(Sequence):
    """A clip that is rendered as it is read. ``seed`` makes it; the truth is exact."""

    seed: int = 0

    def image(self, index: int) -> NDArray[np.uint8]:
        scene, windows = _film(self.seed, len(self.frames))
        picture = scene.render(index % scene.frames).image
        left, top, zoom = windows[index]
        matrix = np.array([[zoom, 0, -left * zoom], [0, zoom, -top * zoom]])
        seen = cv2.warpAffine(picture, matrix, VIEW, borderMode=cv2.BORDER_REFLECT_101)
        return np.ascontiguousarray(seen[..., ::-1])


def long_scenes(count: int, seconds: int = 60) -> Dataset:
    """Clips of a minute each, with absences of 1 to 20 s and returns at another border and size."""
    clips: list[Sequence] = []
    for seed in range(count):
        # What is in the images follows from this file, so results are of its content.
        frames = (Path(__file__),) * (seconds * RATE)
        truth = _truth(seed, len(frames))
        clips.append(LongScene(f"scene{seed}", frames, truth, seed=seed))
    return Dataset("scenes", clips)


@functools.lru_cache(maxsize=1)
def _film(seed: int, frames: int) -> tuple[AerialScene, Array]:
    """The scene, and the view's left, top and zoom at every frame [frames, 3]."""
    settings = SceneSettings(
        target_size=36.0, speed=0.4, look_alikes=(), trees=(), bridges=(), drift=0.02, shake=0.4
    )
    scene = AerialScene(seed, *WORLD, frames=frames, settings=settings)
    return scene, _windows(scene, seed, frames)


def _windows(scene: AerialScene, seed: int, frames: int) -> Array:
    rng = np.random.default_rng([seed, 0x107])
    away, zoom = np.zeros((frames, 2)), np.ones(frames)
    at, size, side = 0, 1.0, int(rng.integers(4))
    while at < frames:
        stay = int(rng.uniform(*STAY) * RATE)
        zoom[at : at + stay] = size
        at += stay
        gone = int(rng.uniform(*GONE) * RATE)
        # It leaves over one border and comes back over another one.
        out, side = side, (side + int(rng.integers(1, 4))) % 4
        size = float(rng.uniform(*ZOOM))
        path = _away(out, side, gone + 2 * PASSAGE)[: max(frames - at, 0)]
        away[at : at + len(path)] = path
        zoom[at + PASSAGE : at + len(path)] = size
        at += len(path)
    windows = np.zeros((frames, 3))
    for index in range(frames):
        box = scene.box(index)
        middle = np.array([box[0] + box[2] / 2, box[1] + box[3] / 2])
        shown = np.array(VIEW) / zoom[index]
        corner = middle + away[index] * (shown / 2 + 40) * 1.1 - shown / 2
        windows[index] = (*np.clip(corner, 0, np.array(WORLD) - shown), zoom[index])
    return windows


def _away(out: int, back: int, frames: int) -> Array:
    """Where the view goes, in halves of it from the target: off one side, round, in at another."""
    ways = np.array([[1.0, 0], [0, 1.0], [-1.0, 0], [0, -1.0]])
    ease = np.linspace(0, 1, PASSAGE)[:, None]
    angle = np.linspace(0, 1, frames - 2 * PASSAGE)[:, None]
    first, last = np.arctan2(*ways[out][::-1]), np.arctan2(*ways[back][::-1])
    turned = first + (last - first) * angle
    # Off the corners it is as far away as off the sides.
    ring = np.hstack([np.cos(turned), np.sin(turned)])
    ring /= np.abs(ring).max(1, keepdims=True)
    return np.vstack([ease * ways[out], ring, ease[::-1] * ways[back]])


def _truth(seed: int, frames: int) -> Array:
    scene, windows = _film(seed, frames)
    truth = np.full((frames, 4), np.nan)
    for index, (left, top, zoom) in enumerate(windows):
        x, y, w, h = scene.box(index)
        x, y, w, h = (x - left) * zoom, (y - top) * zoom, w * zoom, h * zoom
        wide = min(x + w, VIEW[0]) - max(x, 0)
        high = min(y + h, VIEW[1]) - max(y, 0)
        if wide > 0 and high > 0 and wide * high >= PART * w * h:
            truth[index] = x, y, w, h
    return truth
