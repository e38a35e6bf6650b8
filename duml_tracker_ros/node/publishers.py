"""What the node publishes about one frame."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image

from duml_tracker_ros.msg import Target, TrackDebug

from ..messages.image_codec import write_image
from ..messages.results import fill_detection, fill_target
from .annotations import ImageAnnotations, annotations_message
from .debug_images import DebugImages, mask_image
from .outcome import FrameOutcome, Sighting, Status
from .parameters import NodeSettings
from .subscriptions import overridable, reliable
from .track_debug import debug_messages

try:
    from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose
except ImportError:
    Detection2DArray = None

STATES = {status: getattr(Target, f"STATE_{status.name}") for status in Status}


def target_message(outcome: FrameOutcome, sighting: Sighting, now: float) -> Target:
    """Target message; `now` is the monotonic time at which it is published."""
    message = Target(header=outcome.frame.header)
    message.target_id, message.targets = sighting.target_id, outcome.followed
    message.class_id = sighting.class_id
    message.image_width, message.image_height = outcome.size
    result, state = sighting.result, sighting.status.value
    if result is None:
        fill_target(message, state, None, 0.0, 0)
    else:
        fill_target(message, state, result.box, result.confidence, result.frames_since_seen)
    message.frames_dropped = outcome.dropped
    message.latency = now - outcome.frame.arrival
    message.processing_time = outcome.processing_time
    return message


def detections_message(outcome: FrameOutcome) -> Any:
    """vision_msgs/Detection2DArray with the targets whose state is TRACKING."""
    message = Detection2DArray(header=outcome.frame.header)
    for sighting, result in outcome.tracked:
        if sighting.status is Status.TRACKING:
            detection, hypothesis = Detection2D(), ObjectHypothesisWithPose()
            about = sighting.target_id, result.box, outcome.size, result.confidence
            fill_detection(detection, hypothesis, outcome.frame.header, *about, sighting.class_id)
            message.detections.append(detection)
    return message


class Publishers:
    """The managed publishers of the node: made on configure, freed on cleanup.

    Args:
        masks: whether the tracker has masks to publish.
    """

    def __init__(self, node: LifecycleNode, masks: bool = False) -> None:
        self._node = node
        self._made: list[Any] = []
        self.target = self.make(Target, "~/target", 10)
        self.detections = (
            self.make(Detection2DArray, "~/detections", 10)
            if Detection2DArray is not None
            else None
        )
        self.annotations = (
            self.make(ImageAnnotations, "~/annotations", 1)
            if ImageAnnotations is not None
            else None
        )
        self.mask = self.make(Image, "~/mask", 1) if masks else None
        self.debug = self.make(TrackDebug, "~/debug", 10)
        self.images = DebugImages(self.make)

    def make(self, kind: Any, topic: str, depth: int) -> Any:
        """A managed publisher that `destroy` frees; `depth` of its queue."""
        try:
            publisher = self._node.create_lifecycle_publisher(
                kind, topic, reliable(depth), qos_overriding_options=overridable()
            )
        except Exception:
            self.destroy()
            raise
        self._made.append(publisher)
        return publisher

    def destroy(self) -> None:
        """Free all of them; further calls do nothing."""
        while self._made:
            self._node.destroy_lifecycle_publisher(self._made.pop())

    def publish_targets(self, outcome: FrameOutcome) -> float:
        """Publish each target, and the detections where vision_msgs is installed.

        Returns the seconds from the image's arrival to the last target.
        """
        message = Target()
        for sighting in outcome.sightings:
            message = target_message(outcome, sighting, time.monotonic())
            self.target.publish(message)
        if self.detections is not None and self.detections.get_subscription_count():
            self.detections.publish(detections_message(outcome))
        return float(message.latency)

    def render_debug(
        self, outcome: FrameOutcome, settings: NodeSettings
    ) -> list[Callable[[], None]]:
        """What people look at and somebody watches, ready to be published."""
        ready = self.images.render(outcome, settings)
        if self.annotations is not None and self.annotations.get_subscription_count():
            ready.append(partial(self.annotations.publish, annotations_message(outcome)))
        if self.mask is not None and self.mask.get_subscription_count():
            shape = write_image(mask_image(outcome), "mono8", outcome.frame.header)
            ready.append(partial(self.mask.publish, shape))
        if self.debug.get_subscription_count():
            # A few kilobytes an image: tools that record or explain want every one.
            ready += [partial(self.debug.publish, message) for message in debug_messages(outcome)]
        return ready
