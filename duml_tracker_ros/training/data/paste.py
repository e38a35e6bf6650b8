"""Copy and paste: a cut-out moved over a picture, among others that look like it."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np

from duml_tracker_ros.tracker.geometry import context_side

from . import warp
from .appearance import PosedCutout, deform, mirrored, posed, recolour, soften
from .compositor import Compositor, enlarge, scale_box
from .cutouts import Cutout
from .samples import Crops, SampleKind, TrainingSample
from .warp import Affine, Image


@dataclass(slots=True)
class _Pose:
    """The target in one crop: its map, the centre and sides of its box, and the window's zoom."""

    cutout: Cutout
    matrix: Affine
    centre: tuple[float, float]
    width: float
    height: float
    zoom: float
    turn: float

    @property
    def side(self) -> float:
        return math.sqrt(self.width * self.height)


class Distractors:
    """The distractors of a sample: each keeps its place beside the target, or takes another."""

    def __init__(self, rng: random.Random, others: list[Cutout]) -> None:
        self.others = others
        self.angle = [rng.uniform(0, 2 * math.pi) for _ in others]
        self.reach = [rng.uniform(0.7, 2.2) for _ in others]

    def layers(
        self, rng: random.Random, pose: _Pose, first: bool
    ) -> tuple[list[PosedCutout], list[PosedCutout]]:
        """Return layers under and layers over the target in one crop (`first`: the template)."""
        under: list[PosedCutout] = []
        over: list[PosedCutout] = []
        for k, other in enumerate(self.others):
            if first and rng.random() < 0.4:
                continue
            if rng.random() < 0.35:
                self.angle[k] = rng.uniform(0, 2 * math.pi)
                self.reach[k] = rng.uniform(0.75, 2.6)
            theta = self.angle[k] + rng.gauss(0, 0.15)
            reach = self.reach[k] * math.exp(rng.gauss(0, 0.1))
            centre = (
                pose.centre[0] + math.cos(theta) * reach * max(pose.side, pose.width),
                pose.centre[1] + math.sin(theta) * reach * max(pose.side, pose.height),
            )
            twist = pose.turn + rng.gauss(0, 0.25)
            layer = posed(other, rng, twist, pose.side * math.exp(rng.gauss(0, 0.16)), centre)
            (over if rng.random() < 0.25 and reach > 0.9 else under).append(layer)
        return under, over


class PasteMaker:
    """Samples of cut-outs on backgrounds; distractors: the greatest number of look-alikes."""

    def __init__(self, compositor: Compositor, distractors: int = 4) -> None:
        self.compositor = compositor
        self.distractors = distractors

    def __bool__(self) -> bool:
        return bool(self.compositor.cutouts) and bool(self.compositor.backgrounds)

    def make(self, rng: random.Random) -> TrainingSample:
        compositor, shape = self.compositor, self.compositor.shape
        base = compositor.any_cutout(rng)
        if rng.random() < 0.35:
            base = recolour(base, rng, 0.5)
        if rng.random() < 0.3:
            base = deform(base, rng, 0.12)
        angle = rng.gauss(0, 0.2) if rng.random() < 0.7 else rng.uniform(-math.pi, math.pi)
        stretch = math.exp(rng.gauss(0, 0.15))
        background = compositor.bank.image(compositor.backgrounds.draw(rng))
        outside = compositor.outside(rng, background)
        ground = _Ground(rng, background, shape.search)
        count = min(_count(rng), self.distractors)
        distractors = Distractors(rng, [self._look_alike(rng, base) for _ in range(count)])
        resolution = compositor.resolution(rng, max(base.rgba.shape[:2]) * 0.8)
        wobble = rng.choice((0.0, 0.06, 0.14))
        if rng.random() < 0.25:
            base = soften(base)

        crops = Crops()
        for f in range(shape.n_search + 1):
            size = shape.template if f == 0 else shape.search
            n = max(12, round(size * resolution))
            query = shape.is_query(f)
            cutout = self._vary(rng, base, wobble) if f > 0 else base
            pose = self._pose(rng, cutout, angle, stretch, f, n / size)
            matrix = ground.move(rng, f, pose.centre, pose.zoom)
            canvas = compositor.view(rng, background, matrix, n, outside)
            under, over = distractors.layers(rng, pose, f == 0)
            absent = query and rng.random() < 0.08
            target = PosedCutout(cutout, pose.matrix)
            mask = np.zeros((n, n), np.uint8) if shape.masks and f > 0 and not absent else None
            for layer in (*under, *([] if absent else [target]), *over):
                warp.paste(canvas, layer.cutout.rgba, layer.matrix, mask, own=layer is target)
            box = warp.bounds(warp.apply(pose.matrix, cutout.hull))
            if query and not absent and rng.random() < 0.28:
                compositor.occlude(rng, canvas, box, background, mask)
            if n != size:
                canvas = enlarge(canvas, size)
                mask = None if mask is None else enlarge(mask, size)
            crops.add(canvas, None if absent else scale_box(box, size / n), mask)
        return crops.sample(SampleKind.PASTE, shape)

    def _pose(
        self, rng: random.Random, cutout: Cutout, angle: float, stretch: float, f: int, grain: float
    ) -> _Pose:
        """The target's place in crop f, which is rendered at `grain` of its resolution."""
        shape = self.compositor.shape
        shear = 0.0
        if f > 0:
            spread = 0.09 if rng.random() < 0.7 else 0.45
            angle += max(-1.2, min(1.2, rng.gauss(0, spread)))
            stretch *= math.exp(rng.gauss(0, 0.1 if rng.random() < 0.65 else 0.4))
            shear = rng.gauss(0, 0.06)
        matrix = warp.linear(1.0, angle, stretch, shear)
        x, y, w, h = warp.bounds(warp.apply(matrix, cutout.hull))
        aim_x, aim_y, zoom = (
            self.compositor.first_aim(rng, w, h) if f == 0 else self.compositor.aim(rng)
        )
        scale = shape.template / context_side(w, h) * zoom * grain
        centre = (aim_x * grain, aim_y * grain)
        matrix = matrix * scale
        matrix[0, 2] = centre[0] - (x + w / 2) * scale
        matrix[1, 2] = centre[1] - (y + h / 2) * scale
        return _Pose(cutout, matrix, centre, w * scale, h * scale, zoom * grain, angle)

    def _look_alike(self, rng: random.Random, target: Cutout) -> Cutout:
        """A distractor: the target in another colour or form, one of its class, or anything."""
        draw = rng.random()
        if draw < 0.45:
            other = recolour(target, rng, 1.0) if rng.random() < 0.85 else target
            if other is target or rng.random() < 0.6:
                other = deform(other, rng, 0.3)
            return mirrored(other) if rng.random() < 0.5 else other
        alike = self.compositor.alike(target)
        if draw < 0.75 and len(alike) > 1:
            return alike[int(rng.random() * len(alike))]
        return self.compositor.any_cutout(rng)

    def _vary(self, rng: random.Random, cutout: Cutout, wobble: float) -> Cutout:
        """The same target a little later: other light, slightly other form."""
        if wobble and rng.random() < 0.6:
            cutout = deform(cutout, rng, wobble)
        if rng.random() < 0.35:
            cutout = recolour(cutout, rng, 0.15)
        return cutout


class _Ground:
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

    def move(self, rng: random.Random, f: int, centre: tuple[float, float], zoom: float) -> Affine:
        """Map of the picture into crop f, where the target stands at `centre` (crop pixels)."""
        if f > 0:
            step = 0.06 if self.calm else 0.3
            self.x = min(self.width, max(0.0, self.x + rng.gauss(0, step) * self.height))
            self.y = min(self.height, max(0.0, self.y + rng.gauss(0, step) * self.height))
        scale = self.scale * zoom * math.exp(rng.gauss(0, 0.06))
        matrix = warp.linear(scale, self.angle + rng.gauss(0, 0.04))
        return warp.place(matrix, (self.x, self.y), centre)


def _count(rng: random.Random) -> int:
    """Number of distractors: 0 to 4."""
    return rng.choices((0, 1, 2, 3, 4), weights=(25, 25, 22, 16, 12))[0]
