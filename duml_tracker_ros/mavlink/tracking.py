"""What the tracker says of its targets, and what of it a ground station is told."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

from ..node.stamps import nanoseconds
from .codec import dialect

# States of a Target message.
IDLE, TRACKING, UNCERTAIN, LOST, ERROR = range(5)
# Device ids that a target can be selected under, besides 0.
SLOTS = range(1, 7)
# Images remembered for selecting on one of them.
_REMEMBERED = 2000


@dataclass(frozen=True)
class TargetReport:
    """A Target message.

    Attributes:
        arrival: when its image came to the tracker, on the monotonic clock.
        size: (width, height) of the image in pixels.
        box: x, y, width, height in shares of the image; None while there is none to act on.
        followed: how many targets are followed in the image.
    """

    stamp_ns: int
    arrival: float
    target_id: int
    followed: int
    state: int
    size: tuple[int, int]
    box: tuple[float, float, float, float] | None


def read_sight(message: Any, now: float) -> TargetReport:
    """A Target message that came at `now`, on the monotonic clock."""
    width, height = message.image_width, message.image_height
    pixels = (message.x, message.y, message.width, message.height)
    box = None
    if (
        width
        and height
        and message.state in (TRACKING, UNCERTAIN)
        and all(map(math.isfinite, pixels))
    ):
        x, y, w, h = pixels
        box = (x / width, y / height, w / width, h / height)
    latency = message.latency if math.isfinite(message.latency) else 0.0
    return TargetReport(
        nanoseconds(message.header.stamp),
        now - latency,
        message.target_id,
        message.targets,
        message.state,
        (width, height),
        box,
    )


class Tracking:
    """The targets as last heard of.

    A target is selected under a device id, a slot: 1 to 6 keep theirs, 0 is the one that was
    selected under 0, else the newest of all others.

    Args:
        timeout: seconds without news after which nothing is known.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._heard = -math.inf
        self._sights: dict[int, TargetReport] = {}
        self._slots: dict[int, int] = {}
        self._images: deque[tuple[float, int]] = deque(maxlen=_REMEMBERED)
        self._failed = False
        self.size = (0, 0)

    def take(self, sight: TargetReport, now: float) -> None:
        """A Target message."""
        self._heard, self.size = now, sight.size
        if not self._images or self._images[-1][1] != sight.stamp_ns:
            self._images.append((sight.arrival, sight.stamp_ns))
        if sight.state in (IDLE, ERROR):
            self._failed = sight.state == ERROR
            if sight.target_id:
                self._sights.pop(sight.target_id, None)
            else:
                self._sights.clear()
        else:
            self._failed = False
            self._sights[sight.target_id] = sight
        # A replaced target has no message of its end.
        while len(self._sights) > sight.followed:
            oldest = min(self._sights.values(), key=lambda one: one.stamp_ns)
            del self._sights[oldest.target_id]

    def answering(self, now: float) -> bool:
        """True while the tracker answers images."""
        return now - self._heard <= self._timeout

    def assign(self, slot: int, target_id: int) -> None:
        """A target was selected under this slot."""
        self._slots = {s: t for s, t in self._slots.items() if t != target_id}
        self._slots[slot] = target_id

    def drop(self, target_id: int) -> None:
        """The tracker has dropped this target, all for 0; without images it says so no more."""
        for target in (target_id,) if target_id else tuple(self._sights):
            self._sights.pop(target, None)

    def own(self, slot: int) -> int:
        """Id of the target that was selected under this slot and is followed still; 0: none."""
        target = self._slots.get(slot, 0)
        return target if target in self._sights else 0

    def target(self, slot: int) -> int:
        """Id of the target that this slot shows; 0: none."""
        if slot or self.own(0):
            return self.own(slot)
        taken = {self._slots.get(other) for other in SLOTS}
        return next((t for t in reversed(self._sights) if t not in taken), 0)

    def used_slots(self) -> list[int]:
        """0, and those others under which a target is followed."""
        return [0, *(slot for slot in SLOTS if self.own(slot))]

    def sight(self, slot: int) -> TargetReport | None:
        """What was last seen of the slot's target."""
        return self._sights.get(self.target(slot))

    def stamp_at(self, moment: float) -> int:
        """Stamp of the image that came nearest to a moment of the monotonic clock; 0: none did."""
        nearest = min(self._images, key=lambda image: abs(image[0] - moment), default=(0.0, 0))
        return nearest[1]

    def arrival_of(self, stamp_ns: int, otherwise: float) -> float:
        """When an image came to the tracker, on the monotonic clock."""
        found = (arrival for arrival, stamp in reversed(self._images) if stamp == stamp_ns)
        return next(found, otherwise)

    def flags(self, slot: int, now: float) -> int:
        """CAMERA_TRACKING_STATUS_FLAGS of a slot: what cannot be seen now is an error."""
        sight = self.sight(slot)
        if sight is None:
            # Of a tracker that was never heard of it is not known that it follows nothing.
            failed = (self._failed and slot == 0) or self._heard == -math.inf
            return int(
                dialect.CAMERA_TRACKING_STATUS_FLAGS_ERROR
                if failed
                else dialect.CAMERA_TRACKING_STATUS_FLAGS_IDLE
            )
        if sight.box is None or not self.answering(now):
            return int(dialect.CAMERA_TRACKING_STATUS_FLAGS_ERROR)
        return int(dialect.CAMERA_TRACKING_STATUS_FLAGS_ACTIVE)

    def status(self, slot: int, now: float) -> Any:
        """CAMERA_TRACKING_IMAGE_STATUS; all numbers are NaN unless the target is seen."""
        flags = self.flags(slot, now)
        sight = self.sight(slot)
        mode, data = dialect.CAMERA_TRACKING_MODE_NONE, 0
        point: tuple[float, ...] = (math.nan,) * 3
        corners: tuple[float, ...] = (math.nan,) * 4
        if sight is not None:
            mode = dialect.CAMERA_TRACKING_MODE_RECTANGLE
        if sight is not None and flags == dialect.CAMERA_TRACKING_STATUS_FLAGS_ACTIVE:
            assert sight.box is not None
            data = dialect.CAMERA_TRACKING_TARGET_DATA_IN_STATUS
            x, y, w, h = sight.box
            point, corners = (x + w / 2, y + h / 2, w / 2), (x, y, x + w, y + h)
        return dialect.MAVLink_camera_tracking_image_status_message(
            flags, mode, data, *point, *corners, slot
        )
