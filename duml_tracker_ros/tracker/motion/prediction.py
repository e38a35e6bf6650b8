"""Where a target will be in the next image: a few guesses, and the one that was right lately."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ..geometry import Box
from .egomotion import Motion

FOLLOW = 0.5
"""How fast the velocities follow what is seen."""
MEMORY = 0.8
"""What is kept of a guess's mean error from frame to frame."""
SURER = 0.8
"""A guess must be off by less than this share of what staying would have been."""
FRAMES = 3
"""Frames seen before any guess is trusted."""
SLOWING = 0.8
"""What is kept of the velocity from frame to frame while the target is not seen."""

Point = tuple[float, float]

STAYS, STANDS, MOVES, SLIDES = range(4)
"""The guesses: it stays in its place in the image; it stands still in the world; it goes on moving
there; it goes on moving in the image, as if the camera had not moved."""


@dataclass
class Prediction:
    """How one target moves, in the world and in the image.

    Attributes:
        drift, slide: pixels a frame in the world, as the camera sees it, and in the image.
        errors: mean error of each guess, in sides of the target.
        sizes: the same of its size, had it stayed the same or followed the camera's scale (log).
        frames: in which they were compared with what was seen.
    """

    drift: Point = (0.0, 0.0)
    slide: Point = (0.0, 0.0)
    errors: list[float] = field(default_factory=lambda: [0.0] * 4)
    sizes: list[float] = field(default_factory=lambda: [0.0] * 2)
    frames: int = 0
    _guesses: list[Box] | None = None
    _former: Point = (0.0, 0.0)
    _scales: tuple[float, float] = (1.0, 1.0)

    def ahead(self, box: Box, motion: Motion | None, lost: bool) -> Box:
        """Where the box will be, if that is sure enough; where it is, otherwise.

        Args:
            motion: of the camera since the box was seen there; None where it is not known.
            lost: the target was not seen in the former image.
        """
        stands = box if motion is None else motion.move(box)
        side = math.sqrt(box[2] * box[3])
        self._scales = side, math.sqrt(stands[2] * stands[3])
        # A camera that comes nearer to what stands still need not come nearer to its target.
        follows = self.frames >= FRAMES and self.sizes[1] < SURER * self.sizes[0]
        if motion is not None and not (motion.turn_only or follows):
            stands = _sized(stands, box)
        if motion is not None:
            self.drift = motion.turn(self.drift, box)
        guesses = [box, stands, _moved(stands, self.drift), _moved(box, self.slide)]
        best = self._best()
        self._former = _centre(box)
        if not lost:
            self._guesses = guesses
            return guesses[best]
        if self._guesses is not None and best not in (MOVES, SLIDES):
            self.drift = self.slide = (0.0, 0.0)
        self._guesses = None
        self.drift, self.slide = _slower(self.drift), _slower(self.slide)
        # A camera that follows its target moves, and the target's place in the image does not.
        world = self.frames >= FRAMES and self.errors[STANDS] <= self.errors[STAYS]
        return guesses[MOVES if world else SLIDES]

    def _best(self) -> int:
        """The guess that was right lately; staying, unless another is clearly better."""
        best = min(range(4), key=self.errors.__getitem__)
        sure = self.frames >= FRAMES and self.errors[best] < SURER * self.errors[STAYS]
        return best if sure else STAYS

    def learn(self, box: Box) -> None:
        """Compare the guesses with where the target was surely seen."""
        guesses, self._guesses = self._guesses, None
        if guesses is None:
            # It was lost: what it did meanwhile is unknown.
            self.drift = self.slide = (0.0, 0.0)
            return
        x, y = _centre(box)
        side = math.sqrt(box[2] * box[3])
        self.frames += 1
        keep = min(MEMORY, 1 - 1 / self.frames)
        for index, guess in enumerate(guesses):
            gx, gy = _centre(guess)
            error = math.hypot(x - gx, y - gy) / side
            self.errors[index] = keep * self.errors[index] + (1 - keep) * error
        for index, former in enumerate(self._scales):
            error = abs(math.log(side / former))
            self.sizes[index] = keep * self.sizes[index] + (1 - keep) * error
        stands = _centre(guesses[STANDS])
        self.drift = _toward(self.drift, (x - stands[0], y - stands[1]))
        self.slide = _toward(self.slide, (x - self._former[0], y - self._former[1]))


def _centre(box: Box) -> Point:
    return box[0] + box[2] / 2, box[1] + box[3] / 2


def _sized(box: Box, like: Box) -> Box:
    """A box of another's size at its place."""
    x, y = _centre(box)
    return x - like[2] / 2, y - like[3] / 2, like[2], like[3]


def _slower(velocity: Point) -> Point:
    return SLOWING * velocity[0], SLOWING * velocity[1]


def _moved(box: Box, by: Point) -> Box:
    return box[0] + by[0], box[1] + by[1], box[2], box[3]


def _toward(old: Point, seen: Point) -> Point:
    return old[0] + FOLLOW * (seen[0] - old[0]), old[1] + FOLLOW * (seen[1] - old[1])
