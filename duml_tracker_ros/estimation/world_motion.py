"""Where a target is in the world and how it moves there, from its direction and one thing more.

That is a distance, or the height of the plane that it moves on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .constant_velocity import Array, ConstantVelocity

LONGEST = 1.0
"""Seconds without the target after which its motion is estimated anew."""
# Rays this flat over the ground say nothing of the distance: sine of the angle between them.
FLATTEST = 0.03


class WorldError(ValueError):
    """Why nothing can be told of a target's place in the world."""


@dataclass(frozen=True)
class Pose:
    """A camera in the world.

    Attributes:
        position: metres [3].
        rotation: from the optical frame to the world [3, 3].
    """

    position: Array
    rotation: Array


@dataclass(frozen=True)
class Place:
    """A target in the world, as one image shows it.

    Attributes:
        position: metres [3].
        noise: covariance [3, 3] of what is another in every image.
        bias: covariance [3, 3] of what is the same in all, and no filter takes out.
    """

    position: Array
    noise: Array
    bias: Array


def from_distance(
    pose: Pose, ray: Array, distance: float, deviation: float, jitter: float, offset: float
) -> Place:
    """The point in a direction at a distance.

    Args:
        ray: unit vector in the optical frame [3].
        distance: metres along the ray; of a depth z that is z over the ray's z.
        deviation: of the distance, metres.
        jitter: standard deviation of the direction from image to image, radians.
        offset: the same of what is wrong with it all along: the camera's attitude, the box.

    Raises:
        WorldError: the distance is none.
    """
    if not np.isfinite(distance) or distance <= 0.0:
        raise WorldError(f"a distance of {distance:g} m tells nothing")
    along = pose.rotation @ ray
    depth = np.outer(along, along)
    across = distance**2 * (np.eye(3) - depth)
    noise = deviation**2 * depth + jitter**2 * across
    return Place(pose.position + distance * along, noise, offset**2 * across)


def from_plane(
    pose: Pose, ray: Array, height: float, deviation: float, jitter: float, offset: float
) -> Place:
    """Where a direction meets the plane z = `height` of the world; arguments as above.

    Args:
        deviation: of the height, metres.

    Raises:
        WorldError: it does not meet it in front of the camera, or almost along it.
    """
    along = pose.rotation @ ray
    if abs(along[2]) < FLATTEST:
        raise WorldError("the target is seen along the ground, which tells no distance: go higher")
    distance = (height - pose.position[2]) / along[2]
    if distance <= 0.0:
        raise WorldError(
            f"the ground at {height:g} m is not where the target is seen: check ground_height, and "
            "that the camera's pose is that of its optical frame in a world with z up"
        )
    # A direction that is off moves the point along the plane.
    slide = np.eye(3) - np.outer(along, [0.0, 0.0, 1.0]) / along[2]
    across = distance**2 * slide @ (np.eye(3) - np.outer(along, along)) @ slide.T
    rise = along / along[2]
    # Rounding leaves nothing across the plane, where no filter could invert it.
    noise = jitter**2 * across + 1e-6 * np.eye(3)
    bias = offset**2 * across + deviation**2 * np.outer(rise, rise)
    return Place(pose.position + distance * along, noise, bias)


class WorldMotion:
    """Filters the places of one target.

    Args:
        agility: standard deviation of what its velocity changes by in 1 s, m/s.
        speed: standard deviation of its velocity before anything is known of it, m/s.
    """

    def __init__(self, agility: float = 0.5, speed: float = 10.0) -> None:
        self._agility, self._speed = agility, speed
        self._filter: ConstantVelocity | None = None
        self._time = 0.0

    def see(self, time: float, place: Place) -> tuple[Array, Array]:
        """Take the place in the next image.

        Args:
            time: of the image, in seconds; when it jumps back, or too far, all begins anew.

        Returns:
            Position and velocity at that time [6], metres and m/s, and their covariance [6, 6].
        """
        passed, self._time = time - self._time, time
        if self._filter is None or not 0.0 < passed <= LONGEST:
            self._filter = ConstantVelocity(place.position, place.noise, self._speed, self._agility)
        else:
            self._filter.update(passed, place.position, place.noise)
        covariance = self._filter.covariance.copy()
        covariance[:3, :3] += place.bias
        return self._filter.mean, covariance
