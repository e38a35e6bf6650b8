"""What the node has in each phase of its life, and what its parts see of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rclpy.lifecycle import LifecycleNode

from .attitude import AttitudeSource
from .frame_ring import FrameRing
from .parameters import NodeSettings
from .publishers import Publishers
from .stream import ImageStream
from .worker import TrackerWorker

if TYPE_CHECKING:
    from .guidance import Guidance


@dataclass(frozen=True)
class Configured:
    """From configure to cleanup: a loaded tracker on its thread, and where its answers go.

    Attributes:
        settings: those it was configured with.
    """

    settings: NodeSettings
    worker: TrackerWorker
    outputs: Publishers
    guidance: Guidance


@dataclass(frozen=True)
class Active:
    """From activate to deactivate: images.

    Attributes:
        attitude: how the camera is turned, where an IMU says so.
        since: monotonic time of the activation, seconds.
    """

    stream: ImageStream
    ring: FrameRing
    attitude: AttitudeSource | None
    since: float


class Host(Protocol):
    """What the parts of the node see of it.

    Attributes:
        ros: the node for rclpy: its logger, clock, services, publishers and subscriptions.
        settings: the current parameters.
    """

    @property
    def ros(self) -> LifecycleNode: ...

    @property
    def settings(self) -> NodeSettings: ...

    def in_service(self) -> tuple[TrackerWorker, Active]:
        """The tracker and its images. Raises WorkerError with the remedy unless active."""
        ...

    def send(self, publish: Callable[[], None]) -> None:
        """Call back if and as long as the node may publish; from any thread."""
        ...

    def is_tracked(self, target_id: int) -> bool:
        """Whether the last selection is this target and TRACKING at this moment."""
        ...
