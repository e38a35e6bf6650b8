"""Who moves in a scene: the target, look-alikes, passers-by, traffic on bridges."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from . import sprites
from .arrays import Matrix
from .canvas import Road
from .drive import Drive
from .roads import DECK_HEIGHT


@dataclass(frozen=True)
class Actor:
    """One that moves, on the ground (level 0) or on a bridge."""

    model: sprites.Model
    track: Matrix  # [frames, 3]: x, y in metres, heading
    level: int = 0


class Traffic:
    """The target and all others.

    Args:
        lean: of the painted ground, see `Plan`.
        resolution: of it, pixels per metre.
    """

    def __init__(
        self, drive: Drive, lean: tuple[float, float], resolution: float, rng: np.random.Generator
    ) -> None:
        self.drive, self._lean = drive, lean
        set_ = drive.settings
        # Models finer than the picture, so that turning them does not blur.
        sprite_scale = max(resolution * 1.7, 24 / sprites.LENGTHS[set_.kind])
        paints = sprites.PAINTS
        paint_ = paints[int(rng.integers(len(paints)))]
        self._paint = paint_
        jitter = rng.normal(0, 6, 3)
        paint_ = (paint_[0] + jitter[0], paint_[1] + jitter[1], paint_[2] + jitter[2])
        model_seed = int(rng.integers(1 << 30))
        model = sprites.build(set_.kind, paint_, sprite_scale, np.random.default_rng(model_seed))
        self.target = Actor(model, drive.track)
        actors: list[Actor] = []
        t = np.arange(drive.frames)
        body = model.length
        for event in set_.look_alikes:
            # Same make, same colour but for a shade: it overtakes on the next lane.
            when = int(np.clip(event, 0, 1) * (drive.frames - 1))
            shade = rng.normal(0, 4, 3)
            twin = sprites.build(
                set_.kind,
                (paint_[0] + shade[0], paint_[1] + shade[1], paint_[2] + shade[2]),
                sprite_scale,
                np.random.default_rng(model_seed),
            )
            if rng.random() < 0.75:
                relative = drive.pace * float(rng.uniform(*set_.look_alike_pace))
                s = drive.along + relative * (t - when)
                gap = float(rng.uniform(0.8, 1.0)) * drive.lane
                position, heading = drive.at_offsets(s, drive.offset - gap)
            else:
                s = drive.along[when] - drive.pace * (t - when)
                position, heading = drive.at_offsets(s, np.full(drive.frames, -0.5 * drive.lane))
                heading = heading + math.pi
            actors.append(Actor(twin, np.column_stack([position, heading])))
        kinds = (
            ("person", "person", "bike")
            if set_.kind == "person"
            else (
                ("bike", "person", "bike")
                if drive.lane < 2
                else ("car",) * 6 + ("van", "pickup", "truck", "bus")
            )
        )
        for _ in range(set_.traffic * 2):
            if len(actors) >= set_.traffic + len(set_.look_alikes):
                break
            actor = self._passer_by(rng, kinds, sprite_scale, body)
            if actor is not None and all(
                self._apart(actor, other) for other in [self.target, *actors]
            ):
                actors.append(actor)
        for road in drive.roads:
            if road.level == 1:
                actors.extend(self._bridge_traffic(road, rng, sprite_scale))
        self.actors = actors

    def _passer_by(
        self, rng: np.random.Generator, kinds: tuple[str, ...], scale: float, body: float
    ) -> Actor | None:
        drive = self.drive
        t = np.arange(drive.frames)
        kind = kinds[int(rng.integers(len(kinds)))]
        # Only look-alikes have the target's paint: how many there are is a setting.
        others = [p for p in sprites.PAINTS if _far_apart(p, self._paint)]
        paint_ = others[int(rng.integers(len(others)))]
        reach = 0.8 * math.hypot(drive.width, drive.height) / drive.scale
        roads = [r for r in drive.roads if r.level == 0 and r.path is not drive.main]
        if roads and rng.random() < 0.3:
            road = roads[int(rng.integers(len(roads)))]
            kind = "car" if rng.random() < 0.8 else "van"
            sign = 1 if rng.random() < 0.5 else -1
            speed = max(drive.pace, 1.0 / drive.scale) * float(rng.uniform(0.6, 1.3))
            s = rng.uniform(0, road.path.length) + sign * speed * t
            position, heading = road.path.at(s, sign * road.width / 4)
        else:
            lane = int(rng.integers(4))
            sign = 1 if lane < 2 else -1
            speed = drive.pace * (1.0, 1.3, -1.25, -0.95)[lane]
            when = float(rng.uniform(0, drive.frames))
            s = np.interp(when, t, drive.along) + rng.uniform(-reach, reach) + speed * (t - when)
            if lane == 0:
                # One lane, one pace: nobody drives through the car in front, nor tails it.
                gap = rng.uniform(5 * body, max(6 * body, 2 * reach))
                s = drive.along + (gap if rng.random() < 0.5 else -gap)
            offset = (1.5, 0.5, -0.5, -1.5)[lane] * drive.lane
            position, heading = drive.at_offsets(s, np.full(drive.frames, offset))
        if sign < 0:
            heading = heading + math.pi
        model = sprites.build(kind, paint_, scale, rng)
        return Actor(model, np.column_stack([position, heading]))

    def _apart(self, one: Actor, two: Actor) -> bool:
        gap = np.hypot(*(one.track[:, :2] - two.track[:, :2]).T)
        # Side by side in two lanes is traffic; nose to tail is a crash.
        turn = np.cos(one.track[:, 2] - two.track[:, 2])
        delta = one.track[:, :2] - two.track[:, :2]
        along = np.abs(
            delta[:, 0] * np.cos(two.track[:, 2]) + delta[:, 1] * np.sin(two.track[:, 2])
        )
        beside = np.sqrt(np.maximum(gap**2 - along**2, 0))
        room = (one.model.length + two.model.length) / 2 * 1.25
        wide = (one.model.width + two.model.width) / 2 * 1.15
        parallel = (np.abs(turn) > 0.9) & (beside > wide)
        return bool(np.all((gap > room) | parallel))

    def _bridge_traffic(self, road: Road, rng: np.random.Generator, scale: float) -> list[Actor]:
        actors = []
        lift = np.array(self._lean) * DECK_HEIGHT
        t = np.arange(self.drive.frames)
        for lane in (-1, 1):
            if road.width < 5:
                continue
            at = float(rng.uniform(0, road.path.length))
            speed = max(self.drive.pace, 1.5 / self.drive.scale) * float(rng.uniform(0.8, 1.2))
            position, heading = road.path.at(
                at + lane * speed * (t - self.drive.frames / 2), lane * road.width / 4
            )
            if lane < 0:
                heading = heading + math.pi
            paint_ = sprites.PAINTS[int(rng.integers(len(sprites.PAINTS)))]
            model = sprites.build("car" if rng.random() < 0.7 else "truck", paint_, scale, rng)
            actors.append(Actor(model, np.column_stack([position + lift, heading]), 1))
        return actors


def _far_apart(one: sprites.Colour, two: sprites.Colour) -> bool:
    return math.dist(one, two) > 60
