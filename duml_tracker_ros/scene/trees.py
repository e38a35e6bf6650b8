"""Trees: where they stand, their crowns and shadows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from .arrays import ByteImage
from .arrays import Matrix as Points
from .canvas import Canvas, Upright
from .noise import fractal_noise


@dataclass
class Tree(Upright):
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

    def cast(self, canvas: Canvas) -> None:
        for offset, size, height in self._blobs():
            for share in (0.6, 1.0):
                centre = self.base + offset + canvas.sun * height * share
                self._disc(canvas, canvas.shade, centre, size, 235)

    def _disc(
        self, canvas: Canvas, image: ByteImage, centre: Points, radius: float, colour: Any
    ) -> None:
        at = canvas.px(centre[None])[0]
        cv2.circle(
            image,
            (int(at[0]), int(at[1])),
            max(1, int(radius * canvas.scale * 16)),
            colour,
            -1,
            cv2.LINE_AA,
            4,
        )

    def draw(self, canvas: Canvas) -> None:
        """Crown: clumps, lit from the sun's side, cut out ragged, blended once."""
        scale = canvas.scale
        reach = self.radius * 1.35
        middle = self.base + canvas.lean * self.radius * 1.3
        spread = reach + float(np.hypot(*canvas.lean)) * self.radius * 0.4
        corner = np.floor((middle - spread - canvas.plan.origin) * scale).astype(int)
        side = int(2 * spread * scale) + 2
        x0, y0 = max(0, corner[0]), max(0, corner[1])
        x1, y1 = min(canvas.width, corner[0] + side), min(canvas.height, corner[1] + side)
        if x1 - x0 < 2 or y1 - y0 < 2:
            return
        rng = np.random.default_rng(self.seed + 1)
        colour = np.zeros((side, side, 3), np.uint8)
        alpha = np.zeros((side, side), np.uint8)
        toward = -canvas.sun / max(float(np.hypot(*canvas.sun)), 1e-6)
        base = np.array(self.colour, np.float64) * rng.uniform(0.88, 1.12)
        colour[:] = np.clip(base * 0.7, 0, 255)
        for offset, size, height in self._blobs():
            centre = self.base + offset + canvas.lean * height
            local = (centre - canvas.plan.origin) * scale - corner - 0.5
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
        view = canvas.rgb[y0:y1, x0:x1]
        view[:] = (view + cut * (colour[window] - view.astype(np.float32))).astype(np.uint8)
        opaque = (ragged[window] * 255).astype(np.uint8)
        for mask in (canvas.hide0, canvas.hide1):
            mask[y0:y1, x0:x1] = np.maximum(mask[y0:y1, x0:x1], opaque)


def place_trees(canvas: Canvas) -> list[Tree]:
    rng, theme = canvas.rng, canvas.theme
    out: list[Tree] = []
    for x, y, radius in canvas.plan.trees:
        colour = theme.tree[int(rng.integers(len(theme.tree)))]
        out.append(Tree(np.array([x, y]), radius, colour, int(rng.integers(1 << 30))))
    area = canvas.plan.size[0] * canvas.plan.size[1]
    wood = fractal_noise(rng, canvas.taken.shape[0], canvas.taken.shape[1], 30, 3)
    limit = int(min(520, area / 120 * theme.tree_density))
    for _ in range(limit * 2):
        if len(out) >= limit:
            break
        point = canvas.anywhere()
        row, column = (int(v) for v in (point - canvas.plan.origin)[::-1])
        if wood[row, column] < 0.3 and rng.random() > 0.16:
            continue
        radius = float(np.clip(rng.normal(2.7, 0.9), 1.0, 5.0))
        box = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * radius * 0.8 + point
        top = box + canvas.lean * radius * 1.6
        if not canvas.clear_of(point, radius) or not canvas.free(box) or not canvas.free(top):
            continue
        colour = theme.tree[int(rng.integers(len(theme.tree)))]
        out.append(Tree(point, radius, colour, int(rng.integers(1 << 30))))
    return out
