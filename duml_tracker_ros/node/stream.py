"""The subscription to the camera: messages to frames, and what is wrong with a silent stream."""

from __future__ import annotations

import importlib
import itertools
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from ..media.claims import MOST_PIXELS
from ..messages.image_codec import CodecError, ImageReader, ImageView
from ..messages.scaling import DEFAULT, ScalingRule
from ..messages.video import is_video
from .frame_ring import CameraFrame
from .packets import PacketThread
from .senders import TELLS_SENDERS, Senders
from .stamps import nanoseconds
from .subscriptions import best_effort, overridable
from .texts import cut

LARGE_IMAGE_HINT = (
    "Fast DDS drops camera images by default: start the camera with "
    "FASTDDS_DEFAULT_PROFILES_FILE=.../duml_tracker_ros/config/fastdds_large_images.xml, or both "
    "ends with FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA"
)

# A refusal is no news any more after this time, seconds.
REFUSAL_AGE = 2.0

# Numbers go on when the node is deactivated and activated again.
_NUMBERS = itertools.count(1)


# transport -> (module, type)
VIDEO = {
    "ffmpeg": ("ffmpeg_image_transport_msgs.msg", "FFMPEGPacket"),
    "foxglove": ("foxglove_msgs.msg", "CompressedVideo"),
}
TRANSPORTS = ("raw", "compressed", *VIDEO)
# Packets that DDS keeps: one that is lost costs all up to the next key frame.
PACKETS = 32


def message_type(transport: str) -> Any:
    """Type of the messages of a transport.

    Raises:
        RuntimeError: its package is not installed.
    """
    if transport not in VIDEO:
        return CompressedImage if transport == "compressed" else Image
    module, name = VIDEO[transport]
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError:
        package = module.partition(".")[0]
        raise RuntimeError(
            f"image_transport = {transport!r} needs {package}, which is not installed: install "
            f"ros-$ROS_DISTRO-{package.replace('_', '-')}, or set raw or compressed"
        ) from None


class ImageStream:
    """Subscribes to `image`, or with another transport to what is below it: `image/compressed`.

    Args:
        transport: one of `TRANSPORTS`.
        accept: gets each frame, on the executor's thread, or on that of the video's decoder.
        refuse: gets the reason for each message that is no usable image.
        scaling: how numbers of more than 8 bits become brightness.
        most_pixels: larger compressed images, and video of larger ones, are refused.
    """

    def __init__(
        self,
        node: Node,
        transport: str,
        accept: Callable[[CameraFrame], None],
        refuse: Callable[[str], None],
        scaling: ScalingRule = DEFAULT,
        most_pixels: int = MOST_PIXELS,
    ) -> None:
        self._node = node
        self._accept = accept
        self._refuse = refuse
        self._most_pixels = most_pixels
        self._reader = ImageReader(scaling, most_pixels)
        self.description = ""
        self.incompatible = 0
        self._refused: tuple[str, float] | None = None
        self._packets: PacketThread | None = None
        kind = message_type(transport)
        take: Callable[[Any, Any], None] = self._on_image
        if transport == "compressed":
            take = self._on_compressed
        elif transport in VIDEO:
            take = self._on_packet
        self._subscription: Any = node.create_subscription(
            kind,
            "image" if transport == "raw" else f"{node.resolve_topic_name('image')}/{transport}",
            take if TELLS_SENDERS else lambda message: take(message, None),
            best_effort(PACKETS if transport in VIDEO else 1),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._on_incompatible),
            qos_overriding_options=overridable(),
        )
        self._senders = Senders(node, self._subscription)

    def destroy(self) -> None:
        """Unsubscribe; further calls do nothing."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        if self._packets is not None:
            self._packets.close()

    @property
    def topic(self) -> str:
        """The topic's name after remapping."""
        return str(self._subscription.topic_name) if self._subscription is not None else ""

    def publishers(self) -> list[str]:
        """One text for each publisher of the topic: node, reliability, and any mismatch."""
        return self._senders.describe() if self._subscription is not None else []

    def rivals(self) -> str:
        """What is wrong, if several nodes publish the topic; empty if not."""
        return self._senders.rivals() if self._subscription is not None else ""

    def turn_down(self, reason: str) -> None:
        """Say that an image cannot be used; its reader does so, too, on the worker's thread."""
        # Encoding and frame_id are what somebody sent.
        reason = cut(reason)
        self._refused = reason, time.monotonic()
        self._refuse(reason)

    def refusal(self) -> str:
        """Why images are refused at the moment; empty while none are."""
        refused = self._refused
        fresh = refused is not None and time.monotonic() - refused[1] < REFUSAL_AGE
        return refused[0] if refused is not None and fresh else ""

    def silence(self) -> str:
        """Why nothing may come, for the log and for diagnostics."""
        if reason := self.refusal():
            return f"images come on {self.topic}, but none that can be used: {reason}"
        publishers = self.publishers()
        if not publishers:
            return (
                f"nobody publishes {self.topic}: check the camera, the remapping "
                "(-r image:=TOPIC), ROS_DOMAIN_ID"
            )
        if self._packets is not None and self._packets.reader.waiting:
            return (
                f"packets come on {self.topic}, but no key frame: set the encoder to send one "
                "every second (gop_size, or i-frame interval)"
            )
        text = f"{self.topic} has publishers but no images come: {'; '.join(publishers)}"
        if self._senders.unheard():
            return (
                f"{text}; set image_transport for another type, "
                f"qos_overrides.{self.topic}.subscription.* for another QoS"
            )
        return f"{text}; either they send nothing (ros2 topic hz), or: {LARGE_IMAGE_HINT}"

    def _on_incompatible(self, event: Any) -> None:
        self.incompatible = event.total_count
        self._node.get_logger().error(
            f"a publisher of {self.topic} has incompatible QoS ({event.last_policy_kind}): "
            f"{'; '.join(self.publishers())}; set qos_overrides.{self.topic}.subscription.*"
        )

    def _on_image(self, message: Image, info: Any) -> None:
        arrival = time.monotonic()
        header, size = message.header, (message.width, message.height)
        if reason := self._senders.refusal(info, (header.frame_id, *size)):
            self.turn_down(reason)
            return
        try:
            # A broken message does not even reach the mailbox, where it would displace another.
            view = self._reader.read(message, arrival)
        except CodecError as error:
            self.turn_down(str(error))
            return
        self.description = f"{view.width}x{view.height} {message.encoding}"
        self._accept(self._frame(message, arrival, lambda: view))

    def _on_compressed(self, message: CompressedImage, info: Any) -> None:
        if is_video(message.format):
            # As some cameras' drivers send it.
            self._on_packet(message, info)
            return
        arrival = time.monotonic()
        if reason := self._senders.refusal(info, message.header.frame_id):
            self.turn_down(reason)
            return
        try:
            # A few bytes that claim an enormous image would keep the worker for seconds.
            self._reader.check_compressed(message)
        except CodecError as error:
            self.turn_down(str(error))
            return
        self.description = cut(message.format)
        frame = self._frame(
            message, arrival, partial(self._reader.read_compressed, message, arrival)
        )
        frame.compressed = message.data
        self._accept(frame)

    def _on_packet(self, message: Any, info: Any) -> None:
        if reason := self._senders.refusal(info, header_of(message).frame_id):
            self.turn_down(reason)
            return
        if self._packets is None:
            self._packets = PacketThread(
                self._on_decoded, self.turn_down, self._warn, self._most_pixels
            )
        self._packets.put(message, time.monotonic())

    def _on_decoded(self, message: Any, arrival: float, view: ImageView) -> None:
        reader = self._packets.reader if self._packets is not None else None
        if reader is not None:
            gaps = f", {reader.gaps} gaps" if reader.gaps else ""
            self.description = f"{view.width}x{view.height} {reader.codec}{gaps}"
        frame = self._frame(message, arrival, lambda: view)
        # What is kept is the image: planes of 4:2:0.
        frame.nbytes = view.width * view.height * 3 // 2
        self._accept(frame)

    def _warn(self, text: str) -> None:
        self._node.get_logger().warning(text, throttle_duration_sec=1.0)

    def _frame(self, message: Any, arrival: float, decode: Callable[[], ImageView]) -> CameraFrame:
        header = header_of(message)
        return CameraFrame(
            seq=next(_NUMBERS),
            stamp_ns=nanoseconds(header.stamp),
            source=header.frame_id,
            arrival=arrival,
            nbytes=len(message.data),
            header=header,
            decode=decode,
        )


def header_of(message: Any) -> Any:
    """The header of an image; foxglove_msgs/CompressedVideo has its fields instead."""
    if hasattr(message, "header"):
        return message.header
    return Header(stamp=message.timestamp, frame_id=message.frame_id)
