"""The ground plane while it is painted: its pictures, and what is drawn on them in metres."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from .arrays import ByteImage
from .arrays import Matrix as Points
from .paths import Path
from .themes import Theme


@dataclass(frozen=True)
class Road:
    """A road: `level` 1 is a bridge over everything of level 0; widths in metres."""

    path: Path
    width: float = 7.0
    level: int = 0
    kind: str = "asphalt"
    bridge: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Plan:
    """What to paint. origin and size in metres; `lean` and `sun` in ground metres per metre up."""

    origin: tuple[float, float]
    size: tuple[float, float]
    pixels_per_metre: float
    theme: Theme
    roads: tuple[Road, ...]
    lean: tuple[float, float]
    sun: tuple[float, float]
    trees: tuple[tuple[float, float, float], ...] = ()
    keep_clear: tuple[tuple[float, float, float], ...] = ()


class Canvas:
    """Pictures of a plan in progress.

    Attributes:
        rgb: uint8 [H, W, 3].
        grain: how strongly fine grain modulates a place: grass a lot, asphalt and paint little.
        hide0, hide1: what stands over the ground and over the bridges, uint8 [H, W].
        shade: how dark the ground is.
        taken: ground that is taken (roads, water, lots, houses), at one pixel per metre.
    """

    def __init__(self, plan: Plan, rng: np.random.Generator) -> None:
        self.plan, self.rng, self.theme = plan, rng, plan.theme
        self.scale = plan.pixels_per_metre
        self.width = math.ceil(plan.size[0] * self.scale)
        self.height = math.ceil(plan.size[1] * self.scale)
        self.rgb: ByteImage = np.zeros((self.height, self.width, 3), np.uint8)
        self.grain = np.full((self.height, self.width), 70, np.uint8)
        self.hide0 = np.zeros((self.height, self.width), np.uint8)
        self.hide1 = np.zeros((self.height, self.width), np.uint8)
        self.shade: ByteImage = np.zeros((self.height, self.width), np.uint8)
        self.lean = np.array(plan.lean)
        self.sun = np.array(plan.sun)
        self.taken = np.zeros((int(plan.size[1]) + 2, int(plan.size[0]) + 2), np.uint8)

    def px(self, points: Points) -> Points:
        """Ground metres to OpenCV fixed-point (4 fractional bits) pixel centres."""
        local = (np.asarray(points) - self.plan.origin) * self.scale - 0.5
        return np.round(local * 16).astype(np.int32)

    def plane(self, height: float) -> Points:
        """Lifted ground plane to picture pixels: the fixed lean instead of a perspective."""
        s = self.scale
        offset = (self.lean * height - self.plan.origin) * s
        return np.array([[s, 0, offset[0]], [0, s, offset[1]], [0, 0, 1]])

    def fill(self, image: ByteImage, points: Points, colour: Any) -> None:
        cv2.fillPoly(image, [self.px(points)], colour, cv2.LINE_AA, 4)

    def line(self, image: ByteImage, points: Points, colour: Any, metres: float) -> None:
        thickness = max(1, round(metres * self.scale))
        cv2.polylines(image, [self.px(points)], False, colour, thickness, cv2.LINE_AA, 4)

    def take(self, points: Points) -> None:
        local = np.round((points - self.plan.origin) * 16).astype(np.int32)
        cv2.fillPoly(self.taken, [local], 255, cv2.LINE_8, 4)

    def free(self, points: Points) -> bool:
        local = np.round(points - self.plan.origin).astype(np.int32)
        x0, y0 = local.min(0)
        x1, y1 = local.max(0) + 1
        if x0 < 0 or y0 < 0 or x1 > self.taken.shape[1] or y1 > self.taken.shape[0]:
            return False
        probe = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(probe, [local - (x0, y0)], 255)
        return not bool(np.any(cv2.bitwise_and(probe, self.taken[y0:y1, x0:x1])))

    def inside(self, point: Points) -> bool:
        local = point - self.plan.origin
        return bool(np.all(local > 0) and np.all(local < self.plan.size))

    def clear_of(self, point: Points, radius: float) -> bool:
        return all(
            math.hypot(point[0] - x, point[1] - y) > r + radius for x, y, r in self.plan.keep_clear
        )

    def anywhere(self) -> Points:
        return np.array(self.plan.origin) + self.rng.random(2) * self.plan.size


def turned(points: Points, position: Points, heading: float) -> Points:
    c, s = math.cos(heading), math.sin(heading)
    return points @ np.array([[c, s], [-s, c]]) + position


class Upright(ABC):
    """Something that stands up: casts a shadow, then is drawn."""

    base: Points

    @abstractmethod
    def cast(self, canvas: Canvas) -> None: ...

    @abstractmethod
    def draw(self, canvas: Canvas) -> None: ...
