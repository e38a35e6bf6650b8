"""A second opinion on a target that seems to be found again: has it the colour it had before?

Networks for tracking are trained to overlook changes of colour, so that light may change. A lost
target must not be mistaken for a neighbour of its shape because of that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

INNER = 0.6
"""Share of the box's sides that is looked at: corners show the ground."""
DARK = 12.0
"""Brightness added before dividing by it: in the dark colours say little."""


def chroma(crop: np.ndarray, box: tuple[float, float, float, float]) -> tuple[float, float]:
    """Mean colour of a box apart from its brightness: red against green, yellow against blue.

    Args:
        crop: RGB uint8 [H, W, 3].
        box: (cx, cy, w, h) in crop pixels; NaN where nothing of it lies in the crop.
    """
    cx, cy, w, h = box
    if not all(map(math.isfinite, box)):
        return math.nan, math.nan
    half_w, half_h = max(0.5 * INNER * w, 1.0), max(0.5 * INNER * h, 1.0)
    height, width = crop.shape[:2]
    left, right = max(round(cx - half_w), 0), min(round(cx + half_w), width)
    top, bottom = max(round(cy - half_h), 0), min(round(cy + half_h), height)
    if right <= left or bottom <= top:
        return math.nan, math.nan
    red, green, blue, _ = cv2.mean(crop[top:bottom, left:right])
    brightness = (red + green + blue) / 3 + DARK
    return (red - green) / brightness, (0.5 * (red + green) - blue) / brightness


def chroma_on_device(crop: Tensor, box: Tensor) -> Tensor:
    """``chroma`` as tensor work: crop RGB [3, S, S] and (cx, cy, w, h) [4] on a device -> [2]."""
    size = crop.shape[-1]
    half = (0.5 * INNER * box[2:]).clamp_min(1.0)
    low, high = (box[:2] - half).round().clamp_min(0), (box[:2] + half).round().clamp_max(size)
    at = torch.arange(size, device=crop.device)
    across, down = ((at >= low[i]) & (at < high[i]) for i in (0, 1))
    inside = (down[:, None] & across).float()
    # No pixel inside: 0 / 0, not a number.
    red, green, blue = ((crop.float() * inside).sum((1, 2)) / inside.sum()).unbind()
    brightness = (red + green + blue) / 3 + DARK
    return torch.stack((red - green, 0.5 * (red + green) - blue)) / brightness


@dataclass
class UsualColour:
    """Mean and variance of a target's chroma over the frames in which it was surely seen."""

    mean: tuple[float, float] = (0.0, 0.0)
    variance: float = 0.0
    frames: int = 0

    def learn(self, seen: tuple[float, float], rate: float) -> None:
        """Follow at ``rate``, faster in the first frames."""
        if not all(map(math.isfinite, seen)):
            return
        self.frames += 1
        rate = max(rate, 1 / self.frames)
        dx, dy = seen[0] - self.mean[0], seen[1] - self.mean[1]
        self.mean = self.mean[0] + rate * dx, self.mean[1] + rate * dy
        self.variance = (1 - rate) * (self.variance + rate * (dx * dx + dy * dy))

    def differs(self, seen: tuple[float, float], tolerance: float) -> bool:
        """Whether a colour is farther off than ``tolerance`` and three deviations."""
        if tolerance <= 0 or not self.frames:
            return False
        far = math.hypot(seen[0] - self.mean[0], seen[1] - self.mean[1])
        return not far <= tolerance + 3 * math.sqrt(self.variance)
