"""What the worker tells the node of a frame and of a selection."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ..messages.image_codec import ImageView
from ..pixels import Box
from ..tracker import TrackResult
from ..tracker.motion.egomotion import Attitude
from .frame_ring import CameraFrame


class Status(enum.Enum):
    """State of a target as the node publishes it."""

    IDLE = "idle"
    TRACKING = "tracking"
    UNCERTAIN = "uncertain"
    LOST = "lost"
    ERROR = "error"

    @property
    def seen(self) -> bool:
        """True when the box of the frame may be acted on."""
        return self in (Status.TRACKING, Status.UNCERTAIN)


@dataclass(frozen=True)
class Sighting:
    """One target in one frame.

    Attributes:
        target_id: 0 when there is no target.
        result: None when there is no target, or it has just ended; the status is IDLE or ERROR.
        class_id: what it is, of who handed it over; empty: nobody said.
    """

    target_id: int
    status: Status
    result: TrackResult | None = None
    class_id: str = ""


@dataclass(frozen=True)
class FrameOutcome:
    """What became of one frame.

    Attributes:
        sightings: one of each target, at least one: without any target that of no target.
        selected: id of the last selection, whether that target is still followed or not.
        dropped: frames that were skipped since the outcome before this one.
        processing_time: seconds the tracker worked on this frame.
        attitude: how the camera was turned, where that is measured.
    """

    frame: CameraFrame
    view: ImageView
    sightings: tuple[Sighting, ...]
    selected: int
    dropped: int
    processing_time: float
    attitude: Attitude | None = None

    @property
    def tracked(self) -> list[tuple[Sighting, TrackResult]]:
        """The targets that are followed in this frame, each with its result."""
        return [(s, s.result) for s in self.sightings if s.result is not None]

    @property
    def followed(self) -> int:
        """How many that are."""
        return len(self.tracked)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the image in pixels."""
        return self.view.width, self.view.height


@dataclass(frozen=True)
class Selection:
    """A target that was selected.

    Attributes:
        box: it lies in the image.
        share: of the box that was asked for, the share that lies in the image.
    """

    target_id: int
    frame: CameraFrame
    box: Box
    share: float
