"""The camera above the scene: pinhole projection of ground planes, and its motion over time.

Ground coordinates in metres: X right, Y down on the map, Z into the ground (height h is z = -h).
Image coordinates in pixels, pixel centres at +0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import Matrix

_TO_CORNERS = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
_FROM_CORNERS = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])


@dataclass(frozen=True)
class CameraPose:
    """One frame's view: the ground point in the image centre, yaw and tilt in radians."""

    look_at: tuple[float, float]
    yaw: float
    tilt: float
    pixels_per_metre: float
    roll: float = 0.0


@dataclass(frozen=True)
class SceneCamera:
    """Pinhole of `width` x `height` pixels with a focal length in pixels."""

    width: int
    height: int
    focal: float

    def plane(self, pose: CameraPose, height: float = 0.0) -> Matrix:
        """Homography [3, 3] from the ground plane lifted by `height` metres to the image."""
        distance = self.focal / pose.pixels_per_metre
        c, s = np.cos(pose.tilt), np.sin(pose.tilt)
        cy, sy = np.cos(pose.yaw), np.sin(pose.yaw)
        lx, ly = pose.look_at
        # Ground point to the yawed frame, whose origin is the point looked at.
        turn = np.array([[cy, sy, -cy * lx - sy * ly], [-sy, cy, sy * lx - cy * ly], [0, 0, 1]])
        view = np.array([[1, 0, 0], [0, c, -s * height], [0, -s, distance - c * height]])
        cr, sr = self.focal * np.cos(pose.roll), self.focal * np.sin(pose.roll)
        intrinsic = np.array([[cr, -sr, self.width / 2], [sr, cr, self.height / 2], [0, 0, 1]])
        return intrinsic @ view @ turn

    def in_space(self, pose: CameraPose) -> tuple[Matrix, Matrix]:
        """Rotation [3, 3] from the optical frame, and place [3], in metres: x right, y and z up."""
        distance = self.focal / pose.pixels_per_metre
        c, s = np.cos(pose.tilt), np.sin(pose.tilt)
        cy, sy = np.cos(pose.yaw), np.sin(pose.yaw)
        cr, sr = np.cos(pose.roll), np.sin(pose.roll)
        tilt = np.array([[1, 0, 0], [0, c, s], [0, -s, c]])
        turn = np.array([[cy, sy, 0], [-sy, cy, 0], [0, 0, 1]])
        roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        from_ground = roll @ tilt @ turn
        ahead = np.array([0.0, 0.0, distance])
        place = np.array([*pose.look_at, 0.0]) - (tilt @ turn).T @ ahead
        up = np.diag([1.0, -1.0, -1.0])
        return up @ from_ground.T, up @ place

    def ground_corners(self, pose: CameraPose) -> Matrix:
        """The four image corners on the ground [4, 2], metres."""
        w, h = self.width, self.height
        return project(np.linalg.inv(self.plane(pose)), np.array([[0, 0], [w, 0], [w, h], [0, h]]))


def project(matrix: Matrix, points: Matrix) -> Matrix:
    """Apply a homography [3, 3] to points [N, 2]."""
    p = np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return p[:, :2] / p[:, 2:3]


def pixel_matrix(matrix: Matrix) -> Matrix:
    """The same map for OpenCV, which counts from pixel centres instead of pixel corners."""
    return _FROM_CORNERS @ matrix @ _TO_CORNERS


def smooth_walk(rng: np.random.Generator, frames: int, period: float) -> Matrix:
    """A slow random curve [frames] of about unit amplitude: three sines of unlike periods."""
    t = np.arange(frames)
    total = np.zeros(frames)
    for k in range(3):
        length = period * float(rng.uniform(0.6, 1.4)) / (k + 1)
        total += np.sin(2 * np.pi * (t / length + rng.random())) / (k + 1)
    return total / 1.4
