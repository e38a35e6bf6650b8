"""The generated aerial scene: one target driven through traffic, with its exact box."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from . import sprites
from .arrays import ByteImage, FloatImage, Matrix
from .camera import Camera, CameraPose, pixel_matrix, project, smooth_walk
from .paths import Path
from .terrain import DECK_HEIGHT, Plan, Road, World, blend, paint
from .themes import THEMES, theme

Box = tuple[float, float, float, float]


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


@dataclass(frozen=True)
class SceneFrame:
    """One rendered frame.

    image: uint8 RGB [height, width, 3].
    box: (x, y, w, h) of the whole target, hidden parts included, float pixels, pixel centres at
        +0.5; it may reach over the image border. None when nothing of it lies inside the image.
    visibility: share of the target's area that is seen, 0 to 1.
    """

    image: ByteImage
    box: Box | None
    visibility: float


@dataclass(frozen=True)
class SceneSpace:
    """One frame in space: metres, x right and y up on the map, z up from the ground.

    camera: where it is [3]. rotation: from its optical frame to the map [3, 3].
    target: the middle of the target [3]. box: as in `SceneFrame`. focal: in pixels.
    """

    camera: Matrix
    rotation: Matrix
    target: Matrix
    box: Box
    focal: float


@dataclass(frozen=True)
class _Actor:
    model: sprites.Model
    track: Matrix  # [frames, 3]: x, y in metres, heading
    level: int = 0


class AerialScene:
    """A drive seen from above; everything follows from the seed.

    `render(i)` gives any frame in any order; the same seed, size and frame give the same bytes
    with the same OpenCV build. Construction paints the ground once, a frame then costs a warp.

    Raises ValueError for a size below 32 pixels, less than one frame, or unknown names.
    """

    def __init__(
        self,
        seed: int = 7,
        width: int = 640,
        height: int = 480,
        frames: int = 300,
        settings: SceneSettings | None = None,
    ) -> None:
        if width < 32 or height < 32:
            raise ValueError(f"scene size {width}x{height} is too small; use at least 32x32")
        if frames < 1:
            raise ValueError(f"frames={frames} is not possible; use at least 1")
        self.settings = settings if settings is not None else SceneSettings()
        if self.settings.kind not in sprites.KINDS:
            raise ValueError(
                f"kind {self.settings.kind!r} is unknown; use one of {', '.join(sprites.KINDS)}"
            )
        self.seed, self.width, self.height, self.frames = seed, width, height, frames
        rng = np.random.default_rng([seed, 0x5CE])
        self._lay_out(rng)
        self._film(rng)
        self._build(rng)

    @classmethod
    def random(
        cls, seed: int, width: int = 320, height: int = 240, frames: int = 60
    ) -> AerialScene:
        """A scene in which everything varies with the seed; cheap enough to make thousands."""
        return cls(seed, width, height, frames, random_settings(seed, width, height))

    # --- construction ------------------------------------------------------------------------

    def _lay_out(self, rng: np.random.Generator) -> None:
        """Roads, and the target's drive along the main one."""
        set_ = self.settings
        self._scale = set_.target_size / sprites.LENGTHS[set_.kind]
        pace = set_.speed / self._scale  # metres per frame
        travel = pace * self.frames
        reach = 1.6 * math.hypot(self.width, self.height) / self._scale
        lanes = {"person": 0.95, "bike": 1.5}.get(set_.kind, 3.5)
        self._lane, self._pace = lanes, pace
        length = travel + 2 * reach
        knots = max(4, int(length / max(reach * 0.55, 8 * lanes)))
        x = np.linspace(0, length, knots)
        y = np.cumsum(rng.normal(0, 1, knots))
        y = (y - np.linspace(y[0], y[-1], knots)) * set_.bend * (length / knots)
        turn = math.radians(set_.turn)
        points = np.stack(
            [x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)], 1
        )
        main = Path(points, step=max(0.25, lanes / 4))
        foot = set_.kind == "person" or (set_.kind == "bike" and rng.random() < 0.5)
        self._main = main
        self._start = reach
        t = np.arange(self.frames)
        # Gentle changes of pace, never backwards.
        sway = 0.25 * pace * smooth_walk(rng, self.frames, 90)
        self._target_s = self._start + pace * t + np.cumsum(sway)
        self._target_offset = 1.5 * lanes + 0.12 * lanes * smooth_walk(rng, self.frames, 120)
        roads = [Road(main, 4 * lanes + (0.6 if foot else 0.0), 0, "trail" if foot else "asphalt")]
        for k in range(2):
            at = float(rng.uniform(self._start - reach * 0.3, self._target_s[-1] + reach * 0.3))
            if foot and k == 0:
                # Cars run beside the footpath, not across it.
                side = main.outline(-4 * lanes - 9.0, 0, main.length, 4.0)
                roads.append(Road(Path(side), 7.0))
                continue
            if any(
                abs(at - self._event_s(e)) < 16 + 3 * lanes for e in (*set_.trees, *set_.bridges)
            ):
                continue
            roads.append(self._across(at, float(rng.uniform(55, 125)), reach, 7.0, 0, rng))
        self._width_deck = float(
            np.clip(sprites.LENGTHS[set_.kind] + pace * set_.hidden_frames - 1.4, 3.6, 16)
        )
        for event in set_.bridges:
            at = self._event_s(event)
            roads.append(
                self._across(at, float(rng.uniform(75, 105)), reach, self._width_deck, 1, rng)
            )
        # Crossing roads first: the main road's markings run through.
        self._roads = (
            *(r for r in roads[1:] if r.level == 0),
            roads[0],
            *(r for r in roads if r.level == 1),
        )

    def _event_s(self, share: float) -> float:
        return float(self._target_s[int(np.clip(share, 0, 1) * (self.frames - 1))])

    def _across(
        self,
        at: float,
        degrees: float,
        reach: float,
        width: float,
        level: int,
        rng: np.random.Generator,
    ) -> Road:
        position, heading = self._main.at(at, float(self._target_offset.mean()))
        angle = float(heading) + math.radians(degrees)
        along = np.array([math.cos(angle), math.sin(angle)])
        side = np.array([-along[1], along[0]])
        bow = 0.0 if level else float(rng.uniform(-0.12, 0.12)) * reach
        far = max(reach, 40.0)
        points = np.stack(
            [position - along * far + side * bow, position, position + along * far + side * bow]
        )
        path = Path(points)
        return Road(path, width, level, "asphalt", (-80.0, path.length + 80.0))

    def _film(self, rng: np.random.Generator) -> None:
        """The camera's motion and the light, for every frame."""
        set_, frames = self.settings, self.frames
        position, heading = self._at_offsets(self._target_s, self._target_offset)
        self._target_track = np.column_stack([position, heading])
        # The operator follows with a lag: a wide moving average of the target's position.
        span = np.arange(-30, 31)
        kernel = np.exp(-0.5 * (span / 14.0) ** 2)
        padded = np.vstack(
            [
                2 * position[:1] - position[1:31][::-1]
                if frames > 31
                else np.repeat(position[:1], 30, 0),
                position,
                2 * position[-1:] - position[-31:-1][::-1]
                if frames > 31
                else np.repeat(position[-1:], 30, 0),
            ]
        )
        smooth = np.stack(
            [np.convolve(padded[:, k], kernel / kernel.sum(), "valid") for k in range(2)], 1
        )
        look = smooth[:frames]
        drift = np.stack([smooth_walk(rng, frames, 150), smooth_walk(rng, frames, 170)], 1)
        look = look + drift * set_.drift * np.array([self.width, self.height]) / self._scale
        yaw = math.radians(set_.yaw_swing) * smooth_walk(rng, frames, 260)
        zoom = np.exp(set_.zoom_swing * smooth_walk(rng, frames, 200))
        tilt = math.radians(set_.tilt) + math.radians(min(4.0, set_.tilt / 5)) * smooth_walk(
            rng, frames, 300
        )
        jitter = rng.normal(0, 1, (frames + 2, 3))
        jitter = (jitter[:-2] + 2 * jitter[1:-1] + jitter[2:]) / 2.45
        look = look + jitter[:, :2] * set_.shake / self._scale
        roll = jitter[:, 2] * set_.shake * 0.0016
        self._camera = Camera(self.width, self.height, 1.7 * max(self.width, self.height))
        self._poses = [
            CameraPose(
                (float(p[0]), float(p[1])),
                float(a),
                float(max(0.0, e)),
                float(self._scale * z),
                float(r),
            )
            for p, a, e, z, r in zip(look, yaw, tilt, zoom, roll, strict=True)
        ]
        self._gain = 1 + set_.light * smooth_walk(rng, frames, 140)
        self._tint = 1 + 0.25 * set_.light * np.stack(
            [
                smooth_walk(rng, frames, 220),
                smooth_walk(rng, frames, 260),
                smooth_walk(rng, frames, 240),
            ],
            1,
        )
        # Sudden steps of the automatic exposure.
        for _ in range(int(rng.poisson(set_.light * 10 * frames / 300))):
            at = int(rng.integers(frames))
            self._gain[at:] = self._gain[at:] * float(rng.uniform(1 - set_.light, 1 + set_.light))
        self._gain = np.clip(self._gain, 0.5, 1.5)

    def _at_offsets(self, s: Matrix, offset: Matrix) -> tuple[Matrix, Matrix]:
        position, heading = self._main.at(s)
        right = np.stack([-np.sin(heading), np.cos(heading)], -1)
        slope = (
            np.gradient(offset) / np.maximum(np.abs(np.gradient(s)), 1e-6) if len(s) > 1 else 0.0
        )
        return position + right * offset[:, None], heading + np.arctan(slope)

    def _build(self, rng: np.random.Generator) -> None:
        """Paint the ground the camera will see, and put the actors on it."""
        set_ = self.settings
        corners = np.vstack(
            [self._camera.ground_corners(p) for p in self._poses[::3] + self._poses[-1:]]
        )
        margin = 3.0 + 4 / self._scale
        low, high = corners.min(0) - margin, corners.max(0) + margin
        size = high - low
        pixels = float(np.prod(size)) * self._scale**2
        resolution = self._scale * min(1.0, math.sqrt(set_.max_pixels / pixels))
        yaw = float(np.mean([p.yaw for p in self._poses]))
        tilt = float(np.mean([p.tilt for p in self._poses]))
        lean = np.array([math.sin(yaw), -math.cos(yaw)]) * math.tan(tilt)
        sun_angle = float(rng.uniform(0, 2 * math.pi))
        sun = np.array([math.cos(sun_angle), math.sin(sun_angle)]) * float(rng.uniform(0.35, 1.0))
        trees, clear = self._overhanging(lean, rng)
        plan = Plan(
            (float(low[0]), float(low[1])),
            (float(size[0]), float(size[1])),
            resolution,
            theme(set_.theme),
            self._roads,
            (float(lean[0]), float(lean[1])),
            (float(sun[0]), float(sun[1])),
            tuple(trees),
            tuple(clear),
        )
        self._world: World = paint(plan, rng)
        self._populate(rng, resolution)
        pad = 64
        grey = rng.normal(0, 1, (self.height + pad, self.width + pad, 1)).astype(np.float32)
        colour = rng.normal(0, 1, (self.height + pad, self.width + pad, 3)).astype(np.float32)
        self._noise = np.clip(
            np.round((0.8 * grey + 0.6 * colour) * set_.noise + 128), 0, 255
        ).astype(np.uint8)
        if set_.clouds > 0:
            cells = rng.random((24, 24), dtype=np.float32)
            cloud = cv2.GaussianBlur(cells, (0, 0), 1.6, borderType=cv2.BORDER_REFLECT)
            cloud = (cloud - cloud.mean()) / max(float(cloud.std()), 1e-6)
            dark = 1 - set_.clouds * np.clip(0.9 * cloud, 0, 1)
            self._cloud = np.clip(dark * 255, 0, 255).astype(np.uint8)
            self._wind = rng.normal(0, 1, 2) * 0.9 / self._scale

    def _overhanging(
        self, lean: Matrix, rng: np.random.Generator
    ) -> tuple[list[tuple[float, float, float]], list[tuple[float, float, float]]]:
        """Trees beside the road whose crowns hide the target at the planned moments."""
        set_ = self.settings
        trees: list[tuple[float, float, float]] = []
        clear: list[tuple[float, float, float]] = []
        body = sprites.LENGTHS[set_.kind]
        for event in set_.trees:
            s = self._event_s(event)
            inner, _ = self._main.at(s, 1.55 * self._lane)
            # The crown must cover the lane although the trunk stands outside the road.
            need = (body + self._pace * set_.hidden_frames) / 2
            out = 0.62 * self._lane
            radius = float(np.clip(need * 1.12 + 0.5 * out, 1.2, 9.0))
            crown, _ = self._main.at(s, 1.55 * self._lane + 0.5 * out)
            base = crown - lean * radius * 1.3
            trees.append((float(base[0]), float(base[1]), radius))
            for k in (-1, 1):
                if rng.random() < 0.6:
                    away, _ = self._main.at(
                        s + k * radius * float(rng.uniform(1.2, 1.8)),
                        2.2 * self._lane + radius * 0.8,
                    )
                    base = away - lean * radius * 0.9
                    trees.append((float(base[0]), float(base[1]), radius * 0.7))
        for s in np.linspace(self._target_s[0] - 30, self._target_s[-1] + 30, 40):
            position, _ = self._main.at(float(s), float(self._target_offset.mean()))
            clear.append((float(position[0]), float(position[1]), 2.4 * self._lane))
        return trees, clear

    def _populate(self, rng: np.random.Generator, resolution: float) -> None:
        set_ = self.settings
        # Models finer than the picture, so that turning them does not blur.
        sprite_scale = max(resolution * 1.7, 24 / sprites.LENGTHS[set_.kind])
        paints = sprites.PAINTS
        paint_ = paints[int(rng.integers(len(paints)))]
        self._paint = paint_
        jitter = rng.normal(0, 6, 3)
        paint_ = (paint_[0] + jitter[0], paint_[1] + jitter[1], paint_[2] + jitter[2])
        model_seed = int(rng.integers(1 << 30))
        model = sprites.build(set_.kind, paint_, sprite_scale, np.random.default_rng(model_seed))
        self._target = _Actor(model, self._target_track)
        actors: list[_Actor] = []
        t = np.arange(self.frames)
        body = model.length
        for event in set_.look_alikes:
            # Same make, same colour but for a shade: it overtakes on the next lane.
            when = int(np.clip(event, 0, 1) * (self.frames - 1))
            shade = rng.normal(0, 4, 3)
            twin = sprites.build(
                set_.kind,
                (paint_[0] + shade[0], paint_[1] + shade[1], paint_[2] + shade[2]),
                sprite_scale,
                np.random.default_rng(model_seed),
            )
            if rng.random() < 0.75:
                relative = self._pace * float(rng.uniform(*set_.look_alike_pace))
                s = self._target_s + relative * (t - when)
                gap = float(rng.uniform(0.8, 1.0)) * self._lane
                position, heading = self._at_offsets(s, self._target_offset - gap)
            else:
                s = self._target_s[when] - self._pace * (t - when)
                position, heading = self._at_offsets(s, np.full(self.frames, -0.5 * self._lane))
                heading = heading + math.pi
            actors.append(_Actor(twin, np.column_stack([position, heading])))
        kinds = (
            ("person", "person", "bike")
            if set_.kind == "person"
            else (
                ("bike", "person", "bike")
                if self._lane < 2
                else ("car",) * 6 + ("van", "pickup", "truck", "bus")
            )
        )
        for _ in range(set_.traffic * 2):
            if len(actors) >= set_.traffic + len(set_.look_alikes):
                break
            actor = self._passer_by(rng, kinds, sprite_scale, body)
            if actor is not None and all(
                self._apart(actor, other) for other in [self._target, *actors]
            ):
                actors.append(actor)
        for road in self._roads:
            if road.level == 1:
                actors.extend(self._bridge_traffic(road, rng, sprite_scale))
        self._actors = actors

    def _passer_by(
        self, rng: np.random.Generator, kinds: tuple[str, ...], scale: float, body: float
    ) -> _Actor | None:
        t = np.arange(self.frames)
        kind = kinds[int(rng.integers(len(kinds)))]
        # Only look-alikes have the target's paint: how many there are is a setting.
        others = [p for p in sprites.PAINTS if _far_apart(p, self._paint)]
        paint_ = others[int(rng.integers(len(others)))]
        reach = 0.8 * math.hypot(self.width, self.height) / self._scale
        roads = [r for r in self._roads if r.level == 0 and r.path is not self._main]
        if roads and rng.random() < 0.3:
            road = roads[int(rng.integers(len(roads)))]
            kind = "car" if rng.random() < 0.8 else "van"
            sign = 1 if rng.random() < 0.5 else -1
            speed = max(self._pace, 1.0 / self._scale) * float(rng.uniform(0.6, 1.3))
            s = rng.uniform(0, road.path.length) + sign * speed * t
            position, heading = road.path.at(s, sign * road.width / 4)
        else:
            lane = int(rng.integers(4))
            sign = 1 if lane < 2 else -1
            speed = self._pace * (1.0, 1.3, -1.25, -0.95)[lane]
            when = float(rng.uniform(0, self.frames))
            s = np.interp(when, t, self._target_s) + rng.uniform(-reach, reach) + speed * (t - when)
            if lane == 0:
                # One lane, one pace: nobody drives through the car in front, nor tails it.
                gap = rng.uniform(5 * body, max(6 * body, 2 * reach))
                s = self._target_s + (gap if rng.random() < 0.5 else -gap)
            offset = (1.5, 0.5, -0.5, -1.5)[lane] * self._lane
            position, heading = self._at_offsets(s, np.full(self.frames, offset))
        if sign < 0:
            heading = heading + math.pi
        model = sprites.build(kind, paint_, scale, rng)
        return _Actor(model, np.column_stack([position, heading]))

    def _apart(self, one: _Actor, two: _Actor) -> bool:
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

    def _bridge_traffic(self, road: Road, rng: np.random.Generator, scale: float) -> list[_Actor]:
        actors = []
        lift = np.array(self._world.plan.lean) * DECK_HEIGHT
        t = np.arange(self.frames)
        for lane in (-1, 1):
            if road.width < 5:
                continue
            at = float(rng.uniform(0, road.path.length))
            speed = max(self._pace, 1.5 / self._scale) * float(rng.uniform(0.8, 1.2))
            position, heading = road.path.at(
                at + lane * speed * (t - self.frames / 2), lane * road.width / 4
            )
            if lane < 0:
                heading = heading + math.pi
            paint_ = sprites.PAINTS[int(rng.integers(len(sprites.PAINTS)))]
            model = sprites.build("car" if rng.random() < 0.7 else "truck", paint_, scale, rng)
            actors.append(_Actor(model, np.column_stack([position + lift, heading]), 1))
        return actors

    # --- rendering ---------------------------------------------------------------------------

    def render(self, index: int) -> SceneFrame:
        """Frame `index`; IndexError outside [0, frames)."""
        if not 0 <= index < self.frames:
            raise IndexError(f"frame {index} is outside 0..{self.frames - 1}")
        set_, world = self.settings, self._world
        plane = self._plane(index)
        plane0 = plane(0.0)
        ground = plane0 @ world.to_ground
        image = cv2.warpPerspective(
            world.rgb,
            pixel_matrix(ground),
            (self.width, self.height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        seen: ByteImage = np.zeros((self.height, self.width), np.uint8)
        whole = 0.0
        order = sorted(
            [self._target, *self._actors],
            key=lambda a: (a.level, float(project(plane0, a.track[index : index + 1, :2])[0, 1])),
        )
        for actor in order:
            drawn = self._draw(image, actor, index, plane, ground)
            if drawn is None:
                continue
            rows, columns, alpha, total = drawn
            if actor is self._target:
                whole = total
                seen[rows, columns] = alpha
            elif whole > 0:
                window = seen[rows, columns]
                window[:] = cv2.multiply(window, cv2.bitwise_not(alpha), scale=1 / 255)
        box, visibility = self._truth(index, float(np.sum(seen)) / 255, whole)
        if set_.clouds > 0:
            image = self._cloud_shade(image, index)
        image = self._expose(image, index)
        return SceneFrame(image, box, visibility)

    def box(self, index: int) -> Box:
        """The whole target (x, y, w, h) in frame ``index``, inside of the image or not."""
        x, y, heading = self._target.track[index]
        model = self._target.model
        x0, y0, x1, y1 = sprites.extent(model, model.placement(x, y, heading), self._plane(index))
        return float(x0), float(y0), float(x1 - x0), float(y1 - y0)

    def in_space(self, index: int) -> SceneSpace:
        """Camera and target of a frame in space, without rendering it."""
        pose, camera = self._poses[index], self._camera
        rotation, camera_at = camera.in_space(pose)
        x, y, _ = self._target.track[index]
        target = np.array([x, -y, self._target.model.height / 2])
        return SceneSpace(camera_at, rotation, target, self.box(index), camera.focal)

    def _plane(self, index: int) -> sprites.PlaneOf:
        pose = self._poses[index]
        # The homography is linear in the height of its plane.
        ground = self._camera.plane(pose, 0.0)
        rise = self._camera.plane(pose, 1.0) - ground
        return lambda height: ground + height * rise

    def _draw(
        self,
        image: ByteImage,
        actor: _Actor,
        index: int,
        plane: sprites.PlaneOf,
        ground: Matrix,
    ) -> tuple[slice, slice, ByteImage, float] | None:
        x, y, heading = actor.track[index]
        model = actor.model
        # Cheap rejection: most of the traffic is out of view.
        spot = project(plane(0.0), np.array([[x, y]]))[0]
        far = 2.5 * (model.length + model.height) * self._poses[index].pixels_per_metre
        if not (-far < spot[0] < self.width + far and -far < spot[1] < self.height + far):
            return None
        sun = self._world.plan.sun
        shift = (sun[0] * model.height * 0.7, sun[1] * model.height * 0.7)
        drawn = sprites.render(
            model, model.placement(x, y, heading), plane, (self.height, self.width), shift
        )
        if drawn is None:
            return None
        rows, columns, body, shadow = drawn
        window = np.array([[1, 0, -columns.start], [0, 1, -rows.start], [0, 0, 1]], np.float64)
        masks = cv2.warpPerspective(
            self._world.masks,
            pixel_matrix(window @ ground),
            (columns.stop - columns.start, rows.stop - rows.start),
            flags=cv2.INTER_LINEAR,
        )
        total = float(np.sum(body[..., 3])) / 255
        hidden = masks[..., 1 if actor.level else 0]
        shade = None if actor.level else masks[..., 2]
        alpha = blend(image[rows, columns], body, shadow, hidden, shade)
        return rows, columns, alpha, total

    def _truth(self, index: int, seen: float, whole: float) -> tuple[Box | None, float]:
        x, y, w, h = self.box(index)
        inside_w = min(x + w, self.width) - max(x, 0.0)
        inside_h = min(y + h, self.height) - max(y, 0.0)
        if inside_w <= 0 or inside_h <= 0:
            return None, 0.0
        share = min(1.0, seen / whole) if whole > 0 else 0.0
        return (x, y, w, h), float(share * inside_w * inside_h / (w * h))

    def _cloud_shade(self, image: ByteImage, index: int) -> ByteImage:
        # 24 cells over three image widths of ground; it drifts with the wind.
        cell = self.width / self._scale / 8
        origin = np.array(self._target_track[self.frames // 2, :2]) - 12 * cell + self._wind * index
        to_ground = np.array([[cell, 0, origin[0]], [0, cell, origin[1]], [0, 0, 1]])
        small = np.diag([1 / 8, 1 / 8, 1.0])
        matrix = small @ self._camera.plane(self._poses[index]) @ to_ground
        size = (self.width // 8 + 1, self.height // 8 + 1)
        shade = cv2.warpPerspective(
            self._cloud,
            pixel_matrix(matrix),
            size,
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        full = cv2.resize(cv2.merge([shade] * 3), (self.width, self.height))
        return cv2.multiply(image, full, scale=1 / 255)

    def _expose(self, image: ByteImage, index: int) -> ByteImage:
        set_ = self.settings
        kernel = self._blur_kernel(index)
        if kernel is not None:
            image = cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
        if set_.softness > 0:
            image = cv2.GaussianBlur(image, (0, 0), set_.softness)
        levels = np.arange(256, dtype=np.float32)[:, None] / 255
        gain = (self._gain[index] * self._tint[index]).astype(np.float32)
        # A film-like shoulder: bright ground must not clip to flat white.
        curve = levels * gain
        curve = np.where(curve > 0.8, 0.8 + 0.2 * np.tanh((curve - 0.8) / 0.2), curve)
        table = np.clip(curve * 255, 0, 255).astype(np.uint8)[:, None, :]
        image = cv2.LUT(image, table)
        rng = np.random.default_rng([self.seed, index])
        if set_.noise > 0:
            row, column = (int(v) for v in rng.integers(0, 64, 2))
            tile = self._noise[row : row + self.height, column : column + self.width]
            image = cv2.addWeighted(image, 1.0, tile, 1.0, -128.0)
        if set_.jpeg > 0:
            _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, set_.jpeg])
            decoded = cv2.imdecode(packed, cv2.IMREAD_COLOR)
            assert decoded is not None
            image = decoded
        return image

    def _blur_kernel(self, index: int) -> FloatImage | None:
        """Line along the camera's motion while the shutter is open; symmetric: no shift."""
        if self.frames < 2:
            return None
        first = max(0, min(index, self.frames - 2))
        point = np.array([self._poses[first].look_at])
        a = project(self._camera.plane(self._poses[first]), point)[0]
        b = project(self._camera.plane(self._poses[first + 1]), point)[0]
        vector = (b - a) * self.settings.exposure
        length = float(np.hypot(*vector))
        if length < 1.2:
            return None
        vector *= min(1.0, 15 / length)
        half = math.ceil(min(length, 15.0) / 2) + 1
        kernel = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
        ends = [np.round((half + sign * vector / 2) * 16).astype(int) for sign in (-1, 1)]
        cv2.line(
            kernel,
            (int(ends[0][0]), int(ends[0][1])),
            (int(ends[1][0]), int(ends[1][1])),
            255,
            1,
            cv2.LINE_AA,
            4,
        )
        line = kernel.astype(np.float32)
        line = line + line[::-1, ::-1]
        return line / line.sum()


def _far_apart(one: sprites.Colour, two: sprites.Colour) -> bool:
    return math.dist(one, two) > 60


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
