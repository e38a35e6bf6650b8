"""Where on earth the target is: from its place before the camera and what the vehicle tells."""

from __future__ import annotations

import math
from typing import Any

from pymavlink.quaternion import Quaternion

from .codec import dialect

# What the vehicle told longer ago than this is not used, seconds.
FRESH = 2.0
# WGS84.
_EQUATOR, _ECCENTRICITY2 = 6_378_137.0, 6.694_379_990_14e-3
Vector = tuple[float, float, float]


def displace(lat: float, lon: float, north: float, east: float) -> tuple[float, float]:
    """Degrees of a place some metres, few against the earth, from another one."""
    curved = 1.0 - _ECCENTRICITY2 * math.sin(math.radians(lat)) ** 2
    meridian = _EQUATOR * (1.0 - _ECCENTRICITY2) / curved**1.5
    across = _EQUATOR / math.sqrt(curved) * max(math.cos(math.radians(lat)), 1e-9)
    return lat + math.degrees(north / meridian), lon + math.degrees(east / across)


class Vehicle:
    """What the vehicle, and its gimbal, tell of where they are and how they look.

    Args:
        mount_pitch: pitch of a camera without a gimbal against the vehicle, in degrees.
    """

    def __init__(self, mount_pitch: float) -> None:
        self._mount = Quaternion([0.0, math.radians(mount_pitch), 0.0])
        self._heard: dict[str, tuple[float, Any]] = {}

    def take(self, message: Any, now: float) -> None:
        """A message of the vehicle's system."""
        kind = message.get_type()
        if kind in ("GLOBAL_POSITION_INT", "ATTITUDE", "GIMBAL_DEVICE_ATTITUDE_STATUS"):
            self._heard[kind] = (now, message)

    def _fresh(self, kind: str, now: float) -> Any | None:
        heard, message = self._heard.get(kind, (-math.inf, None))
        return message if now - heard <= FRESH else None

    def camera_rotation(self, now: float) -> Quaternion | None:
        """Of the camera, front right down, in north east down; None: not known now."""
        attitude = self._fresh("ATTITUDE", now)
        gimbal = self._fresh("GIMBAL_DEVICE_ATTITUDE_STATUS", now)
        if gimbal is not None:
            w, x, y, z = gimbal.q
            length = math.sqrt(w * w + x * x + y * y + z * z)
            if not 0.5 < length < 2.0:
                return None
            rotation = Quaternion([w / length, x / length, y / length, z / length])
            if _yaw_from_north(gimbal.flags):
                return rotation
            if attitude is None:
                return None
            # Roll and pitch are told against the horizon, yaw against the vehicle's heading.
            return Quaternion([0.0, 0.0, attitude.yaw]) * rotation
        if attitude is None:
            return None
        return Quaternion([attitude.roll, attitude.pitch, attitude.yaw]) * self._mount

    def locate(self, place: Vector, now: float) -> tuple[int, int, float] | None:
        """Latitude and longitude in 1e-7 degrees and altitude above the sea in metres.

        Args:
            place: of the target in the camera's optical frame (right, down, forward), metres.
        """
        position = self._fresh("GLOBAL_POSITION_INT", now)
        rotation = self.camera_rotation(now)
        if position is None or rotation is None:
            return None
        right, down, forward = place
        north, east, below = map(float, rotation.transform([forward, right, down]))
        lat, lon = displace(position.lat * 1e-7, position.lon * 1e-7, north, east)
        return round(lat * 1e7), round(lon * 1e7), position.alt * 1e-3 - below


def _yaw_from_north(flags: int) -> bool:
    if flags & dialect.GIMBAL_DEVICE_FLAGS_YAW_IN_EARTH_FRAME:
        return True
    if flags & dialect.GIMBAL_DEVICE_FLAGS_YAW_IN_VEHICLE_FRAME:
        return False
    return bool(flags & dialect.GIMBAL_DEVICE_FLAGS_YAW_LOCK)


def geo_status(flags: int, found: tuple[int, int, float], place: Vector, slot: int) -> Any:
    """CAMERA_TRACKING_GEO_STATUS; what is not known is NaN."""
    nan = math.nan
    distance = math.sqrt(sum(value * value for value in place))
    return dialect.MAVLink_camera_tracking_geo_status_message(
        flags, *found, nan, nan, nan, nan, nan, nan, distance, nan, nan, slot
    )
