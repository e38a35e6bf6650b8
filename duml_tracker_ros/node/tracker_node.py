"""The lifecycle node: ROS on the executor's thread, the tracker on the worker's.

One file above 400 lines: rclpy's lifecycle callbacks are methods of one class.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from ..media.addresses import without_passwords
from ..needs import missing, old_torch
from ..tracker import create_tracker
from . import diagnostics
from .answers import answer_all
from .attitude import AttitudeSource
from .command import WorkerError
from .ending import Ending
from .frame_ring import CameraFrame, FrameRing
from .guidance import Guidance
from .health import Health
from .last_seen import LastSeen
from .lifecycle_services import LifecycleServices
from .memory import available_memory
from .outcome import FrameOutcome, Status
from .parameter_table import CONFIGURE, START
from .parameters import TABLE, NodeSettings, scaling, tracker_overrides
from .phases import Active, Configured
from .publishers import Publishers
from .reselection import Reselection
from .selection import STEADY, Selector
from .statistics import Statistics
from .stream import ImageStream
from .subscriptions import reliable
from .target_ids import TargetIds, state_file
from .texts import cut
from .track_recorder import TrackRecorder
from .worker import TrackerWorker

SUCCESS = TransitionCallbackReturn.SUCCESS
FAILURE = TransitionCallbackReturn.FAILURE
# How often new subscribers of what needs CameraInfo or depth are looked for, seconds.
GUIDANCE_PERIOD = 0.25
LEAST_RING = 64 << 20
# Seconds between two requests of a burst, at most.
REQUESTS_COME = 0.2

# What makes the node active from each of its states.
REMEDIES = {
    "unconfigured": "configure and activate it first",
    "inactive": "activate it first",
    "finalized": "it was shut down for good; end its process and start it again",
}

Callback = Callable[["TrackerNode", LifecycleState], TransitionCallbackReturn]


def _ring_bytes(settings: NodeSettings) -> int:
    """Memory for the ring of frames."""
    if settings.ring_bytes >= 0:
        return settings.ring_bytes
    return max(LEAST_RING, available_memory() // 4)


def _logged(transition: Callback) -> Callback:
    """Log what a transition raises, which rclpy would swallow, and answer FAILURE."""

    @functools.wraps(transition)
    def guarded(node: TrackerNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception as error:
            if not node.going():
                node.get_logger().info(f"{transition.__name__} broken off: the process ends")
                return FAILURE
            if isinstance(error, ImportError):
                node.fault(f"{transition.__name__} failed: {missing(error)}")
                return FAILURE
            node.fault(f"{transition.__name__} failed: {type(error).__name__}: {error}")
            node.get_logger().error(traceback.format_exc().rstrip())
            return FAILURE

    return guarded


class TrackerNode(LifecycleNode):
    """`duml_tracker`: follows targets through the images of a camera.

    Args:
        ending: knows when the process is asked to end; what takes long is broken off then.
    """

    def __init__(self, ending: Ending | None = None, **arguments: Any) -> None:
        super().__init__("duml_tracker", enable_communication_interface=False, **arguments)
        self._ending = ending
        # The callback also judges the values that come with the declaration.
        self.add_on_set_parameters_callback(self._check_parameters)
        self.settings = TABLE.declare(self)
        self.add_post_set_parameters_callback(self._apply_parameters)
        self._configured: Configured | None = None
        self._active: Active | None = None
        self._statistics = Statistics()
        self._last_error = ""
        self._stuck = False
        self._ids = TargetIds(self._state_file("id"), self.get_logger())
        self._next_id = self._ids.first
        self._last_seen: LastSeen | None = None
        # Nothing is published once the gate is shut: the worker may still be at a frame then.
        self._gate = threading.Lock()
        self._open = False
        self._recorder = TrackRecorder(self._describe_tracker, self.fault)
        self._health = Health(self)
        self._lifecycle = LifecycleServices(self)
        self._selector = Selector(self)
        self._answers = answer_all(self)
        self._selector.take_clicks(self.settings.mouse_left)
        self._reselection: Reselection | None = None
        if longest := self.settings.reselect_after:
            log, tell = self.get_logger(), self._selector.tell
            self._last_seen = LastSeen(self._state_file("seen"), log)
            self._reselection = Reselection(self._last_seen, longest, log, tell)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", reliable(10))
        self.create_timer(self.settings.diagnostics_period, self._diagnose, clock=STEADY)
        self.create_timer(GUIDANCE_PERIOD, self._refresh_guidance, clock=STEADY)
        self._autostart_timer = (
            self.create_timer(0.0, self._autostart, clock=STEADY)
            if self.settings.autostart
            else None
        )
        if self._autostart_timer is None:
            self.get_logger().info(
                "unconfigured; waiting for the transitions configure and activate "
                "(or start with -p autostart:=true)"
            )

    # -- lifecycle ----------------------------------------------------------------------------

    @property
    def lifecycle_state(self) -> str:
        """Label of the lifecycle state."""
        return str(self._state_machine.current_state[1])

    @_logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Validate, load and warm up the tracker on its thread, create the publishers."""
        began = time.monotonic()
        self.get_logger().info("configuring: loading the tracker")
        if old := old_torch():
            self.get_logger().warning(old)
        settings = self.settings = TABLE.read_from(self)
        worker = self._make_worker(settings)
        with contextlib.ExitStack() as undone:
            undone.callback(self._close_worker, worker)
            worker.start(settings.configure_timeout, self.going)
            outputs = Publishers(self, masks=bool(worker.info.get("mask")))
            undone.callback(self._each, outputs.destroy)
            guidance = Guidance(self, outputs.make)
            undone.pop_all()
        self._configured = Configured(settings, worker, outputs, guidance)
        self._last_error = ""
        info = worker.info
        self.get_logger().info(
            f"configured in {time.monotonic() - began:.1f} s: {info.get('name')} "
            f"{info.get('size')} on {info.get('device')}; waiting for the transition activate"
        )
        return super().on_configure(state)

    @_logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the images."""
        settings, configured = self.settings, self._configured
        assert configured is not None
        stale = [
            name
            for name, spec in TABLE.specs.items()
            if spec.when == CONFIGURE
            and getattr(settings, name) != getattr(configured.settings, name)
        ]
        if stale:
            self.get_logger().warning(
                f"{', '.join(stale)} changed since configure and has no effect before cleanup "
                "and configure"
            )
        with contextlib.ExitStack() as undone:
            undone.callback(self._stop_stream, state)
            result = super().on_activate(state)
            self._statistics = Statistics()
            self._health.begin()
            attitude = self._watch_attitude(configured.worker)
            if attitude is not None:
                undone.callback(attitude.destroy)
            with self._gate:
                self._open = True
            stream = ImageStream(
                self,
                settings.image_transport,
                self._on_frame,
                self._on_refused,
                scaling(settings),
                settings.max_pixels,
            )
            undone.pop_all()
        ring = FrameRing(settings.ring_seconds, _ring_bytes(settings))
        self._active = Active(stream, ring, attitude, time.monotonic())
        self.get_logger().info(f"active; waiting for images on {stream.topic}")
        return result

    @_logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Drop the target and the subscription."""
        self._stop_stream(state)
        # What was wrong with the images does not keep the node from anything now.
        self._last_error = ""
        return SUCCESS

    @_logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the tracker, its memory, and the publishers."""
        self._release()
        return SUCCESS

    @_logged
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything, from any state."""
        self._stop_stream(state)
        self._release()
        return SUCCESS

    @_logged
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything; the node is unconfigured then and may be configured again."""
        self._stop_stream(state)
        self._release()
        return SUCCESS

    def close(self) -> bool:
        """Let go of everything before the process ends. False when the tracker's thread hangs."""
        self._stop_stream(None)
        self._release()
        return not self._stuck

    def answering(self) -> bool:
        """True while services wait for an answer; it needs turns of the executor to go out.

        Requests that wait for their turn are not seen: they are taken to be there for some
        moments after each answer.
        """
        if self._selector.waiting or any(service.waiting for service in self._answers):
            return True
        return time.monotonic() - max(service.last for service in self._answers) < REQUESTS_COME

    def going(self) -> bool:
        """False once the process is asked to end, or the context has been shut down."""
        return not (self._ending and self._ending.asked) and self.context.ok()

    def fault(self, text: str) -> None:
        """Log an error and keep it for diagnostics."""
        self._last_error = cut(text, 2000)
        self.get_logger().error(without_passwords(text))

    def _describe_tracker(self) -> dict[str, Any]:
        return self._configured.worker.info if self._configured is not None else {}

    def _make_worker(self, settings: NodeSettings) -> TrackerWorker:
        def create() -> Any:
            return create_tracker(
                settings.tracker,
                weights=settings.weights,
                device=settings.device,
                size=settings.size,
                profile=settings.profile,
                **tracker_overrides(settings),
            )

        worker = TrackerWorker(
            create,
            lambda outcome: self._on_outcome(worker, outcome),
            self.get_logger(),
            settings.num_threads,
            settings.max_targets,
            self._on_unreadable,
        )
        worker.registry.next_id, worker.registry.keep_ids = self._next_id, self._ids.keep
        worker.lost_timeout, worker.catch_up = settings.lost_timeout, settings.catch_up
        return worker

    def _stop_stream(self, state: LifecycleState | None) -> None:
        with self._gate:
            self._open = False
        active, self._active = self._active, None
        configured = self._configured
        if configured is not None:
            configured.worker.attitude_of = None
        self._each(
            *([active.stream.destroy] if active is not None else []),
            *([active.attitude.destroy] if active is not None and active.attitude else []),
            *([configured.guidance.stop] if configured is not None else []),
            self._release_target,
            *([self._last_seen.forget] if self._last_seen is not None else []),
            self._recorder.close,
            *([functools.partial(super().on_deactivate, state)] if state is not None else []),
        )

    def _watch_attitude(self, worker: TrackerWorker) -> AttitudeSource | None:
        """Subscribe to the IMU, if the camera's motion shall come from there."""
        if self.settings.imu == "off":
            return None
        if not worker.info.get("config", {}).get("motion", {}).get("active"):
            self.get_logger().warning(
                f"imu = {self.settings.imu!r} has no effect: camera_motion is off; set it to 'on'"
            )
            return None
        attitude = AttitudeSource(self, lambda: self.settings)
        worker.attitude_of = attitude.at
        return attitude

    def _release_target(self) -> None:
        configured = self._configured
        # Once the process is asked to end nobody hears of the target any more.
        if configured is None or not configured.worker.alive or not self.going():
            return
        try:
            configured.worker.release().result(self.settings.init_timeout)
        except TimeoutError:
            self.fault("the tracker does not answer; its target is dropped when it does")

    def _release(self) -> None:
        configured, self._configured = self._configured, None
        if configured is not None:
            self._close_worker(configured.worker)
            self._each(configured.outputs.destroy)

    def _close_worker(self, worker: TrackerWorker) -> None:
        # Ids go on: no two selections of this process share one.
        self._next_id = worker.registry.next_id
        # An ending process does not wait for a network that is being loaded.
        if not worker.close(5.0 if self.going() else 2.0):
            self._stuck = True
            if self.going():
                self.fault("the tracker's thread does not end; restart the node")

    def _each(self, *steps: Callable[[], Any]) -> None:
        """Take every step, also after one that failed."""
        for step in steps:
            try:
                step()
            except Exception:
                self.get_logger().error(traceback.format_exc().rstrip())

    def _autostart(self) -> None:
        if self._autostart_timer is not None:
            self.destroy_timer(self._autostart_timer)
            self._autostart_timer = None
        if self.lifecycle_state != "unconfigured":
            return
        done = self.trigger_configure() == SUCCESS and self.trigger_activate() == SUCCESS
        if not done and self.going():
            self.get_logger().error(
                f"autostart failed, the node is {self.lifecycle_state}: {self._last_error}"
            )

    # -- parameters ---------------------------------------------------------------------------

    def _state_file(self, ending: str) -> Path:
        """Where this node keeps what outlives its process."""
        name, domain = self.get_fully_qualified_name(), self.context.get_domain_id()
        return state_file(self.settings.state_folder, name, domain, ending)

    def _check_parameters(self, parameters: list[Any]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name not in TABLE.specs:
                continue
            reason = TABLE.check_change(parameter.name, parameter.value, self.lifecycle_state)
            if reason:
                return SetParametersResult(successful=False, reason=cut(reason, 1000))
        return SetParametersResult(successful=True)

    def _apply_parameters(self, parameters: list[Any]) -> None:
        if not any(p.name in TABLE.specs and TABLE.specs[p.name].when != START for p in parameters):
            return
        self.settings = TABLE.read_from(self)
        self._selector.take_clicks(self.settings.mouse_left)
        if self._configured is not None:
            self._configured.worker.lost_timeout = self.settings.lost_timeout
            self._configured.worker.catch_up = self.settings.catch_up

    # -- images -------------------------------------------------------------------------------

    def _on_frame(self, frame: CameraFrame) -> None:
        active, configured = self._active, self._configured
        if active is None or configured is None:
            return
        if not self._statistics.images.total:
            self.get_logger().info(
                f"images come on {active.stream.topic} ({active.stream.description}); "
                "waiting for a target: call ~/init"
            )
        self._statistics.add_image(frame.stamp_ns, frame.arrival)
        active.ring.append(frame)
        if self._reselection is not None:
            self._reselection.take_up(configured.worker, frame)
        configured.worker.submit(frame)

    def _on_refused(self, reason: str) -> None:
        self._statistics.rejected += 1
        self._last_error = f"image refused: {reason}"
        self.get_logger().warning(self._last_error, throttle_duration_sec=1.0)

    def _on_unreadable(self, reason: str) -> None:
        """Take note of an image whose bytes turned out to be none; on the worker's thread."""
        if (active := self._active) is not None:
            active.stream.turn_down(reason)

    def _on_outcome(self, worker: TrackerWorker, outcome: FrameOutcome) -> None:
        """Publish what the worker found out; called on its thread, which saves a wake-up."""
        try:
            self._publish(worker, outcome)
        except Exception:
            # Others may end the context between any two lines.
            if self.context.ok():
                raise

    def _publish(self, worker: TrackerWorker, outcome: FrameOutcome) -> None:
        with self._gate:
            configured = self._configured
            if not self._open or configured is None or worker is not configured.worker:
                return
            latency = configured.outputs.publish_targets(outcome)
        self._statistics.latency.add(latency)
        if outcome.followed:
            self._statistics.processing.add(outcome.processing_time)
            self._statistics.add_stages(worker.stage_times())
        configured.guidance.publish(outcome)
        settings = self.settings
        for publish in configured.outputs.render_debug(outcome, settings):
            self.send(publish)
        if settings.record_debug or self._recorder.folder:
            self._recorder.take(outcome, settings)
        if self._last_seen is not None:
            self._last_seen.take(outcome)

    def send(self, publish: Callable[[], None]) -> None:
        """Call back if and as long as the node may publish; from any thread."""
        with self._gate:
            if self._open:
                publish()

    def _refresh_guidance(self) -> None:
        if self._open and self._configured is not None:
            self._configured.guidance.refresh()
        if self._open and self._last_seen is not None:
            self._last_seen.write()

    # -- what its parts ask -------------------------------------------------------------------

    @property
    def ros(self) -> LifecycleNode:
        return self

    def in_service(self) -> tuple[TrackerWorker, Active]:
        """The tracker and its images. Raises WorkerError with the remedy unless active."""
        configured, active, state = self._configured, self._active, self.lifecycle_state
        if not self.going():
            raise WorkerError("the node is going out of service: its process was asked to end")
        if state != "active" or configured is None or active is None:
            raise WorkerError(f"the node is {state}: {REMEDIES.get(state, REMEDIES['inactive'])}")
        return configured.worker, active

    def is_tracked(self, target_id: int) -> bool:
        """Whether the last selection is this target and TRACKING at this moment."""
        if self._configured is None:
            return False
        registry = self._configured.worker.registry
        return (
            target_id == registry.selected and registry.states().get(target_id) is Status.TRACKING
        )

    # -- diagnostics --------------------------------------------------------------------------

    def _diagnose(self) -> None:
        report = self._health.report(
            self.lifecycle_state,
            self._statistics,
            self._configured,
            self._active,
            self._last_error,
        )
        report.selection = self._selector.last
        stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(
            diagnostics.message(report, self.get_fully_qualified_name().lstrip("/"), stamp)
        )
