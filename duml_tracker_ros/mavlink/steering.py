"""The client of a gimbal manager: takes control for a target, sends rates, holds, gives it up."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .codec import dialect
from .geo import Vehicle
from .gimbal import GimbalPointer, Pair
from .settings import MavlinkSettings
from .tracking import TargetReport, Tracking

# How often it is looked whether the gimbal must be held, seconds.
PERIOD = 0.1
# How often "hold" is said when the target has gone: datagrams get lost.
HOLDS = 5
# The camera stays as it is, but for the turning that is asked for.
FLAGS = (
    dialect.GIMBAL_MANAGER_FLAGS_ROLL_LOCK
    | dialect.GIMBAL_MANAGER_FLAGS_PITCH_LOCK
    | dialect.GIMBAL_MANAGER_FLAGS_YAW_LOCK
)


class Steering:
    """Points the camera at the target of slot 0. Times are of the monotonic clock.

    Without a target nothing is sent, so that others may turn the gimbal.
    """

    def __init__(
        self,
        settings: MavlinkSettings,
        tracking: Tracking,
        vehicle: Vehicle,
        broadcast: Callable[[Any], None],
        warn: Callable[[str], object],
    ) -> None:
        self._set, self._tracking, self._vehicle = settings, tracking, vehicle
        self._broadcast, self._warn = broadcast, warn
        self._ids = settings.system_id, settings.component_id
        self._pointer = GimbalPointer(settings)
        self._pointed = 0
        self._holds = 0
        self._heard = -math.inf
        self._in_control = False
        self._taken_away = False

    def take_target(self, sight: TargetReport, now: float) -> None:
        """A Target message that `tracking` has heeded."""
        target = self._tracking.target(0)
        if target != self._pointed:
            self._pointer.forget()
            self._pointed, self._taken_away = target, False
            self._holds = 0 if target else HOLDS
            if target:
                self._configure(*self._ids)
        if target and sight.target_id == target and sight.box is None:
            self._heard = now
            self._turn(self._pointer.lose(now))

    def take_bearing(
        self, target_id: int, stamp_ns: int, error_x: float, error_y: float, now: float
    ) -> None:
        """A Bearing message."""
        if not target_id or target_id != self._pointed:
            return
        self._heard = now
        rotation = self._vehicle.camera_rotation(now)
        self._pointer.pitch = float(rotation.euler[1]) if rotation is not None else 0.0
        taken = self._tracking.arrival_of(stamp_ns, now)
        self._turn(self._pointer.see(error_x, error_y, taken, now))

    def mind(self, now: float) -> None:
        """Hold when the target has gone, or nothing is heard of it; call it often."""
        if self._holds:
            self._turn(self._pointer.hold(now))
            self._holds -= 1
            if not self._holds:
                self._configure(-3, -3)
                self._in_control = False
        elif self._pointed and now - self._heard > self._set.timeout:
            self._turn(self._pointer.hold(now))

    def end(self, now: float) -> None:
        """Leave the gimbal as it is."""
        if self._pointed:
            self._turn(self._pointer.hold(now))
            self._configure(-3, -3)

    def heed_manager(self, message: Any) -> None:
        """GIMBAL_MANAGER_STATUS: whoever takes the gimbal over keeps it until a new target."""
        holder = message.primary_control_sysid, message.primary_control_compid
        if holder == self._ids:
            self._in_control, self._taken_away = True, False
        elif self._in_control and holder != (0, 0):
            self._in_control, self._taken_away = False, True
            self._warn(
                f"system {holder[0]}, component {holder[1]} has taken control of the gimbal: it "
                "is left alone until another target is selected"
            )

    def _turn(self, rate: Pair) -> None:
        if self._taken_away:
            return
        ids, nan = (self._set.system_id, self._set.gimbal_component), math.nan
        device = self._set.gimbal_device
        self._broadcast(
            dialect.MAVLink_gimbal_manager_set_pitchyaw_message(
                *ids, FLAGS, device, nan, nan, *rate
            )
        )

    def _configure(self, system: int, component: int) -> None:
        if self._taken_away:
            return
        ids = self._set.system_id, self._set.gimbal_component
        numbers = (system, component, -1, -1, 0, 0, self._set.gimbal_device)
        command = dialect.MAV_CMD_DO_GIMBAL_MANAGER_CONFIGURE
        self._broadcast(dialect.MAVLink_command_long_message(*ids, command, 0, *numbers))
