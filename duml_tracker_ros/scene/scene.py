"""The generated aerial scene: one target driven through traffic, with its exact box."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ..pixels import Box
from . import sprites
from .arrays import ByteImage, Matrix
from .blend import blend
from .camera import pixel_matrix, project
from .canvas import Plan
from .drive import Drive
from .film import Film
from .settings import SceneSettings, random_settings
from .terrain import World, paint
from .themes import theme
from .traffic import Actor, Traffic


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
        self._drive = Drive(self.settings, width, height, frames, rng)
        self._film = Film(self._drive, seed, rng)
        self._poses = self._film.poses
        self._build(rng)

    @classmethod
    def random(
        cls, seed: int, width: int = 320, height: int = 240, frames: int = 60
    ) -> AerialScene:
        """A scene in which everything varies with the seed; cheap enough to make thousands."""
        return cls(seed, width, height, frames, random_settings(seed, width, height))

    # --- construction ------------------------------------------------------------------------

    def _build(self, rng: np.random.Generator) -> None:
        """Paint the ground the camera will see, and put the actors on it."""
        set_, drive = self.settings, self._drive
        corners = np.vstack(
            [self._film.camera.ground_corners(p) for p in self._poses[::3] + self._poses[-1:]]
        )
        margin = 3.0 + 4 / drive.scale
        low, high = corners.min(0) - margin, corners.max(0) + margin
        size = high - low
        pixels = float(np.prod(size)) * drive.scale**2
        resolution = drive.scale * min(1.0, math.sqrt(set_.max_pixels / pixels))
        yaw = float(np.mean([p.yaw for p in self._poses]))
        tilt = float(np.mean([p.tilt for p in self._poses]))
        lean = np.array([math.sin(yaw), -math.cos(yaw)]) * math.tan(tilt)
        sun_angle = float(rng.uniform(0, 2 * math.pi))
        sun = np.array([math.cos(sun_angle), math.sin(sun_angle)]) * float(rng.uniform(0.35, 1.0))
        trees, clear = drive.overhanging(lean, rng)
        plan = Plan(
            (float(low[0]), float(low[1])),
            (float(size[0]), float(size[1])),
            resolution,
            theme(set_.theme),
            drive.roads,
            (float(lean[0]), float(lean[1])),
            (float(sun[0]), float(sun[1])),
            tuple(trees),
            tuple(clear),
        )
        self._world: World = paint(plan, rng)
        traffic = Traffic(drive, plan.lean, resolution, rng)
        self._target, self._actors = traffic.target, traffic.actors
        self._film.load(rng)

    # --- rendering ---------------------------------------------------------------------------

    def render(self, index: int) -> SceneFrame:
        """Frame `index`; IndexError outside [0, frames)."""
        if not 0 <= index < self.frames:
            raise IndexError(f"frame {index} is outside 0..{self.frames - 1}")
        world = self._world
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
        image = self._film.expose(self._film.cloud_shade(image, index), index)
        return SceneFrame(image, box, visibility)

    def box(self, index: int) -> Box:
        """The whole target (x, y, w, h) in frame ``index``, inside of the image or not."""
        x, y, heading = self._target.track[index]
        model = self._target.model
        x0, y0, x1, y1 = sprites.extent(model, model.placement(x, y, heading), self._plane(index))
        return float(x0), float(y0), float(x1 - x0), float(y1 - y0)

    def in_space(self, index: int) -> SceneSpace:
        """Camera and target of a frame in space, without rendering it."""
        pose, camera = self._poses[index], self._film.camera
        rotation, camera_at = camera.in_space(pose)
        x, y, _ = self._target.track[index]
        target = np.array([x, -y, self._target.model.height / 2])
        return SceneSpace(camera_at, rotation, target, self.box(index), camera.focal)

    def _plane(self, index: int) -> sprites.PlaneOf:
        pose = self._poses[index]
        # The homography is linear in the height of its plane.
        ground = self._film.camera.plane(pose, 0.0)
        rise = self._film.camera.plane(pose, 1.0) - ground
        return lambda height: ground + height * rise

    def _draw(
        self, image: ByteImage, actor: Actor, index: int, plane: sprites.PlaneOf, ground: Matrix
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
