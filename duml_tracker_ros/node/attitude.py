"""The camera's attitude at every image, from a sensor_msgs/Imu of the camera or its gimbal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, Imu

from ..messages.image_codec import ImageView
from ..tracker import Attitude
from .camera_model import CameraModelError
from .camera_source import CameraSource, GuidanceError
from .frame_ring import CameraFrame
from .parameters import NodeSettings
from .stamps import nanoseconds
from .subscriptions import Subscriptions, best_effort
from .turning import Turning, axes_matrix, quaternion_matrix

DEPTH = 100
"""Messages of an IMU that may wait while the executor is busy."""


class AttitudeSource:
    """Subscribes to `imu` and `camera_info` and says how the camera was turned at an image.

    Args:
        settings: the current parameters; `imu` is not off.
    """

    def __init__(self, node: LifecycleNode, settings: Callable[[], NodeSettings]) -> None:
        self._node, self._settings = node, settings
        self._source, self._turning = CameraSource(), Turning()
        self._axes = axes_matrix(settings().imu_axes)
        self._by_rates = settings().imu == "angular_velocity"
        self._told: set[str] = set()
        self.problem = ""
        self._subscriptions = Subscriptions(node)
        self._subscriptions.want(True, "imu", Imu, self._on_imu, best_effort(DEPTH))
        self._subscriptions.want(True, "camera_info", CameraInfo, self._source.take)

    def destroy(self) -> None:
        """End the subscriptions."""
        self._subscriptions.end()
        self._turning.clear()

    def _on_imu(self, message: Any) -> None:
        stamp_ns = nanoseconds(message.header.stamp)
        if self._by_rates:
            v = message.angular_velocity
            self._turning.add_rates(stamp_ns, self._axes @ np.array([v.x, v.y, v.z]))
            return
        q = message.orientation
        rotation = quaternion_matrix(q.x, q.y, q.z, q.w)
        # A device that does not know its orientation says so in the first covariance.
        if rotation is not None and message.orientation_covariance[0] >= 0:
            self._turning.add_rotation(stamp_ns, rotation @ self._axes.T)

    def at(self, frame: CameraFrame, view: ImageView) -> Attitude | None:
        """How the camera was turned; None where that is not known. On the worker's thread."""
        found = self._turning.at(frame.stamp_ns)
        if found is None:
            imu = self._subscriptions.resolved("imu")
            what = self._settings().imu.replace("_", " ")
            self._tell(f"no {what} of the image's time comes on {imu}: remap it (-r imu:=TOPIC)")
            return None
        rotation, series = found
        try:
            camera = self._source.model(frame.header, view.width, view.height, self._settings())
        except (GuidanceError, CameraModelError) as error:
            self._tell(str(error))
            return None
        self.problem = ""
        return Attitude(rotation, camera.matrix, series)

    def _tell(self, problem: str) -> None:
        """Keep the problem for diagnostics; each goes to the log once."""
        self.problem = problem
        if problem not in self._told and len(self._told) < 20:
            self._told.add(problem)
            self._node.get_logger().warning(
                f"the camera's motion comes from the images, not from imu: {problem}"
            )
