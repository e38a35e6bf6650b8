"""How one target moves in the image, and how the direction to it turns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..pixels import Box
from .constant_velocity import Array, ConstantVelocity

LONGEST = 1.0
"""Seconds without the target after which its motion is unknown."""
# Standard deviation of a box's centre from image to image: a share of its side, and pixels.
SHARE, PIXELS = 0.01, 0.2
OFFSET = 0.03
"""Standard deviation of how far a box sits beside its target all along, as a share of its side."""
# Velocity before anything is known of it, and what it changes by in 1 s: sides of the box a second.
SPEED, AGILITY = 10.0, 1.2
# The same of directions, in rad/s.
TURN, TURN_AGILITY = 1.0, 0.05


@dataclass(frozen=True)
class ImageState:
    """What is known of a target's motion at one moment.

    Attributes:
        mean: centre and velocity (x, y, vx, vy), pixels and pixels/s.
        covariance: of the mean [4, 4].
        rate: angular velocity of the direction to the target about the axes of the optical frame
            [3], rad/s; None without the lens.
        rate_covariance: [3, 3].
    """

    mean: Array
    covariance: Array
    rate: Array | None = None
    rate_covariance: Array | None = None


@dataclass(frozen=True)
class Ray:
    """The direction to a target.

    Attributes:
        direction: unit vector in the optical frame [3].
        focal: focal length in pixels.
        attitude: rotation from the optical frame to one that does not turn [3, 3]; None if it is
            not known.
        series: another one begins with another such frame.
    """

    direction: Array
    focal: float
    attitude: Array | None = None
    series: int = 0


def side(box: Box) -> float:
    """Side of the square as large as a box, in pixels."""
    return float(np.sqrt(max(box[2] * box[3], 1.0)))


def centre(box: Box) -> Array:
    """Centre of a box [2]."""
    return np.array([box[0] + box[2] / 2, box[1] + box[3] / 2])


def centre_deviation(box: Box) -> float:
    """Standard deviation of the centre of a tracker's box from image to image, in pixels."""
    return SHARE * side(box) + PIXELS


class ImageMotion:
    """Filters the boxes of one target.

    The direction to it is filtered in a frame that does not turn where the camera's attitude is
    known: its rate is the target's own then, else that in the camera's view.
    """

    def __init__(self) -> None:
        self._pixels: ConstantVelocity | None = None
        self._ray: ConstantVelocity | None = None
        self._frame: tuple[bool, int] = False, 0
        self._time = 0.0

    def see(self, time: float, box: Box, ray: Ray | None = None) -> ImageState:
        """Take the box of the next image in which the target is seen.

        Args:
            time: of the image, in seconds; when it jumps back, or too far, all begins anew.
            ray: to the centre of the box; None without the lens.
        """
        passed, self._time = time - self._time, time
        if not 0.0 < passed <= LONGEST:
            self._pixels = self._ray = None
        deviation, length = centre_deviation(box), side(box)
        noise = deviation**2 * np.eye(2)
        if self._pixels is None:
            speed, agility = SPEED * length, AGILITY * length
            self._pixels = ConstantVelocity(centre(box), noise, speed, agility)
        else:
            self._pixels.update(passed, centre(box), noise)
        mean, covariance = self._pixels.mean, self._pixels.covariance
        if ray is None:
            self._ray = None
            return ImageState(mean, covariance)
        return ImageState(mean, covariance, *self._turn(passed, ray, deviation / ray.focal))

    def ahead(self, time: float) -> ImageState | None:
        """The centre and its velocity at a later time; None when too much has passed by then."""
        passed = time - self._time
        if self._pixels is None or not 0.0 <= passed <= LONGEST:
            return None
        return ImageState(*self._pixels.ahead(passed))

    def _turn(self, passed: float, ray: Ray, deviation: float) -> tuple[Array, Array]:
        frame = ray.attitude is not None, ray.series
        if frame != self._frame:
            self._ray, self._frame = None, frame
        to_still = ray.attitude if ray.attitude is not None else np.eye(3)
        direction, noise = to_still @ ray.direction, deviation**2 * np.eye(3)
        if self._ray is None:
            self._ray = ConstantVelocity(direction, noise, TURN, TURN_AGILITY)
        else:
            self._ray.update(passed, direction, noise)
        # Of the velocity of a unit vector only what is across it turns it.
        x, y, z = direction
        cross = to_still.T @ np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
        return cross @ self._ray.mean[3:], cross @ self._ray.covariance[3:, 3:] @ cross.T
