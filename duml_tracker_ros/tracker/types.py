"""Typed results of a tracker and the interface that all trackers share."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import cv2
import numpy as np
import torch

from ..pixels import Pixels
from .warming import WARM_FRAMES, noise_image

if TYPE_CHECKING:
    from .egomotion import Attitude
    from .evidence import Evidence
    from .voting import Votes

Box = tuple[float, float, float, float]
"""(x, y, w, h) in pixels, 0-based and continuous: pixel (0, 0) covers [0, 1) x [0, 1)."""


class TrackState(enum.Enum):
    """What the tracker says of its target."""

    IDLE = "idle"
    TRACKING = "tracking"
    UNCERTAIN = "uncertain"
    LOST = "lost"


class ScoreMaps:
    """Score maps of one frame, copied from the device only when somebody looks at them.

    Args:
        maps: name -> tensor [H, W] on any device.
        region: rectangle (x, y, w, h) in image pixels that the maps cover edge to edge.
    """

    def __init__(self, maps: Mapping[str, torch.Tensor], region: Box) -> None:
        self._maps = maps
        self.region = region

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._maps)

    def __contains__(self, name: object) -> bool:
        return name in self._maps

    def __getitem__(self, name: str) -> np.ndarray:
        """Return the map as float32 [H, W]."""
        if name not in self._maps:
            raise KeyError(f"no score map {name!r}; this tracker has {', '.join(self.names)}")
        return self._maps[name].detach().float().cpu().numpy()

    def to_image(self, name: str, width: int, height: int) -> np.ndarray:
        """Resample a map to image geometry: float32 [height, width], 0 outside the region."""
        return _resample(self[name], self.region, width, height)


class TargetMask:
    """Which pixels are the target's, brought into image geometry only when somebody looks.

    Args:
        probability: float32 [n, n] that each cell is the target's.
        region: rectangle (x, y, w, h) in image pixels that the cells cover edge to edge.
        threshold: probability from which on a pixel counts as the target's.
    """

    def __init__(self, probability: np.ndarray, region: Box, threshold: float) -> None:
        self.probability = probability
        self.region = region
        self.threshold = threshold

    def to_image(self, width: int, height: int) -> np.ndarray:
        """bool [height, width], False outside the region."""
        seen = _resample(self.probability, self.region, width, height) >= self.threshold
        return np.asarray(seen)


def _resample(values: np.ndarray, region: Box, width: int, height: int) -> np.ndarray:
    """A map that covers ``region`` edge to edge, in image geometry; 0 outside."""
    x, y, w, h = region
    rows, cols = values.shape
    sx, sy = w / cols, h / rows
    # Pixel centres sit at +0.5 in both grids.
    to_image = np.array([[sx, 0.0, x + 0.5 * sx - 0.5], [0.0, sy, y + 0.5 * sy - 0.5]])
    return cv2.warpAffine(values, to_image, (width, height), flags=cv2.INTER_LINEAR)


@dataclass(frozen=True)
class TrackResult:
    """Outcome of one frame.

    Attributes:
        box: best guess, also when the target is lost: look at ``state`` before acting on it.
        confidence: in [0, 1].
        frames_since_seen: 0 while the target is seen.
        search_region: rectangle in image pixels that was searched.
        votes: boxes that the box was voted from; None where the tracker does not vote.
        mask: the target's pixels; None in a tracker without masks, while the target is lost, and
            where the mask cannot be believed.
        evidence: what decided it; None from trackers that do not tell.
    """

    box: Box
    confidence: float
    state: TrackState
    frames_since_seen: int
    search_region: Box
    score_maps: ScoreMaps
    votes: Votes | None = None
    mask: TargetMask | None = None
    evidence: Evidence | None = field(default=None, kw_only=True)


class Tracker(ABC):
    """A single-object tracker: ``init`` on one image, then ``update`` on each next one.

    Images are uint8 arrays [H, W, C] (or [H, W] for ``mono``), views included; ``order`` is one
    of ``rgb``, ``bgr``, ``rgba``, ``bgra``, ``mono``. Only the search region is ever copied.
    """

    name: str
    device: torch.device
    attitude: Attitude | None = None
    """How the camera is turned at the image that comes next; None where nobody measures it."""
    has_mask: ClassVar[bool] = False
    """Whether results carry a mask."""

    @abstractmethod
    def init(self, image: Pixels, box: Box, order: str = "rgb") -> None:
        """Select the target. Raises BoxError or ImageError and then keeps the former target."""

    @abstractmethod
    def update(self, image: Pixels, order: str = "rgb") -> TrackResult:
        """Locate the target in the next image. Raises ImageError, TrackerError before init."""

    @abstractmethod
    def reset(self) -> None:
        """Forget the target; weights stay loaded."""

    def warm_up(self, targets: int = 1) -> None:
        """Do once what frames need for the first time, so that none in flight waits; ends a target.

        Args:
            targets: how many are followed at a time at most.
        """
        image, box = noise_image()
        self.init(image, box)
        for _ in range(WARM_FRAMES):
            self.update(image)
        self.reset()

    @abstractmethod
    def stage_times(self) -> dict[str, float]:
        """Milliseconds of each stage of the last update; empty unless built with profile=True."""

    @abstractmethod
    def info(self) -> dict[str, Any]:
        """Describe tracker, size, parameters, weights, checksum, device and configuration."""


Handle = TypeVar("Handle")


class MultiTargetTracker(Tracker, Generic[Handle]):
    """A tracker that follows any number of targets through the same images.

    A target is a handle: ``start`` makes it, ``track`` moves it on, letting go of it ends it.
    Handles know nothing of each other or of the target of ``init`` and ``update``.
    """

    @abstractmethod
    def start(self, image: Pixels, box: Box, order: str = "rgb") -> Handle:
        """Make a target from its first image. Raises BoxError or ImageError."""

    @abstractmethod
    def track(
        self, image: Pixels, targets: Sequence[Handle], order: str = "rgb"
    ) -> list[TrackResult]:
        """Locate these targets in the next image, in one pass. Raises ImageError."""
