"""What all samples are composed with: where crops are cut, what is outside of them, what hides."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from duml_tracker_ros.tracker.geometry import context_side

from ...datasets.annotated import Annotation
from ...pixels import Box
from . import warp
from .appearance import posed
from .bank import Bank
from .cutouts import Cutout, polygon_alpha
from .pools import Pool, backgrounds
from .samples import Shape
from .warp import Affine, Image


@dataclass(slots=True)
class Fill:
    """What lies outside the source image, the same for all crops of a sample."""

    image: Image | None = None
    border: int = cv2.BORDER_CONSTANT
    colour: tuple[float, float, float] = (0.0, 0.0, 0.0)


def laplace(rng: random.Random, scale: float) -> float:
    """A Laplace deviate of the given scale."""
    return rng.expovariate(1.0 / scale) * (1 if rng.random() < 0.5 else -1)


def extent(target: Annotation, matrix: Affine) -> Box:
    """The axis-aligned box of `target` after `matrix`.

    Exact for polygons and for maps that keep the axes. A bare box under rotation is taken half way
    between the rotated rectangle and its inscribed ellipse: its corners seldom hold the object.
    """
    if target.polygon:
        return warp.bounds(warp.apply(matrix, np.concatenate(target.polygon).astype(np.float64)))
    x, y, w, h = target.box
    a, b, tx = matrix[0].tolist()
    c, d, ty = matrix[1].tolist()
    cx, cy = x + w / 2, y + h / 2
    wide = 0.5 * (abs(a) * w + abs(b) * h + math.hypot(a * w, b * h))
    high = 0.5 * (abs(c) * w + abs(d) * h + math.hypot(c * w, d * h))
    return a * cx + b * cy + tx - wide / 2, c * cx + d * cy + ty - high / 2, wide, high


def outline(target: Annotation, matrix: Affine, size: int) -> Image | None:
    """The mask uint8 [size, size] of `target` after `matrix`; None without a polygon."""
    if not target.polygon:
        return None
    rings = [warp.apply(matrix, ring.astype(np.float64)) for ring in target.polygon]
    x, y, w, h = warp.bounds(np.concatenate(rings))
    x0, y0 = max(0, math.floor(x)), max(0, math.floor(y))
    x1, y1 = min(size, math.ceil(x + w)), min(size, math.ceil(y + h))
    mask = np.zeros((size, size), np.uint8)
    if x1 > x0 and y1 > y0:
        near = [ring - np.array([x0, y0]) for ring in rings]
        mask[y0:y1, x0:x1] = polygon_alpha(near, x1 - x0, y1 - y0)
    return mask


class Compositor:
    """Pictures, cut-outs and crop sizes, and the draws that all kinds of samples share."""

    def __init__(self, bank: Bank, cutouts: Sequence[Cutout], shape: Shape) -> None:
        self.bank = bank
        self.cutouts = list(cutouts)
        self.shape = shape
        self.backgrounds = Pool.of(backgrounds(bank))
        self._alike: dict[str, list[Cutout]] = defaultdict(list)
        groups: dict[str, list[Cutout]] = defaultdict(list)
        for cutout in self.cutouts:
            self._alike[cutout.label].append(cutout)
            groups[cutout.source].append(cutout)
        self._pool = Pool.of(dict(sorted(groups.items())))

    def any_cutout(self, rng: random.Random) -> Cutout:
        return self._pool.draw(rng)

    def alike(self, cutout: Cutout) -> Sequence[Cutout]:
        """Cut-outs of the same class, itself included."""
        return self._alike[cutout.label]

    def aim(self, rng: random.Random) -> tuple[float, float, float]:
        """Where the target's centre lies in the search crop (px), and its scale in it."""
        size = self.shape.search
        if rng.random() < 0.6:
            dx, dy = laplace(rng, 0.055), laplace(rng, 0.055)
        else:
            dx, dy = rng.uniform(-0.34, 0.34), rng.uniform(-0.34, 0.34)
        most = self.shape.zoom
        zoom = rng.gauss(0.0, 0.18) if rng.random() < 1 - 0.2 * most else rng.uniform(-most, most)
        zoom = math.exp(min(most, max(-most, zoom)))
        limit = 0.38
        dx, dy = min(limit, max(-limit, dx)), min(limit, max(-limit, dy))
        return size * (0.5 + dx), size * (0.5 + dy), zoom

    def first_aim(self, rng: random.Random, w: float, h: float) -> tuple[float, float, float]:
        """As `aim`, in the template, for a target of w x h: the crop is that of the box drawn."""
        middle = self.shape.template / 2.0
        if not self.shape.drawn or rng.random() >= self.shape.drawn:
            return middle, middle, 1.0
        wide, high = (side * math.exp(rng.uniform(-0.15, 0.15)) for side in (w, h))
        side = context_side(wide, high)
        scale = self.shape.template / side
        dx, dy = rng.uniform(-0.1, 0.1) * w * scale, rng.uniform(-0.1, 0.1) * h * scale
        return middle - dx, middle - dy, context_side(w, h) / side

    def resolution(self, rng: random.Random, side: float, share: float = 0.2) -> float:
        """Share of the crop's resolution to render at: small targets are coarse targets.

        side: the target's side in the source, so that a coarse source is not blurred twice.
        """
        if rng.random() >= share:
            return 1.0
        native = math.exp(rng.uniform(math.log(8.0), math.log(26.0)))
        return min(1.0, native / min(side, self.shape.template / 2.0))

    def outside(self, rng: random.Random, image: Image) -> Fill:
        draw = rng.random()
        if draw < 0.55:
            return Fill(image=self.bank.image(self.backgrounds.draw(rng)))
        if draw < 0.9:
            step = max(1, min(image.shape[:2]) // 48)
            mean = cv2.mean(np.ascontiguousarray(image[::step, ::step]))
            return Fill(colour=(mean[0], mean[1], mean[2]))
        return Fill(border=cv2.BORDER_REFLECT_101 if draw < 0.95 else cv2.BORDER_REPLICATE)

    def view(self, rng: random.Random, image: Image, matrix: Affine, n: int, fill: Fill) -> Image:
        """The n x n crop of `image` under `matrix`, with `fill` outside."""
        size = (n, n)
        if warp.covers(matrix, image.shape[1], image.shape[0], size):
            return warp.sample(image, matrix, size, border=cv2.BORDER_REPLICATE)
        if fill.image is None:
            return warp.sample(image, matrix, size, border=fill.border, fill=fill.colour)
        out = self.cover(rng, fill.image, n)
        return warp.sample(image, matrix, size, border=cv2.BORDER_TRANSPARENT, out=out)

    def cover(self, rng: random.Random, image: Image, n: int) -> Image:
        """A random square of `image` as an n x n crop."""
        height, width = image.shape[:2]
        side = rng.uniform(0.45, 1.0) * min(height, width)
        x, y = rng.uniform(0, width - side), rng.uniform(0, height - side)
        matrix = warp.place(warp.linear(n / side), (x, y), (0.0, 0.0))
        return warp.sample(image, matrix, (n, n), border=cv2.BORDER_REFLECT_101)

    def elsewhere(self, rng: random.Random, size: int, resolution: float) -> Image:
        """A crop of another picture, where the target is not."""
        n = max(12, round(size * resolution))
        crop = self.cover(rng, self.bank.image(self.backgrounds.draw(rng)), n)
        return crop if n == size else enlarge(crop, size)

    def window(
        self,
        rng: random.Random,
        image: Image,
        target: Annotation,
        matrix: Affine,
        f: int,
        resolution: float,
        fill: Fill,
        others: Sequence[Cutout],
    ) -> tuple[Image, Box, Image | None]:
        """One crop about `target` (f = 0: the template), the box in it, and the mask if wanted."""
        size = self.shape.template if f == 0 else self.shape.search
        x, y, w, h = extent(target, matrix)
        unit = self.shape.template / context_side(w, h)
        ax, ay, zoom = self.first_aim(rng, w, h) if f == 0 else self.aim(rng)
        n = max(12, round(size * resolution))
        grain = n / size
        scale = unit * zoom * grain
        matrix = matrix * scale
        matrix[0, 2] += ax * grain - (x + w / 2) * scale
        matrix[1, 2] += ay * grain - (y + h / 2) * scale
        crop = self.view(rng, image, matrix, n, fill)
        box = extent(target, matrix)
        mask = outline(target, matrix, n) if self.shape.masks and f > 0 else None
        side = math.sqrt(max(1.0, box[2] * box[3]))
        for other in others:
            reach = rng.uniform(1.0, 2.4)
            theta = rng.uniform(0, 2 * math.pi)
            centre = (
                ax * grain + math.cos(theta) * reach * max(side, box[2]),
                ay * grain + math.sin(theta) * reach * max(side, box[3]),
            )
            layer = posed(other, rng, rng.gauss(0, 0.2), side * rng.uniform(0.5, 1.1), centre)
            warp.paste(crop, layer.cutout.rgba, layer.matrix, mask)
        if n != size:
            crop = enlarge(crop, size)
            mask = None if mask is None else enlarge(mask, size)
        return crop, scale_box(box, size / n), mask

    def strangers(self, rng: random.Random) -> list[Cutout]:
        """A few pasted objects, so that what is pasted is not always the target."""
        if not self.cutouts or rng.random() < 0.72:
            return []
        return [self.any_cutout(rng) for _ in range(rng.choice((1, 1, 2)))]

    def occlude(
        self,
        rng: random.Random,
        canvas: Image,
        box: Box,
        background: Image,
        mask: Image | None = None,
    ) -> None:
        """Covers up to 60 % of `box` from one side with a texture or another object."""
        x, y, w, h = box
        depth = rng.uniform(0.15, 0.6)
        long = rng.uniform(0.9, 2.0)
        if rng.random() < 0.5:
            width, height = max(w * depth, w * rng.uniform(0.3, 1.2)), h * long
            left = x + w * depth - width if rng.random() < 0.5 else x + w * (1 - depth)
            top = y + h / 2 - height * rng.uniform(0.4, 0.6)
        else:
            width, height = w * long, max(h * depth, h * rng.uniform(0.3, 1.2))
            left = x + w / 2 - width * rng.uniform(0.4, 0.6)
            top = y + h * depth - height if rng.random() < 0.5 else y + h * (1 - depth)
        if rng.random() < 0.5:
            cutout = self.any_cutout(rng)
            hx, hy, hw, hh = warp.bounds(cutout.hull)
            sx, sy = width / hw, height / hh
            matrix = warp.affine(sx, 0, left - hx * sx, 0, sy, top - hy * sy)
            warp.paste(canvas, cutout.rgba, matrix, mask)
            return
        texture = background
        if rng.random() < 0.5:
            texture = self.bank.image(self.backgrounds.draw(rng))
        rows, cols = texture.shape[:2]
        pw, ph = min(cols, max(8, round(width))), min(rows, max(8, round(height)))
        px, py = int(rng.random() * (cols - pw + 1)), int(rng.random() * (rows - ph + 1))
        alpha = np.full((ph, pw), 255, np.uint8)
        if rng.random() < 0.5:
            alpha[:] = 0
            axes = (max(1, pw // 2), max(1, ph // 2))
            cv2.ellipse(alpha, (pw // 2, ph // 2), axes, 0, 0, 360, 255, -1, cv2.LINE_AA)
        part = texture[py : py + ph, px : px + pw]
        if rng.random() < 0.3:
            part = np.full_like(part, part[ph // 2, pw // 2])
        part = cv2.multiply(part, cv2.cvtColor(alpha, cv2.COLOR_GRAY2BGR), scale=1 / 255)
        rgba = cv2.copyMakeBorder(
            cv2.merge([*cv2.split(part), alpha]), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,) * 4
        )
        sx, sy = width / pw, height / ph
        warp.paste(canvas, rgba, warp.affine(sx, 0, left - sx, 0, sy, top - sy), mask)


def scale_box(box: Box, factor: float) -> Box:
    return box[0] * factor, box[1] * factor, box[2] * factor, box[3] * factor


def enlarge(image: Image, size: int) -> Image:
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
