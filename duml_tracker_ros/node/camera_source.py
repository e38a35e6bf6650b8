"""The newest CameraInfo, and if it may be used for an image."""

from __future__ import annotations

import time
from typing import Any

from .camera_model import CameraModel
from .parameters import NodeSettings


class GuidanceError(RuntimeError):
    """Raised where a target's place in space is not known; the text says why."""


class CameraSource:
    """Keeps the newest CameraInfo; its model is made anew only when it changes."""

    def __init__(self) -> None:
        self._info: tuple[Any, float] | None = None
        self._model: tuple[Any, CameraModel] | None = None

    def take(self, message: Any) -> None:
        """Take over a sensor_msgs/CameraInfo that has just come."""
        self._info = message, time.monotonic()

    @property
    def empty(self) -> bool:
        """True while none has come."""
        return self._info is None

    def forget(self) -> None:
        """Let go of what came."""
        self._info = self._model = None

    def describe(self) -> str:
        """Size and distortion model in use; empty while there is none."""
        model = self._model
        return f"{model[1].size[0]}x{model[1].size[1]} {model[1].model}" if model else ""

    def model(self, header: Any, width: int, height: int, settings: NodeSettings) -> CameraModel:
        """The camera's model for an image.

        Args:
            header: of the image.

        Raises:
            GuidanceError, CameraModelError: there is none, or it is not that of the image.
        """
        latest = self._info
        if latest is None:
            raise GuidanceError("no CameraInfo has come")
        info, arrival = latest
        age = time.monotonic() - arrival
        if 0.0 < settings.max_camera_info_age < age:
            raise GuidanceError(
                f"the last CameraInfo is {age:.1f} s old (max_camera_info_age is "
                f"{settings.max_camera_info_age:g} s)"
            )
        if info.header.frame_id != header.frame_id:
            raise GuidanceError(
                f"CameraInfo has frame_id {info.header.frame_id!r}, the image "
                f"{header.frame_id!r}: they are of different cameras"
            )
        key = (
            *(info.width, info.height, info.distortion_model, settings.rectified),
            *(info.k.tobytes(), info.p.tobytes(), bytes(info.d)),
            *(info.binning_x, info.binning_y, str(info.roi)),
        )
        known = self._model
        if known is None or known[0] != key:
            known = self._model = key, CameraModel(info, settings.rectified)
        known[1].check(width, height)
        return known[1]
