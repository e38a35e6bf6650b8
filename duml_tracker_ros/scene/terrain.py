"""Paints the standing part of the scene once: ground, roads, buildings, trees, bridges, shadows.

The result is one large picture of the ground plane. What stands up is drawn leaning away from the
camera by a fixed amount per metre of height, so that the picture serves an oblique view too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from . import sprites
from .arrays import ByteImage, FloatImage
from .arrays import Matrix as Points
from .noise import fractal_noise, value_noise
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


@dataclass(frozen=True)
class World:
    """The painted ground.

    rgb: uint8 [H, W, 3]. masks: uint8 [H, W, 3]: what hides level 0, what hides level 1 (the
    bridges), and the shade on the ground. One picture, one warp for each vehicle.
    """

    plan: Plan
    rgb: ByteImage
    masks: ByteImage

    @property
    def to_ground(self) -> Points:
        """Homography from picture pixels to ground metres."""
        s = 1 / self.plan.pixels_per_metre
        return np.array([[s, 0, self.plan.origin[0]], [0, s, self.plan.origin[1]], [0, 0, 1]])


DECK_HEIGHT = 5.5


def paint(plan: Plan, rng: np.random.Generator) -> World:
    """Paint the plan; the same plan and generator state give the same bytes."""
    return _Painter(plan, rng).run()


class _Painter:
    def __init__(self, plan: Plan, rng: np.random.Generator) -> None:
        self.plan, self.rng, self.theme = plan, rng, plan.theme
        self.scale = plan.pixels_per_metre
        self.width = math.ceil(plan.size[0] * self.scale)
        self.height = math.ceil(plan.size[1] * self.scale)
        self.rgb: ByteImage = np.zeros((self.height, self.width, 3), np.uint8)
        # How strongly fine grain modulates a place: grass a lot, asphalt and paint little.
        self.grain = np.full((self.height, self.width), 70, np.uint8)
        self.hide0 = np.zeros((self.height, self.width), np.uint8)
        self.hide1 = np.zeros((self.height, self.width), np.uint8)
        self.shade: ByteImage = np.zeros((self.height, self.width), np.uint8)
        self.lean = np.array(plan.lean)
        self.sun = np.array(plan.sun)
        # Ground that is taken (roads, water, lots, houses), at one pixel per metre.
        self.taken = np.zeros((int(plan.size[1]) + 2, int(plan.size[0]) + 2), np.uint8)

    def run(self) -> World:
        self._ground()
        self._water()
        self._texture(fine=False)
        lots = self._parking()
        for road in self.plan.roads:
            if road.level == 0:
                self._road(road)
        upright = self._houses() + self._trees()
        self._texture(fine=True)
        # Far things first: near ones lean over them.
        away = self.lean if np.any(self.lean) else np.array([0.0, -1.0])
        upright.sort(key=lambda item: -float(np.dot(item.base, away)))
        for item in upright:
            item.cast(self)
        for road in self.plan.roads:
            if road.level == 1:
                self._bridge_shadow(road)
        sigma = max(0.6, 0.18 * self.scale)
        self.shade = cv2.GaussianBlur(self.shade, (0, 0), min(sigma, 4.0))
        self._apply_shade()
        for vehicle in lots:
            self._park(*vehicle)
        for item in upright:
            if isinstance(item, _House):
                item.draw(self)
        for road in self.plan.roads:
            if road.level == 1:
                self._bridge(road)
        for item in upright:
            if isinstance(item, _Tree):
                item.draw(self)
        masks = cv2.merge([self.hide0, self.hide1, self.shade])
        return World(self.plan, self.rgb, masks)

    # --- helpers -----------------------------------------------------------------------------

    def px(self, points: Points) -> Points:
        """Ground metres to OpenCV fixed-point (4 fractional bits) pixel centres."""
        local = (np.asarray(points) - self.plan.origin) * self.scale - 0.5
        return np.round(local * 16).astype(np.int32)

    def fill(self, image: ByteImage, points: Points, colour: Any) -> None:
        cv2.fillPoly(image, [self.px(points)], colour, cv2.LINE_AA, 4)

    def line(self, image: ByteImage, points: Points, colour: Any, metres: float) -> None:
        thickness = max(1, round(metres * self.scale))
        cv2.polylines(
            image,
            [self.px(points)],
            False,
            colour,
            thickness,
            cv2.LINE_AA,
            4,
        )

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

    # --- ground ------------------------------------------------------------------------------

    def _ground(self) -> None:
        rng, h, w, s = self.rng, self.height, self.width, self.scale
        # Half resolution: large forms have no detail to lose.
        hh, hw = h // 2 + 1, w // 2 + 1
        mix = fractal_noise(rng, hh, hw, 20 * s, 5, 0.55)
        bare = fractal_noise(rng, hh, hw, 9 * s, 5, 0.6)
        a, b, c = (np.array(v, np.float32) for v in self.theme.ground)
        image = a + np.clip(mix * 0.35 + 0.5, 0, 1)[..., None] * (b - a)
        weight = np.clip((bare - 0.9) * 1.2, 0, 0.8)[..., None]
        image += weight * (c - image)
        if self.theme.parcel_share > 0:
            image = self._parcels(image, hh, hw)
        self.rgb = cv2.resize(np.clip(image, 0, 255).astype(np.uint8), (w, h))

    def _parcels(self, image: FloatImage, h: int, w: int) -> FloatImage:
        rng, s = self.rng, self.scale / 2
        pitch = float(rng.uniform(35, 70))
        turn = float(rng.uniform(0, math.pi))
        ys, xs = np.mgrid[0:h, 0:w].astype(np.float32) / np.float32(s)
        u = xs * math.cos(turn) + ys * math.sin(turn)
        v = -xs * math.sin(turn) + ys * math.cos(turn)
        # Rows of parcels, every row cut at its own places: how fields lie, unlike Voronoi cells.
        row = np.floor(v / pitch).astype(np.int32)
        row -= row.min()
        rows = int(row.max()) + 1
        shift = rng.uniform(0, 100, rows).astype(np.float32)
        span = (pitch * rng.uniform(0.8, 2.2, rows)).astype(np.float32)
        column = np.floor((u + shift[row]) / span[row]).astype(np.int32)
        column -= column.min()
        index = row * (int(column.max()) + 1) + column
        count = int(index.max()) + 1
        colours = np.array(self.theme.parcels, np.float32)[
            rng.integers(len(self.theme.parcels), size=count)
        ]
        colours += rng.normal(0, 7, (count, 3)).astype(np.float32)
        share = (rng.random(count) < self.theme.parcel_share).astype(np.float32)
        angle = turn + rng.integers(0, 2, count) * (math.pi / 2)
        period = rng.uniform(1.2, 4.5, count).astype(np.float32)
        depth = (rng.random(count) < 0.7).astype(np.float32) * rng.uniform(0.02, 0.09, count)
        cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        wobble = value_noise(rng, h, w, 14 * s) * np.float32(0.5)
        phase = (xs * cos[index] + ys * sin[index] + wobble) * (2 * math.pi / period[index])
        # Furrows finer than two pixels would only alias.
        depth = np.where(period * s < 2.5, 0, depth).astype(np.float32)
        stripes = 1 + np.sin(phase) * depth[index]
        patchy = 1 + 0.06 * fractal_noise(rng, h, w, 12 * s, 4)
        field = colours[index] * (stripes * patchy)[..., None]
        weight = share[index]
        edge = np.abs(v / pitch - np.round(v / pitch)) * pitch
        weight = weight * np.clip((edge - 0.6) / 0.8, 0, 1) * 0.9
        return image + weight[..., None] * (field - image)

    def _water(self) -> None:
        share = self.theme.water_share
        if share <= 0:
            return
        rng, s = self.rng, self.scale
        hh, hw = self.height // 4 + 1, self.width // 4 + 1
        form = fractal_noise(rng, hh, hw, 45 * s / 4, 4, 0.4)
        level = float(np.quantile(form, 1 - share))
        depth = cv2.resize(form - np.float32(level), (self.width, self.height))
        sand = np.clip(1 - np.abs(depth + 0.06) / 0.12, 0, 1)
        shore = np.array(self.theme.ground[2], np.float32) * 1.1
        wet = np.clip(depth * 14, 0, 1)
        tone = (
            np.array(self.theme.water, np.float32) * (1.25 - 0.35 * np.clip(depth, 0, 1))[..., None]
        )
        ripple = fractal_noise(rng, self.height, self.width, 2.5 * s, 2)
        tone = tone * (1 + 0.035 * ripple)[..., None]
        image = self.rgb.astype(np.float32)
        image += sand[..., None] * 0.7 * (shore - image)
        image += wet[..., None] * (tone - image)
        self.rgb = np.clip(image, 0, 255).astype(np.uint8)
        self.grain = np.where(depth > 0, np.uint8(8), self.grain)
        small = cv2.resize(
            (depth > -0.05).astype(np.uint8) * 255,
            self.taken.shape[::-1],
            interpolation=cv2.INTER_AREA,
        )
        self.taken = np.maximum(self.taken, (small > 60).astype(np.uint8) * 255)

    def _texture(self, fine: bool) -> None:
        rng, s = self.rng, self.scale
        if fine:
            noise = fractal_noise(rng, self.height, self.width, max(2.0, 0.5 * s), 3, 0.7)
            amount = np.float32(0.0011)
        else:
            noise = fractal_noise(rng, self.height, self.width, 3.5 * s, 4, 0.7)
            amount = np.float32(0.0013)
        gain = 1 + noise * self.grain.astype(np.float32) * amount
        self.rgb = np.clip(self.rgb * gain[..., None], 0, 255).astype(np.uint8)

    # --- roads -------------------------------------------------------------------------------

    def _road(self, road: Road) -> None:
        rng, theme = self.rng, self.theme
        start, end = -200.0, road.path.length + 200.0
        middle = road.path.outline(0, start, end)
        half = road.width / 2
        trail = road.kind == "trail"
        margin = 0.5 if trail else 1.6
        # Fixed-point coordinates overflow far outside the picture.
        low = np.array(self.plan.origin) - 60
        high = low + np.array(self.plan.size) + 120
        near = np.all((middle > low) & (middle < high), axis=1)
        if not near.any():
            return
        first, last = np.flatnonzero(near)[[0, -1]]
        span = np.linspace(start, end, len(middle))
        start, end = float(span[first]), float(span[last])
        left = road.path.outline(-half - margin, start, end)
        right = road.path.outline(half + margin, start, end)
        self.fill(self.rgb, np.vstack([left, right[::-1]]), theme.shoulder)
        self.fill(self.grain, np.vstack([left, right[::-1]]), 45)
        self.take(np.vstack([left, right[::-1]]))
        left, right = road.path.outline(-half, start, end), road.path.outline(half, start, end)
        band = np.vstack([left, right[::-1]])
        colour = theme.asphalt if not trail else tuple(int(v * 0.92) for v in theme.ground[2])
        self.fill(self.rgb, band, colour)
        self.fill(self.grain, band, 26 if not trail else 60)
        if trail:
            return
        lanes = max(2, round(road.width / 3.5))
        lane = road.width / lanes
        for k in range(lanes):
            for wheel in (-0.8, 0.8):
                track = road.path.outline(-half + (k + 0.5) * lane + wheel, start, end)
                self.line(self.rgb, track, tuple(int(v * 0.94) for v in colour), 0.5)
        for _ in range(int((end - start) / 14)):
            # Patches and stains: repaired asphalt.
            at = float(rng.uniform(start, end))
            offset = float(rng.uniform(-half + 0.6, half - 0.6))
            position, heading = road.path.at(at, offset)
            patch = _turned(
                sprites.rounded(float(rng.uniform(0.6, 5)), float(rng.uniform(0.4, 1.5)), 0.3),
                position,
                float(heading),
            )
            self.fill(self.rgb, patch, tuple(int(v * rng.uniform(0.84, 1.06)) for v in colour))
        white = tuple(min(255, int(v * 0.35 + 150)) for v in colour)
        self._markings(road, start, end, lanes, lane, half, white)

    def _markings(
        self,
        road: Road,
        start: float,
        end: float,
        lanes: int,
        lane: float,
        half: float,
        white: Any,
    ) -> None:
        width = 0.14 if self.scale > 8 else 0.1
        for side in (-1, 1):
            self.line(self.rgb, road.path.outline(side * (half - 0.25), start, end), white, width)
        for k in range(1, lanes):
            at = start
            while at < end:
                dash = road.path.outline(-half + k * lane, at, at + 3.0)
                self.line(self.rgb, dash, white, width)
                at += 9.0

    def _bridge_outline(self, road: Road, height: float, grow: float = 0.0) -> Points:
        start, end = road.bridge
        half = road.width / 2 + 0.5 + grow
        left = road.path.outline(-half, start, end)
        right = road.path.outline(half, start, end)
        return np.vstack([left, right[::-1]]) + self.lean * height

    def _bridge_shadow(self, road: Road) -> None:
        for height in np.linspace(DECK_HEIGHT - 1.2, DECK_HEIGHT + 0.8, 4):
            self.fill(self.shade, self._bridge_outline(road, 0) + self.sun * height, 255)

    def _bridge(self, road: Road) -> None:
        rng = self.rng
        concrete = (168, 166, 160)
        for height in np.linspace(DECK_HEIGHT - 1.2, DECK_HEIGHT, 6):
            outline = self._bridge_outline(road, height, 0.2)
            self.fill(self.rgb, outline, tuple(int(v * 0.55) for v in concrete))
            self.fill(self.hide0, outline, 255)
        outline = self._bridge_outline(road, DECK_HEIGHT, 0.2)
        self.fill(self.rgb, outline, concrete)
        self.fill(self.hide0, outline, 255)
        lift = self.lean * DECK_HEIGHT
        start, end = road.bridge
        half = road.width / 2
        band = np.vstack(
            [road.path.outline(-half, start, end), road.path.outline(half, start, end)[::-1]]
        )
        colour = tuple(int(v * 1.08) for v in self.theme.asphalt)
        self.fill(self.rgb, band + lift, colour)
        lanes = max(2, round(road.width / 3.5))
        moved = Road(Path(road.path.points + lift), road.width, 1)
        white = tuple(min(255, int(v * 0.35 + 150)) for v in colour)
        for at in np.arange(start, end, 12.0):
            joint = road.path.at(np.array([at, at]))[0] + lift
            heading = float(road.path.at(at)[1])
            across = np.array([-math.sin(heading), math.cos(heading)]) * half
            self.line(self.rgb, joint + np.stack([across, -across]), (92, 92, 92), 0.12)
        self._markings(moved, start, end, lanes, road.width / lanes, half, white)
        for side in (-1.0, 1.0):
            rail = road.path.outline(side * (half + 0.4), start, end) + self.lean * (
                DECK_HEIGHT + 0.9
            )
            self.line(self.rgb, rail, (196, 194, 188), 0.3)
        band_px = self.px(self._bridge_outline(road, DECK_HEIGHT, 0.2)) // 16
        x0, y0 = np.maximum(band_px.min(0), 0)
        x1, y1 = np.minimum(band_px.max(0) + 1, (self.width, self.height))
        if x1 > x0 and y1 > y0:
            mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
            cv2.fillPoly(mask, [band_px - (x0, y0)], 255)
            noise = fractal_noise(rng, y1 - y0, x1 - x0, max(2.0, 2 * self.scale), 4, 0.7)
            gain = 1 + 0.035 * noise * (mask > 0)
            view = self.rgb[y0:y1, x0:x1]
            view[:] = np.clip(view * gain[..., None], 0, 255).astype(np.uint8)

    # --- parking, houses, trees --------------------------------------------------------------

    def _parking(self) -> list[tuple[str, sprites.Colour, float, float, float]]:
        parked: list[tuple[str, sprites.Colour, float, float, float]] = []
        rng = self.rng
        roads = [r for r in self.plan.roads if r.level == 0 and r.kind == "asphalt"]
        if not roads:
            return parked
        for road in self.plan.roads:
            # Reserve the roads before anything is placed beside them.
            half = road.width / 2 + (2.5 if road.level == 0 else 6.0)
            a, b = -60.0, road.path.length + 60.0
            band = np.vstack([road.path.outline(-half, a, b), road.path.outline(half, a, b)[::-1]])
            self.take(band)
        for _ in range(self.theme.lots * 3):
            road = roads[int(rng.integers(len(roads)))]
            at = float(rng.uniform(0, road.path.length))
            side = 1 if rng.random() < 0.5 else -1
            depth, length = float(rng.choice([17.0, 33.0])), float(rng.uniform(22, 48))
            position, heading = road.path.at(at, side * (road.width / 2 + 4.0 + depth / 2))
            outline = _turned(sprites.rounded(length, depth, 0.5), position, float(heading))
            if not self.free(outline) or not self.clear_of(position, 14):
                continue
            self.take(outline)
            tone = float(rng.uniform(0.9, 1.15))
            asphalt = tuple(min(255, int(v * tone)) for v in self.theme.asphalt)
            self.fill(self.rgb, outline, asphalt)
            self.fill(self.grain, outline, 26)
            white = tuple(min(255, int(v * 0.4 + 140)) for v in asphalt)
            for row in np.arange(-depth / 2 + 2.8, depth / 2 - 2.0, 5.6 if depth < 20 else 8.4):
                for slot in np.arange(-length / 2 + 2, length / 2 - 2, 2.6):
                    edge = np.array([[slot, row - 2.4], [slot, row + 2.4]])
                    self.line(self.rgb, _turned(edge, position, float(heading)), white, 0.1)
                    if rng.random() < 0.55:
                        spot = np.array([[slot + 1.3, row + float(rng.normal(0, 0.2))]])
                        ground = _turned(spot, position, float(heading))[0]
                        turn = float(heading) + math.pi / 2 * (1 if rng.random() < 0.5 else -1)
                        paint_ = sprites.PAINTS[int(rng.integers(len(sprites.PAINTS)))]
                        kind = "car" if rng.random() < 0.85 else "van"
                        parked.append(
                            (kind, paint_, ground[0], ground[1], turn + float(rng.normal(0, 0.03)))
                        )
        return parked

    def plane(self, height: float) -> Points:
        """Lifted ground plane to picture pixels: the fixed lean instead of a perspective."""
        s = self.scale
        offset = (self.lean * height - self.plan.origin) * s
        return np.array([[s, 0, offset[0]], [0, s, offset[1]], [0, 0, 1]])

    def _park(self, kind: str, colour: sprites.Colour, x: float, y: float, heading: float) -> None:
        model = sprites.build(kind, colour, min(self.scale * 1.5, 60), self.rng)
        drawn = sprites.render(
            model,
            model.placement(x, y, heading),
            self.plane,
            (self.height, self.width),
            (float(self.sun[0]) * model.height * 0.7, float(self.sun[1]) * model.height * 0.7),
        )
        if drawn is None:
            return
        rows, columns, body, shadow = drawn
        blend(self.rgb[rows, columns], body, shadow, None, self.shade[rows, columns])

    def _houses(self) -> list[_Upright]:
        rng, theme = self.rng, self.theme
        out: list[_Upright] = []
        area = self.plan.size[0] * self.plan.size[1]
        tries = int(area / 260 * theme.building_density)
        roads = [r for r in self.plan.roads if r.kind == "asphalt" and r.level == 0]
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
                position, turn = self.anywhere(), float(rng.uniform(0, math.pi))
                if roads:
                    road = roads[int(rng.integers(len(roads)))]
                    turn = float(road.path.at(road.path.nearest(position))[1])
            reach = _turned(sprites.rounded(length + 4, width + 4, 0.1), position, turn)
            # A tall house between the camera and the road would hide it by accident.
            away = reach + self.lean * height
            if not (self.free(reach) and self.clear_of(position, max(length, width) / 2)):
                continue
            if np.any(self.lean) and not self.free(away):
                continue
            self.take(reach)
            roof = theme.roofs[int(rng.integers(len(theme.roofs)))]
            tint = rng.normal(0, 8, 3)
            colour = tuple(float(np.clip(c + t, 20, 250)) for c, t in zip(roof, tint, strict=True))
            out.append(
                _House(
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
                yard = _turned(
                    sprites.rounded(
                        length + float(rng.uniform(3, 9)), width + float(rng.uniform(3, 9)), 1
                    ),
                    position,
                    turn,
                )
                green = np.array(theme.ground[0], np.float64) * rng.uniform(0.85, 1.1)
                self.fill(self.rgb, yard, tuple(float(v) for v in np.clip(green, 0, 255)))
        return out

    def _trees(self) -> list[_Upright]:
        rng, theme = self.rng, self.theme
        out: list[_Upright] = []
        for x, y, radius in self.plan.trees:
            colour = theme.tree[int(rng.integers(len(theme.tree)))]
            out.append(_Tree(np.array([x, y]), radius, colour, int(rng.integers(1 << 30))))
        area = self.plan.size[0] * self.plan.size[1]
        wood = fractal_noise(rng, self.taken.shape[0], self.taken.shape[1], 30, 3)
        limit = int(min(520, area / 120 * theme.tree_density))
        for _ in range(limit * 2):
            if len(out) >= limit:
                break
            point = self.anywhere()
            row, column = (int(v) for v in (point - self.plan.origin)[::-1])
            if wood[row, column] < 0.3 and rng.random() > 0.16:
                continue
            radius = float(np.clip(rng.normal(2.7, 0.9), 1.0, 5.0))
            box = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * radius * 0.8 + point
            top = box + self.lean * radius * 1.6
            if not self.clear_of(point, radius) or not self.free(box) or not self.free(top):
                continue
            colour = theme.tree[int(rng.integers(len(theme.tree)))]
            out.append(_Tree(point, radius, colour, int(rng.integers(1 << 30))))
        return out

    def _apply_shade(self) -> None:
        # Shade is lit by the sky: darker and a little bluer.
        depth = self.shade.astype(np.float32)[..., None] / 255
        image = self.rgb * (1 - depth * np.array([0.56, 0.52, 0.45], np.float32))
        self.rgb = np.clip(image, 0, 255).astype(np.uint8)


def _turned(points: Points, position: Points, heading: float) -> Points:
    c, s = math.cos(heading), math.sin(heading)
    return points @ np.array([[c, s], [-s, c]]) + position


class _Upright:
    """Something that stands up: casts a shadow, then is drawn."""

    base: Points

    def cast(self, painter: _Painter) -> None:
        raise NotImplementedError

    def draw(self, painter: _Painter) -> None:
        raise NotImplementedError


@dataclass
class _House(_Upright):
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
        return _turned(half * (self.length + grow, self.width + grow), self.base, self.heading)

    def cast(self, painter: _Painter) -> None:
        for height in np.linspace(0, self.height, 8):
            painter.fill(painter.shade, self._box() + painter.sun * height, 255)

    def draw(self, painter: _Painter) -> None:
        rng = np.random.default_rng(self.seed)
        wall_tone = rng.uniform(150, 220) * np.array([1.0, 0.97, 0.92])
        corners = self._box()
        lift = painter.lean * self.height
        for k in range(4):
            a, b = corners[k], corners[(k + 1) % 4]
            outward = np.array([b[1] - a[1], a[0] - b[0]])
            if float(np.dot(outward, painter.lean)) >= 0:
                continue  # faces away from the camera
            outward = outward / max(float(np.hypot(*outward)), 1e-6)
            sunny = -float(np.dot(outward, painter.sun)) / max(float(np.hypot(*painter.sun)), 1e-6)
            tone = wall_tone * (0.62 + 0.3 * max(0.0, sunny))
            wall = np.stack([a, b, b + lift, a + lift])
            painter.fill(painter.rgb, wall, tuple(float(v) for v in tone))
            painter.fill(painter.hide0, wall, 255)
            painter.fill(painter.hide1, wall, 255)
            self._windows(painter, a, b, lift, tone)
        roof = self._box(0.5) + lift
        painter.fill(painter.hide0, roof, 255)
        painter.fill(painter.hide1, roof, 255)
        if self.flat:
            self._flat_roof(painter, roof, lift, rng)
        else:
            self._gable_roof(painter, roof, rng)

    def _windows(self, painter: _Painter, a: Points, b: Points, lift: Points, tone: Points) -> None:
        floors = max(1, int(self.height / 3))
        if np.hypot(*lift) * painter.scale < 6 * floors:
            return
        count = max(1, int(np.hypot(*(b - a)) / 3.2))
        for floor in range(floors):
            low, high = lift * (floor + 0.35) / floors, lift * (floor + 0.75) / floors
            for k in range(count):
                left = a + (b - a) * (k + 0.3) / count
                right = a + (b - a) * (k + 0.7) / count
                pane = np.stack([left + low, right + low, right + high, left + high])
                painter.fill(painter.rgb, pane, tuple(float(v) * 0.45 for v in tone))

    def _flat_roof(
        self, painter: _Painter, roof: Points, lift: Points, rng: np.random.Generator
    ) -> None:
        tone = np.array(self.colour)
        painter.fill(painter.rgb, roof, tuple(np.clip(tone * 1.15, 0, 255)))
        inner = self._box(-0.7) + lift
        painter.fill(painter.rgb, inner, tuple(tone * 0.95))
        middle, size = self.base + lift, np.array([self.length, self.width])
        for _ in range(int(rng.integers(2, 5))):
            # Seams and stains of the roofing.
            x = float(rng.uniform(-0.45, 0.45)) * self.length
            seam = np.array([[x, -self.width * 0.46], [x, self.width * 0.46]])
            painter.line(
                painter.rgb,
                _turned(seam, middle, self.heading),
                tuple(tone * rng.uniform(0.85, 1.0)),
                0.25,
            )
        for _ in range(int(rng.integers(2, 8))):
            spot = (rng.random(2) - 0.5) * (size - 4)
            box = sprites.rounded(float(rng.uniform(1, 3)), float(rng.uniform(1, 2.2)), 0.1) + spot
            shadow = _turned(box, middle + painter.sun * 1.2, self.heading)
            painter.fill(painter.rgb, shadow, tuple(tone * 0.6))
            painter.fill(
                painter.rgb,
                _turned(box, middle + painter.lean * 1.2, self.heading),
                tuple(np.clip(tone * rng.uniform(1.0, 1.3), 0, 255)),
            )

    def _gable_roof(self, painter: _Painter, roof: Points, rng: np.random.Generator) -> None:
        tone = np.array(self.colour)
        rise = painter.lean * self.width * 0.25
        ends = ((roof[0] + roof[3]) / 2 + rise, (roof[1] + roof[2]) / 2 + rise)
        sun = painter.sun / max(float(np.hypot(*painter.sun)), 1e-6)
        across = np.array([-math.sin(self.heading), math.cos(self.heading)])
        for first, second, sign in ((0, 1, -1.0), (3, 2, 1.0)):
            light = 0.92 - 0.26 * sign * float(np.dot(across, sun))
            half = np.stack([roof[first], roof[second], ends[1], ends[0]])
            painter.fill(painter.rgb, half, tuple(np.clip(tone * light, 0, 255)))
            for t in np.arange(0.12, 1.0, 0.16):
                row = np.stack(
                    [
                        roof[first] + (ends[0] - roof[first]) * t,
                        roof[second] + (ends[1] - roof[second]) * t,
                    ]
                )
                painter.line(painter.rgb, row, tuple(np.clip(tone * light * 0.93, 0, 255)), 0.1)
        painter.line(painter.rgb, np.stack(ends), tuple(np.clip(tone * 1.18, 0, 255)), 0.22)
        if rng.random() < 0.6:
            at = _turned(
                np.array([[self.length * 0.2, self.width * 0.12]]), self.base, self.heading
            )[0]
            top = at + painter.lean * (self.height + 1.6)
            chimney = _turned(sprites.rounded(0.9, 0.9, 0.05), top, self.heading)
            painter.fill(painter.rgb, chimney + painter.sun * 1.5, tuple(tone * 0.5))
            painter.fill(painter.rgb, chimney, (122, 96, 86))


@dataclass
class _Tree(_Upright):
    base: Points
    radius: float
    colour: tuple[int, int, int]
    seed: int

    def _blobs(self) -> list[tuple[Points, float, float]]:
        """Offset, radius and height of the clumps that make up the crown."""
        rng = np.random.default_rng(self.seed)
        blobs: list[tuple[Points, float, float]] = []
        count = int(np.clip(self.radius * 4, 6, 16))
        for k in range(count):
            angle = 2.4 * k + float(rng.uniform(-0.4, 0.4))
            reach = self.radius * 0.68 * math.sqrt((k + 0.5) / count)
            offset = np.array([math.cos(angle), math.sin(angle)]) * reach
            size = self.radius * float(rng.uniform(0.3, 0.48))
            height = self.radius * (1.5 - 0.45 * (reach / self.radius) ** 2)
            blobs.append((offset, size, height))
        blobs.sort(key=lambda b: b[2])
        return blobs

    def cast(self, painter: _Painter) -> None:
        for offset, size, height in self._blobs():
            for share in (0.6, 1.0):
                centre = self.base + offset + painter.sun * height * share
                self._disc(painter, painter.shade, centre, size, 235)

    def _disc(
        self, painter: _Painter, image: ByteImage, centre: Points, radius: float, colour: Any
    ) -> None:
        at = painter.px(centre[None])[0]
        cv2.circle(
            image,
            (int(at[0]), int(at[1])),
            max(1, int(radius * painter.scale * 16)),
            colour,
            -1,
            cv2.LINE_AA,
            4,
        )

    def draw(self, painter: _Painter) -> None:
        """Crown: clumps, lit from the sun's side, cut out ragged, blended once."""
        scale = painter.scale
        reach = self.radius * 1.35
        middle = self.base + painter.lean * self.radius * 1.3
        spread = reach + float(np.hypot(*painter.lean)) * self.radius * 0.4
        corner = np.floor((middle - spread - painter.plan.origin) * scale).astype(int)
        side = int(2 * spread * scale) + 2
        x0, y0 = max(0, corner[0]), max(0, corner[1])
        x1, y1 = min(painter.width, corner[0] + side), min(painter.height, corner[1] + side)
        if x1 - x0 < 2 or y1 - y0 < 2:
            return
        rng = np.random.default_rng(self.seed + 1)
        colour = np.zeros((side, side, 3), np.uint8)
        alpha = np.zeros((side, side), np.uint8)
        toward = -painter.sun / max(float(np.hypot(*painter.sun)), 1e-6)
        base = np.array(self.colour, np.float64) * rng.uniform(0.88, 1.12)
        colour[:] = np.clip(base * 0.7, 0, 255)
        for offset, size, height in self._blobs():
            centre = self.base + offset + painter.lean * height
            local = (centre - painter.plan.origin) * scale - corner - 0.5
            lit = float(np.dot(offset, toward)) / self.radius
            for shrink, gain in ((1.0, 0.62), (0.78, 0.84), (0.5, 1.06), (0.25, 1.2)):
                spot = np.round((local + toward * size * (1 - shrink) * scale * 0.6) * 16).astype(
                    int
                )
                tone = np.clip(base * gain * (1 + 0.32 * lit), 0, 255)
                radius = max(8, int(size * shrink * scale * 16))
                where = (int(spot[0]), int(spot[1]))
                cv2.circle(colour, where, radius, tuple(float(v) for v in tone), -1, cv2.LINE_AA, 4)
                if shrink == 1.0:
                    cv2.circle(alpha, where, radius, 255, -1, cv2.LINE_AA, 4)
        leaf = max(1.5, 0.5 * scale)
        noise = fractal_noise(rng, side, side, leaf, 3, 0.8)
        colour = np.clip(colour * (1 + 0.16 * noise)[..., None], 0, 255).astype(np.uint8)
        # Ragged edge: the soft border of the mask moves with the leaf noise.
        soft = cv2.GaussianBlur(alpha, (0, 0), max(0.5, 0.22 * scale)).astype(np.float32) / 255
        ragged = np.clip((soft + 0.12 * noise * (soft < 0.98) - 0.42) * 5, 0, 1)
        window = (slice(y0 - corner[1], y1 - corner[1]), slice(x0 - corner[0], x1 - corner[0]))
        cut = ragged[window][..., None]
        view = painter.rgb[y0:y1, x0:x1]
        view[:] = (view + cut * (colour[window] - view.astype(np.float32))).astype(np.uint8)
        opaque = (ragged[window] * 255).astype(np.uint8)
        for mask in (painter.hide0, painter.hide1):
            mask[y0:y1, x0:x1] = np.maximum(mask[y0:y1, x0:x1], opaque)


def blend(
    view: ByteImage,
    body: ByteImage,
    shadow: ByteImage,
    hidden: ByteImage | None,
    shade: ByteImage | None,
) -> ByteImage:
    """Put a rendered body and its shadow into `view` [h, w, 3], in place.

    hidden: what stands over it [h, w]; shade: how dark the ground is [h, w].
    Returns the body's alpha that is left visible.
    """
    alpha = body[..., 3]
    colour = body[..., :3]
    if shade is not None and shade.any():
        # A body in the shade is darkened like the ground; one already shaded casts no shadow.
        light = cv2.addWeighted(shade, -0.5, shade, 0.0, 255.0)
        colour = cv2.multiply(colour, cv2.merge([light] * 3), scale=1 / 255)
        shadow = cv2.subtract(shadow, shade)
    if hidden is not None and hidden.any():
        seen = cv2.bitwise_not(hidden)
        alpha = cv2.multiply(alpha, seen, scale=1 / 255)
        shadow = cv2.multiply(shadow, seen, scale=1 / 255)
        colour = cv2.multiply(colour, cv2.merge([seen] * 3), scale=1 / 255)
    dark = cv2.addWeighted(shadow, -0.5, shadow, 0.0, 255.0)
    keep = cv2.multiply(dark, cv2.bitwise_not(alpha), scale=1 / 255)
    view[:] = cv2.add(colour, cv2.multiply(view, cv2.merge([keep] * 3), scale=1 / 255))
    return alpha
