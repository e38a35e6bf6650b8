"""Who publishes a topic, what is wrong with them, and which one of them is listened to."""

from __future__ import annotations

import time
from collections.abc import Hashable
from typing import Any

from rclpy import subscription as rclpy_subscription
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, qos_check_compatible

# Older versions of rclpy do not tell a callback who sent a message.
TELLS_SENDERS = "publisher_gid" in getattr(
    getattr(rclpy_subscription, "MessageInfo", None), "__annotations__", {}
)
# Who has been silent for so long, in seconds, while others sent so many messages, is no longer
# listened to.
SILENT = 1.0
OTHERS = 10
# The graph is asked no more often than this, seconds: it takes a fraction of a millisecond.
ASKED_EVERY = 0.25


class Senders:
    """The publishers of one subscription's topic.

    Where several publish, the images of one are taken, of the first that is heard, until it leaves
    or falls silent: a target cannot be followed through the images of two cameras in turn.
    """

    def __init__(self, node: Node, subscription: Any) -> None:
        self._node, self._subscription = node, subscription
        self._chosen: Hashable = None
        self._heard = 0.0
        self._others = 0
        self._asked = 0.0
        self._last = ""

    @property
    def topic(self) -> str:
        return str(self._subscription.topic_name)

    def refusal(self, info: Any, otherwise: Hashable) -> str:
        """Reason not to take a message because of who sent it; empty to take it.

        Args:
            info: what rclpy tells of the message; None of older versions.
            otherwise: tells cameras apart where `info` does not.
        """
        sender, now = _gid(info) or otherwise, time.monotonic()
        if sender == self._chosen:
            self._heard, self._others = now, 0
            return ""
        self._others += 1
        if self._chosen is not None and (now - self._heard <= SILENT or self._others <= OTHERS):
            if now - self._asked < ASKED_EVERY:
                return self._last
            self._asked = now
            self._last = self.rivals()
            if self._last:
                return self._last
        self._chosen, self._heard, self._others = sender, now, 0
        self._asked, self._last = 0.0, ""
        return ""

    def rivals(self) -> str:
        """What is wrong, if there are others beside the chosen one; empty if not."""
        known = self._node.get_publishers_info_by_topic(self.topic)
        chosen = [info for info in known if bytes(info.endpoint_gid) == self._chosen]
        if len(known) < 2 or (TELLS_SENDERS and not chosen):
            return ""
        names = ", ".join(_name(info) for info in known)
        taken = f"those of {_name(chosen[0])}" if chosen else "those that look like the first ones"
        return (
            f"{self.topic} has {len(known)} publishers ({names}): only {taken} are taken; stop the "
            "others, or remap one of them or this node (-r image:=TOPIC)"
        )

    def describe(self) -> list[str]:
        """One text for each publisher: node, reliability, and what keeps it from being heard."""
        texts = []
        for info in self._infos():
            text = f"{_name(info)} ({info.qos_profile.reliability.name.lower()})"
            texts.append(f"{text}{self._mismatch(info)}")
        return texts

    def unheard(self) -> bool:
        """True when there are publishers, and none of them can be heard."""
        infos = self._infos()
        return bool(infos) and all(self._mismatch(info) for info in infos)

    def _infos(self) -> list[Any]:
        return list(self._node.get_publishers_info_by_topic(self.topic))

    def _mismatch(self, info: Any) -> str:
        kind = self._subscription.msg_type
        wanted = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
        if info.topic_type and "UNKNOWN" not in info.topic_type and info.topic_type != wanted:
            return f" sends {info.topic_type}, not {wanted}"
        verdict, reason = qos_check_compatible(info.qos_profile, self._subscription.qos_profile)
        if verdict == QoSCompatibility.ERROR:
            return f" has incompatible QoS: {reason.strip(' ;')}"
        return ""


def _gid(info: Any) -> bytes:
    """What identifies the publisher of a message; empty where that is not told."""
    gid = info.get("publisher_gid") if info is not None else None
    return bytes(gid["data"]) if gid else b""


def _name(info: Any) -> str:
    name = f"{info.node_namespace.rstrip('/')}/{info.node_name}"
    return "a node not yet discovered" if "UNKNOWN" in name else name
