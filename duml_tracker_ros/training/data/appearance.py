"""Changes of a cut-out: colour, outline, form, pose."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import cv2
import numpy as np

from . import warp
from .cutouts import Cutout, hull_of
from .warp import Affine


@dataclass(slots=True)
class PosedCutout:
    """Something to composite: premultiplied RGBA, its hull, and its map into the crop."""

    cutout: Cutout
    matrix: Affine


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


def posed(
    cutout: Cutout, rng: random.Random, angle: float, side: float, centre: tuple[float, float]
) -> PosedCutout:
    """`cutout` turned, with the given root of its box area, centred at `centre`."""
    matrix = warp.linear(1.0, angle, math.exp(rng.gauss(0, 0.12)))
    x, y, w, h = warp.bounds(warp.apply(matrix, cutout.hull))
    scale = side / math.sqrt(max(1.0, w * h))
    matrix = matrix * scale
    matrix[0, 2] = centre[0] - (x + w / 2) * scale
    matrix[1, 2] = centre[1] - (y + h / 2) * scale
    return PosedCutout(cutout, matrix)
