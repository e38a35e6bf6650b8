"""Roads with their markings, bridges, lots full of parked cars."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from . import sprites
from .arrays import Matrix as Points
from .blend import blend
from .canvas import Canvas, Road, turned
from .noise import fractal_noise
from .paths import Path

DECK_HEIGHT = 5.5
"""Of a bridge, in metres."""

Parked = tuple[str, sprites.Colour, float, float, float]
"""Kind, paint, place in metres and heading of a parked car."""


def draw_road(canvas: Canvas, road: Road) -> None:
    rng, theme = canvas.rng, canvas.theme
    start, end = -200.0, road.path.length + 200.0
    middle = road.path.outline(0, start, end)
    half = road.width / 2
    trail = road.kind == "trail"
    margin = 0.5 if trail else 1.6
    # Fixed-point coordinates overflow far outside the picture.
    low = np.array(canvas.plan.origin) - 60
    high = low + np.array(canvas.plan.size) + 120
    near = np.all((middle > low) & (middle < high), axis=1)
    if not near.any():
        return
    first, last = np.flatnonzero(near)[[0, -1]]
    span = np.linspace(start, end, len(middle))
    start, end = float(span[first]), float(span[last])
    left = road.path.outline(-half - margin, start, end)
    right = road.path.outline(half + margin, start, end)
    canvas.fill(canvas.rgb, np.vstack([left, right[::-1]]), theme.shoulder)
    canvas.fill(canvas.grain, np.vstack([left, right[::-1]]), 45)
    canvas.take(np.vstack([left, right[::-1]]))
    left, right = road.path.outline(-half, start, end), road.path.outline(half, start, end)
    band = np.vstack([left, right[::-1]])
    colour = theme.asphalt if not trail else tuple(int(v * 0.92) for v in theme.ground[2])
    canvas.fill(canvas.rgb, band, colour)
    canvas.fill(canvas.grain, band, 26 if not trail else 60)
    if trail:
        return
    lanes = max(2, round(road.width / 3.5))
    lane = road.width / lanes
    for k in range(lanes):
        for wheel in (-0.8, 0.8):
            track = road.path.outline(-half + (k + 0.5) * lane + wheel, start, end)
            canvas.line(canvas.rgb, track, tuple(int(v * 0.94) for v in colour), 0.5)
    for _ in range(int((end - start) / 14)):
        # Patches and stains: repaired asphalt.
        at = float(rng.uniform(start, end))
        offset = float(rng.uniform(-half + 0.6, half - 0.6))
        position, heading = road.path.at(at, offset)
        patch = turned(
            sprites.rounded(float(rng.uniform(0.6, 5)), float(rng.uniform(0.4, 1.5)), 0.3),
            position,
            float(heading),
        )
        canvas.fill(canvas.rgb, patch, tuple(int(v * rng.uniform(0.84, 1.06)) for v in colour))
    white = tuple(min(255, int(v * 0.35 + 150)) for v in colour)
    _markings(canvas, road, start, end, lanes, lane, half, white)


def _markings(
    canvas: Canvas,
    road: Road,
    start: float,
    end: float,
    lanes: int,
    lane: float,
    half: float,
    white: Any,
) -> None:
    width = 0.14 if canvas.scale > 8 else 0.1
    for side in (-1, 1):
        canvas.line(canvas.rgb, road.path.outline(side * (half - 0.25), start, end), white, width)
    for k in range(1, lanes):
        at = start
        while at < end:
            dash = road.path.outline(-half + k * lane, at, at + 3.0)
            canvas.line(canvas.rgb, dash, white, width)
            at += 9.0


def _deck(canvas: Canvas, road: Road, height: float, grow: float = 0.0) -> Points:
    start, end = road.bridge
    half = road.width / 2 + 0.5 + grow
    left = road.path.outline(-half, start, end)
    right = road.path.outline(half, start, end)
    return np.vstack([left, right[::-1]]) + canvas.lean * height


def cast_bridge(canvas: Canvas, road: Road) -> None:
    for height in np.linspace(DECK_HEIGHT - 1.2, DECK_HEIGHT + 0.8, 4):
        canvas.fill(canvas.shade, _deck(canvas, road, 0) + canvas.sun * height, 255)


def draw_bridge(canvas: Canvas, road: Road) -> None:
    rng = canvas.rng
    concrete = (168, 166, 160)
    for height in np.linspace(DECK_HEIGHT - 1.2, DECK_HEIGHT, 6):
        outline = _deck(canvas, road, height, 0.2)
        canvas.fill(canvas.rgb, outline, tuple(int(v * 0.55) for v in concrete))
        canvas.fill(canvas.hide0, outline, 255)
    outline = _deck(canvas, road, DECK_HEIGHT, 0.2)
    canvas.fill(canvas.rgb, outline, concrete)
    canvas.fill(canvas.hide0, outline, 255)
    lift = canvas.lean * DECK_HEIGHT
    start, end = road.bridge
    half = road.width / 2
    band = np.vstack(
        [road.path.outline(-half, start, end), road.path.outline(half, start, end)[::-1]]
    )
    colour = tuple(int(v * 1.08) for v in canvas.theme.asphalt)
    canvas.fill(canvas.rgb, band + lift, colour)
    lanes = max(2, round(road.width / 3.5))
    moved = Road(Path(road.path.points + lift), road.width, 1)
    white = tuple(min(255, int(v * 0.35 + 150)) for v in colour)
    for at in np.arange(start, end, 12.0):
        joint = road.path.at(np.array([at, at]))[0] + lift
        heading = float(road.path.at(at)[1])
        across = np.array([-math.sin(heading), math.cos(heading)]) * half
        canvas.line(canvas.rgb, joint + np.stack([across, -across]), (92, 92, 92), 0.12)
    _markings(canvas, moved, start, end, lanes, road.width / lanes, half, white)
    for side in (-1.0, 1.0):
        rail = road.path.outline(side * (half + 0.4), start, end) + canvas.lean * (
            DECK_HEIGHT + 0.9
        )
        canvas.line(canvas.rgb, rail, (196, 194, 188), 0.3)
    band_px = canvas.px(_deck(canvas, road, DECK_HEIGHT, 0.2)) // 16
    x0, y0 = np.maximum(band_px.min(0), 0)
    x1, y1 = np.minimum(band_px.max(0) + 1, (canvas.width, canvas.height))
    if x1 > x0 and y1 > y0:
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [band_px - (x0, y0)], 255)
        noise = fractal_noise(rng, y1 - y0, x1 - x0, max(2.0, 2 * canvas.scale), 4, 0.7)
        gain = 1 + 0.035 * noise * (mask > 0)
        view = canvas.rgb[y0:y1, x0:x1]
        view[:] = np.clip(view * gain[..., None], 0, 255).astype(np.uint8)


def lay_lots(canvas: Canvas) -> list[Parked]:
    parked: list[Parked] = []
    rng = canvas.rng
    roads = [r for r in canvas.plan.roads if r.level == 0 and r.kind == "asphalt"]
    if not roads:
        return parked
    for road in canvas.plan.roads:
        # Reserve the roads before anything is placed beside them.
        half = road.width / 2 + (2.5 if road.level == 0 else 6.0)
        a, b = -60.0, road.path.length + 60.0
        band = np.vstack([road.path.outline(-half, a, b), road.path.outline(half, a, b)[::-1]])
        canvas.take(band)
    for _ in range(canvas.theme.lots * 3):
        road = roads[int(rng.integers(len(roads)))]
        at = float(rng.uniform(0, road.path.length))
        side = 1 if rng.random() < 0.5 else -1
        depth, length = float(rng.choice([17.0, 33.0])), float(rng.uniform(22, 48))
        position, heading = road.path.at(at, side * (road.width / 2 + 4.0 + depth / 2))
        outline = turned(sprites.rounded(length, depth, 0.5), position, float(heading))
        if not canvas.free(outline) or not canvas.clear_of(position, 14):
            continue
        canvas.take(outline)
        tone = float(rng.uniform(0.9, 1.15))
        asphalt = tuple(min(255, int(v * tone)) for v in canvas.theme.asphalt)
        canvas.fill(canvas.rgb, outline, asphalt)
        canvas.fill(canvas.grain, outline, 26)
        white = tuple(min(255, int(v * 0.4 + 140)) for v in asphalt)
        for row in np.arange(-depth / 2 + 2.8, depth / 2 - 2.0, 5.6 if depth < 20 else 8.4):
            for slot in np.arange(-length / 2 + 2, length / 2 - 2, 2.6):
                edge = np.array([[slot, row - 2.4], [slot, row + 2.4]])
                canvas.line(canvas.rgb, turned(edge, position, float(heading)), white, 0.1)
                if rng.random() < 0.55:
                    spot = np.array([[slot + 1.3, row + float(rng.normal(0, 0.2))]])
                    ground = turned(spot, position, float(heading))[0]
                    turn = float(heading) + math.pi / 2 * (1 if rng.random() < 0.5 else -1)
                    paint_ = sprites.PAINTS[int(rng.integers(len(sprites.PAINTS)))]
                    kind = "car" if rng.random() < 0.85 else "van"
                    parked.append(
                        (kind, paint_, ground[0], ground[1], turn + float(rng.normal(0, 0.03)))
                    )
    return parked


def park(canvas: Canvas, vehicle: Parked) -> None:
    kind, colour, x, y, heading = vehicle
    model = sprites.build(kind, colour, min(canvas.scale * 1.5, 60), canvas.rng)
    drawn = sprites.render(
        model,
        model.placement(x, y, heading),
        canvas.plane,
        (canvas.height, canvas.width),
        (float(canvas.sun[0]) * model.height * 0.7, float(canvas.sun[1]) * model.height * 0.7),
    )
    if drawn is None:
        return
    rows, columns, body, shadow = drawn
    blend(canvas.rgb[rows, columns], body, shadow, None, canvas.shade[rows, columns])
