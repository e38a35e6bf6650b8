"""Runs the tracker node until it is asked to end."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Sequence

from ..media.addresses import without_passwords
from ..needs import missing
from .ending import Ending
from .exit_watchdog import end_within

# Longest time that taking down the middleware may take, seconds; usually it takes one or two.
ENDING = 8.0
LAST_ANSWERS = 3.0

USAGE = """\
usage: python -m duml_tracker_ros.node [--ros-args ...]

Runs the lifecycle node duml_tracker. Examples of ROS arguments:
  --ros-args -p autostart:=true -r image:=/camera/image_raw
  --ros-args --params-file config/duml_tracker.yaml
Parameters: python -m duml_tracker_ros.node.parameters --yaml
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node; returns the exit status: 0 when asked to end, 1 when it could not start."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if "--help" in arguments or "-h" in arguments:
        print(USAGE, end="")
        return 0
    ending = Ending()
    # Threads of torch that spin while they wait starve the executor and the camera's process: on a
    # busy machine of two cores a frame takes ten times as long. libgomp reads this when it loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # A broken image of a camera would have a line of OpenCV's thirty times a second.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    import rclpy
    from rclpy.exceptions import ParameterException
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    # All that is slow to import comes before there is something to take down.
    try:
        from .tracker_node import TrackerNode
    except ImportError as error:
        print(f"duml_tracker: {missing(error)}", file=sys.stderr)
        return 1

    ending.hold()
    stopped = True
    try:
        no_handlers = SignalHandlerOptions.NO
        try:
            rclpy.init(args=[sys.argv[0], *arguments], signal_handler_options=no_handlers)
        except RuntimeError as error:
            # Of ROS arguments that are none.
            print(f"duml_tracker: {' '.join(str(error).split())}", file=sys.stderr)
            return 1
        try:
            node = TrackerNode(ending)
        except (ParameterException, ValueError) as error:
            print(f"duml_tracker: {without_passwords(str(error))}", file=sys.stderr)
            sys.stderr.flush()
            end_within(ENDING, 1)
            return 1
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        try:
            # A wait goes on through a signal, but the node's timers end it many times a second.
            while not ending.asked:
                try:
                    executor.spin_once()
                except Exception:
                    # One callback that failed must not take the node with it.
                    if not rclpy.ok():
                        break
                    node.fault(f"callback failed: {traceback.format_exc().rstrip()}")
        finally:
            ending.begin()
            stopped = node.close()
            # What was asked of the tracker has just been refused; the answers have still to go out,
            # to requests, too, that had come but not had their turn.
            end = time.monotonic() + LAST_ANSWERS
            for _ in range(10):  # timers take turns, too
                executor.spin_once(timeout_sec=0.0)
            while node.answering() and time.monotonic() < end:
                executor.spin_once(timeout_sec=0.05)
            sys.stdout.flush()
            sys.stderr.flush()
            end_within(ENDING)
            executor.shutdown()
            node.destroy_node()
    finally:
        ending.begin()
        rclpy.try_shutdown()
    if not stopped:
        # A thread inside torch (loading a large network, say) would crash the interpreter's end.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
