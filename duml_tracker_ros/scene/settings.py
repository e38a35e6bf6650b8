"""What happens in a generated scene."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from . import sprites
from .themes import THEMES


@dataclass(frozen=True)
class SceneSettings:
    """What happens in a scene. Events are given as shares of its duration.

    target_size: length of the target in pixels at zoom 1; speed: its pixels per frame there.
    tilt, turn: camera angle from the vertical and against the road, degrees.
    drift: how far the target strays from the image centre, share of the image.
    shake: camera jitter, pixels. exposure: share of the frame time the shutter is open.
    noise: sensor noise, grey levels. light: swing of the exposure, share. jpeg: quality, 0 = none.
    look_alike_pace: range of how much faster a look-alike overtakes, share of the target's pace.
    hidden_frames: for how many frames an occluder hides the target wholly, about.
    """

    theme: str = "suburb"
    kind: str = "car"
    target_size: float = 46.0
    speed: float = 2.6
    tilt: float = 24.0
    turn: float = 12.0
    bend: float = 0.14
    yaw_swing: float = 14.0
    zoom_swing: float = 0.14
    drift: float = 0.14
    shake: float = 0.7
    exposure: float = 0.4
    softness: float = 0.0
    noise: float = 3.0
    light: float = 0.13
    clouds: float = 0.25
    jpeg: int = 0
    look_alikes: tuple[float, ...] = (0.5,)
    look_alike_pace: tuple[float, float] = (1.7, 1.9)
    traffic: int = 10
    trees: tuple[float, ...] = (0.27,)
    bridges: tuple[float, ...] = (0.73,)
    hidden_frames: float = 9.0
    max_pixels: float = 4.5e6


def random_settings(seed: int, width: int = 320, height: int = 240) -> SceneSettings:
    """Settings drawn from the seed: altitude, theme, target, motion, light, occluders."""
    rng = np.random.default_rng([seed, 0xA11])
    kind = sprites.KINDS[
        int(rng.choice(len(sprites.KINDS), p=[0.4, 0.1, 0.1, 0.1, 0.08, 0.1, 0.12]))
    ]
    short = min(width, height)
    largest = min(150.0, 0.55 * short)
    if kind in ("person", "bike"):
        largest *= 0.5
    size = float(np.exp(rng.uniform(math.log(12), math.log(largest))))
    oblique = rng.random() < 0.55
    tilt = float(rng.uniform(18, 52) if oblique else rng.uniform(0, 12))

    def events(chance: float) -> tuple[float, ...]:
        return (float(rng.uniform(0.15, 0.85)),) if rng.random() < chance else ()

    base = SceneSettings(
        theme=THEMES[int(rng.integers(len(THEMES)))].name,
        kind=kind,
        target_size=size,
        speed=float(np.clip(size * rng.uniform(0.01, 0.09), 0.2, 6.0)),
        tilt=tilt,
        turn=float(rng.uniform(0, 360)),
        bend=float(rng.uniform(0.0, 0.35)),
        yaw_swing=float(rng.uniform(0, 25)),
        zoom_swing=float(rng.uniform(0, 0.25)),
        drift=float(rng.uniform(0.05, 0.3)),
        shake=float(rng.uniform(0, 1.6)),
        exposure=float(rng.uniform(0, 0.8)),
        softness=float(rng.uniform(0.4, 1.0)) if rng.random() < 0.3 else 0.0,
        noise=float(rng.uniform(0, 8)),
        light=float(rng.uniform(0, 0.3)),
        clouds=float(rng.uniform(0.1, 0.5)) if rng.random() < 0.5 else 0.0,
        jpeg=int(rng.integers(30, 90)) if rng.random() < 0.5 else 0,
    )
    return replace(
        base,
        look_alike_pace=(0.25, 0.5) if rng.random() < 0.6 else (0.5, 1.2),
        look_alikes=tuple(float(v) for v in rng.uniform(0, 1, int(rng.integers(0, 3)))),
        traffic=int(rng.integers(0, 9)),
        trees=events(0.5),
        bridges=events(0.25),
        hidden_frames=float(rng.uniform(1, 9)),
        max_pixels=0.9e6 * max(1.0, width * height / 76800),
    )
