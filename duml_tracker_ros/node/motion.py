"""How targets move, told to controllers: `~/motion`, filtered only while somebody subscribes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from duml_tracker_ros.msg import Motion

from ..estimation.image_motion import ImageMotion, ImageState, Ray, centre
from ..pixels import Box
from ..tracker import Attitude
from .camera_model import CameraModel
from .outcome import FrameOutcome, Sighting
from .publishers import STATES

NOTHING = ImageState(np.full(4, math.nan), np.full((4, 4), math.nan))


def image_time(outcome: FrameOutcome) -> float:
    """Time of an image in seconds; without stamps the moments of arrival are all there is."""
    frame = outcome.frame
    return frame.stamp_ns * 1e-9 if frame.stamp_ns else frame.arrival


def ray_to(box: Box, camera: CameraModel, attitude: Attitude | None = None) -> Ray | None:
    """Direction to the centre of a box; None where the lens model has no answer."""
    x, y = camera.directions(centre(box)[None])[0].tolist()
    if not math.isfinite(x):
        return None
    direction = np.array([x, y, 1.0])
    direction /= np.linalg.norm(direction)
    if attitude is None:
        return Ray(direction, camera.focal)
    return Ray(direction, camera.focal, attitude.rotation, attitude.series)


class MotionOutput:
    """Filters each target's boxes.

    Args:
        publisher: of duml_tracker_ros/Motion.
        send: calls back if and as long as the node may publish.
        latency: seconds from the exposure of an image to its arrival.
    """

    def __init__(
        self,
        publisher: Any,
        send: Callable[[Callable[[], None]], None],
        latency: Callable[[], float],
    ) -> None:
        self.publisher, self._send, self._latency = publisher, send, latency
        self._filters: dict[int, ImageMotion] = {}

    @property
    def wanted(self) -> bool:
        """True while somebody subscribes."""
        return bool(self.publisher.get_subscription_count())

    def forget(self) -> None:
        """Begin anew with the next image."""
        self._filters.clear()

    def publish(self, outcome: FrameOutcome, camera: CameraModel | None) -> None:
        """Publish the motion of the targets that are followed in an image.

        Args:
            camera: the lens; without it there is no angular velocity.
        """
        for target_id in self._filters.keys() - {s.target_id for s, _ in outcome.tracked}:
            del self._filters[target_id]
        for sighting, result in outcome.tracked:
            motion = self._filters.setdefault(sighting.target_id, ImageMotion())
            message = self._message(outcome, sighting, result.box, camera, motion)
            self._send(partial(self.publisher.publish, message))

    def _message(
        self,
        outcome: FrameOutcome,
        sighting: Sighting,
        box: Box,
        camera: CameraModel | None,
        motion: ImageMotion,
    ) -> Motion:
        moment, ray = image_time(outcome), None
        if sighting.status.seen:
            if camera is not None:
                ray = ray_to(box, camera, outcome.attitude)
            sight = motion.see(moment, box, ray)
        else:
            sight = motion.ahead(moment) or NOTHING
        message = Motion(header=outcome.frame.header, target_id=sighting.target_id)
        message.state = STATES[sighting.status]
        message.x, message.y, message.velocity_x, message.velocity_y = sight.mean.tolist()
        message.covariance = sight.covariance.ravel()
        message.horizon = time.monotonic() - outcome.frame.arrival + self._latency()
        predicted = motion.ahead(moment + message.horizon) or NOTHING
        message.predicted_x, message.predicted_y = predicted.mean[:2].tolist()
        message.predicted_covariance = predicted.covariance[:2, :2].ravel()
        turning = message.angular_velocity
        if sight.rate is None or sight.rate_covariance is None:
            turning.x = turning.y = turning.z = math.nan
            message.angular_velocity_covariance = np.full(9, math.nan)
        else:
            turning.x, turning.y, turning.z = sight.rate.tolist()
            message.angular_velocity_covariance = sight.rate_covariance.ravel()
            message.camera_rotation_removed = outcome.attitude is not None
        return message
