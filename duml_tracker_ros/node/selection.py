"""How a target is selected and dropped: services for operators, topics for detectors and clicks."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from geometry_msgs.msg import Point
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.task import Future

from duml_tracker_ros.msg import Box
from duml_tracker_ros.srv import Init, InitPoint, Stop

from .answers import SERVICE_QOS
from .boxes import BoxOf, fraction_box, pixel_box, point_box
from .command import Command, Overtaken, WorkerError
from .frame_ring import CameraFrame
from .stamps import nanoseconds
from .subscriptions import best_effort

try:
    from vision_msgs.msg import Detection2D
except ImportError:
    Detection2D = None

if TYPE_CHECKING:
    from .phases import Active, Host

# A simulated clock may stand still; waits must end all the same.
STEADY = Clock(clock_type=ClockType.STEADY_TIME)
# Characters; it goes into every message of the target.
LONGEST_CLASS = 200
# Id to give the target, and id of the target it replaces; 0: any, none.
ANY_ID = (0, 0)
QUEUE = best_effort()


class Selector:
    """Serves `~/init`, `~/init_point`, `~/stop`; takes `~/init_box`, `~/click`, `~/init_detection`.

    All exist from the start and in every lifecycle state, so that a node that is not active can
    say so: a service in its answer, a topic in the log and in diagnostics.

    Attributes:
        last: what came of the last selection, in words.
        waiting: how many requests wait for the tracker's answer.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._node = node = host.ros
        self.last = ""
        self.waiting = 0
        self._clicks: list[Any] = []
        self._group = group = ReentrantCallbackGroup()
        services: list[tuple[Any, str, Callable[[Any, Any], Any]]] = [
            (Init, "~/init", self._on_init),
            (InitPoint, "~/init_point", self._on_init_point),
            (Stop, "~/stop", self._on_stop),
        ]
        for kind, name, serve in services:
            node.create_service(kind, name, serve, qos_profile=SERVICE_QOS, callback_group=group)
        topics: list[tuple[Any, str, Callable[[Any], Any]]] = [
            (Box, "~/init_box", self._on_box),
            (Point, "~/click", partial(self._on_click, "~/click")),
        ]
        if Detection2D is not None:
            topics.append((Detection2D, "~/init_detection", self._on_detection))
        for kind, name, take in topics:
            node.create_subscription(kind, name, take, QUEUE, callback_group=group)

    def take_clicks(self, wanted: bool) -> None:
        """Select by clicks of rqt_image_view on the camera's image and on the annotated one.

        It publishes a geometry_msgs/Point in whole pixels on <image topic>_mouse_left.
        """
        while self._clicks and not wanted:
            self._node.destroy_subscription(self._clicks.pop())
        if wanted and not self._clicks:
            for image in ("image", "~/annotated"):
                topic = f"{self._node.resolve_topic_name(image)}_mouse_left"
                take = partial(self._on_click, topic)
                self._clicks.append(
                    self._node.create_subscription(
                        Point, topic, take, QUEUE, callback_group=self._group
                    )
                )

    def tell(self, text: str) -> None:
        """Take note of a selection that was made otherwise."""
        self.last = text

    # -- services -----------------------------------------------------------------------------

    async def _on_init(self, request: Init.Request, response: Init.Response) -> Init.Response:
        ids = request.target_id, request.replaces
        return await self._select_box("~/init", request, request.stamp, ids, response)

    async def _on_init_point(
        self, request: InitPoint.Request, response: InitPoint.Response
    ) -> InitPoint.Response:
        point = (request.x, request.y, request.size)
        box_of = point_box(*point, request.normalized, self._host.settings.point_size)
        ids = request.target_id, request.replaces
        return await self._select("~/init_point", point, box_of, request.stamp, ids, response)

    async def _on_stop(self, request: Stop.Request, response: Stop.Response) -> Stop.Response:
        try:
            worker, _ = self._host.in_service()
            stopped = await self._answer(worker.stop_target(request.target_id))
        except Exception as error:
            response.message = self._reason(error)
        else:
            response.success = True
            names = f"target{'s' * (len(stopped) > 1)} {', '.join(map(str, stopped))}"
            response.message = f"{names} dropped" if stopped else "there was no target"
        return response

    # -- topics -------------------------------------------------------------------------------

    async def _on_box(self, message: Box) -> None:
        stamp = message.header.stamp
        await self._select_box("~/init_box", message, stamp, ANY_ID, Init.Response())

    async def _on_click(self, topic: str, message: Point) -> None:
        point = (message.x, message.y, 0.0)
        box_of = point_box(*point, False, self._host.settings.point_size)
        await self._select(topic, point, box_of, None, ANY_ID, Init.Response())

    async def _on_detection(self, message: Any) -> None:
        centre, w, h = message.bbox.center.position, message.bbox.size_x, message.bbox.size_y
        box = (centre.x - w / 2, centre.y - h / 2, w, h)
        stamp = message.header.stamp
        guesses = [result.hypothesis for result in message.results]
        best = max(guesses, key=lambda guess: guess.score, default=None)
        await self._select(
            "~/init_detection",
            box,
            pixel_box(*box),
            stamp,
            ANY_ID,
            Init.Response(),
            best.class_id if best is not None else "",
        )

    # -- both ---------------------------------------------------------------------------------

    async def _select_box(
        self, name: str, asked: Any, stamp: Any, ids: tuple[int, int], response: Any
    ) -> Any:
        """Select by the fields that ~/init and ~/init_box share."""
        make = fraction_box if asked.normalized else pixel_box
        sides, former = (asked.width, asked.height), (asked.w, asked.h)
        if former != (0.0, 0.0):
            if sides not in ((0.0, 0.0), former):
                self._refuse(
                    name, f"width, height = {sides} and w, h = {former}: give one", response
                )
                return response
            sides = former
            self._node.get_logger().warning(
                f"{name} with w and h: they are called width and height, and will go", once=True
            )
        box = (asked.x, asked.y, *sides)
        made = make(*box)
        return await self._select(name, box, made, stamp, ids, response, asked.class_id)

    def _refuse(self, name: str, reason: str, response: Any, often: bool = False) -> None:
        """Answer with the reason, and keep it for log and diagnostics."""
        response.message = reason
        self.last = f"{name} refused: {reason}"
        if often:
            self._node.get_logger().warning(self.last, throttle_duration_sec=5.0)
        else:
            self._node.get_logger().warning(self.last)

    async def _select(
        self,
        name: str,
        numbers: tuple[float, ...],
        box_of: BoxOf,
        stamp: Any,
        ids: tuple[int, int],
        response: Any,
        class_id: str = "",
    ) -> Any:
        try:
            if not all(math.isfinite(number) for number in numbers):
                raise WorkerError(f"{numbers} is not finite: give x, y and the size as numbers")
            if len(class_id) > LONGEST_CLASS:
                raise WorkerError(
                    f"class_id has {len(class_id)} characters: use at most {LONGEST_CLASS}"
                )
            worker, active = self._host.in_service()
            frame = self._frame(active, nanoseconds(stamp) if stamp is not None else 0)
            target_id, replaces = ids
            command = worker.init(frame, box_of, target_id, active.ring, replaces, class_id)
            selection = await self._answer(command)
        except Exception as error:
            # Clicks and detectors overtake themselves many times a second.
            self._refuse(name, self._reason(error), response, isinstance(error, Overtaken))
            return response
        x, y, w, h = selection.box
        response.success = True
        response.message = f"tracking ({x:.1f}, {y:.1f}) {w:.1f}x{h:.1f}"
        if selection.share < 1.0:
            response.message += f": {selection.share:.0%} of the box, which lies in the image"
        response.target_id = selection.target_id
        response.stamp = frame.header.stamp
        self.last = f"{name}: target {selection.target_id}, {response.message}"
        return response

    def _frame(self, active: Active, stamp_ns: int) -> CameraFrame:
        """The frame with this stamp, or the newest one if that is fresh, for stamp 0."""
        stream, ring, settings = active.stream, active.ring, self._host.settings
        newest = ring.newest()
        if newest is None:
            raise WorkerError(f"no image yet: {stream.silence()}")
        if stamp_ns == 0:
            age = time.monotonic() - newest.arrival
            if age > settings.max_image_age:
                raise WorkerError(
                    f"the newest image is {age:.1f} s old (max_image_age is "
                    f"{settings.max_image_age:g} s): {stream.silence()}"
                )
            return newest
        frame = ring.find(stamp_ns)
        if frame is None:
            span = ring.span_ns() or (0, 0)
            raise WorkerError(
                f"no image with stamp {stamp_ns / 1e9:.9f} is kept, only from "
                f"{span[0] / 1e9:.9f} to {span[1] / 1e9:.9f}: "
                f"{ring.shortage() or f'ring_seconds = {settings.ring_seconds:g}'}"
            )
        return frame

    async def _answer(self, command: Command) -> Any:
        """Result of a command, while the executor goes on taking images.

        Raises:
            WorkerError: the worker refused, or did not answer in time.
        """
        timeout, executor = self._host.settings.init_timeout, self._node.executor
        assert executor is not None
        finished: Future[None] = Future(executor=executor)

        def finish() -> None:
            if not finished.done():
                finished.set_result(None)
            # A future alone does not wake an executor that waits for the next event.
            executor.wake()

        timer = self._node.create_timer(timeout, finish, clock=STEADY)
        command.when_done(finish)
        self.waiting += 1
        await finished
        self.waiting -= 1
        self._node.destroy_timer(timer)
        try:
            return command.result(0.0)
        except TimeoutError:
            raise WorkerError(
                f"the tracker did not answer within {timeout:g} s (init_timeout); given up"
            ) from None

    def _reason(self, error: Exception) -> str:
        if isinstance(error, WorkerError):
            return str(error)
        self._node.get_logger().error("".join(traceback.format_exception(error)).rstrip())
        return f"{type(error).__name__}: {error}"
