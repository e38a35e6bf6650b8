"""The camera of a scene: its motion, and what it makes of the light."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .arrays import ByteImage, FloatImage
from .camera import CameraPose, SceneCamera, pixel_matrix, project, smooth_walk
from .drive import Drive


class Film:
    """Poses of the camera and the exposure of every frame.

    Attributes:
        poses: one a frame.
    """

    def __init__(self, drive: Drive, seed: int, rng: np.random.Generator) -> None:
        self.drive, self._seed = drive, seed
        set_, frames = drive.settings, drive.frames
        position = drive.track[:, :2]
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
        look = look + drift * set_.drift * np.array([drive.width, drive.height]) / drive.scale
        yaw = math.radians(set_.yaw_swing) * smooth_walk(rng, frames, 260)
        zoom = np.exp(set_.zoom_swing * smooth_walk(rng, frames, 200))
        tilt = math.radians(set_.tilt) + math.radians(min(4.0, set_.tilt / 5)) * smooth_walk(
            rng, frames, 300
        )
        jitter = rng.normal(0, 1, (frames + 2, 3))
        jitter = (jitter[:-2] + 2 * jitter[1:-1] + jitter[2:]) / 2.45
        look = look + jitter[:, :2] * set_.shake / drive.scale
        roll = jitter[:, 2] * set_.shake * 0.0016
        self.camera = SceneCamera(drive.width, drive.height, 1.7 * max(drive.width, drive.height))
        self.poses = [
            CameraPose(
                (float(p[0]), float(p[1])),
                float(a),
                float(max(0.0, e)),
                float(drive.scale * z),
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

    def load(self, rng: np.random.Generator) -> None:
        """Make the grain of the sensor and the clouds."""
        drive, set_ = self.drive, self.drive.settings
        pad = 64
        grey = rng.normal(0, 1, (drive.height + pad, drive.width + pad, 1)).astype(np.float32)
        colour = rng.normal(0, 1, (drive.height + pad, drive.width + pad, 3)).astype(np.float32)
        self._noise = np.clip(
            np.round((0.8 * grey + 0.6 * colour) * set_.noise + 128), 0, 255
        ).astype(np.uint8)
        if set_.clouds > 0:
            cells = rng.random((24, 24), dtype=np.float32)
            cloud = cv2.GaussianBlur(cells, (0, 0), 1.6, borderType=cv2.BORDER_REFLECT)
            cloud = (cloud - cloud.mean()) / max(float(cloud.std()), 1e-6)
            dark = 1 - set_.clouds * np.clip(0.9 * cloud, 0, 1)
            self._cloud = np.clip(dark * 255, 0, 255).astype(np.uint8)
            self._wind = rng.normal(0, 1, 2) * 0.9 / drive.scale

    def cloud_shade(self, image: ByteImage, index: int) -> ByteImage:
        """The image under the clouds that drift over it, if there are any."""
        if self.drive.settings.clouds <= 0:
            return image
        # 24 cells over three image widths of ground; it drifts with the wind.
        cell = self.drive.width / self.drive.scale / 8
        origin = (
            np.array(self.drive.track[self.drive.frames // 2, :2]) - 12 * cell + self._wind * index
        )
        to_ground = np.array([[cell, 0, origin[0]], [0, cell, origin[1]], [0, 0, 1]])
        small = np.diag([1 / 8, 1 / 8, 1.0])
        matrix = small @ self.camera.plane(self.poses[index]) @ to_ground
        size = (self.drive.width // 8 + 1, self.drive.height // 8 + 1)
        shade = cv2.warpPerspective(
            self._cloud,
            pixel_matrix(matrix),
            size,
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        full = cv2.resize(cv2.merge([shade] * 3), (self.drive.width, self.drive.height))
        return cv2.multiply(image, full, scale=1 / 255)

    def expose(self, image: ByteImage, index: int) -> ByteImage:
        """Apply motion blur, exposure, noise and compression."""
        set_ = self.drive.settings
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
        rng = np.random.default_rng([self._seed, index])
        if set_.noise > 0:
            row, column = (int(v) for v in rng.integers(0, 64, 2))
            tile = self._noise[row : row + self.drive.height, column : column + self.drive.width]
            image = cv2.addWeighted(image, 1.0, tile, 1.0, -128.0)
        if set_.jpeg > 0:
            _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, set_.jpeg])
            decoded = cv2.imdecode(packed, cv2.IMREAD_COLOR)
            assert decoded is not None
            image = decoded
        return image

    def _blur_kernel(self, index: int) -> FloatImage | None:
        """Line along the camera's motion while the shutter is open; symmetric: no shift."""
        if self.drive.frames < 2:
            return None
        first = max(0, min(index, self.drive.frames - 2))
        point = np.array([self.poses[first].look_at])
        a = project(self.camera.plane(self.poses[first]), point)[0]
        b = project(self.camera.plane(self.poses[first + 1]), point)[0]
        vector = (b - a) * self.drive.settings.exposure
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
