"""Services that answer every call, however many come at once.

ROS keeps ten requests of a service and ten answers for a client, and forgets the rest without a
word. Here a service keeps more, and its answers go out no faster than a client takes them.
"""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from .subscriptions import reliable

SERVICE_QOS = reliable(1000)
"""Of services, and of clients that ask for more than ten answers at a time."""

# So many answers go out in so many seconds: who asks for many at once has a queue for ten of them.
PORTION = 8
PAUSE = 0.05


class Answers:
    """Sends the answers of one service; make it once the service is there.

    All methods are called on the executor's thread.

    Attributes:
        last: monotonic time of the last answer that was sent; -inf before the first.
    """

    def __init__(self, node: Node, service: Any) -> None:
        self.last = -math.inf
        self._send = service.send_response
        self._waiting: deque[tuple[Any, Any]] = deque()
        self._sent: deque[float] = deque(maxlen=PORTION)
        self._timer = node.create_timer(
            PAUSE, self._send_portion, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._timer.cancel()
        service.send_response = self.send

    @property
    def waiting(self) -> int:
        """How many answers have not had their turn."""
        return len(self._waiting)

    def send(self, response: Any, header: Any) -> None:
        """Send an answer now, or in its turn."""
        crowded = len(self._sent) == PORTION and time.monotonic() - self._sent[0] < PAUSE
        if not crowded and not self._waiting:
            self._send_one(response, header)
            return
        if not self._waiting:
            self._timer.reset()
        self._waiting.append((response, header))

    def _send_portion(self) -> None:
        for _ in range(min(PORTION, len(self._waiting))):
            self._send_one(*self._waiting.popleft())
        if not self._waiting:
            self._timer.cancel()

    def _send_one(self, response: Any, header: Any) -> None:
        self.last = time.monotonic()
        self._sent.append(self.last)
        self._send(response, header)


def answer_all(node: Node) -> list[Answers]:
    """Let every service that the node has now answer in portions."""
    return [Answers(node, service) for service in node.services]
