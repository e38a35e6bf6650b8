"""The console's ROS node: hears tracker and camera while somebody watches, and asks services.

Its executor runs on a thread of its own; what other threads want is done between two callbacks.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image

from duml_tracker_ros.msg import Target, TrackDebug
from duml_tracker_ros.srv import Init, InitPoint, Stop

from ...messages.image_codec import ImageError, read_image
from ..answers import SERVICE_QOS
from ..parameters import make_descriptor
from ..stream import ImageStream
from .protocol import Select, Watch
from .readings import read_debug, read_target, stamp_of
from .scenes import Joiner, Scene
from .settings import DEFAULTS, SPECS, Settings, settings_from

# Longer than the tracker's own init_timeout by default.
ANSWER_TIMEOUT = 8.0
TICK = 0.5
# Other nodes, and what they publish, are known after this time, seconds.
DISCOVERY = 2.0


class Bridge(Node):
    """Node `duml_console`.

    Raises:
        ConsoleError: a parameter is not valid.
    """

    def __init__(self) -> None:
        super().__init__("duml_console")
        for name, spec in SPECS.items():
            default = getattr(DEFAULTS, name)
            self.declare_parameter(name, default, make_descriptor(name, default, spec))
        self.settings: Settings = settings_from(
            {name: self.get_parameter(name).value for name in SPECS}
        )
        self.emit: Callable[[Scene], None] = lambda scene: None
        self._joiner = Joiner(self._emit)
        self._name = self.settings.tracker
        self._stream: ImageStream | None = None
        self._heard: dict[str, Any] = {}
        self._has_masks = False
        self._began = 0.0
        self._todo: deque[Callable[[], None]] = deque()
        self._inits, self._points, self._stops = (
            self.create_client(
                kind,
                self.resolve_service_name(f"{self._name}/{service}"),
                qos_profile=SERVICE_QOS,
            )
            for kind, service in ((Init, "init"), (InitPoint, "init_point"), (Stop, "stop"))
        )
        self._changed = self.create_guard_condition(self._catch_up)
        self.create_timer(TICK, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # -- any thread ---------------------------------------------------------------------------

    def watch(self, watched: bool, wants: Watch) -> None:
        """Subscribe to what is watched, and to nothing else."""
        self._do(lambda: self._subscribe(watched, wants if watched else Watch()))

    async def select(self, wish: Select) -> dict[str, Any]:
        """Ask the tracker to select a target; the answer is as of `stop`."""
        request = Init.Request() if len(wish.numbers) == 4 else InitPoint.Request()
        names = ("x", "y", "width", "height") if len(wish.numbers) == 4 else ("x", "y")
        for name, value in zip(names, wish.numbers, strict=False):
            setattr(request, name, value)
        request.stamp.sec, request.stamp.nanosec = divmod(wish.stamp_ns, 1_000_000_000)
        request.replaces = wish.replaces
        return await self._call(self._inits if len(wish.numbers) == 4 else self._points, request)

    async def stop(self, target_id: int) -> dict[str, Any]:
        """Ask the tracker to drop a target; what it answered: `ok`, `message`, `target`."""
        return await self._call(self._stops, Stop.Request(target_id=target_id))

    async def _call(self, client: Any, request: Any) -> dict[str, Any]:
        done: concurrent.futures.Future[dict[str, Any]] = concurrent.futures.Future()
        self._do(lambda: self._ask(client, request, done))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(done), ANSWER_TIMEOUT)
        except (asyncio.TimeoutError, TimeoutError):
            text = f"{client.srv_name} did not answer within {ANSWER_TIMEOUT:g} s"
            return {"ok": False, "message": text, "target": 0}

    def _do(self, action: Callable[[], None]) -> None:
        self._todo.append(action)
        self._changed.trigger()

    # -- the executor's thread ----------------------------------------------------------------

    def _catch_up(self) -> None:
        while self._todo:
            self._todo.popleft()()

    def _ask(
        self, client: Any, request: Any, done: concurrent.futures.Future[dict[str, Any]]
    ) -> None:
        def finish(ok: bool, message: str, target: int = 0) -> None:
            # Whoever asked may have given up at this very moment.
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                done.set_result({"ok": ok, "message": message, "target": target})

        def answered(future: Any) -> None:
            answer = future.result()
            finish(answer.success, answer.message, getattr(answer, "target_id", 0))

        def forget(_: object) -> None:
            if done.cancelled():
                self._do(lambda: client.remove_pending_request(future))

        if not client.service_is_ready():
            finish(
                False,
                f"there is no service {client.srv_name}: start the tracker node, or name it with "
                "the parameter tracker (and compare ROS_DOMAIN_ID)",
            )
            return
        future = client.call_async(request)
        future.add_done_callback(answered)
        done.add_done_callback(forget)

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
        self._hear("target", Target, watched, self._on_target)
        self._hear("debug", TrackDebug, wants.debug, self._on_debug)
        # Only the newest counts, and the tracker shall not send one again.
        self._hear("mask", Image, wants.mask, self._on_mask, 1, ReliabilityPolicy.BEST_EFFORT)

    def _hear(
        self,
        topic: str,
        kind: Any,
        wanted: bool,
        take: Callable[[Any], None],
        depth: int = 10,
        reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE,
    ) -> None:
        if wanted and topic not in self._heard:
            self._heard[topic] = self.create_subscription(
                kind,
                f"{self._name}/{topic}",
                take,
                QoSProfile(depth=depth, reliability=reliability),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
        elif not wanted and topic in self._heard:
            self.destroy_subscription(self._heard.pop(topic))

    def _on_target(self, message: Any) -> None:
        self._joiner.take_target(stamp_of(message), read_target(message))

    def _on_debug(self, message: Any) -> None:
        self._joiner.take_debug(stamp_of(message), read_debug(message))

    def _on_mask(self, message: Any) -> None:
        try:
            self._joiner.take_mask(stamp_of(message), read_image(message))
        except ImageError as error:
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
        elif not self._inits.service_is_ready():
            name = self._inits.srv_name.rpartition("/")[0]
            numbers["problem"] = f"there is no tracker node {name}"
        elif scene.frame is None:
            numbers["problem"] = f"no images: {stream.silence()}"
        elif scene.targets is None:
            numbers["problem"] = "the tracker does not answer images; it may not be active"
        self.emit(dataclasses.replace(scene, numbers=numbers))
