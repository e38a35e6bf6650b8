"""A MAVLink bridge process beside the tracker node, and a ground station's end of the wire."""

from __future__ import annotations

import contextlib
import math
import re
import socket
import threading
import time

from geometry_msgs.msg import PointStamped
from node_harness import NAMESPACE, WAIT, NodeProcess, nanoseconds, shared_context
from pymavlink.dialects.v20 import common as dialect
from std_msgs.msg import Header

GROUND = (255, 190)
CAMERA = (1, 100)
TRACKING = 1


@contextlib.contextmanager
def bridge(*ros_arguments, namespace=NAMESPACE, **parameters):
    """A bridge process on a free port of loopback: the port, and the process."""
    settings = {"connection": "udp:127.0.0.1:0", **parameters}
    process = NodeProcess(
        *ros_arguments,
        program=("-m", "duml_tracker_ros.mavlink"),
        namespace=namespace,
        **settings,
    )
    with process:
        process.wait_for_log("mavlink: ")
        found = re.search(r"mavlink: \w+ \S+:(\d+) as system", process.log())
        yield int(found[1]), process
        if process.running():
            assert process.end() == 0, process.log()


class Station:
    """Sends and reads MAVLink over UDP with pymavlink's own parser.

    Args:
        ids: (system, component) that it sends as.
        bound: port to listen on, for those that speak first.
        key: 32 bytes to sign with.
    """

    def __init__(self, port=0, ids=GROUND, bound=0, key=None):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", bound))
        self.address = ("127.0.0.1", port)
        self.mav = dialect.MAVLink(self, *ids)
        self.mav.robust_parsing = True
        if key is not None:
            self.mav.signing.secret_key = key
            self.mav.signing.sign_outgoing = True
            self.mav.signing.timestamp = int((time.time() - 1_420_070_400) * 1e5)
        self.got = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def write(self, data):
        self.socket.sendto(data, self.address)

    def pack(self, message):
        return bytes(message.pack(self.mav))

    def send(self, message):
        self.mav.send(message)

    def command(self, kind, *numbers, to=CAMERA, confirmation=0):
        numbers = (*numbers, *(0.0,) * (7 - len(numbers)))
        self.send(dialect.MAVLink_command_long_message(*to, kind, confirmation, *numbers))

    def read(self, seconds=0.05):
        """Messages of the next datagram; none when there is none in time."""
        self.socket.settimeout(seconds)
        try:
            data, self.address = self.socket.recvfrom(4096)
        except (TimeoutError, BlockingIOError):
            return []
        found = self.mav.parse_buffer(data) or []
        assert all(message.get_type() != "BAD_DATA" for message in found), data
        self.got += found
        return found

    def until(self, fits, what, timeout=WAIT):
        """The first message that fits, of those that come from now on."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for message in self.read():
                if fits(message):
                    return message
        raise AssertionError(f"not within {timeout:g} s: {what}; last: {self.got[-5:]}")

    def message(self, name, fits=lambda message: True):
        return self.until(lambda m: m.get_type() == name and fits(m), name)

    def acknowledged(self, kind):
        """The final answer to a command of this kind."""
        wait = dialect.MAV_RESULT_IN_PROGRESS
        return self.message("COMMAND_ACK", lambda m: m.command == kind and m.result != wait)

    def ask(self, kind, *numbers, **options):
        """Send a command; its result."""
        self.drain()
        self.command(kind, *numbers, **options)
        return self.acknowledged(kind).result

    def drain(self):
        while self.read(0.0):
            pass

    def texts(self):
        """What was said in STATUSTEXT, its pieces joined."""
        said = {}
        for message in self.got:
            if message.get_type() == "STATUSTEXT":
                said.setdefault(message.id or id(message), []).append(message.text)
        return ["".join(pieces) for pieces in said.values()]


class StandIn(threading.Thread):
    """Stands in for the tracker: says of its images what the test wants, keeps what is asked.

    Attributes:
        targets: id and state of those that are followed.
        asked: requests of `init`, `init_point` and `stop`, in order.
        refusal: why selections are refused; empty: they are not.
        answering: while this is not set, nothing is answered.
    """

    PERIOD = 0.05

    def __init__(self, namespace):
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        from duml_tracker_ros.msg import Bearing, Target
        from duml_tracker_ros.srv import Init, InitPoint, Stop

        super().__init__(name="tracker", daemon=True)
        context = shared_context()
        self.node = rclpy.create_node("stand_in", context=context, namespace=namespace)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)
        name = f"{namespace}/duml_tracker"
        self._target = self.node.create_publisher(Target, f"{name}/target", 10)
        self._bearing = self.node.create_publisher(Bearing, f"{name}/bearing", 10)
        self._position = self.node.create_publisher(PointStamped, f"{name}/position", 10)
        for kind, service in ((Init, "init"), (InitPoint, "init_point"), (Stop, "stop")):
            self.node.create_service(kind, f"{name}/{service}", self._answer)
        self.node.create_timer(self.PERIOD, self._show)
        self.targets, self.asked, self.refusal = {}, [], ""
        self.error, self.place = None, None
        self.stamps = []
        self.silent = False
        self.answering = threading.Event()
        self.answering.set()
        self._next, self._ended = 1, threading.Event()

    def run(self):
        while not self._ended.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self.join()
        self._executor.shutdown()
        self.node.destroy_node()

    def _answer(self, request, response):
        self.asked.append(request)
        self.answering.wait(WAIT)
        response.success, response.message = not self.refusal, self.refusal
        if self.refusal:
            return response
        if not hasattr(request, "x"):
            for target in tuple(self.targets):
                if request.target_id in (0, target):
                    del self.targets[target]
            return response
        self.targets.pop(request.replaces, None)
        response.target_id, self._next = self._next, self._next + 1
        self.targets = {**self.targets, response.target_id: TRACKING}
        return response

    def _show(self):
        from duml_tracker_ros.msg import Bearing, Target

        if self.silent:
            return
        header = Header(frame_id="camera", stamp=self.node.get_clock().now().to_msg())
        self.stamps.append((time.monotonic(), nanoseconds(header.stamp)))
        shown = dict(self.targets)
        for target, state in (shown or {0: 0}).items():
            message = Target(header=header, target_id=target, targets=len(shown), state=state)
            message.image_width, message.image_height = 640, 480
            message.x = message.y = message.width = message.height = math.nan
            if state == TRACKING:
                message.x, message.y = 64.0 * target, 48.0
                message.width, message.height = 64.0, 96.0
            self._target.publish(message)
            if state == TRACKING and self.error is not None:
                x, y = self.error
                bearing = Bearing(header=header, target_id=target, error_x=x, error_y=y)
                self._bearing.publish(bearing)
            if state == TRACKING and self.place is not None:
                point = PointStamped(header=header)
                point.point.x, point.point.y, point.point.z = self.place
                self._position.publish(point)
