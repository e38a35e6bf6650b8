#!/usr/bin/env python3
"""Keeps a gimbal's camera on the target, and tells the vehicle to hold while the target is lost.

Listens to `bearing` and `target` of the tracker and to `gimbal/angles`; sends angular rates on
`gimbal/rate` and `vehicle/hold`. Remap them to those of your vehicle:

    python examples/gimbal_controller.py --ros-args -r gimbal/rate:=/my_gimbal/rate

A PD controller: P on the direction to the target in the image, D on its direction in space, which
is the gimbal's angle plus that in the image. So the gimbal's own turning is not damped, and a
target that moves steadily is followed without a lag.

Where the tracker follows several targets, the parameter `target_id` names the one to look at; with
0 it is the first that is heard of. When that one ends, none of the others takes its place: the
vehicle holds until another one is selected.
"""

import math
import sys
import time
from collections import OrderedDict
from contextlib import suppress

import numpy as np
import rclpy
from geometry_msgs.msg import Vector3Stamped
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Bool

from duml_tracker_ros.msg import Bearing, Target
from duml_tracker_ros.node.ending import interrupted_by_signals

SEEN = (Target.STATE_TRACKING, Target.STATE_UNCERTAIN)
FOLLOWED = (*SEEN, Target.STATE_LOST)


class GimbalController(Node):
    """Parameters: kp [1/s], kd [-], smoothing and coast [s], max_rate [rad/s], timeout [s],
    target_id."""

    def __init__(self) -> None:
        super().__init__("gimbal_controller")
        defaults = {
            "kp": 4.0,
            "kd": 1.0,
            # The target's rate is measured from image to image; this takes out its noise.
            "smoothing": 0.1,
            # A lost target is looked for where it was going; the turning fades in this time.
            "coast": 0.5,
            "max_rate": 0.7,
            # Without news of the target for this long the vehicle holds.
            "timeout": 0.5,
        }
        self._set = {
            name: float(self.declare_parameter(name, value).value)
            for name, value in defaults.items()
        }
        self._angles: OrderedDict[int, np.ndarray] = OrderedDict()
        self._wanted = int(self.declare_parameter("target_id", 0).value)
        self._target_id = 0
        self._others: set[int] = set()  # followed beside it: somebody else's
        self._last: tuple[int, np.ndarray] | None = None  # stamp and direction in space
        self._rate = np.zeros(2)  # of the target, rad/s about x and y of the optical frame
        self._heard = -math.inf
        self._lost_since: float | None = None
        self._commands = self.create_publisher(Vector3Stamped, "gimbal/rate", 10)
        self._holds = self.create_publisher(Bool, "vehicle/hold", 10)
        self.create_subscription(Vector3Stamped, "gimbal/angles", self._on_angles, 10)
        self.create_subscription(Bearing, "duml_tracker/bearing", self._on_bearing, 10)
        self.create_subscription(Target, "duml_tracker/target", self._on_target, 10)
        self.create_timer(0.1, self._watch)

    def _on_angles(self, message: Vector3Stamped) -> None:
        self._angles[nanoseconds(message)] = np.array([message.vector.x, message.vector.y])
        while len(self._angles) > 100:
            self._angles.popitem(last=False)

    def _on_target(self, message: Target) -> None:
        if not self._is_mine(message):
            return
        self._heard = time.monotonic()
        if message.state in SEEN:
            self._lost_since = None
            self._holds.publish(Bool(data=False))
            return
        self._holds.publish(Bool(data=True))
        if message.state != Target.STATE_LOST:
            self._target_id = 0
            self._forget()
        elif self._lost_since is None:
            self._lost_since = self._heard
            self._last = None
        self._coast()

    def _is_mine(self, message: Target) -> bool:
        """Is this the target to look at? A new one is taken when there is none, or no other."""
        if not message.target_id:
            self._others.clear()
            return True
        if message.target_id == self._target_id:
            return True
        if self._target_id and message.targets > 1:
            self._others.add(message.target_id)
        if (
            message.target_id in self._others
            or self._wanted not in (0, message.target_id)
            or message.state not in FOLLOWED
        ):
            return False
        self._target_id = message.target_id
        self._forget()
        return True

    def _on_bearing(self, message: Bearing) -> None:
        if message.target_id != self._target_id:
            return
        # Optical frame: turning right is positive about y, turning down negative about x.
        error = np.array([-math.atan(message.error_y), math.atan(message.error_x)])
        stamp = nanoseconds(message)
        angles = self._angles.get(stamp)
        if angles is not None:
            self._measure(stamp, angles + error)
        self._send(self._set["kp"] * error + self._set["kd"] * self._rate)

    def _measure(self, stamp: int, direction: np.ndarray) -> None:
        """Estimate the target's rate from its directions in space."""
        if self._last is not None and (seconds := (stamp - self._last[0]) * 1e-9) > 0.0:
            share = 1.0 - math.exp(-seconds / self._set["smoothing"])
            self._rate += share * ((direction - self._last[1]) / seconds - self._rate)
        self._last = stamp, direction

    def _coast(self) -> None:
        """Turn on for a moment towards where a lost target was going."""
        if self._lost_since is None:
            self._send(np.zeros(2))
            return
        since = time.monotonic() - self._lost_since
        self._send(self._set["kd"] * self._rate * math.exp(-since / self._set["coast"]))

    def _watch(self) -> None:
        if time.monotonic() - self._heard > self._set["timeout"]:
            self._forget()
            self._holds.publish(Bool(data=True))
            self._send(np.zeros(2))

    def _forget(self) -> None:
        self._last, self._lost_since = None, None
        self._rate = np.zeros(2)

    def _send(self, rate: np.ndarray) -> None:
        message = Vector3Stamped()
        message.header.stamp = self.get_clock().now().to_msg()
        limit = self._set["max_rate"]
        message.vector.x, message.vector.y = np.clip(rate, -limit, limit).tolist()
        self._commands.publish(message)


def nanoseconds(message: Vector3Stamped | Bearing) -> int:
    """Stamp of a message; that of an image is its name."""
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def main() -> int:
    """Run the controller until it is interrupted."""
    with suppress(KeyboardInterrupt), interrupted_by_signals():
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        rclpy.spin(GimbalController())
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
