"""Roads, and the target's drive along the main one."""

from __future__ import annotations

import math

import numpy as np

from . import sprites
from .arrays import Matrix
from .camera import smooth_walk
from .canvas import Road
from .paths import Path
from .settings import SceneSettings


class Drive:
    """Where the target is in every frame, on which roads.

    Attributes:
        scale: pixels per metre at zoom 1. pace: metres per frame. lane: width of one, metres.
        main: the road that the target drives on.
        along, offset: metres along it and beside it, one number a frame.
        track: [frames, 3]: x, y in metres, heading.
    """

    def __init__(
        self,
        settings: SceneSettings,
        width: int,
        height: int,
        frames: int,
        rng: np.random.Generator,
    ) -> None:
        self.settings, self.width, self.height, self.frames = settings, width, height, frames
        set_ = self.settings
        self.scale = set_.target_size / sprites.LENGTHS[set_.kind]
        pace = set_.speed / self.scale  # metres per frame
        travel = pace * self.frames
        reach = 1.6 * math.hypot(self.width, self.height) / self.scale
        lanes = {"person": 0.95, "bike": 1.5}.get(set_.kind, 3.5)
        self.lane, self.pace = lanes, pace
        length = travel + 2 * reach
        knots = max(4, int(length / max(reach * 0.55, 8 * lanes)))
        x = np.linspace(0, length, knots)
        y = np.cumsum(rng.normal(0, 1, knots))
        y = (y - np.linspace(y[0], y[-1], knots)) * set_.bend * (length / knots)
        turn = math.radians(set_.turn)
        points = np.stack(
            [x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)], 1
        )
        main = Path(points, step=max(0.25, lanes / 4))
        foot = set_.kind == "person" or (set_.kind == "bike" and rng.random() < 0.5)
        self.main = main
        self.start = reach
        t = np.arange(self.frames)
        # Gentle changes of pace, never backwards.
        sway = 0.25 * pace * smooth_walk(rng, self.frames, 90)
        self.along = self.start + pace * t + np.cumsum(sway)
        self.offset = 1.5 * lanes + 0.12 * lanes * smooth_walk(rng, self.frames, 120)
        roads = [Road(main, 4 * lanes + (0.6 if foot else 0.0), 0, "trail" if foot else "asphalt")]
        for k in range(2):
            at = float(rng.uniform(self.start - reach * 0.3, self.along[-1] + reach * 0.3))
            if foot and k == 0:
                # Cars run beside the footpath, not across it.
                side = main.outline(-4 * lanes - 9.0, 0, main.length, 4.0)
                roads.append(Road(Path(side), 7.0))
                continue
            if any(abs(at - self.event(e)) < 16 + 3 * lanes for e in (*set_.trees, *set_.bridges)):
                continue
            roads.append(self._across(at, float(rng.uniform(55, 125)), reach, 7.0, 0, rng))
        self.deck_width = float(
            np.clip(sprites.LENGTHS[set_.kind] + pace * set_.hidden_frames - 1.4, 3.6, 16)
        )
        for event in set_.bridges:
            at = self.event(event)
            roads.append(
                self._across(at, float(rng.uniform(75, 105)), reach, self.deck_width, 1, rng)
            )
        # Crossing roads first: the main road's markings run through.
        self.roads = (
            *(r for r in roads[1:] if r.level == 0),
            roads[0],
            *(r for r in roads if r.level == 1),
        )
        position, heading = self.at_offsets(self.along, self.offset)
        self.track = np.column_stack([position, heading])

    def event(self, share: float) -> float:
        return float(self.along[int(np.clip(share, 0, 1) * (self.frames - 1))])

    def _across(
        self,
        at: float,
        degrees: float,
        reach: float,
        width: float,
        level: int,
        rng: np.random.Generator,
    ) -> Road:
        position, heading = self.main.at(at, float(self.offset.mean()))
        angle = float(heading) + math.radians(degrees)
        along = np.array([math.cos(angle), math.sin(angle)])
        side = np.array([-along[1], along[0]])
        bow = 0.0 if level else float(rng.uniform(-0.12, 0.12)) * reach
        far = max(reach, 40.0)
        points = np.stack(
            [position - along * far + side * bow, position, position + along * far + side * bow]
        )
        path = Path(points)
        return Road(path, width, level, "asphalt", (-80.0, path.length + 80.0))

    def at_offsets(self, s: Matrix, offset: Matrix) -> tuple[Matrix, Matrix]:
        position, heading = self.main.at(s)
        right = np.stack([-np.sin(heading), np.cos(heading)], -1)
        slope = (
            np.gradient(offset) / np.maximum(np.abs(np.gradient(s)), 1e-6) if len(s) > 1 else 0.0
        )
        return position + right * offset[:, None], heading + np.arctan(slope)

    def overhanging(
        self, lean: Matrix, rng: np.random.Generator
    ) -> tuple[list[tuple[float, float, float]], list[tuple[float, float, float]]]:
        """Trees beside the road whose crowns hide the target at the planned moments."""
        set_ = self.settings
        trees: list[tuple[float, float, float]] = []
        clear: list[tuple[float, float, float]] = []
        body = sprites.LENGTHS[set_.kind]
        for event in set_.trees:
            s = self.event(event)
            inner, _ = self.main.at(s, 1.55 * self.lane)
            # The crown must cover the lane although the trunk stands outside the road.
            need = (body + self.pace * set_.hidden_frames) / 2
            out = 0.62 * self.lane
            radius = float(np.clip(need * 1.12 + 0.5 * out, 1.2, 9.0))
            crown, _ = self.main.at(s, 1.55 * self.lane + 0.5 * out)
            base = crown - lean * radius * 1.3
            trees.append((float(base[0]), float(base[1]), radius))
            for k in (-1, 1):
                if rng.random() < 0.6:
                    away, _ = self.main.at(
                        s + k * radius * float(rng.uniform(1.2, 1.8)),
                        2.2 * self.lane + radius * 0.8,
                    )
                    base = away - lean * radius * 0.9
                    trees.append((float(base[0]), float(base[1]), radius * 0.7))
        for s in np.linspace(self.along[0] - 30, self.along[-1] + 30, 40):
            position, _ = self.main.at(float(s), float(self.offset.mean()))
            clear.append((float(position[0]), float(position[1]), 2.4 * self.lane))
        return trees, clear
