"""Training samples: a template and search crops of one target, drawn in five ways.

All crops follow `tracker.geometry`: the template shows the square of side `context_side` about the
box, the search crop is search_size / template_size times larger, at a jittered centre and scale.
"""

from __future__ import annotations

import enum
import logging
import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from duml_tracker_ros.tracker.geometry import context_side

from . import warp
from .bank import Bank, Box, DataError, Target
from .cutouts import Cutout, hull_of
from .warp import Affine, Image, Points

log = logging.getLogger(__name__)


class Kind(enum.IntEnum):
    """How a sample was made; the value stands in the batch."""

    PASTE = 0
    STILL = 1
    VIDEO = 2
    PATCH = 3
    SCENE = 4


DEFAULT_MIX: Mapping[str, float] = {
    "paste": 0.45,
    "still": 0.22,
    "video": 0.15,
    "patch": 0.10,
    "scene": 0.08,
}
SOURCE_WEIGHT: Mapping[str, float] = {"davis": 2.0, "drone_rgb": 0.7}
"""Factors on the draw of a source; the base is the square root of its size."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Crop sizes in pixels and the number of search crops of a sample."""

    template: int = 97
    search: int = 193
    n_search: int = 2

    def __post_init__(self) -> None:
        if not 16 <= self.template <= self.search:
            raise DataError(
                f"template_size {self.template}, search_size {self.search}: "
                "need 16 <= template_size <= search_size"
            )
        if self.n_search < 1:
            raise DataError(f"n_search {self.n_search}: need at least one search crop")


@dataclass(slots=True)
class Sample:
    """Crops RGB uint8 and boxes (x, y, w, h) in crop pixels; None where the target is absent."""

    kind: Kind
    template: Image
    template_box: Box
    search: list[Image]
    boxes: list[Box | None]


@dataclass(slots=True)
class _Layer:
    """Something to composite: premultiplied RGBA, its hull, and its map into the crop."""

    cutout: Cutout
    matrix: Affine


@dataclass(slots=True)
class _Fill:
    """What lies outside the source image, the same for all crops of a sample."""

    image: Image | None = None
    border: int = cv2.BORDER_CONSTANT
    colour: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass
class _Pool:
    """Items drawn with the weights of their sources."""

    groups: list[list] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    total: float = 0.0

    @classmethod
    def of(cls, items: Mapping[str, list]) -> _Pool:
        pool = cls()
        for source, group in items.items():
            pool.total += math.sqrt(len(group)) * SOURCE_WEIGHT.get(source, 1.0)
            pool.groups.append(group)
            pool.weights.append(pool.total)
        return pool

    def __bool__(self) -> bool:
        return bool(self.groups)

    def draw(self, rng: random.Random) -> Any:
        group = rng.choices(self.groups, cum_weights=self.weights)[0]
        return group[int(rng.random() * len(group))]


def laplace(rng: random.Random, scale: float) -> float:
    """A Laplace deviate of the given scale."""
    return rng.expovariate(1.0 / scale) * (1 if rng.random() < 0.5 else -1)


def extent(target: Target, matrix: Affine) -> Box:
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


class Synthesis:
    """Draws samples from a bank of pictures, cut-outs and (optionally) rendered scene clips.

    mix: weight per kind, keys as in DEFAULT_MIX; kinds without data are dropped.
    distractors: the greatest number of look-alikes pasted around a pasted target.
    Raises DataError for an unknown key, a negative weight, or when nothing is left to draw from.
    """

    def __init__(
        self,
        bank: Bank,
        cutouts: Sequence[Cutout] = (),
        shape: Shape | None = None,
        mix: Mapping[str, float] | None = None,
        scenes: Bank | None = None,
        distractors: int = 4,
    ) -> None:
        self.bank = bank
        self.distractors = distractors
        self.cutouts = list(cutouts)
        self.shape = shape or Shape()
        self.scenes = scenes
        self._alike: dict[str, list[int]] = defaultdict(list)
        for i, cutout in enumerate(self.cutouts):
            self._alike[cutout.label].append(i)
        self._cutouts = _Pool.of(
            {
                source: [i for i, c in enumerate(self.cutouts) if c.source == source]
                for source in sorted({c.source for c in self.cutouts})
            }
        )
        self._stills = _Pool.of(_still_targets(bank))
        self._tracks = _Pool.of(_tracks(bank))
        self._scene_tracks = _Pool.of(_tracks(scenes)) if scenes is not None else _Pool()
        self._backgrounds = _Pool.of(_backgrounds(bank))
        self._kinds, self._weights = self._choose(dict(DEFAULT_MIX if mix is None else mix))

    def _choose(self, mix: dict[str, float]) -> tuple[list[Kind], list[float]]:
        for name, weight in mix.items():
            if name not in DEFAULT_MIX:
                raise DataError(f"mix: unknown kind {name!r}; choose from {', '.join(DEFAULT_MIX)}")
            if not (weight >= 0 and math.isfinite(weight)):
                raise DataError(f"mix[{name!r}] = {weight}: weights must be finite and >= 0")
        has = {
            "paste": bool(self.cutouts) and bool(self._backgrounds),
            "still": bool(self._stills),
            "video": bool(self._tracks),
            "patch": bool(self._backgrounds),
            "scene": bool(self._scene_tracks),
        }
        usable = {name: w for name, w in mix.items() if w > 0 and has[name]}
        if not usable:
            raise DataError(f"mix {mix}: the data hold nothing for any of these kinds")
        kinds = [Kind[name.upper()] for name in usable]
        return kinds, [sum(list(usable.values())[: i + 1]) for i in range(len(usable))]

    def sample(self, rng: random.Random) -> Sample:
        """One sample of a random kind; what cannot be decoded is reported and replaced."""
        for _ in range(20):
            try:
                return self.make(rng.choices(self._kinds, cum_weights=self._weights)[0], rng)
            except DataError as error:
                log.warning("sample dropped: %s", error)
        raise DataError("20 samples in a row hit unreadable pictures; check the data root")

    def make(self, kind: Kind, rng: random.Random) -> Sample:
        """One sample of the given kind."""
        if kind is Kind.PASTE:
            sample = self._paste(rng)
        elif kind is Kind.STILL:
            sample = self._still(rng)
        elif kind is Kind.VIDEO:
            sample = self._video(rng, self.bank, self._tracks, kind)
        elif kind is Kind.PATCH:
            sample = self._patch(rng)
        else:
            assert self.scenes is not None
            sample = self._video(rng, self.scenes, self._scene_tracks, kind)
        return _degrade(_flip(sample, rng), rng)

    # Motion of the search window ---------------------------------------------------------------

    def _aim(self, rng: random.Random) -> tuple[float, float, float]:
        """Where the target's centre lies in the search crop (px), and its scale in it."""
        size = self.shape.search
        if rng.random() < 0.6:
            dx, dy = laplace(rng, 0.055), laplace(rng, 0.055)
        else:
            dx, dy = rng.uniform(-0.34, 0.34), rng.uniform(-0.34, 0.34)
        zoom = rng.gauss(0.0, 0.18) if rng.random() < 0.88 else rng.uniform(-0.59, 0.59)
        zoom = math.exp(min(0.6, max(-0.6, zoom)))
        limit = 0.38
        dx, dy = min(limit, max(-limit, dx)), min(limit, max(-limit, dy))
        return size * (0.5 + dx), size * (0.5 + dy), zoom

    def _resolution(self, rng: random.Random, side: float, share: float = 0.2) -> float:
        """Share of the crop's resolution to render at: small targets are coarse targets.

        side: the target's side in the source, so that a coarse source is not blurred twice.
        """
        if rng.random() >= share:
            return 1.0
        native = math.exp(rng.uniform(math.log(8.0), math.log(26.0)))
        return min(1.0, native / min(side, self.shape.template / 2.0))

    def _fill(self, rng: random.Random, image: Image) -> _Fill:
        draw = rng.random()
        if draw < 0.55:
            return _Fill(image=self.bank.image(self._backgrounds.draw(rng)))
        if draw < 0.9:
            step = max(1, min(image.shape[:2]) // 48)
            mean = cv2.mean(np.ascontiguousarray(image[::step, ::step]))
            return _Fill(colour=(mean[0], mean[1], mean[2]))
        return _Fill(border=cv2.BORDER_REFLECT_101 if draw < 0.95 else cv2.BORDER_REPLICATE)

    def _view(self, rng: random.Random, image: Image, matrix: Affine, n: int, fill: _Fill) -> Image:
        """The n x n crop of `image` under `matrix`, with `fill` outside."""
        size = (n, n)
        if warp.covers(matrix, image.shape[1], image.shape[0], size):
            return warp.sample(image, matrix, size, border=cv2.BORDER_REPLICATE)
        if fill.image is None:
            return warp.sample(image, matrix, size, border=fill.border, fill=fill.colour)
        out = self._cover(rng, fill.image, n)
        return warp.sample(image, matrix, size, border=cv2.BORDER_TRANSPARENT, out=out)

    def _cover(self, rng: random.Random, image: Image, n: int) -> Image:
        """A random square of `image` as an n x n crop."""
        height, width = image.shape[:2]
        side = rng.uniform(0.45, 1.0) * min(height, width)
        x, y = rng.uniform(0, width - side), rng.uniform(0, height - side)
        matrix = warp.place(warp.linear(n / side), (x, y), (0.0, 0.0))
        return warp.sample(image, matrix, (n, n), border=cv2.BORDER_REFLECT_101)

    # (a) copy and paste ------------------------------------------------------------------------

    def _paste(self, rng: random.Random) -> Sample:
        shape = self.shape
        base = self.cutouts[self._cutouts.draw(rng)]
        if rng.random() < 0.35:
            base = recolour(base, rng, 0.5)
        if rng.random() < 0.3:
            base = deform(base, rng, 0.12)
        angle = rng.gauss(0, 0.2) if rng.random() < 0.7 else rng.uniform(-math.pi, math.pi)
        stretch = math.exp(rng.gauss(0, 0.15))
        background = self.bank.image(self._backgrounds.draw(rng))
        fill = self._fill(rng, background)
        world = _World(rng, background, shape.search)
        others = [self._look_alike(rng, base) for _ in range(min(_count(rng), self.distractors))]
        around = [rng.uniform(0, 2 * math.pi) for _ in others]
        away = [rng.uniform(0.7, 2.2) for _ in others]
        resolution = self._resolution(rng, max(base.rgba.shape[:2]) * 0.8)
        soft = rng.random() < 0.25
        wobble = rng.choice((0.0, 0.06, 0.14))
        if soft:
            base = soften(base)

        crops: list[Image] = []
        boxes: list[Box | None] = []
        for f in range(shape.n_search + 1):
            size = shape.template if f == 0 else shape.search
            query = f >= 2
            n = max(12, round(size * resolution))
            cutout = base
            turn, strain, shear = angle, stretch, 0.0
            if f > 0:
                cutout = self._vary(rng, base, wobble)
                spread = 0.09 if rng.random() < 0.8 else 0.35
                turn += max(-1.0, min(1.0, rng.gauss(0, spread)))
                strain *= math.exp(rng.gauss(0, 0.1 if rng.random() < 0.8 else 0.25))
                shear = rng.gauss(0, 0.06)
            pose = warp.linear(1.0, turn, strain, shear)
            x, y, w, h = warp.bounds(warp.apply(pose, cutout.hull))
            # World units: pixels of the template crop.
            unit = shape.template / context_side(w, h)
            if f == 0:
                aim, zoom = (size / 2.0, size / 2.0), 1.0
            else:
                ax, ay, zoom = self._aim(rng)
                aim = (ax, ay)
            grain = n / size
            pose = warp.place(
                pose * (unit * zoom * grain),
                (0.0, 0.0),
                (
                    aim[0] * grain - (x + w / 2) * unit * zoom * grain,
                    aim[1] * grain - (y + h / 2) * unit * zoom * grain,
                ),
            )
            ground = world.frame(rng, f, (aim[0] * grain, aim[1] * grain), zoom * grain)
            canvas = self._view(rng, background, ground, n, fill)
            side = math.sqrt(w * h) * unit * zoom * grain
            absent = query and rng.random() < 0.08
            over: list[_Layer] = []
            for k, other in enumerate(others):
                if f == 0 and rng.random() < 0.4:
                    continue
                if rng.random() < 0.35:
                    around[k] = rng.uniform(0, 2 * math.pi)
                    away[k] = rng.uniform(0.75, 2.6)
                theta, reach = around[k] + rng.gauss(0, 0.15), away[k] * math.exp(rng.gauss(0, 0.1))
                centre = (
                    aim[0] * grain + math.cos(theta) * reach * max(side, w * unit * zoom * grain),
                    aim[1] * grain + math.sin(theta) * reach * max(side, h * unit * zoom * grain),
                )
                twist = turn + rng.gauss(0, 0.25)
                layer = _posed(other, rng, twist, side * math.exp(rng.gauss(0, 0.16)), centre)
                if rng.random() < 0.25 and reach > 0.9:
                    over.append(layer)
                else:
                    warp.paste(canvas, layer.cutout.rgba, layer.matrix)
            if not absent:
                warp.paste(canvas, cutout.rgba, pose)
            for layer in over:
                warp.paste(canvas, layer.cutout.rgba, layer.matrix)
            box = warp.bounds(warp.apply(pose, cutout.hull))
            if query and not absent and rng.random() < 0.28:
                self._occlude(rng, canvas, box, background)
            if n != size:
                canvas = _enlarge(canvas, size)
            crops.append(canvas)
            boxes.append(None if absent else _scale_box(box, size / n))
        template_box = boxes[0]
        assert template_box is not None
        return Sample(Kind.PASTE, crops[0], template_box, crops[1:], boxes[1:])

    def _look_alike(self, rng: random.Random, target: Cutout) -> Cutout:
        """A distractor: the target in another colour or form, one of its class, or anything."""
        draw = rng.random()
        if draw < 0.45:
            other = recolour(target, rng, 1.0) if rng.random() < 0.75 else target
            if other is target or rng.random() < 0.6:
                other = deform(other, rng, 0.3)
            return mirrored(other) if rng.random() < 0.5 else other
        alike = self._alike[target.label]
        if draw < 0.75 and len(alike) > 1:
            return self.cutouts[alike[int(rng.random() * len(alike))]]
        return self.cutouts[self._cutouts.draw(rng)]

    def _vary(self, rng: random.Random, cutout: Cutout, wobble: float) -> Cutout:
        """The same target a little later: other light, slightly other form."""
        if wobble and rng.random() < 0.6:
            cutout = deform(cutout, rng, wobble)
        if rng.random() < 0.35:
            cutout = recolour(cutout, rng, 0.15)
        return cutout

    def _occlude(self, rng: random.Random, canvas: Image, box: Box, background: Image) -> None:
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
            cutout = self.cutouts[self._cutouts.draw(rng)]
            hx, hy, hw, hh = warp.bounds(cutout.hull)
            sx, sy = width / hw, height / hh
            matrix = warp.affine(sx, 0, left - hx * sx, 0, sy, top - hy * sy)
            warp.paste(canvas, cutout.rgba, matrix)
            return
        texture = background
        if rng.random() < 0.5:
            texture = self.bank.image(self._backgrounds.draw(rng))
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
        warp.paste(canvas, rgba, warp.affine(sx, 0, left - sx, 0, sy, top - sy))

    # (b) boxes on stills and (d) random patches ------------------------------------------------

    def _still(self, rng: random.Random) -> Sample:
        i, j = self._stills.draw(rng)
        sample = self._from_image(rng, self.bank.image(i), self.bank.records[i].targets[j])
        sample.kind = Kind.STILL
        return sample

    def _patch(self, rng: random.Random) -> Sample:
        image, box = self._textured(rng)
        sample = self._from_image(rng, image, Target(box))
        sample.kind = Kind.PATCH
        return sample

    def _textured(self, rng: random.Random) -> tuple[Image, Box]:
        """A rectangle with something to see in it, of aspect 0.3 to 3."""
        for attempt in range(8):
            image = self.bank.image(self._backgrounds.draw(rng))
            rows, cols = image.shape[:2]
            side = math.exp(rng.uniform(math.log(16.0), math.log(0.5 * min(rows, cols))))
            root = math.exp(0.5 * max(-1.2, min(1.2, rng.gauss(0, 0.5))))
            w, h = min(side * root, 0.8 * cols), min(side / root, 0.8 * rows)
            x, y = rng.uniform(0, cols - w), rng.uniform(0, rows - h)
            part = image[int(y) : int(y + h) + 1, int(x) : int(x + w) + 1]
            deviation = cv2.meanStdDev(part)[1]
            if float(deviation.max()) > 22 or attempt == 7:
                break
        return image, (x, y, w, h)

    def _from_image(self, rng: random.Random, image: Image, target: Target) -> Sample:
        """Template and search crops of one picture by different warps."""
        shape = self.shape
        _, _, w, h = target.box
        fill = self._fill(rng, image)
        resolution = self._resolution(rng, math.sqrt(w * h))
        others = self._strangers(rng)
        loose = 2.5 if target.polygon else 1.0
        base = warp.linear(1.0, rng.gauss(0, 0.04) * loose, math.exp(rng.gauss(0, 0.06)))
        crops: list[Image] = []
        boxes: list[Box | None] = []
        for f in range(shape.n_search + 1):
            size = shape.template if f == 0 else shape.search
            query = f >= 2
            if query and rng.random() < 0.05:
                crops.append(self._elsewhere(rng, size, resolution))
                boxes.append(None)
                continue
            matrix = base
            if f > 0:
                turn = max(-0.18, min(0.18, rng.gauss(0, 0.05))) * loose
                change = warp.linear(
                    1.0, turn, math.exp(rng.gauss(0, 0.09)), rng.gauss(0, 0.03) * loose
                )
                matrix = warp.affine(*_compose(change, base))
            crop, box = self._window(rng, image, target, matrix, f, resolution, fill, others)
            if query and rng.random() < 0.15 and self.cutouts:
                self._occlude(rng, crop, box, image)
            crops.append(crop)
            boxes.append(box)
        template_box = boxes[0]
        assert template_box is not None
        return Sample(Kind.STILL, crops[0], template_box, crops[1:], boxes[1:])

    def _window(
        self,
        rng: random.Random,
        image: Image,
        target: Target,
        matrix: Affine,
        f: int,
        resolution: float,
        fill: _Fill,
        others: Sequence[Cutout],
    ) -> tuple[Image, Box]:
        """One crop about `target` (f = 0: the template) and the box in it."""
        size = self.shape.template if f == 0 else self.shape.search
        x, y, w, h = extent(target, matrix)
        unit = self.shape.template / context_side(w, h)
        ax, ay, zoom = (size / 2.0, size / 2.0, 1.0) if f == 0 else self._aim(rng)
        n = max(12, round(size * resolution))
        grain = n / size
        scale = unit * zoom * grain
        matrix = matrix * scale
        matrix[0, 2] += ax * grain - (x + w / 2) * scale
        matrix[1, 2] += ay * grain - (y + h / 2) * scale
        crop = self._view(rng, image, matrix, n, fill)
        box = extent(target, matrix)
        side = math.sqrt(max(1.0, box[2] * box[3]))
        for other in others:
            reach = rng.uniform(1.0, 2.4)
            theta = rng.uniform(0, 2 * math.pi)
            centre = (
                ax * grain + math.cos(theta) * reach * max(side, box[2]),
                ay * grain + math.sin(theta) * reach * max(side, box[3]),
            )
            layer = _posed(other, rng, rng.gauss(0, 0.2), side * rng.uniform(0.5, 1.1), centre)
            warp.paste(crop, layer.cutout.rgba, layer.matrix)
        if n != size:
            crop = _enlarge(crop, size)
        return crop, _scale_box(box, size / n)

    def _strangers(self, rng: random.Random) -> list[Cutout]:
        """A few pasted objects, so that what is pasted is not always the target."""
        if not self.cutouts or rng.random() < 0.72:
            return []
        return [self.cutouts[self._cutouts.draw(rng)] for _ in range(rng.choice((1, 1, 2)))]

    def _elsewhere(self, rng: random.Random, size: int, resolution: float) -> Image:
        """A crop of another picture, where the target is not."""
        n = max(12, round(size * resolution))
        crop = self._cover(rng, self.bank.image(self._backgrounds.draw(rng)), n)
        return crop if n == size else _enlarge(crop, size)

    # (c) video and (e) generated scenes --------------------------------------------------------

    def _video(self, rng: random.Random, bank: Bank, tracks: _Pool, kind: Kind) -> Sample:
        shape = self.shape
        track = tracks.draw(rng)
        frames = _times(rng, len(track), shape.n_search + 1)
        first = bank.target(track[frames[0]])
        _, _, w, h = first.box
        resolution = self._resolution(rng, math.sqrt(w * h), 0.12)
        fill: _Fill | None = None
        others = self._strangers(rng) if kind is Kind.VIDEO and rng.random() < 0.5 else []
        tilt = warp.linear(1.0, rng.gauss(0, 0.04), math.exp(rng.gauss(0, 0.05)))
        crops: list[Image] = []
        boxes: list[Box | None] = []
        for f, t in enumerate(frames):
            i, j = track[t]
            image = bank.image(i)
            fill = self._fill(rng, image) if fill is None else fill
            if f >= 2 and rng.random() < 0.05:
                crops.append(self._elsewhere(rng, shape.search, resolution))
                boxes.append(None)
                continue
            target = bank.records[i].targets[j]
            crop, box = self._window(rng, image, target, tilt, f, resolution, fill, others)
            crops.append(crop)
            boxes.append(box)
        template_box = boxes[0]
        assert template_box is not None
        return Sample(kind, crops[0], template_box, crops[1:], boxes[1:])


class _World:
    """The ground beneath a pasted target: one picture, moved by a camera of its own."""

    def __init__(self, rng: random.Random, image: Image, search: int) -> None:
        rows, cols = image.shape[:2]
        self.width, self.height = cols, rows
        reach = rng.uniform(0.4, 1.05) * min(rows, cols)
        self.scale = search / max(reach, 60.0)
        self.angle = rng.gauss(0, 0.05)
        margin = 0.15
        self.x = rng.uniform(margin, 1 - margin) * cols
        self.y = rng.uniform(margin, 1 - margin) * rows
        self.calm = rng.random() < 0.5

    def frame(self, rng: random.Random, f: int, aim: tuple[float, float], zoom: float) -> Affine:
        """Map of the picture into crop f, where the target stands at `aim` (crop pixels)."""
        if f > 0:
            step = 0.06 if self.calm else 0.3
            self.x = min(self.width, max(0.0, self.x + rng.gauss(0, step) * self.height))
            self.y = min(self.height, max(0.0, self.y + rng.gauss(0, step) * self.height))
        scale = self.scale * zoom * math.exp(rng.gauss(0, 0.06))
        matrix = warp.linear(scale, self.angle + rng.gauss(0, 0.04))
        return warp.place(matrix, (self.x, self.y), aim)


# Parts ----------------------------------------------------------------------------------------


def recolour(cutout: Cutout, rng: random.Random, strength: float) -> Cutout:
    """Other light and hue; strength 1 turns the colours far enough to tell the two apart."""
    gain = math.exp(rng.gauss(0, 0.3 * strength))
    offset = rng.gauss(0, 30 * strength) / 255.0
    hue = rng.gauss(0, 1.0 * strength)
    saturation = math.exp(rng.gauss(0, 0.4 * strength))
    # Rotation about the grey axis (Rodrigues), then saturation towards grey.
    cos, sin = math.cos(hue), math.sin(hue)
    cross = sin / math.sqrt(3.0)
    third = (1.0 - cos) / 3.0
    matrix = np.array(
        [
            [cos + third, third - cross, third + cross],
            [third + cross, cos + third, third - cross],
            [third - cross, third + cross, cos + third],
        ]
    )
    matrix = gain * (saturation * matrix + (1.0 - saturation) / 3.0)
    full = np.zeros((4, 4))
    full[:3, :3] = matrix
    full[:3, 3] = offset
    full[3, 3] = 1.0
    rgba = cv2.transform(cutout.rgba, full)
    # Colour multiplied by alpha can never exceed alpha.
    alpha = cv2.cvtColor(cv2.extractChannel(rgba, 3), cv2.COLOR_GRAY2BGRA)
    cv2.insertChannel(cv2.extractChannel(rgba, 3), alpha, 3)
    return Cutout(cv2.min(rgba, alpha), cutout.hull, cutout.label, cutout.source)


def mirrored(cutout: Cutout) -> Cutout:
    """Left and right exchanged."""
    hull = cutout.hull.copy()
    hull[:, 0] = cutout.rgba.shape[1] - hull[:, 0]
    return Cutout(cv2.flip(cutout.rgba, 1), hull, cutout.label, cutout.source)


def soften(cutout: Cutout) -> Cutout:
    """The same with a softer outline."""
    rgba = cv2.copyMakeBorder(cutout.rgba, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(0,) * 4)
    rgba = cv2.GaussianBlur(rgba, (5, 5), 1.0)
    hull = hull_of(cv2.extractChannel(rgba, 3))
    return cutout if hull is None else Cutout(rgba, hull, cutout.label, cutout.source)


def deform(cutout: Cutout, rng: random.Random, amount: float) -> Cutout:
    """Bent by a smooth random field (amount: its spread as a share of the object's side / 2)."""
    height, width = cutout.rgba.shape[:2]
    pad = 2 + int(0.12 * min(1.0, amount * 4) * max(height, width))
    outer = (width + 2 * pad, height + 2 * pad)
    draws = [rng.gauss(0, 1) for _ in range(40)]
    coarse = np.array(draws[:32], np.float32).reshape(4, 4, 2)
    tilt = cv2.resize(
        np.array(draws[32:], np.float32).reshape(2, 2, 2), (4, 4), interpolation=cv2.INTER_LINEAR
    )
    coarse = (0.35 * coarse + 0.65 * tilt) * np.float32(0.25 * amount)
    coarse = np.clip(coarse, -0.11, 0.11) * np.array([width, height], np.float32)
    shift = cv2.resize(coarse, outer, interpolation=cv2.INTER_CUBIC)
    to_x = shift[:, :, 0] + (np.arange(outer[0], dtype=np.float32) - pad)
    to_y = shift[:, :, 1] + (np.arange(outer[1], dtype=np.float32) - pad)[:, None]
    rgba = cv2.remap(cutout.rgba, to_x, to_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    hull = hull_of(cv2.extractChannel(rgba, 3))
    if hull is None or np.ptp(hull, axis=0).min() < 4:
        return cutout
    return Cutout(rgba, hull, cutout.label, cutout.source)


def _posed(
    cutout: Cutout, rng: random.Random, angle: float, side: float, centre: tuple[float, float]
) -> _Layer:
    """`cutout` turned, with the given root of its box area, centred at `centre`."""
    matrix = warp.linear(1.0, angle, math.exp(rng.gauss(0, 0.12)))
    x, y, w, h = warp.bounds(warp.apply(matrix, cutout.hull))
    scale = side / math.sqrt(max(1.0, w * h))
    matrix = matrix * scale
    matrix[0, 2] = centre[0] - (x + w / 2) * scale
    matrix[1, 2] = centre[1] - (y + h / 2) * scale
    return _Layer(cutout, matrix)


def _compose(second: Affine, first: Affine) -> list[float]:
    """Coefficients of `second` after `first`."""
    out = second[:, :2] @ first
    out[:, 2] += second[:, 2]
    return out.reshape(-1).tolist()


def _count(rng: random.Random) -> int:
    """Number of distractors: 0 to 4."""
    return rng.choices((0, 1, 2, 3, 4), weights=(25, 25, 22, 16, 12))[0]


def _scale_box(box: Box, factor: float) -> Box:
    return box[0] * factor, box[1] * factor, box[2] * factor, box[3] * factor


def _enlarge(image: Image, size: int) -> Image:
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)


def _times(rng: random.Random, length: int, count: int) -> list[int]:
    """Frame indices of a track, in any order, mostly within 10 steps, repeated if it is short."""
    reach = min(length - 1, rng.choice((3, 6, 10, 10, 20)))
    start = int(rng.random() * (length - reach))
    if reach + 1 >= count:
        frames = rng.sample(range(start, start + reach + 1), count)
    else:
        frames = [start + int(rng.random() * (reach + 1)) for _ in range(count)]
    return sorted(frames) if rng.random() < 0.5 else frames


def _flip(sample: Sample, rng: random.Random) -> Sample:
    """Mirrors all crops of the sample alike: sideways half of the time, seldom upside down."""
    for axis, chance in ((1, 0.5), (0, 0.08)):
        if rng.random() >= chance:
            continue

        def mirror(box: Box, size: int, axis: int = axis) -> Box:
            x, y, w, h = box
            return (size - x - w, y, w, h) if axis == 1 else (x, size - y - h, w, h)

        sample.template_box = mirror(sample.template_box, sample.template.shape[0])
        sample.template = cv2.flip(sample.template, axis)
        size = sample.search[0].shape[0]
        sample.boxes = [None if b is None else mirror(b, size) for b in sample.boxes]
        sample.search = [cv2.flip(image, axis) for image in sample.search]
    return sample


def _degrade(sample: Sample, rng: random.Random) -> Sample:
    """Motion blur on single search crops, JPEG artefacts on whole samples."""
    quality = rng.randint(20, 75) if rng.random() < 0.12 else 0
    images = [sample.template, *sample.search]
    for k in range(len(images)):
        if k > 0 and rng.random() < 0.1:
            images[k] = _streak(images[k], rng)
        if quality:
            _, data = cv2.imencode(".jpg", images[k], (cv2.IMWRITE_JPEG_QUALITY, quality))
            images[k] = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    sample.template, sample.search = images[0], images[1:]
    return sample


def _streak(image: Image, rng: random.Random) -> Image:
    """Motion blur along a random direction, centred so that boxes keep their place."""
    length = rng.uniform(2.0, 6.0)
    kernel = np.zeros((11, 11), np.float32)
    angle = rng.uniform(0, math.pi)
    dx, dy = math.cos(angle) * length / 2, math.sin(angle) * length / 2
    first = (round((5 - dx) * 16), round((5 - dy) * 16))
    last = (round((5 + dx) * 16), round((5 + dy) * 16))
    cv2.line(kernel, first, last, 1.0, 1, cv2.LINE_AA, shift=4)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def _still_targets(bank: Bank) -> dict[str, list[tuple[int, int]]]:
    """Usable (record, target) pairs per source."""
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for i, record in enumerate(bank.records):
        for j, target in enumerate(record.targets):
            _, _, w, h = target.box
            if (
                min(w, h) >= 7
                and w * h >= 120
                and w * h <= 0.4 * record.width * record.height
                and max(w, h) <= 6 * min(w, h)
            ):
                found[record.source].append((i, j))
    return found


def _tracks(bank: Bank) -> dict[str, list[list[tuple[int, int]]]]:
    """Video tracks per source, without boxes too small to see."""
    found: dict[str, list[list[tuple[int, int]]]] = defaultdict(list)
    for track in bank.tracks:
        good = [at for at in track if min(bank.target(at).box[2:]) >= 5]
        if len(good) > 1:
            found[bank.records[good[0][0]].source].append(good)
    return found


def _backgrounds(bank: Bank) -> dict[str, list[int]]:
    """Pictures large enough to lie behind a target, per source."""
    found: dict[str, list[int]] = defaultdict(list)
    for i, record in enumerate(bank.records):
        if min(record.width, record.height) >= 64:
            found[record.source].append(i)
    return found


__all__ = ["DEFAULT_MIX", "Kind", "Points", "Sample", "Shape", "Synthesis", "extent"]
