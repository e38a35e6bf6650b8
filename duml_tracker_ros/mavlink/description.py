"""What the camera says of itself."""

from __future__ import annotations

import importlib.metadata
import math
import time
from typing import Any

from .codec import dialect
from .settings import MavlinkSettings

_BEGAN = time.monotonic()
TEXT = 50  # characters of one STATUSTEXT


def heartbeat() -> Any:
    """HEARTBEAT of a camera."""
    kind, pilot = dialect.MAV_TYPE_CAMERA, dialect.MAV_AUTOPILOT_INVALID
    return dialect.MAVLink_heartbeat_message(kind, pilot, 0, 0, dialect.MAV_STATE_ACTIVE, 3)


def information(settings: MavlinkSettings, size: tuple[int, int]) -> Any:
    """CAMERA_INFORMATION; `size` of the image in pixels, 0 while not known."""
    flags = (
        dialect.CAMERA_CAP_FLAGS_HAS_TRACKING_POINT
        | dialect.CAMERA_CAP_FLAGS_HAS_TRACKING_RECTANGLE
    )
    if settings.geo:
        flags |= dialect.CAMERA_CAP_FLAGS_HAS_TRACKING_GEO_STATUS
    if settings.video_uri:
        flags |= dialect.CAMERA_CAP_FLAGS_HAS_VIDEO_STREAM
    return dialect.MAVLink_camera_information_message(
        int(1000 * (time.monotonic() - _BEGAN)) & 0xFFFFFFFF,
        _padded("duml_tracker_ros"),
        _padded("DuML tracker"),
        _firmware(),
        *(math.nan, math.nan, math.nan),  # focal length, sensor size
        *(*size, 0, flags, 0, b""),
        settings.gimbal_device if settings.gimbal else 0,
    )


def video_information(settings: MavlinkSettings, size: tuple[int, int]) -> list[Any]:
    """VIDEO_STREAM_INFORMATION where the address of the video is known."""
    if not settings.video_uri:
        return []
    running = dialect.VIDEO_STREAM_STATUS_FLAGS_RUNNING
    head = (1, 1, dialect.VIDEO_STREAM_TYPE_RTSP, running, 0.0, *size, 0, 0, 0)
    uri = settings.video_uri.encode()[:159]
    return [dialect.MAVLink_video_stream_information_message(*head, b"tracker", uri)]


def video_status(settings: MavlinkSettings, size: tuple[int, int]) -> list[Any]:
    """VIDEO_STREAM_STATUS where the address of the video is known."""
    if not settings.video_uri:
        return []
    running = dialect.VIDEO_STREAM_STATUS_FLAGS_RUNNING
    return [dialect.MAVLink_video_stream_status_message(1, running, 0.0, *size, 0, 0, 0)]


def status_texts(text: str) -> list[Any]:
    """STATUSTEXT of what is wrong, in as many pieces as it takes."""
    data = text.encode(errors="replace")
    pieces = [data[at : at + TEXT] for at in range(0, len(data), TEXT)]
    number = int(time.monotonic() * 1000) % 65535 + 1 if len(pieces) > 1 else 0
    make, severity = dialect.MAVLink_statustext_message, dialect.MAV_SEVERITY_WARNING
    return [make(severity, piece, number, index) for index, piece in enumerate(pieces)]


def _padded(text: str) -> list[int]:
    """A text as uint8[32]."""
    return list(text.encode()[:31].ljust(32, b"\0"))


def _firmware() -> int:
    """Version of this package as MAVLink has it, a byte each, the major one lowest."""
    try:
        text = importlib.metadata.version("duml_tracker_ros")
    except importlib.metadata.PackageNotFoundError:
        return 0
    numbers = [int(part) if part.isdigit() else 0 for part in text.split(".")[:3]]
    return sum(number % 256 << 8 * place for place, number in enumerate(numbers))
