"""What a tracker tells of a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch

from .diagnostics import FrameDiagnostics
from .frame.localize import TrackState
from .frame.voting import Votes
from .geometry import Box


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
        diagnostics: what decided it; None from trackers that do not tell.
    """

    box: Box
    confidence: float
    state: TrackState
    frames_since_seen: int
    search_region: Box
    score_maps: ScoreMaps
    votes: Votes | None = None
    mask: TargetMask | None = None
    diagnostics: FrameDiagnostics | None = field(default=None, kw_only=True)
