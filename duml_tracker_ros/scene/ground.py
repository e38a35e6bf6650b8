"""What lies flat: grass, fields, water, their texture, the shade on them."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .arrays import FloatImage
from .canvas import Canvas
from .noise import fractal_noise, value_noise


def paint_ground(canvas: Canvas) -> None:
    rng, h, w, s = canvas.rng, canvas.height, canvas.width, canvas.scale
    # Half resolution: large forms have no detail to lose.
    hh, hw = h // 2 + 1, w // 2 + 1
    mix = fractal_noise(rng, hh, hw, 20 * s, 5, 0.55)
    bare = fractal_noise(rng, hh, hw, 9 * s, 5, 0.6)
    a, b, c = (np.array(v, np.float32) for v in canvas.theme.ground)
    image = a + np.clip(mix * 0.35 + 0.5, 0, 1)[..., None] * (b - a)
    weight = np.clip((bare - 0.9) * 1.2, 0, 0.8)[..., None]
    image += weight * (c - image)
    if canvas.theme.parcel_share > 0:
        image = _parcels(canvas, image, hh, hw)
    canvas.rgb = cv2.resize(np.clip(image, 0, 255).astype(np.uint8), (w, h))


def _parcels(canvas: Canvas, image: FloatImage, h: int, w: int) -> FloatImage:
    rng, s = canvas.rng, canvas.scale / 2
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
    colours = np.array(canvas.theme.parcels, np.float32)[
        rng.integers(len(canvas.theme.parcels), size=count)
    ]
    colours += rng.normal(0, 7, (count, 3)).astype(np.float32)
    share = (rng.random(count) < canvas.theme.parcel_share).astype(np.float32)
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


def paint_water(canvas: Canvas) -> None:
    share = canvas.theme.water_share
    if share <= 0:
        return
    rng, s = canvas.rng, canvas.scale
    hh, hw = canvas.height // 4 + 1, canvas.width // 4 + 1
    form = fractal_noise(rng, hh, hw, 45 * s / 4, 4, 0.4)
    level = float(np.quantile(form, 1 - share))
    depth = cv2.resize(form - np.float32(level), (canvas.width, canvas.height))
    sand = np.clip(1 - np.abs(depth + 0.06) / 0.12, 0, 1)
    shore = np.array(canvas.theme.ground[2], np.float32) * 1.1
    wet = np.clip(depth * 14, 0, 1)
    tone = (
        np.array(canvas.theme.water, np.float32) * (1.25 - 0.35 * np.clip(depth, 0, 1))[..., None]
    )
    ripple = fractal_noise(rng, canvas.height, canvas.width, 2.5 * s, 2)
    tone = tone * (1 + 0.035 * ripple)[..., None]
    image = canvas.rgb.astype(np.float32)
    image += sand[..., None] * 0.7 * (shore - image)
    image += wet[..., None] * (tone - image)
    canvas.rgb = np.clip(image, 0, 255).astype(np.uint8)
    canvas.grain = np.where(depth > 0, np.uint8(8), canvas.grain)
    small = cv2.resize(
        (depth > -0.05).astype(np.uint8) * 255,
        canvas.taken.shape[::-1],
        interpolation=cv2.INTER_AREA,
    )
    canvas.taken = np.maximum(canvas.taken, (small > 60).astype(np.uint8) * 255)


def texture(canvas: Canvas, fine: bool) -> None:
    rng, s = canvas.rng, canvas.scale
    if fine:
        noise = fractal_noise(rng, canvas.height, canvas.width, max(2.0, 0.5 * s), 3, 0.7)
        amount = np.float32(0.0011)
    else:
        noise = fractal_noise(rng, canvas.height, canvas.width, 3.5 * s, 4, 0.7)
        amount = np.float32(0.0013)
    gain = 1 + noise * canvas.grain.astype(np.float32) * amount
    canvas.rgb = np.clip(canvas.rgb * gain[..., None], 0, 255).astype(np.uint8)


def apply_shade(canvas: Canvas) -> None:
    # Shade is lit by the sky: darker and a little bluer.
    depth = canvas.shade.astype(np.float32)[..., None] / 255
    image = canvas.rgb * (1 - depth * np.array([0.56, 0.52, 0.45], np.float32))
    canvas.rgb = np.clip(image, 0, 255).astype(np.uint8)
