"""The demo's operator and scribe: brings the tracker up, selects the target, records, judges.

One file above 400 lines: its subscriptions and the steps of a demo share one record.
"""

from __future__ import annotations

import datetime
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import Parser
from ..node.ending import interrupted_by_signals
from ..node.exit_watchdog import end_within
from ..node.stamps import nanoseconds
from ..outputs import write_text
from ..pixels import Box
from .footage import (
    Footage,
    FootageError,
    VideoFootage,
    add_source_options,
    open_source,
)
from .pictures import Heatmap, draw_run
from .summary import STATES, Received, failures, summarize

TRACKER = "duml_tracker"
GET_STATE, CHANGE_STATE = f"/{TRACKER}/get_state", f"/{TRACKER}/change_state"
INIT, CAMERA = f"/{TRACKER}/init", "/camera/set_parameters"
ATTEMPTS = 6
UNTRACKED = 3
NOT_CONNECTED = 4
ENDING = 10.0  # seconds for taking DDS down
# Heatmaps are made only while somebody watches: look in at these shares of the film.
HEATMAP_LOOKS = ((0.12, 4), (0.45, 2), (0.8, 2))
HEATMAP_SECONDS = 1.2
OWN = (TRACKER, "camera", "recorder")
LOOK_AROUND = 0.5  # seconds between two looks at who else is there
DISCOVERY_S = 3.0  # after a failure: DDS may not have told yet who else is there


class RecorderError(RuntimeError):
    """The run cannot go on; one line that says why."""


class NotConnectedError(RecorderError):
    """DDS did not bring two processes together."""


class Recorder:
    """A ROS node that talks to the tracker and to the camera, with bounded waits."""

    def __init__(self, source: Footage, log: Path, progress: Progress) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from lifecycle_msgs.srv import ChangeState, GetState
        from rcl_interfaces.srv import SetParameters
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node

        from duml_tracker_ros.msg import Target
        from duml_tracker_ros.srv import Init

        self.source, self._log, self._progress = source, log, progress
        self.received: list[Received] = []
        self.heatmaps: list[Heatmap] = []
        self.diagnostics: dict[str, str] = {}
        self._watching: tuple[Any, float, int] | None = None
        self._looks = list(HEATMAP_LOOKS)
        self._state_names = {getattr(Target, f"STATE_{name}"): name for name in STATES}
        self.intruder = ""
        self.node = Node("recorder")
        self.node.create_timer(LOOK_AROUND, self._look_around)
        self.node.create_subscription(Target, f"/{TRACKER}/target", self._on_target, 50)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        # Made long before they are used: an answer to a client that the service has not yet
        # discovered is lost.
        self._clients = {
            name: self.node.create_client(kind, name)
            for name, kind in (
                (GET_STATE, GetState),
                (CHANGE_STATE, ChangeState),
                (INIT, Init),
                (CAMERA, SetParameters),
            )
        }

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()

    def run(self, by_others: bool = False) -> dict[str, Any]:
        """Configure, activate, select, record; returns the camera's log.

        Args:
            by_others: somebody else selects the target.
        """
        try:
            return self._run(by_others)
        except RecorderError as error:
            # Whatever went wrong, two demos that hear each other are reason enough.
            end = time.monotonic() + DISCOVERY_S
            while not self.intruder and time.monotonic() < end:
                self._look_around()
                time.sleep(0.1)
            if self.intruder:
                raise RecorderError(f"{error}; {self.intruder}") from None
            raise

    def _look_around(self) -> None:
        seen = self.node.get_node_names_and_namespaces()
        twice = [f"/{name}" for name in OWN if seen.count((name, "/")) > 1]
        if twice:
            self.intruder = (
                f"ROS domain {self.node.context.get_domain_id()} has {' and '.join(twice)} twice: "
                "another demo or tracker runs there; end it, or unset ROS_DOMAIN_ID so that the "
                "demo takes a domain of its own"
            )

    def _run(self, by_others: bool) -> dict[str, Any]:
        self._progress.step("starting the tracker")
        self._reach()
        self._change("configure", 120.0)
        self._change("activate", 10.0)
        self._progress.step("waiting for the first image")
        self._until(lambda: bool(self.received), 120.0, "no image reached the tracker")
        if by_others:
            self._progress.step("waiting for the ground station to select the target")
            self._until(lambda: self.received[-1].target_id > 0, 120.0, "nobody selected a target")
            self._progress.step(f"target {self.received[-1].target_id} selected over MAVLink")
        else:
            self._select()
        self._play()
        return self._record()

    # -- the operator -------------------------------------------------------------------------

    def _reach(self) -> None:
        """Ask the tracker for its state until it answers."""
        from lifecycle_msgs.srv import GetState

        for _ in range(ATTEMPTS):
            try:
                self._call(GET_STATE, GetState.Request(), 5.0)
            except NotConnectedError:
                raise
            except RecorderError:
                continue
            return
        raise NotConnectedError(f"{GET_STATE} does not answer (asked {ATTEMPTS} times)")

    def _change(self, label: str, timeout: float) -> None:
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        request = ChangeState.Request(transition=Transition(label=label))
        answer = self._call(CHANGE_STATE, request, timeout)
        if not answer.success:
            raise RecorderError(f"the tracker node refused to {label}")

    def _select(self) -> None:
        from duml_tracker_ros.srv import Init

        x, y, w, h = self.source.first_box
        answer = self._call(INIT, Init.Request(x=x, y=y, width=w, height=h), 30.0)
        if not answer.success:
            raise RecorderError(f"the tracker refused the target: {answer.message}")
        self._progress.step(f"target {answer.target_id} selected: {answer.message}")

    def _play(self) -> None:
        from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
        from rcl_interfaces.srv import SetParameters

        value = ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=False)
        request = SetParameters.Request(parameters=[Parameter(name="hold", value=value)])
        answer = self._call(CAMERA, request, 10.0)
        if not answer.results[0].successful:
            raise RecorderError(f"the camera does not start: {answer.results[0].reason}")

    def _call(self, name: str, request: Any, timeout: float) -> Any:
        client = self._clients[name]
        try:
            self._until(client.service_is_ready, 30.0, f"there is no service {name}")
        except RecorderError as error:
            raise NotConnectedError(str(error)) from None
        future = client.call_async(request)
        self._until(future.done, timeout, f"{name} does not answer")
        return future.result()

    def _until(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise RecorderError(f"{what} (waited {timeout:.0f} s)")
            self._executor.spin_once(timeout_sec=0.05)

    # -- the scribe ---------------------------------------------------------------------------

    def _record(self) -> dict[str, Any]:
        began, first = time.monotonic(), len(self.received)
        shown = 0.0
        quiet = time.monotonic()
        while not self._log.exists():
            count = len(self.received)
            self._executor.spin_once(timeout_sec=0.05)
            now = time.monotonic()
            if len(self.received) > count:
                quiet = now
            if now - quiet > 30.0:
                raise RecorderError("no target message for 30 s")
            self._look_in(len(self.received) - first, now)
            if now - shown > 0.25 and self.received:
                shown = now
                self._progress.live(
                    len(self.received) - first,
                    self.source.count,
                    self.received[-1],
                    (len(self.received) - first) / (now - began),
                )
        log: dict[str, Any] = json.loads(self._log.read_text(encoding="utf-8"))
        last = log["sent"][-1][1] if log["sent"] else 0
        # The answer to the last image may still be on its way.
        end = time.monotonic() + 2.0
        while time.monotonic() < end and self.received and self.received[-1].stamp_ns < last:
            self._executor.spin_once(timeout_sec=0.05)
        self._stop_watching()
        return log

    def _look_in(self, done: int, now: float) -> None:
        if self._watching is not None:
            _, since, wanted = self._watching
            if len(self.heatmaps) >= wanted or now - since > HEATMAP_SECONDS:
                self._stop_watching()
        elif self._looks and self.source.count and done > self._looks[0][0] * self.source.count:
            from sensor_msgs.msg import Image

            wanted = len(self.heatmaps) + self._looks.pop(0)[1]
            subscription = self.node.create_subscription(
                Image, f"/{TRACKER}/heatmap", self._on_heatmap, 1
            )
            self._watching = (subscription, now, wanted)

    def _stop_watching(self) -> None:
        if self._watching is not None:
            self.node.destroy_subscription(self._watching[0])
            self._watching = None

    def _on_target(self, message: Any) -> None:
        now = self.node.get_clock().now().nanoseconds
        stamp = nanoseconds(message.header.stamp)
        state = self._state_names.get(message.state, str(message.state))
        box: Box | None = None
        if np.isfinite(message.x):
            box = (message.x, message.y, message.width, message.height)
        self.received.append(
            Received(
                stamp,
                message.header.frame_id,
                state,
                box,
                message.confidence,
                message.target_id,
                message.frames_dropped,
                (now - stamp) / 1e9,
                message.latency,
                message.processing_time,
                time.monotonic(),
            )
        )

    def _on_diagnostics(self, message: Any) -> None:
        for status in message.status:
            if status.name.endswith(TRACKER):
                self.diagnostics = {pair.key: pair.value for pair in status.values}

    def _on_heatmap(self, message: Any) -> None:
        rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
        self.heatmaps.append(
            Heatmap(nanoseconds(message.header.stamp), rows[:, : message.width].copy())
        )


class Progress:
    """One live line on a terminal, a few plain lines elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._quarter = 0

    def step(self, text: str) -> None:
        self._write(text, final=True)

    def live(self, done: int, total: int | None, last: Received, rate: float) -> None:
        # The image that the target was selected on is answered too, or not.
        frames = f"{min(done, total - 1)}/{total - 1}" if total else f"{done}"
        text = (
            f"frame {frames}  {last.state:<9} {last.confidence:.2f}  {rate:4.1f} fps"
            f"  {1e3 * last.age:.0f} ms"
        )
        if self._terminal:
            self._write(text, final=False)
        elif total and 4 * done // total > self._quarter:
            self._quarter = 4 * done // total
            self._write(text, final=True)

    def end(self) -> None:
        if self._terminal:
            print("\r\x1b[K", end="", flush=True)

    def _write(self, text: str, final: bool) -> None:
        start = "\r\x1b[K" if self._terminal else ""
        print(f"{start}demo: {text}", end="\n" if final else "", flush=True)


def write_results(
    folder: Path, source: Footage, recorder: Recorder, log: dict[str, Any]
) -> dict[str, Any]:
    """Pictures and summary.json; returns the summary."""
    sent = [(int(index), int(stamp)) for index, stamp in log["sent"]]
    frames = iter(source.frames())
    truth, files = draw_run(
        folder,
        frames,
        source.order,
        log["rate"],
        sent,
        recorder.received,
        recorder.heatmaps,
        source.has_truth,
    )
    unreadable = list(source.problems)
    told = recorder.diagnostics
    summary: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "source": log["source"],
        "rate": log["rate"],
        "image_size": _image_size(source),
        "tracker": " ".join(filter(None, (told.get(f"tracker {k}", "") for k in ("name", "size")))),
        "weights": told.get("tracker weights", ""),
        "sha256": told.get("tracker sha256", ""),
        "device": told.get("tracker device", "unknown"),
        "camera_late": log["late"],
        **summarize(sent, log["frame_id"], recorder.received, truth if source.has_truth else None),
        "unreadable": unreadable,
        "files": files,
    }
    summary["failures"] = failures(summary)
    if summary["failures"] and recorder.intruder:
        summary["failures"].append(recorder.intruder)
    write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    return summary


def _image_size(source: Footage) -> str:
    for frame in source.frames():
        return f"{frame.image.shape[1]}x{frame.image.shape[0]}"
    return "unknown"


def build_parser() -> Parser:
    """The options of this process."""
    parser = Parser(prog="python -m duml_tracker_ros.demo.recorder")
    add_source_options(parser)
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="folder for the results")
    parser.add_argument("--log", type=Path, required=True, help="the camera's list of headers")
    parser.add_argument("--keep", type=Path, help="what a live camera has shown, as a video file")
    parser.add_argument("--mavlink", action="store_true", help="a ground station selects")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recorder; exit status 1 when the run broke off, 3 when nothing was tracked."""
    options = build_parser().parse_args(arguments)
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    progress = Progress()
    recorder = None
    status = 1
    try:
        with interrupted_by_signals():
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
            source = open_source(options)
            recorder = Recorder(source, options.log, progress)
            log = recorder.run(options.mavlink)
            progress.step("drawing")
            if source.live:
                source = VideoFootage(str(options.keep), source.first_box, None, None)
            summary = write_results(options.out, source, recorder, log)
        status = UNTRACKED if summary["failures"] else 0
    except (FootageError, RecorderError, OSError) as error:
        progress.end()
        print(f"demo: {error}", file=sys.stderr)
        status = NOT_CONNECTED if isinstance(error, NotConnectedError) else 1
    except KeyboardInterrupt:
        status = 130
    finally:
        # What the run found must not wait for DDS, should it hang while it is taken down.
        end_within(ENDING, status)
        if recorder is not None:
            recorder.close()
        rclpy.try_shutdown()
    return status


if __name__ == "__main__":
    sys.exit(main())
