"""Houses: where they stand, their walls, windows and roofs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from . import sprites
from .arrays import Matrix as Points
from .canvas import Canvas, Upright, turned


@dataclass
class House(Upright):
    base: Points
    heading: float
    length: float
    width: float
    height: float
    colour: sprites.Colour
    flat: bool
    seed: int

    def _box(self, grow: float = 0.0) -> Points:
        half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2
        return turned(half * (self.length + grow, self.width + grow), self.base, self.heading)

    def cast(self, canvas: Canvas) -> None:
        for height in np.linspace(0, self.height, 8):
            canvas.fill(canvas.shade, self._box() + canvas.sun * height, 255)

    def draw(self, canvas: Canvas) -> None:
        rng = np.random.default_rng(self.seed)
        wall_tone = rng.uniform(150, 220) * np.array([1.0, 0.97, 0.92])
        corners = self._box()
        lift = canvas.lean * self.height
        for k in range(4):
            a, b = corners[k], corners[(k + 1) % 4]
            outward = np.array([b[1] - a[1], a[0] - b[0]])
            if float(np.dot(outward, canvas.lean)) >= 0:
                continue  # faces away from the camera
            outward = outward / max(float(np.hypot(*outward)), 1e-6)
            sunny = -float(np.dot(outward, canvas.sun)) / max(float(np.hypot(*canvas.sun)), 1e-6)
            tone = wall_tone * (0.62 + 0.3 * max(0.0, sunny))
            wall = np.stack([a, b, b + lift, a + lift])
            canvas.fill(canvas.rgb, wall, tuple(float(v) for v in tone))
            canvas.fill(canvas.hide0, wall, 255)
            canvas.fill(canvas.hide1, wall, 255)
            self._windows(canvas, a, b, lift, tone)
        roof = self._box(0.5) + lift
        canvas.fill(canvas.hide0, roof, 255)
        canvas.fill(canvas.hide1, roof, 255)
        if self.flat:
            self._flat_roof(canvas, roof, lift, rng)
        else:
            self._gable_roof(canvas, roof, rng)

    def _windows(self, canvas: Canvas, a: Points, b: Points, lift: Points, tone: Points) -> None:
        floors = max(1, int(self.height / 3))
        if np.hypot(*lift) * canvas.scale < 6 * floors:
            return
        count = max(1, int(np.hypot(*(b - a)) / 3.2))
        for floor in range(floors):
            low, high = lift * (floor + 0.35) / floors, lift * (floor + 0.75) / floors
            for k in range(count):
                left = a + (b - a) * (k + 0.3) / count
                right = a + (b - a) * (k + 0.7) / count
                pane = np.stack([left + low, right + low, right + high, left + high])
                canvas.fill(canvas.rgb, pane, tuple(float(v) * 0.45 for v in tone))

    def _flat_roof(
        self, canvas: Canvas, roof: Points, lift: Points, rng: np.random.Generator
    ) -> None:
        tone = np.array(self.colour)
        canvas.fill(canvas.rgb, roof, tuple(np.clip(tone * 1.15, 0, 255)))
        inner = self._box(-0.7) + lift
        canvas.fill(canvas.rgb, inner, tuple(tone * 0.95))
        middle, size = self.base + lift, np.array([self.length, self.width])
        for _ in range(int(rng.integers(2, 5))):
            # Seams and stains of the roofing.
            x = float(rng.uniform(-0.45, 0.45)) * self.length
            seam = np.array([[x, -self.width * 0.46], [x, self.width * 0.46]])
            canvas.line(
                canvas.rgb,
                turned(seam, middle, self.heading),
                tuple(tone * rng.uniform(0.85, 1.0)),
                0.25,
            )
        for _ in range(int(rng.integers(2, 8))):
            spot = (rng.random(2) - 0.5) * (size - 4)
            box = sprites.rounded(float(rng.uniform(1, 3)), float(rng.uniform(1, 2.2)), 0.1) + spot
            shadow = turned(box, middle + canvas.sun * 1.2, self.heading)
            canvas.fill(canvas.rgb, shadow, tuple(tone * 0.6))
            canvas.fill(
                canvas.rgb,
                turned(box, middle + canvas.lean * 1.2, self.heading),
                tuple(np.clip(tone * rng.uniform(1.0, 1.3), 0, 255)),
            )

    def _gable_roof(self, canvas: Canvas, roof: Points, rng: np.random.Generator) -> None:
        tone = np.array(self.colour)
        rise = canvas.lean * self.width * 0.25
        ends = ((roof[0] + roof[3]) / 2 + rise, (roof[1] + roof[2]) / 2 + rise)
        sun = canvas.sun / max(float(np.hypot(*canvas.sun)), 1e-6)
        across = np.array([-math.sin(self.heading), math.cos(self.heading)])
        for first, second, sign in ((0, 1, -1.0), (3, 2, 1.0)):
            light = 0.92 - 0.26 * sign * float(np.dot(across, sun))
            half = np.stack([roof[first], roof[second], ends[1], ends[0]])
            canvas.fill(canvas.rgb, half, tuple(np.clip(tone * light, 0, 255)))
            for t in np.arange(0.12, 1.0, 0.16):
                row = np.stack(
                    [
                        roof[first] + (ends[0] - roof[first]) * t,
                        roof[second] + (ends[1] - roof[second]) * t,
                    ]
                )
                canvas.line(canvas.rgb, row, tuple(np.clip(tone * light * 0.93, 0, 255)), 0.1)
        canvas.line(canvas.rgb, np.stack(ends), tuple(np.clip(tone * 1.18, 0, 255)), 0.22)
        if rng.random() < 0.6:
            at = turned(
                np.array([[self.length * 0.2, self.width * 0.12]]), self.base, self.heading
            )[0]
            top = at + canvas.lean * (self.height + 1.6)
            chimney = turned(sprites.rounded(0.9, 0.9, 0.05), top, self.heading)
            canvas.fill(canvas.rgb, chimney + canvas.sun * 1.5, tuple(tone * 0.5))
            canvas.fill(canvas.rgb, chimney, (122, 96, 86))


def place_houses(canvas: Canvas) -> list[House]:
    rng, theme = canvas.rng, canvas.theme
    out: list[House] = []
    area = canvas.plan.size[0] * canvas.plan.size[1]
    tries = int(area / 260 * theme.building_density)
    roads = [r for r in canvas.plan.roads if r.kind == "asphalt" and r.level == 0]
    for _ in range(min(tries, 420)):
        large = rng.random() < theme.large_buildings
        length = float(rng.uniform(18, 42) if large else rng.uniform(8.5, 15))
        width = float(rng.uniform(14, 26) if large else rng.uniform(7, 10.5))
        height = float(rng.uniform(5, 16) if large else rng.uniform(4, 7))
        if roads and rng.random() < 0.65:
            road = roads[int(rng.integers(len(roads)))]
            side = 1 if rng.random() < 0.5 else -1
            at = float(rng.uniform(-30, road.path.length + 30))
            setback = road.width / 2 + width / 2 + float(rng.uniform(4, 12))
            position, heading = road.path.at(at, side * setback)
            turn = float(heading) + (math.pi / 2 if rng.random() < 0.25 else 0.0)
        else:
            position, turn = canvas.anywhere(), float(rng.uniform(0, math.pi))
            if roads:
                road = roads[int(rng.integers(len(roads)))]
                turn = float(road.path.at(road.path.nearest(position))[1])
        reach = turned(sprites.rounded(length + 4, width + 4, 0.1), position, turn)
        # A tall house between the camera and the road would hide it by accident.
        away = reach + canvas.lean * height
        if not (canvas.free(reach) and canvas.clear_of(position, max(length, width) / 2)):
            continue
        if np.any(canvas.lean) and not canvas.free(away):
            continue
        canvas.take(reach)
        roof = theme.roofs[int(rng.integers(len(theme.roofs)))]
        tint = rng.normal(0, 8, 3)
        colour = tuple(float(np.clip(c + t, 20, 250)) for c, t in zip(roof, tint, strict=True))
        out.append(
            House(
                position,
                turn,
                length,
                width,
                height,
                (colour[0], colour[1], colour[2]),
                large,
                int(rng.integers(1 << 30)),
            )
        )
        if not large and rng.random() < 0.8:
            yard = turned(
                sprites.rounded(
                    length + float(rng.uniform(3, 9)), width + float(rng.uniform(3, 9)), 1
                ),
                position,
                turn,
            )
            green = np.array(theme.ground[0], np.float64) * rng.uniform(0.85, 1.1)
            canvas.fill(canvas.rgb, yard, tuple(float(v) for v in np.clip(green, 0, 255)))
    return out
