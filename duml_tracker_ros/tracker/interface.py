"""The interface that all trackers share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch

from ..pixels import Pixels
from .errors import TrackerError
from .geometry import Box
from .motion.egomotion import Attitude
from .results import TrackResult

WARM_FRAMES = 3
"""Frames after which one takes as long as any other."""


def noise_image() -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """An image of 640 x 480 pixels and a box (x, y, w, h) in it."""
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    return image, (300.0, 225.0, 40.0, 30.0)


Handle = TypeVar("Handle")


class Tracker(ABC, Generic[Handle]):
    """A tracker of single objects, any number of them through the same images.

    A target is a handle: ``start`` makes it, ``track`` moves it on, letting go of it ends it.
    Handles know nothing of each other. ``init`` and ``update`` are the case of one target, whose
    handle the tracker keeps.

    Images are uint8 arrays [H, W, C] (or [H, W] for ``mono``), views included; ``order`` is one
    of ``rgb``, ``bgr``, ``rgba``, ``bgra``, ``mono``. Only the search region is ever copied.
    """

    name: str
    device: torch.device
    attitude: Attitude | None = None
    """How the camera is turned at the image that comes next; None where nobody measures it."""
    has_mask: ClassVar[bool] = False
    """Whether results carry a mask."""
    _target: Handle | None = None

    @abstractmethod
    def start(self, image: Pixels, box: Box, order: str = "rgb") -> Handle:
        """Make a target from its first image. Raises BoxError or ImageError."""

    @abstractmethod
    def track(
        self, image: Pixels, targets: Sequence[Handle], order: str = "rgb"
    ) -> list[TrackResult]:
        """Locate these targets in the next image, in one pass. Raises ImageError."""

    def init(self, image: Pixels, box: Box, order: str = "rgb") -> None:
        """Select the target. Raises BoxError or ImageError and then keeps the former target."""
        self._target = self.start(image, box, order)

    def update(self, image: Pixels, order: str = "rgb") -> TrackResult:
        """Locate the target in the next image. Raises ImageError, TrackerError before init."""
        if self._target is None:
            raise TrackerError("no target: call init(image, box) first")
        return self.track(image, [self._target], order)[0]

    def reset(self) -> None:
        """Forget the target of ``init``; weights stay loaded."""
        self._target = None

    @abstractmethod
    def warm_up(self, targets: int = 1) -> None:
        """Do once what frames need for the first time, so that none in flight waits; ends a target.

        Args:
            targets: how many are followed at a time at most.
        """

    @abstractmethod
    def stage_times(self) -> dict[str, float]:
        """Milliseconds of each stage of the last update; empty unless built with profile=True."""

    @abstractmethod
    def info(self) -> dict[str, Any]:
        """Describe tracker, size, parameters, weights, checksum, device and configuration."""
