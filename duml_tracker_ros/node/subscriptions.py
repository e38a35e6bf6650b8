"""Quality of service of topics, and subscriptions that are there while somebody needs them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions


def best_effort(depth: int = 1) -> QoSProfile:
    """Of what comes too fast to be sent again: the newest messages, lost ones stay lost."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT
    )


def reliable(depth: int) -> QoSProfile:
    """Of what must arrive: the newest messages, sent again where they are lost."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.RELIABLE
    )


def overridable() -> QoSOverridingOptions:
    """Let users set a topic's quality of service by qos_overrides.TOPIC.*."""
    return QoSOverridingOptions.with_default_policies()


class Subscriptions:
    """Subscriptions of a node by name, only those that are wanted."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._made: dict[str, tuple[Any, float]] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._made

    def want(
        self,
        wanted: bool,
        topic: str,
        kind: Any,
        take: Callable[[Any], None],
        qos: QoSProfile | None = None,
    ) -> None:
        """Subscribe to a topic, or end that; `qos` is of the newest message without another."""
        if wanted and topic not in self._made:
            made = self._node.create_subscription(
                kind, topic, take, qos or best_effort(), qos_overriding_options=overridable()
            )
            self._made[topic] = made, time.monotonic()
        elif not wanted and topic in self._made:
            self._node.destroy_subscription(self._made.pop(topic)[0])

    def end(self) -> list[str]:
        """End all of them; their topics."""
        ended = list(self._made)
        for topic in ended:
            self._node.destroy_subscription(self._made.pop(topic)[0])
        return ended

    def resolved(self, topic: str) -> str:
        """The topic's name after remapping, where it is subscribed."""
        return str(self._made[topic][0].topic_name) if topic in self._made else topic

    def age(self, topic: str) -> float:
        """Seconds since it was subscribed; 0 where it is not."""
        return time.monotonic() - self._made[topic][1] if topic in self._made else 0.0
