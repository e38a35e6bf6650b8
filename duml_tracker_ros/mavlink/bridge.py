"""The bridge's ROS node: hears the tracker, and asks its services."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node

from duml_tracker_ros.msg import Target

from ..node.services import TrackerServices
from ..node.stamps import nanoseconds
from ..node.subscriptions import overridable, reliable
from .geo import Vector
from .settings import TABLE, MavlinkSettings
from .tracking import TargetReport, read_sight


class MavlinkNode(Node):
    """Node `duml_mavlink`.

    What is heard is handed to `on_target`, `on_bearing` (target id, stamp, error x and y) and
    `on_place`, on the executor's thread.

    Raises:
        MavlinkError: a parameter is not valid.
    """

    def __init__(self) -> None:
        super().__init__("duml_mavlink")
        self.settings: MavlinkSettings = TABLE.declare(self)
        tracker = self.settings.tracker
        self.operator = TrackerServices(self, tracker)
        self.on_target: Callable[[TargetReport], None] = lambda sight: None
        self.on_bearing: Callable[[int, int, float, float], None] = lambda *numbers: None
        self.on_place: Callable[[Vector], None] = lambda place: None
        self._hear(Target, f"{tracker}/target", self._take_target)
        # The tracker works these out for as long as somebody listens.
        if self.settings.gimbal:
            from duml_tracker_ros.msg import Bearing

            self._hear(Bearing, f"{tracker}/bearing", self._take_bearing)
        if self.settings.geo:
            from geometry_msgs.msg import PointStamped

            self._hear(PointStamped, f"{tracker}/position", self._take_position)

    def _hear(self, kind: Any, topic: str, take: Callable[[Any], None]) -> None:
        options = overridable()
        self.create_subscription(kind, topic, take, reliable(10), qos_overriding_options=options)

    def _take_target(self, message: Any) -> None:
        self.on_target(read_sight(message, time.monotonic()))

    def _take_bearing(self, message: Any) -> None:
        errors = message.error_x, message.error_y
        if all(map(math.isfinite, errors)):
            self.on_bearing(message.target_id, nanoseconds(message.header.stamp), *errors)

    def _take_position(self, message: Any) -> None:
        place = message.point.x, message.point.y, message.point.z
        if all(map(math.isfinite, place)):
            self.on_place(place)
