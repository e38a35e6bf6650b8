#!/usr/bin/env python3
"""Closes the loop over DDS: camera on a gimbal -> tracker -> controller -> gimbal.

    python examples/closed_loop.py

starts the three as processes, selects the target, and prints how well it stayed in the middle of
the image: in all images after settling, those in which a bridge hides it included. Exit status 0
when it was within 10 % of the image's size for 95 % of the time and the vehicle was told to hold
while the target was lost; else 3.

With `--mavlink` the rates go over MAVLink, from the bridge to a gimbal manager; a lost target is
answered by holding the gimbal.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from duml_tracker_ros.demo.main import (
    DemoError,
    Processes,
    check_mavlink,
    environment,
    free_port,
    last_words,
)
from duml_tracker_ros.demo.steered_camera import SCENE, VIEW

MODULES = {
    "camera": "duml_tracker_ros.demo.steered_camera",
    "tracker_node": "duml_tracker_ros.node",
    "controller": str(Path(__file__).with_name("gimbal_controller.py")),
}
BRIDGE = "duml_tracker_ros.mavlink"
SETTLING = 1.5  # seconds
SHARE, OFFSET = 0.95, 0.10


class Operator:
    """Selects the target, lets the scene play, and keeps what the tracker says."""

    def __init__(self, domain: int, processes: Processes) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        from duml_tracker_ros.msg import Target

        self._processes = processes
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node("operator", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        from rcl_interfaces.srv import SetParameters

        from duml_tracker_ros.srv import Init

        # Made long before they are used: an answer to a client that the service has not yet
        # discovered is lost.
        self._clients = {
            name: self.node.create_client(kind, name)
            for kind, name in (
                (Init, "duml_tracker/init"),
                (SetParameters, "camera/set_parameters"),
            )
        }
        self.states: dict[int, int] = {}
        self.node.create_subscription(Target, "duml_tracker/target", self._on_target, 50)

    def _on_target(self, message: Any) -> None:
        stamp = message.header.stamp
        self.states[stamp.sec * 1_000_000_000 + stamp.nanosec] = message.state

    def until(self, condition: Callable[[], Any], seconds: float, what: str) -> None:
        """Wait; DemoError when it takes too long or a process dies."""
        end = time.monotonic() + seconds
        while not condition():
            for name in self._processes.names:
                if self._processes.status(name):
                    raise DemoError(f"the {name} ended: {last_words(self._processes, name)}")
            if time.monotonic() > end:
                raise DemoError(f"{what}: not within {seconds:.0f} s")
            self._executor.spin_once(timeout_sec=0.05)

    def call(self, name: str, request: Any) -> Any:
        client = self._clients[name]
        self.until(client.service_is_ready, 60.0, f"service {name}")
        future = client.call_async(request)
        self.until(future.done, 30.0, f"answer of {name}")
        return future.result()

    def select(self, box: Sequence[float]) -> None:
        from duml_tracker_ros.srv import Init

        x, y, w, h = box
        request = Init.Request(x=x, y=y, width=w, height=h)
        answer = self.call("duml_tracker/init", request)
        if not answer.success:
            raise DemoError(f"the target was refused: {answer.message}")

    def play(self) -> None:
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        off = Parameter("hold", value=False).to_parameter_msg()
        self.call("camera/set_parameters", SetParameters.Request(parameters=[off]))

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()


def run(options: argparse.Namespace) -> dict[str, Any]:
    """One run; returns the summary."""
    from duml_tracker_ros.demo.steered_camera import scene

    box = scene(options.seed, options.frames).render(0).box
    assert box is not None
    left, top = ((s - v) / 2 for s, v in zip(SCENE, VIEW, strict=True))
    folder = Path(tempfile.mkdtemp(prefix="closed_loop_")) if options.out is None else options.out
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "truth.json"
    log.unlink(missing_ok=True)
    variables = environment()
    # This process speaks with the others: it needs the same transports.
    os.environ.update(variables)
    camera = [f"--{name}={getattr(options, name)}" for name in ("seed", "frames", "rate", "step")]
    settings = ["autostart:=true", *options.set]
    parameters = [part for setting in settings for part in ("-p", setting)]
    controller: tuple[str, list[str]] = MODULES["controller"], []
    if options.mavlink:
        check_mavlink()
        port = free_port()
        camera.append(f"--mavlink={port}")
        bridge = ["--ros-args", "-p", f"connection:=udp:127.0.0.1:{port}", "-p", "gimbal:=true"]
        controller = BRIDGE, bridge
    with Processes(folder, variables) as processes:
        processes.start("camera", MODULES["camera"], [*camera, f"--log={log}"])
        processes.start("tracker_node", MODULES["tracker_node"], ["--ros-args", *parameters])
        processes.start("controller", *controller)
        operator = Operator(int(variables["ROS_DOMAIN_ID"]), processes)
        try:
            operator.until(lambda: operator.states, 120.0, "the first image")
            operator.select((box[0] - left, box[1] - top, box[2], box[3]))
            began = time.monotonic()
            operator.until(lambda: time.monotonic() - began > 0.5, 10.0, "the controller")
            operator.play()
            seconds = options.frames / options.step / options.rate
            operator.until(log.exists, 2 * seconds + 30.0, "the end of the scene")
        finally:
            operator.close()
    truth = json.loads(log.read_text(encoding="utf-8"))
    return summarize(truth, operator.states, options.rate, vehicle=not options.mavlink)


def summarize(
    truth: list[dict[str, Any]], states: dict[int, int], rate: float, vehicle: bool
) -> dict[str, Any]:
    """How far the true target was from the middle, and what the vehicle was told, if there is one.

    Offsets are shares of the image's width and height, the larger of the two counts.
    """
    from duml_tracker_ros.msg import Target

    first = next((i for i, entry in enumerate(truth) if entry["index"] > 0), 0)
    played = truth[first + int(SETTLING * rate) :]
    view = np.array(VIEW)
    boxes = [entry["box"] for entry in played]
    centres = np.array([[b[0] + b[2] / 2, b[1] + b[3] / 2] if b else [np.inf] * 2 for b in boxes])
    offsets = np.abs(centres / view - 0.5).max(1)
    windows = np.array([entry["window"] for entry in played])
    # Had the gimbal stayed where it was at the beginning of the run.
    still = np.abs((centres + windows - truth[0]["window"]) / view - 0.5).max(1)
    state = np.array([states.get(entry["stamp"], -1) for entry in played])
    hold = np.array([entry["hold"] for entry in played])
    hidden = np.array([entry["visibility"] for entry in played]) < 0.3
    lost = state == Target.STATE_LOST
    # The word takes a moment to arrive: what is heard two images later counts.
    told = np.array([hold[i : i + 3].any() for i in np.nonzero(lost)[0]])
    summary = {
        "images": len(played),
        "within_10_percent": float(np.mean(offsets <= OFFSET)),
        "without_control": float(np.mean(still <= OFFSET)),
        "offset_p50": float(np.percentile(offsets, 50)),
        "offset_p95": float(np.percentile(offsets, 95)),
        "hidden": int(hidden.sum()),
        "lost": int(lost.sum()),
    }
    if vehicle:
        summary["lost_and_told_to_hold"] = int(told.sum())
        summary["hold_while_seen"] = int((hold & (state == Target.STATE_TRACKING)).sum())
    summary["ok"] = bool(
        summary["within_10_percent"] >= SHARE
        and summary["hidden"] > 0
        and summary["lost"] > 0
        and summary.get("lost_and_told_to_hold", summary["lost"]) == summary["lost"]
    )
    return summary


def show(summary: dict[str, Any]) -> None:
    """Print the summary as a table."""
    for text, value in (
        ("images after settling", summary["images"]),
        ("target within 10 % of the centre", f"{summary['within_10_percent']:.1%}"),
        ("  had the gimbal not moved", f"{summary['without_control']:.1%}"),
        ("offset p50, p95", f"{summary['offset_p50']:.1%}, {summary['offset_p95']:.1%}"),
        ("images with the target hidden", summary["hidden"]),
        ("images with the state LOST", summary["lost"]),
        ("  of them with the vehicle on hold", summary.get("lost_and_told_to_hold", "-")),
    ):
        print(f"{text:<36} {value}")


def main() -> int:
    """Exit status 0: the target stayed in the middle; 3: it did not; 1: the run broke off."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=400, help="length of the scene (400)")
    parser.add_argument("--rate", type=float, default=20.0, help="images per second (20)")
    parser.add_argument("--step", type=int, default=1,
                        help="frames of the scene an image: 2 is twice as fast (1)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=2, help="seed of the scene (2)")
    parser.add_argument("--mavlink", action="store_true", help="turn the gimbal over MAVLink")
    parser.add_argument("--out", type=Path, help="folder for logs and summary.json")
    parser.add_argument("--set", action="append", default=[], metavar="NAME:=VALUE",
                        help="parameter of the tracker node; may be repeated")  # fmt: skip
    options = parser.parse_args()
    try:
        summary = run(options)
    except DemoError as error:
        print(f"closed_loop: {error}", file=sys.stderr)
        return 1
    show(summary)
    if options.out is not None:
        (options.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    return 0 if summary["ok"] else 3


if __name__ == "__main__":
    sys.exit(main())
