"""The console's ROS node: hears tracker and camera while somebody watches, and asks services.

Its executor runs on a thread of its own; what other threads want is done between two callbacks.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import Image

from duml_tracker_ros.msg import Target, TrackDebug

from ..messages.image_codec import CodecError, read_image
from ..node.services import TrackerServices
from ..node.stream import ImageStream
from ..node.subscriptions import Subscriptions, best_effort, reliable
from .protocol import Watch
from .readings import read_debug, read_target, stamp_of
from .scenes import Joiner, Scene
from .settings import TABLE, ConsoleSettings

TICK = 0.5
# Other nodes, and what they publish, are known after this time, seconds.
DISCOVERY = 2.0


class ConsoleNode(Node):
    """Node `duml_console`.

    Raises:
        ConsoleError: a parameter is not valid.
    """

    def __init__(self) -> None:
        super().__init__("duml_console")
        self.settings: ConsoleSettings = TABLE.declare(self)
        self.emit: Callable[[Scene], None] = lambda scene: None
        self._joiner = Joiner(self._emit)
        self._name = self.settings.tracker
        self._stream: ImageStream | None = None
        self._heard = Subscriptions(self)
        self._has_masks = False
        self._began = 0.0
        self.operator = TrackerServices(self, self._name)
        self.create_timer(TICK, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # -- any thread ---------------------------------------------------------------------------

    def watch(self, watched: bool, wants: Watch) -> None:
        """Subscribe to what is watched, and to nothing else."""
        self.operator.do(lambda: self._subscribe(watched, wants if watched else Watch()))

    # -- the executor's thread ----------------------------------------------------------------

    def _subscribe(self, watched: bool, wants: Watch) -> None:
        self._joiner.wants_debug, self._joiner.wants_mask = wants.debug, wants.mask
        if watched and self._stream is None:
            self._joiner.clear()
            self._began = time.monotonic()
            self._stream = ImageStream(
                self, self.settings.image_transport, self._joiner.take_frame, self._refuse
            )
        elif not watched and self._stream is not None:
            self._stream.destroy()
            self._stream = None
            self._joiner.clear()
        hear, name = self._heard.want, self._name
        hear(watched, f"{name}/target", Target, self._on_target, reliable(10))
        hear(wants.debug, f"{name}/debug", TrackDebug, self._on_debug, reliable(10))
        # Only the newest counts, and the tracker shall not send one again.
        hear(wants.mask, f"{name}/mask", Image, self._on_mask, best_effort())

    def _on_target(self, message: Any) -> None:
        self._joiner.take_target(stamp_of(message), read_target(message))

    def _on_debug(self, message: Any) -> None:
        self._joiner.take_debug(stamp_of(message), read_debug(message))

    def _on_mask(self, message: Any) -> None:
        try:
            self._joiner.take_mask(stamp_of(message), read_image(message))
        except CodecError as error:
            self._refuse(f"mask: {error}")

    def _refuse(self, reason: str) -> None:
        self.get_logger().warning(f"image refused: {reason}", throttle_duration_sec=1.0)

    def _tick(self) -> None:
        if self._stream is not None:
            self._has_masks = self.count_publishers(f"{self._name}/mask") > 0
            self._joiner.tick()

    def _emit(self, scene: Scene) -> None:
        stream = self._stream
        if stream is None:
            return
        numbers = {**scene.numbers, "topic": stream.topic, "problem": "", "masks": self._has_masks}
        if time.monotonic() - self._began < DISCOVERY:
            pass  # others are still being discovered: nothing is known yet
        elif not self.operator.ready:
            numbers["problem"] = f"there is no tracker node {self.operator.tracker}"
        elif scene.frame is None:
            numbers["problem"] = f"no images: {stream.silence()}"
        elif scene.targets is None:
            numbers["problem"] = "the tracker does not answer images; it may not be active"
        self.emit(dataclasses.replace(scene, numbers=numbers))
