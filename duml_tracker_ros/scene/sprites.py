"""Vehicles and people as stacks of flat layers, so that an oblique camera sees their sides.

A model lives in its own metres: x forward, y right, origin in the middle of the foot print.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from .arrays import ByteImage, Matrix
from .camera import pixel_matrix, project

Colour = tuple[float, float, float]
PlaneOf = Callable[[float], Matrix]

KINDS = ("car", "van", "pickup", "truck", "bus", "bike", "person")
LENGTHS = {
    "car": 4.5,
    "van": 5.4,
    "pickup": 5.3,
    "truck": 10.5,
    "bus": 11.8,
    "bike": 2.0,
    "person": 0.62,
}
PAINTS: tuple[Colour, ...] = (
    (232, 232, 230),
    (205, 207, 210),
    (120, 124, 130),
    (34, 36, 40),
    (150, 28, 26),
    (196, 44, 34),
    (28, 58, 128),
    (60, 108, 176),
    (30, 92, 62),
    (204, 168, 40),
    (214, 120, 34),
    (122, 92, 64),
)


@dataclass(frozen=True)
class Layer:
    """One horizontal cut, repeated from `low` to `high` metres above the ground.

    rgba: pre-multiplied uint8 [h, w, 4]; outline: polygon [N, 2] in model metres.
    """

    low: float
    high: float
    rgba: ByteImage
    outline: Matrix


@dataclass(frozen=True)
class Model:
    """A vehicle or person: layers bottom up, drawn with `resolution` pixels per metre."""

    kind: str
    length: float
    width: float
    height: float
    resolution: float
    layers: tuple[Layer, ...]
    shadow: ByteImage
    shadow_margin: float

    def placement(self, x: float, y: float, heading: float) -> Matrix:
        """Model metres to ground metres [3, 3]."""
        c, s = math.cos(heading), math.sin(heading)
        return np.array([[c, -s, x], [s, c, y], [0, 0, 1]])


class _Sheet:
    """A small drawing surface in model metres."""

    def __init__(self, length: float, width: float, resolution: float, colour: Colour) -> None:
        self.size = (math.ceil(length * resolution) + 4, math.ceil(width * resolution) + 4)
        self.resolution = resolution
        self.rgb = np.empty((self.size[1], self.size[0], 3), np.uint8)
        self.rgb[:] = np.clip(colour, 0, 255)
        self.alpha = np.zeros((self.size[1], self.size[0]), np.uint8)

    def points(self, points: Matrix) -> Matrix:
        centre = np.array(self.size) / 2
        return np.round((points * self.resolution + centre - 0.5) * 16).astype(np.int32)

    def fill(self, outline: Matrix) -> None:
        cv2.fillPoly(self.alpha, [self.points(outline)], 255, cv2.LINE_AA, 4)

    def paint(self, outline: Matrix, colour: Colour) -> None:
        cv2.fillPoly(
            self.rgb,
            [self.points(outline)],
            tuple(float(np.clip(c, 0, 255)) for c in colour),
            cv2.LINE_AA,
            4,
        )

    def sheen(self, rng: np.random.Generator, strength: float) -> None:
        """Light falls off along and across: flat paint looks like a block of colour."""
        h, w = self.alpha.shape
        across = np.cos((np.arange(h, dtype=np.float32) / h - rng.uniform(0.3, 0.7)) * math.pi)
        along = np.sin((np.arange(w, dtype=np.float32) / w * 2 + rng.random()) * math.pi)
        gain = 1 + strength * (across[:, None] - 0.7) + 0.25 * strength * along[None]
        self.rgb = np.clip(self.rgb * gain[..., None], 0, 255).astype(np.uint8)

    def layer(self, low: float, high: float, outline: Matrix) -> Layer:
        self.fill(outline)
        alpha = self.alpha.astype(np.uint16)[..., None]
        rgba = np.dstack([(self.rgb * alpha // 255).astype(np.uint8), self.alpha])
        return Layer(low, high, np.ascontiguousarray(rgba), outline)


def rounded(length: float, width: float, radius: float, x: float = 0.0, y: float = 0.0) -> Matrix:
    """Rectangle with round corners around (x, y), polygon [N, 2]."""
    radius = min(radius, length / 2, width / 2)
    angle = np.linspace(0, np.pi / 2, 5)
    quarter = np.stack([np.cos(angle), np.sin(angle)], 1) * radius
    out = []
    for k, (sx, sy) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        part = quarter * (sx, sy) + (sx * (length / 2 - radius), sy * (width / 2 - radius))
        out.append(part if k % 2 == 0 else part[::-1])
    return np.vstack(out) + np.array([x, y])


def _shade(colour: Colour, gain: float) -> Colour:
    return (colour[0] * gain, colour[1] * gain, colour[2] * gain)


def _finish(
    kind: str, length: float, width: float, height: float, resolution: float, layers: list[Layer]
) -> Model:
    margin = 0.6 if kind not in ("person", "bike") else 0.25
    sheet = _Sheet(length + 2 * margin, width + 2 * margin, resolution, (0, 0, 0))
    sheet.fill(rounded(length, width, width * 0.25))
    sigma = max(0.6, margin * resolution * 0.3)
    shadow = cv2.GaussianBlur(sheet.alpha, (0, 0), sigma)
    return Model(kind, length, width, height, resolution, tuple(layers), shadow, margin)


def build(kind: str, paint: Colour, resolution: float, rng: np.random.Generator) -> Model:
    """Draw a model of one of KINDS; resolution in pixels per metre.

    Raises ValueError for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is unknown; use one of {', '.join(KINDS)}")
    length = LENGTHS[kind] * float(rng.uniform(0.95, 1.05))
    if kind in ("car", "van", "pickup"):
        return _car(kind, length, paint, resolution, rng)
    if kind in ("truck", "bus"):
        return _long(kind, length, paint, resolution, rng)
    return (
        _bike(length, paint, resolution, rng)
        if kind == "bike"
        else _person(length, paint, resolution, rng)
    )


def _car(kind: str, length: float, paint: Colour, res: float, rng: np.random.Generator) -> Model:
    width = {"car": 1.85, "van": 2.05, "pickup": 2.0}[kind] * float(rng.uniform(0.96, 1.04))
    body_top, roof_top = {"car": (0.85, 1.45), "van": (1.05, 2.1), "pickup": (1.0, 1.75)}[kind]
    glass: Colour = (30, 38, 48)
    body = rounded(length, width, 0.42)
    side = _Sheet(length, width, res, _shade(paint, 0.62))
    layers = [side.layer(0.2, body_top - 0.1, body)]
    top = _Sheet(length, width, res, paint)
    top.sheen(rng, 0.22)
    front, back = length / 2, -length / 2
    for sign in (-1.0, 1.0):
        top.paint(rounded(0.22, 0.4, 0.1, front - 0.14, sign * (width / 2 - 0.3)), (246, 244, 226))
        top.paint(rounded(0.16, 0.36, 0.06, back + 0.1, sign * (width / 2 - 0.28)), (168, 20, 22))
    top.paint(rounded(0.1, width * 0.5, 0.04, front - 0.06), _shade(paint, 0.4))
    if kind == "car":
        top.paint(rounded(0.05, width * 0.8, 0.02, front - 1.15), _shade(paint, 0.7))
        top.paint(rounded(0.05, width * 0.8, 0.02, back + 0.62), _shade(paint, 0.7))
    if kind == "pickup":
        top.paint(rounded(1.75, width - 0.36, 0.08, back + 1.05), (52, 50, 48))
    layers.append(top.layer(body_top, body_top, body))
    start, end = {"car": (-0.40, 0.26), "van": (-0.47, 0.34), "pickup": (-0.06, 0.28)}[kind]
    cabin_x, cabin_l = (start + end) / 2 * length, (end - start) * length
    cabin = rounded(cabin_l, width - 0.18, 0.3, cabin_x)
    window = _Sheet(length, width, res, glass if kind != "van" else _shade(paint, 0.66))
    layers.append(window.layer(body_top + 0.08, roof_top - 0.08, cabin))
    roof = _Sheet(length, width, res, paint)
    roof.sheen(rng, 0.16)
    # Glass in front and behind: seen from above it is what tells a car from a box.
    shield = 0.62 if kind == "car" else 0.5
    roof.paint(rounded(shield, width - 0.3, 0.14, cabin_x + cabin_l / 2 - shield / 2), glass)
    roof.paint(
        rounded(0.42, width - 0.36, 0.12, cabin_x - cabin_l / 2 + 0.21),
        glass if kind != "van" else _shade(paint, 0.8),
    )
    roof.paint(rounded(0.16, width * 0.45, 0.05, cabin_x + cabin_l / 2 - 0.25), (96, 112, 128))
    for sign in (-1.0, 1.0):
        roof.paint(
            rounded(cabin_l - 1.1, 0.14, 0.06, cabin_x, sign * (width / 2 - 0.2)),
            _shade(glass, 1.4) if kind != "van" else _shade(paint, 0.8),
        )
    if kind == "car" and rng.random() < 0.3:
        roof.paint(rounded(0.7, 0.8, 0.1, cabin_x + 0.1), (44, 50, 58))
    layers.append(roof.layer(roof_top, roof_top, rounded(cabin_l, width - 0.22, 0.32, cabin_x)))
    return _finish(kind, length, width, roof_top, res, layers)


def _long(kind: str, length: float, paint: Colour, res: float, rng: np.random.Generator) -> Model:
    width, height = 2.5, 3.3 if kind == "truck" else 3.1
    layers = []
    if kind == "bus":
        body = rounded(length, width, 0.35)
        layers.append(_Sheet(length, width, res, _shade(paint, 0.65)).layer(0.3, 1.3, body))
        layers.append(_Sheet(length, width, res, (34, 42, 52)).layer(1.4, 2.5, body))
        roof = _Sheet(length, width, res, _shade(paint, 1.05))
        roof.sheen(rng, 0.16)
        for x in (-0.3, 0.05, 0.3):
            roof.paint(rounded(1.5, 1.3, 0.15, x * length), _shade(paint, 0.84))
            roof.paint(rounded(1.2, 1.0, 0.12, x * length + 0.05, 0.05), _shade(paint, 0.93))
        roof.paint(rounded(0.35, width - 0.4, 0.1, length / 2 - 0.22), (30, 38, 48))
        layers.append(roof.layer(2.6, height, body))
        return _finish(kind, length, width, height, res, layers)
    cab_l, gap = 2.3, 0.5
    box_l = length - cab_l - gap
    cab_x, box_x = length / 2 - cab_l / 2, -length / 2 + box_l / 2
    chassis = rounded(length, width - 0.5, 0.1)
    layers.append(_Sheet(length, width, res, (38, 38, 40)).layer(0.3, 0.9, chassis))
    cargo: Colour = ((226, 226, 222), (190, 196, 200), (70, 104, 150), (168, 88, 56))[
        int(rng.integers(4))
    ]
    cab = _Sheet(length, width, res, paint)
    cab.sheen(rng, 0.18)
    cab.paint(rounded(0.45, width - 0.3, 0.1, length / 2 - 0.3), (30, 38, 48))
    layers.append(cab.layer(0.5, 2.6, rounded(cab_l, width - 0.1, 0.3, cab_x)))
    box_outline = rounded(box_l, width, 0.06, box_x)
    layers.append(
        _Sheet(length, width, res, _shade(cargo, 0.7)).layer(1.0, height - 0.2, box_outline)
    )
    top = _Sheet(length, width, res, cargo)
    top.sheen(rng, 0.12)
    for x in np.arange(-box_l / 2 + 0.8, box_l / 2, 1.2):
        top.paint(rounded(0.07, width, 0.02, box_x + float(x)), _shade(cargo, 0.86))
    layers.append(top.layer(height, height, box_outline))
    return _finish(kind, length, width, height, res, layers)


def _bike(length: float, paint: Colour, res: float, rng: np.random.Generator) -> Model:
    width = 0.75
    frame = _Sheet(length, width, res, (40, 40, 44))
    layers = [frame.layer(0.2, 0.8, rounded(length, 0.16, 0.06))]
    bar = _Sheet(length, width, res, (60, 60, 64))
    layers.append(bar.layer(0.95, 0.95, rounded(0.12, width - 0.1, 0.05, length * 0.25)))
    body = _Sheet(length, width, res, paint)
    body.sheen(rng, 0.25)
    layers.append(body.layer(0.9, 1.4, rounded(0.7, 0.5, 0.22, -0.05)))
    head = _Sheet(length, width, res, PAINTS[int(rng.integers(len(PAINTS)))])
    layers.append(head.layer(1.5, 1.68, rounded(0.28, 0.24, 0.12, 0.12)))
    return _finish("bike", length, width, 1.68, res, layers)


def _person(length: float, paint: Colour, res: float, rng: np.random.Generator) -> Model:
    width = 0.58
    trousers: Colour = ((44, 50, 72), (58, 54, 50), (96, 88, 74), (30, 30, 34))[
        int(rng.integers(4))
    ]
    legs = _Sheet(length, width, res, trousers)
    layers = [legs.layer(0.05, 0.8, rounded(length * 0.75, 0.34, 0.14))]
    torso = _Sheet(length, width, res, paint)
    torso.sheen(rng, 0.25)
    torso.paint(rounded(0.3, 0.08, 0.04, 0.0, 0.22), _shade(paint, 0.7))
    layers.append(torso.layer(0.85, 1.42, rounded(0.36, width - 0.02, 0.16)))
    skin: Colour = ((222, 184, 156), (150, 104, 78), (92, 62, 46))[int(rng.integers(3))]
    hair: Colour = ((44, 34, 28), (24, 22, 22), (148, 112, 62), (190, 40, 40))[int(rng.integers(4))]
    head = _Sheet(length, width, res, skin)
    head.paint(rounded(0.2, 0.26, 0.1, -0.04), hair)
    layers.append(head.layer(1.48, 1.74, rounded(0.27, 0.25, 0.12, 0.02)))
    return _finish("person", length, width, 1.74, res, layers)


def extent(model: Model, placement: Matrix, plane: PlaneOf, lift: float = 0.0) -> Matrix:
    """Bounds (x0, y0, x1, y1) in pixels of the whole model, its shadow left out."""
    points = []
    for layer in model.layers:
        for height in {layer.low, layer.high}:
            points.append(project(plane(height + lift) @ placement, layer.outline))
    stacked = np.vstack(points)
    return np.concatenate([stacked.min(0), stacked.max(0)])


def _over(below: ByteImage, above: ByteImage) -> ByteImage:
    """Pre-multiplied `above` over `below`, both [h, w, 4]."""
    keep = cv2.bitwise_not(above[..., 3])
    return cv2.add(above, cv2.multiply(below, cv2.merge([keep] * 4), scale=1 / 255))


def render(
    model: Model,
    placement: Matrix,
    plane: PlaneOf,
    shape: tuple[int, int],
    shadow_shift: tuple[float, float] | None = None,
    lift: float = 0.0,
) -> tuple[slice, slice, ByteImage, ByteImage] | None:
    """Draw a model as the view `plane` sees it; None when it is outside `shape` (h, w).

    Returns rows, columns, the body [h, w, 4] and the shadow's alpha [h, w] in that window.
    shadow_shift: ground metres the shadow of the roof is away from the foot print.
    """
    bounds = extent(model, placement, plane, lift)
    sheet = np.array([[model.length, model.width]]) / 2 + model.shadow_margin
    ground = plane(lift) @ placement
    if shadow_shift is not None:
        moved = np.eye(3)
        moved[:2, 2] = shadow_shift
        shadow_matrix = plane(lift) @ moved @ placement
        corners = project(shadow_matrix, sheet * np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]))
        bounds = np.concatenate(
            [np.minimum(bounds[:2], corners.min(0)), np.maximum(bounds[2:], corners.max(0))]
        )
    x0, y0 = (max(0, math.floor(v) - 1) for v in bounds[:2])
    x1 = min(shape[1], math.ceil(bounds[2]) + 1)
    y1 = min(shape[0], math.ceil(bounds[3]) + 1)
    if x1 <= x0 or y1 <= y0:
        return None
    size = (x1 - x0, y1 - y0)
    window = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]], np.float64)

    def warp(image: ByteImage, to_view: Matrix) -> ByteImage:
        scale = 1 / model.resolution
        h, w = image.shape[:2]
        local = np.array([[scale, 0, -w / 2 * scale], [0, scale, -h / 2 * scale], [0, 0, 1]])
        return cv2.warpPerspective(
            image, pixel_matrix(window @ to_view @ local), size, flags=cv2.INTER_LINEAR
        )

    centre = np.zeros((1, 2))
    body: ByteImage | None = None
    for layer in model.layers:
        low = project(plane(layer.low + lift) @ placement, centre)
        high = project(plane(layer.high + lift) @ placement, centre)
        count = min(10, 1 + int(np.hypot(*(high - low)[0]) / 1.3))
        # A single cut stands at the top: that is the face an overhead camera sees.
        heights = np.linspace(layer.low, layer.high, count) if count > 1 else [layer.high]
        for height in heights:
            cut = warp(layer.rgba, plane(float(height) + lift) @ placement)
            body = cut if body is None else _over(body, cut)
    assert body is not None
    if shadow_shift is None:
        shadow = np.zeros(size[::-1], np.uint8)
    else:
        # A solid body's shadow starts under it: foot print and shifted roof together.
        shadow = np.maximum(warp(model.shadow, shadow_matrix), warp(model.shadow, ground))
    return slice(y0, y1), slice(x0, x1), body, shadow
