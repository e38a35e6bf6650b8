"""A camera as a ROS node: publishes frames of a source on `image` at a steady rate.

While the parameter `hold` is true the first frame is shown again and again, each time with a new
stamp, like a paused video on which an operator selects the target; then the rest plays.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2

from ..arguments import Parser
from ..messages.image_codec import write_image
from ..node.ending import interrupted_by_signals
from ..outputs import write_text
from ..viz import VideoSink
from .footage import (
    RATE,
    Footage,
    FootageError,
    FootageFrame,
    add_source_options,
    open_source,
    parse_size,
)

FRAME_ID = "camera"
# Frames are made before they are due, so that making them costs no time while they are shown.
READ_AHEAD_BYTES = 1 << 30


class _Reader(threading.Thread):
    """Reads a source ahead, up to READ_AHEAD_BYTES; hands on frames, then None, or the error."""

    def __init__(self, source: Footage) -> None:
        super().__init__(name="reader", daemon=True)
        self._source = source
        self._queue: queue.Queue[FootageFrame | Exception | None] = queue.Queue()
        self._room = threading.Semaphore(0)
        self.full = threading.Event()

    def run(self) -> None:
        budget = -1
        try:
            for frame in self._source.frames():
                if budget < 0:
                    # A live camera must not be buffered: old frames are worth nothing.
                    budget = 2 if self._source.live else READ_AHEAD_BYTES // frame.image.nbytes
                    for _ in range(max(2, budget)):
                        self._room.release()
                if not self._room.acquire(blocking=False):
                    self.full.set()
                    if self._source.live:
                        continue
                    self._room.acquire()
                self._queue.put(frame)
            self._queue.put(None)
        except Exception as error:
            self._queue.put(error)
        self.full.set()

    def next(self) -> FootageFrame | None:
        """The next frame; None at the end. Raises what reading raised."""
        item = self._queue.get()
        self._room.release()
        if isinstance(item, Exception):
            raise item
        return item


class CameraNode:
    """Publishes a source; keeps a list of every header that went out."""

    def __init__(self, source: Footage, rate: float, keep: Path | None = None) -> None:
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node
        from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
        from sensor_msgs.msg import Image

        self.source, self.rate = source, rate
        self.sent: list[tuple[int, int]] = []
        self.late = 0
        self.node = Node("camera")
        self.node.declare_parameter("hold", not source.live)
        self._publisher = self.node.create_publisher(
            Image,
            "image",
            QoSProfile(
                history=HistoryPolicy.KEEP_LAST, depth=2, reliability=ReliabilityPolicy.RELIABLE
            ),
        )
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._sink = VideoSink(keep, rate) if keep is not None else None

    def run(self) -> None:
        """Wait for a subscriber, then show everything once."""
        reader = _Reader(self.source)
        if not self.source.live:
            reader.start()
            while not reader.full.is_set():
                self._executor.spin_once(timeout_sec=0.05)
        say = self.node.get_logger().info
        say(
            f"{self.source.name} is ready; waiting for a subscriber of {self._publisher.topic_name}"
        )
        while self._publisher.get_subscription_count() == 0:
            self._executor.spin_once(timeout_sec=0.05)
        if self.source.live:
            # What a camera saw before anybody watched is of no use.
            reader.start()
        else:
            say("showing the first image until the parameter hold is false")
        frame = reader.next()
        due, index = time.monotonic(), 0
        while frame is not None:
            message = self._message(frame)
            self._show(index, message, frame)
            due = self._wait(due + 1 / self.rate)
            while self.node.get_parameter("hold").value:
                self._show(index, message, frame)
                due = self._wait(due + 1 / self.rate)
            frame = reader.next()
            if index == 0:
                say("playing")
            index += 1
        say(f"done: {index} frames in {len(self.sent)} images, {self.late} late")
        # Give the last image the time to be delivered before the publisher goes.
        self._wait(time.monotonic() + 0.5)

    def close(self) -> None:
        if self._sink is not None:
            self._sink.close()
        self._executor.shutdown()
        self.node.destroy_node()

    def log(self) -> dict[str, Any]:
        """What was published: [index of the frame, stamp in ns] in order."""
        return {
            "source": self.source.name,
            "frame_id": FRAME_ID,
            "rate": self.rate,
            "late": self.late,
            "sent": self.sent,
        }

    def _message(self, frame: FootageFrame) -> Any:
        from std_msgs.msg import Header

        header = Header(frame_id=FRAME_ID)
        return write_image(frame.image, f"{self.source.order}8", header)

    def _show(self, index: int, message: Any, frame: FootageFrame) -> None:
        stamp = self.node.get_clock().now()
        message.header.stamp = stamp.to_msg()
        self._publisher.publish(message)
        self.sent.append((index, stamp.nanoseconds))
        if self._sink is not None:
            rgb = frame.image
            if self.source.order == "bgr":
                rgb = cv2.cvtColor(rgb, cv2.COLOR_BGR2RGB)
            self._sink.write(rgb)

    def _wait(self, due: float) -> float:
        """Serve the node until `due`; the time the next period counts from."""
        if time.monotonic() - due > 1 / self.rate:
            self.late += 1
            due = time.monotonic()
        while (left := due - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)
        return due


def build_parser() -> Parser:
    """The options of this process."""
    parser = Parser(prog="python -m duml_tracker_ros.demo.camera")
    add_source_options(parser)
    parser.add_argument("--rate", type=RATE, default=30.0, help="images per second (30)")
    parser.add_argument("--log", type=Path, help="JSON file for the headers that were published")
    parser.add_argument("--keep", type=Path, help="video file for what was published")
    return parser


UNUSABLE = 2
"""Exit status for a source that cannot be used, or not to its end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the camera; returns the exit status."""
    options = build_parser().parse_args(arguments)
    camera: CameraNode | None = None
    status = 0
    try:
        with interrupted_by_signals():
            if options.size:
                parse_size(options.size)
            source = open_source(options)
            import rclpy
            from rclpy.signals import SignalHandlerOptions

            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
            camera = CameraNode(source, options.rate, options.keep)
            camera.run()
    except FootageError as error:
        print(f"camera: {error}", file=sys.stderr)
        status = UNUSABLE
    except KeyboardInterrupt:
        status = 130
    if camera is not None:
        camera.close()
        rclpy.try_shutdown()
        if options.log is not None and status != UNUSABLE:
            # The file appears whole: its presence tells the recorder that the film is over, which
            # it is not when it broke off.
            write_text(options.log, json.dumps(camera.log()))
    return status


if __name__ == "__main__":
    sys.exit(main())
