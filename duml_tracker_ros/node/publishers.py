"""What the node publishes about one frame."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image

from duml_tracker_ros.msg import Target, TrackDebug

from ..viz import draw_target, heatmap_mono
from .image_codec import to_rgb, write_image
from .outcome import Outcome, Sighting, Status
from .track_debug import debug_messages

try:
    from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose
except ImportError:
    Detection2DArray = None

STATES = {
    Status.IDLE: Target.STATE_IDLE,
    Status.TRACKING: Target.STATE_TRACKING,
    Status.UNCERTAIN: Target.STATE_UNCERTAIN,
    Status.LOST: Target.STATE_LOST,
    Status.ERROR: Target.STATE_ERROR,
}

NO_BOX = (math.nan,) * 4


def output_qos(depth: int) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.RELIABLE
    )


def target_message(outcome: Outcome, sighting: Sighting, now: float) -> Target:
    """Target message; `now` is the monotonic time at which it is published."""
    result = sighting.result
    box = result.box if result is not None and sighting.status.seen else NO_BOX
    message = Target(header=outcome.frame.header, state=STATES[sighting.status])
    message.target_id, message.targets = sighting.target_id, outcome.followed
    message.x, message.y, message.width, message.height = (float(value) for value in box)
    if result is not None:
        message.confidence = float(result.confidence)
        message.frames_since_seen = int(result.frames_since_seen)
    message.frames_dropped = outcome.dropped
    message.latency = now - outcome.frame.arrival
    message.processing_time = outcome.processing_time
    return message


def detections_message(outcome: Outcome) -> Any:
    """vision_msgs/Detection2DArray with the targets whose state is TRACKING."""
    message = Detection2DArray(header=outcome.frame.header)
    for sighting in outcome.sightings:
        if sighting.result is not None and sighting.status is Status.TRACKING:
            message.detections.append(_detection(outcome.frame.header, sighting))
    return message


def _detection(header: Any, sighting: Sighting) -> Any:
    assert sighting.result is not None
    x, y, w, h = sighting.result.box
    detection = Detection2D(header=header, id=str(sighting.target_id))
    detection.bbox.center.position.x = float(x + w / 2)
    detection.bbox.center.position.y = float(y + h / 2)
    detection.bbox.size_x, detection.bbox.size_y = float(w), float(h)
    hypothesis = ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id = "target"
    hypothesis.hypothesis.score = float(sighting.result.confidence)
    detection.results.append(hypothesis)
    return detection


class Publishers:
    """The managed publishers of the node: made on configure, freed on cleanup."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._made: list[Any] = []
        self.target = self.make(Target, "~/target", 10)
        self.detections = (
            self.make(Detection2DArray, "~/detections", 10)
            if Detection2DArray is not None
            else None
        )
        self.heatmap = self.make(Image, "~/heatmap", 1)
        self.annotated = self.make(Image, "~/annotated", 1)
        self.debug = self.make(TrackDebug, "~/debug", 10)
        self._last_debug = {"heatmap": -math.inf, "annotated": -math.inf}

    def make(self, kind: Any, topic: str, depth: int) -> Any:
        """A managed publisher that `destroy` frees; `depth` of its queue."""
        try:
            publisher = self._node.create_lifecycle_publisher(
                kind,
                topic,
                output_qos(depth),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
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

    def publish_targets(self, outcome: Outcome) -> float:
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

    def render_debug(self, outcome: Outcome, rate: float, heatmap: str) -> list[Callable[[], None]]:
        """Debug outputs that somebody watches and that are due, ready to be published."""
        ready: list[Callable[[], None]] = []
        if self._due("heatmap", self.heatmap, rate, outcome):
            pixels = self._heatmap(outcome, heatmap)
            message = write_image(pixels, "mono8", outcome.frame.header)
            ready.append(lambda: self.heatmap.publish(message))
        if self._due("annotated", self.annotated, rate, outcome):
            picture = write_image(self._annotated(outcome), "rgb8", outcome.frame.header)
            ready.append(lambda: self.annotated.publish(picture))
        if self.debug.get_subscription_count():
            # A few kilobytes an image: tools that record or explain want every one.
            ready += [partial(self.debug.publish, message) for message in debug_messages(outcome)]
        return ready

    def _due(self, name: str, publisher: Any, rate: float, outcome: Outcome) -> bool:
        if rate <= 0.0 or not publisher.get_subscription_count():
            return False
        # A tenth of a period early is on time: frames do not come at exact multiples of it.
        if outcome.frame.arrival - self._last_debug[name] < 0.9 / rate:
            return False
        self._last_debug[name] = outcome.frame.arrival
        return True

    @staticmethod
    def _heatmap(outcome: Outcome, name: str) -> np.ndarray:
        width, height = outcome.view.width, outcome.view.height
        heat = np.zeros((height, width), np.float32)
        for sighting in outcome.sightings:
            if sighting.result is not None and name in sighting.result.score_maps:
                seen = sighting.result.score_maps.to_image(name, width, height)
                np.maximum(heat, seen, out=heat)
        return heatmap_mono(heat)

    @staticmethod
    def _annotated(outcome: Outcome) -> np.ndarray:
        picture = to_rgb(outcome.view)
        for sighting in outcome.sightings:
            result = sighting.result
            if result is not None:
                picture = draw_target(
                    picture,
                    result.box,  # drawn dashed while lost: for people it is a hint
                    sighting.status.value,
                    result.confidence,
                    label=f"#{sighting.target_id}",
                    region=result.search_region,
                )
        if not outcome.followed:
            picture = draw_target(picture, None, outcome.sightings[-1].status.value, 0.0)
        return picture
