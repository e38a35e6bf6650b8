"""The tracker's services, asked by a process beside it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.node import Node

from duml_tracker_ros.srv import Init, InitPoint, Stop

from .answers import SERVICE_QOS
from .operator import Answer, Operator

# Longer than the tracker's own init_timeout by default.
ANSWER_TIMEOUT = 8.0


class TrackerServices(Operator):
    """Asks `~/init`, `~/init_point` and `~/stop` of a tracker for other threads.

    What other threads want is done on the executor's thread, between two callbacks.

    Args:
        tracker: name of the tracker node.
    """

    def __init__(self, node: Node, tracker: str) -> None:
        self._todo: deque[Callable[[], None]] = deque()
        self._inits, self._points, self._stops = (
            node.create_client(
                kind, node.resolve_service_name(f"{tracker}/{service}"), qos_profile=SERVICE_QOS
            )
            for kind, service in ((Init, "init"), (InitPoint, "init_point"), (Stop, "stop"))
        )
        self._changed = node.create_guard_condition(self._catch_up)

    @property
    def ready(self) -> bool:
        """True when there is such a tracker."""
        return bool(self._inits.service_is_ready())

    @property
    def tracker(self) -> str:
        """The resolved name of the tracker."""
        return str(self._inits.srv_name.rpartition("/")[0])

    # -- any thread ---------------------------------------------------------------------------

    def do(self, action: Callable[[], None]) -> None:
        """Run this on the executor's thread."""
        self._todo.append(action)
        self._changed.trigger()

    async def select(
        self,
        numbers: tuple[float, ...],
        stamp_ns: int = 0,
        replaces: int = 0,
        normalized: bool = False,
    ) -> Answer:
        request = Init.Request() if len(numbers) == 4 else InitPoint.Request()
        names = ("x", "y", "width", "height") if len(numbers) == 4 else ("x", "y", "size")
        for name, value in zip(names, numbers, strict=False):
            setattr(request, name, value)
        request.stamp.sec, request.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
        request.replaces, request.normalized = replaces, normalized
        return await self._call(self._inits if len(numbers) == 4 else self._points, request)

    async def stop(self, target_id: int) -> Answer:
        return await self._call(self._stops, Stop.Request(target_id=target_id))

    async def _call(self, client: Any, request: Any) -> Answer:
        done: concurrent.futures.Future[Answer] = concurrent.futures.Future()
        self.do(lambda: self._ask(client, request, done))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(done), ANSWER_TIMEOUT)
        except (asyncio.TimeoutError, TimeoutError):
            text = f"{client.srv_name} did not answer within {ANSWER_TIMEOUT:g} s"
            return Answer(False, text, reached=False)

    # -- the executor's thread ----------------------------------------------------------------

    def _catch_up(self) -> None:
        while self._todo:
            self._todo.popleft()()

    def _ask(self, client: Any, request: Any, done: concurrent.futures.Future[Answer]) -> None:
        def finish(answer: Answer) -> None:
            # Whoever asked may have given up at this very moment.
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                done.set_result(answer)

        def answered(future: Any) -> None:
            got = future.result()
            finish(Answer(got.success, got.message, getattr(got, "target_id", 0)))

        def forget(_: object) -> None:
            if done.cancelled():
                self.do(lambda: client.remove_pending_request(future))

        if not client.service_is_ready():
            text = (
                f"there is no service {client.srv_name}: start the tracker node, or name it with "
                "the parameter tracker (and compare ROS_DOMAIN_ID)"
            )
            finish(Answer(False, text, reached=False))
            return
        future = client.call_async(request)
        future.add_done_callback(answered)
        done.add_done_callback(forget)
