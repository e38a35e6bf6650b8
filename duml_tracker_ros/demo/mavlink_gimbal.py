"""The demo's gimbal as a MAVLink gimbal manager: an autopilot that turns the camera at rates."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

AUTOPILOT = (1, 1)
HEARTBEAT = 1.0  # seconds
ATTITUDE = 0.2  # seconds


class MavlinkGimbal:
    """Takes rates over UDP, and tells the gimbal's attitude.

    Args:
        port: UDP port of loopback on which the bridge listens.
    """

    def __init__(self, port: int) -> None:
        # Read when it is imported; the messages of gimbals exist in MAVLink 2 alone.
        os.environ["MAVLINK20"] = "1"
        from pymavlink import mavutil

        system, component = AUTOPILOT
        self._dialect: Any = mavutil.mavlink
        self._line: Any = mavutil.mavlink_connection(
            f"udpout:127.0.0.1:{port}", source_system=system, source_component=component
        )
        self._due = {"heartbeat": 0.0, "attitude": 0.0}
        self._primary = (0, 0)

    def serve(self, gimbal: Any, now: float) -> None:
        """Obey what has come; say what is due. `gimbal` is one of `steered_camera`."""
        if now >= self._due["heartbeat"]:
            self._due["heartbeat"] = now + HEARTBEAT
            self._line.mav.heartbeat_send(2, 12, 0, 0, 4)
            self._line.mav.gimbal_manager_status_send(0, 0, 1, *self._primary, 0, 0)
        if now >= self._due["attitude"]:
            self._due["attitude"] = now + ATTITUDE
            pitch, yaw = gimbal.angles / 2
            (sp, cp), (sy, cy) = ((np.sin(a), np.cos(a)) for a in (pitch, yaw))
            turn = [cp * cy, -sp * sy, sp * cy, cp * sy]
            flags = self._dialect.GIMBAL_DEVICE_FLAGS_YAW_IN_VEHICLE_FRAME
            self._line.mav.gimbal_device_attitude_status_send(0, 0, 0, flags, turn, 0, 0, 0, 0)
        while (message := self._line.recv_msg()) is not None:
            self._obey(message, gimbal, now)

    def _obey(self, message: Any, gimbal: Any, now: float) -> None:
        kind = message.get_type()
        if kind not in ("GIMBAL_MANAGER_SET_PITCHYAW", "COMMAND_LONG"):
            return
        if (message.target_system, message.target_component) != AUTOPILOT:
            return
        sender = message.get_srcSystem(), message.get_srcComponent()
        if kind == "GIMBAL_MANAGER_SET_PITCHYAW":
            if sender == self._primary:
                gimbal.command(message.pitch_rate, message.yaw_rate, now)
        elif message.command == self._dialect.MAV_CMD_DO_GIMBAL_MANAGER_CONFIGURE:
            wanted = int(message.param1), int(message.param2)
            self._primary = (0, 0) if wanted == (-3, -3) else wanted
            self._line.mav.command_ack_send(message.command, 0, 0, 0, *sender)
