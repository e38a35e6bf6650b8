"""The subscription to the camera: messages to frames, and what is wrong with a silent stream."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import (
    HistoryPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image

from ..messages.image_codec import ImageError, ImageReader, ImageView
from ..messages.scaling import DEFAULT, ScalingRule
from .frame_ring import Frame

LARGE_IMAGE_HINT = (
    "Fast DDS drops camera images by default: start the camera with "
    "FASTDDS_DEFAULT_PROFILES_FILE=.../duml_tracker_ros/config/fastdds_large_images.xml, or both "
    "ends with FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA"
)

# Numbers go on when the node is deactivated and activated again.
_NUMBERS = itertools.count(1)


class ImageStream:
    """Subscribes to `image` (or `image/compressed`) and hands on every usable frame.

    Args:
        accept: gets each frame, on the executor's thread.
        refuse: gets the reason for each message that is no usable image.
        scaling: how numbers of more than 8 bits become brightness.
    """

    def __init__(
        self,
        node: Node,
        transport: str,
        accept: Callable[[Frame], None],
        refuse: Callable[[str], None],
        scaling: ScalingRule = DEFAULT,
    ) -> None:
        self._node = node
        self._accept = accept
        self._refuse = refuse
        self._reader = ImageReader(scaling)
        self.description = ""
        self.incompatible = 0
        compressed = transport == "compressed"
        self._subscription: Any = node.create_subscription(
            CompressedImage if compressed else Image,
            node.resolve_topic_name("image") + "/compressed" if compressed else "image",
            self._on_compressed if compressed else self._on_image,
            QoSProfile(
                history=HistoryPolicy.KEEP_LAST,
                depth=1,
                reliability=ReliabilityPolicy.BEST_EFFORT,
            ),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._on_incompatible),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def destroy(self) -> None:
        """Unsubscribe; further calls do nothing."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    @property
    def topic(self) -> str:
        """The topic's name after remapping."""
        return str(self._subscription.topic_name) if self._subscription is not None else ""

    def publishers(self) -> list[str]:
        """One text for each publisher of the topic: node, reliability, and any QoS mismatch."""
        if self._subscription is None:
            return []
        texts = []
        for info in self._node.get_publishers_info_by_topic(self.topic):
            name = f"{info.node_namespace.rstrip('/')}/{info.node_name}"
            if "UNKNOWN" in name:
                name = "a node not yet discovered"
            text = f"{name} ({info.qos_profile.reliability.name.lower()})"
            verdict, reason = qos_check_compatible(info.qos_profile, self._subscription.qos_profile)
            if verdict == QoSCompatibility.ERROR:
                text += f" has incompatible QoS: {reason.strip(' ;')}"
            texts.append(text)
        return texts

    def silence(self) -> str:
        """Why nothing may come, for the log and for diagnostics."""
        publishers = self.publishers()
        if not publishers:
            return (
                f"nobody publishes {self.topic}: check the camera, the remapping "
                "(-r image:=TOPIC), ROS_DOMAIN_ID"
            )
        return (
            f"{self.topic} has publishers but no images come: {'; '.join(publishers)}; "
            f"{LARGE_IMAGE_HINT}"
        )

    def _on_incompatible(self, event: Any) -> None:
        self.incompatible = event.total_count
        self._node.get_logger().error(
            f"a publisher of {self.topic} has incompatible QoS ({event.last_policy_kind}): "
            f"{'; '.join(self.publishers())}; set qos_overrides.{self.topic}.subscription.*"
        )

    def _on_image(self, message: Image) -> None:
        arrival = time.monotonic()
        try:
            # A broken message does not even reach the mailbox, where it would displace another.
            view = self._reader.read(message, arrival)
        except ImageError as error:
            self._refuse(str(error))
            return
        self.description = f"{view.width}x{view.height} {message.encoding}"
        self._accept(self._frame(message, arrival, lambda: view))

    def _on_compressed(self, message: CompressedImage) -> None:
        arrival = time.monotonic()
        self.description = message.format
        frame = self._frame(
            message, arrival, partial(self._reader.read_compressed, message, arrival)
        )
        frame.compressed = message.data
        self._accept(frame)

    def _frame(self, message: Any, arrival: float, decode: Callable[[], ImageView]) -> Frame:
        stamp = message.header.stamp
        return Frame(
            seq=next(_NUMBERS),
            stamp_ns=stamp.sec * 1_000_000_000 + stamp.nanosec,
            source=message.header.frame_id,
            arrival=arrival,
            nbytes=len(message.data),
            header=message.header,
            decode=decode,
        )
