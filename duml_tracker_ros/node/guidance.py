"""What needs the camera's lens: a target's bearing, its position and points with depth, markers.

Camera parameters and depth are subscribed only while somebody subscribes to what is made of them.
Directions go out while the target is seen; positions only while its state is TRACKING, since
their messages cannot say that they are uncertain, nor which target they are of: it is that of
the last selection, so that only an operator's act, never the end of a target, makes it another.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from geometry_msgs.msg import PointStamped, PoseStamped
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, Range
from visualization_msgs.msg import MarkerArray

from duml_tracker_ros.msg import Bearing, Motion

from ..pixels import Box
from .camera_model import CameraModel, CameraModelError
from .camera_source import CameraSource, GuidanceError
from .cloud import make_cloud
from .depth import DepthError, depth_view, surface
from .markers import TargetMarkers
from .motion import MotionOutput
from .outcome import FrameOutcome, Sighting, Status
from .pairing import Pairing
from .phases import Host
from .publishers import STATES
from .stamps import nanoseconds
from .subscriptions import Subscriptions, best_effort
from .texts import cut
from .world import WorldOutput, missing_packages

# Depth may come before or after the tracker is done with the image of the same moment.
KEPT = 8
# Nothing is missing before it had this time to come, seconds.
GRACE = 1.5
# Poses and ranges that may wait while the executor is busy.
POSES = 20
PROBLEMS = ("bearing", "position", "markers", "motion", "odometry")

Make = Callable[[Any, str, int], Any]


@dataclass(frozen=True)
class _Waiting:
    """A target that waits for the depth of its image."""

    header: Any
    target_id: int
    box: Box
    size: tuple[int, int]


class Guidance:
    """Makes `~/bearing`, `~/position`, `~/points`, `~/markers`, `~/motion` and `~/odometry`.

    Args:
        make: makes a managed publisher from type, topic and depth of the queue.
    """

    def __init__(self, host: Host, make: Make) -> None:
        self._host, self._node, self._send = host, host.ros, host.send
        self.bearing = make(Bearing, "~/bearing", 10)
        self.position = make(PointStamped, "~/position", 10)
        self.points = make(PointCloud2, "~/points", 1)
        self.markers = make(MarkerArray, "~/markers", 1)
        self.motion = MotionOutput(
            make(Motion, "~/motion", 10), host.send, lambda: host.settings.camera_latency
        )
        self.world = WorldOutput(
            make,
            host.send,
            lambda: host.settings,
            self._camera,
            lambda problem: self._tell("odometry", problem),
        )
        self._subscriptions = Subscriptions(host.ros)
        self._sources: dict[str, tuple[float, str]] = {}
        self._source = CameraSource()
        self._shown = TargetMarkers()
        self._pairing: Pairing[_Waiting, Image] = Pairing(KEPT)
        self.problems = dict.fromkeys(PROBLEMS, "")

    # -- on the executor's thread -------------------------------------------------------------

    def refresh(self) -> None:
        """Subscribe to what is needed, and to nothing else; called now and then while active."""
        position = bool(self.position.get_subscription_count()) or bool(
            self.points.get_subscription_count()
        )
        wanted = {
            "bearing": bool(self.bearing.get_subscription_count()),
            "position": position,
            "markers": bool(self.markers.get_subscription_count()),
            "motion": self.motion.wanted,
            "odometry": self.world.wanted,
        }
        source = self.world.source
        depth, ranges = position or source == "depth", source == "range"
        self._want(any(wanted.values()), "camera_info", CameraInfo, self._source.take)
        self._want(depth, "depth", Image, self._on_depth)
        self._want(bool(source), "camera_pose", PoseStamped, self.world.take_pose, POSES)
        self._want(ranges, "range", Range, self.world.take_range, POSES)
        lacking = missing_packages(self._host.settings)
        self.problems.update(
            {n: "" for n in PROBLEMS if not wanted[n] and not (n == "odometry" and lacking)}
        )
        if lacking:
            self._tell("odometry", f"install {', and '.join(lacking)}")
        elif wanted["odometry"] and not source:
            self._tell("odometry", "world_source is off: set it to depth, range or ground")

    def stop(self) -> None:
        """End the subscriptions and forget what came; further calls do nothing."""
        for topic in self._subscriptions.end():
            self._forget(topic)
        self._shown = TargetMarkers()
        self.motion.forget()
        self.world.forget()
        self.problems = dict.fromkeys(PROBLEMS, "")

    def describe(self) -> dict[str, str]:
        """Texts for diagnostics: what is used, or why nothing comes."""
        return {
            "camera info": self._source.describe(),
            "bearing": self._describe("bearing", self.bearing),
            "position": self._describe("position", self.position, self.points),
            "markers": self._describe("markers", self.markers),
            "motion": self._describe("motion", self.motion.publisher),
            "odometry": self._describe("odometry", *self.world.publishers),
        }

    def _describe(self, name: str, *publishers: Any) -> str:
        if not any(publisher.get_subscription_count() for publisher in publishers):
            return "not subscribed"
        return self.problems[name] or "subscribed"

    def _want(
        self, wanted: bool, topic: str, kind: Any, take: Callable[[Any], None], depth: int = 1
    ) -> None:
        ends = topic in self._subscriptions and not wanted
        self._subscriptions.want(wanted, topic, kind, take, best_effort(depth))
        if ends:
            self._forget(topic)

    def _forget(self, topic: str) -> None:
        if topic == "camera_info":
            self._source.forget()
            return
        if topic == "depth":
            self._pairing.clear()
        self.world.forget()

    def _on_depth(self, message: Image) -> None:
        if self.world.source == "depth":
            self.world.take_depth(message)
        stamp_ns = nanoseconds(message.header.stamp)
        waiting = self._pairing.offer_right(stamp_ns, message, self._tolerance())
        # The target may have been lost or another one selected since.
        if waiting is not None and self._host.is_tracked(waiting.target_id):
            self._publish_position(waiting, message)

    # -- on the worker's thread ---------------------------------------------------------------

    def publish(self, outcome: FrameOutcome) -> None:
        """Publish what somebody subscribes to and what is known of the targets in one image."""
        seen = [(s, result.box) for s, result in outcome.tracked if s.status.seen]
        if seen and self.bearing.get_subscription_count():
            problems = [self._publish_bearing(outcome, *one) for one in seen]
            self._tell("bearing", next(filter(None, problems), ""))
        if self.markers.get_subscription_count():
            lens = self._lens("markers", outcome) if seen else None
            markers = self._shown.next(outcome, lens, self._host.settings.marker_length)
            if markers:
                self._send(lambda: self.markers.publish(MarkerArray(markers=markers)))
        if self.motion.wanted:
            without = "; without the lens there is no angular velocity"
            self.motion.publish(outcome, self._lens("motion", outcome, without) if seen else None)
        else:
            self.motion.forget()
        if self.world.source:
            self.world.publish(outcome)
        chosen = outcome.selected, Status.TRACKING
        box = next((box for s, box in seen if (s.target_id, s.status) == chosen), None)
        if box is None:
            self._pairing.clear_left()
        elif "depth" in self._subscriptions:
            waiting = _Waiting(outcome.frame.header, outcome.selected, box, outcome.size)
            self._pair(outcome.frame.stamp_ns, waiting)

    def _pair(self, stamp_ns: int, sighting: _Waiting) -> None:
        if stamp_ns == 0:
            self._tell("position", "images without a stamp cannot be matched with their depth")
            return
        depth = self._pairing.offer_left(stamp_ns, sighting, self._tolerance())
        if depth is not None:
            self._publish_position(sighting, depth)
            return
        waiting, depths = self._pairing.waiting()
        if waiting == KEPT and self._subscriptions.age("depth") > GRACE:
            self._tell("position", self._no_depth(depths > 0))

    def _no_depth(self, comes: bool) -> str:
        topic = self._subscriptions.resolved("depth")
        if comes:
            return (
                f"no depth on {topic} has the stamp of an image within "
                f"{self._host.settings.depth_tolerance:g} s (depth_tolerance)"
            )
        return f"no depth comes on {topic}, {self._source_of(topic)}: remap it (-r depth:=TOPIC)"

    def _source_of(self, topic: str) -> str:
        """Who publishes a topic, in words; the graph is asked once a second at most."""
        now = time.monotonic()
        asked, text = self._sources.get(topic, (-math.inf, ""))
        if now - asked > 1.0:
            known = self._node.get_publishers_info_by_topic(topic)
            names = ", ".join(f"{i.node_namespace.rstrip('/')}/{i.node_name}" for i in known)
            text = f"which {names} publishes" if names else "which nobody publishes"
            self._sources[topic] = now, text
        return text

    def _tolerance(self) -> float:
        return self._host.settings.depth_tolerance * 1e9

    def _publish_bearing(self, outcome: FrameOutcome, sighting: Sighting, box: Box) -> str:
        """Publish the bearing of one target, or say why there is none."""
        x, y, w, h = box
        try:
            camera = self._camera(outcome.frame.header, *outcome.size)
            cx, cy = x + w / 2, y + h / 2
            points = np.array([[cx, cy], [x, cy], [x + w, cy], [cx, y], [cx, y + h]])
            directions = camera.directions(points)
            if not np.isfinite(directions[0]).all():
                raise GuidanceError(
                    f"the lens model has no answer for the target's place ({cx:.0f}, {cy:.0f})"
                )
        except (GuidanceError, CameraModelError) as error:
            return str(error)
        rays = np.column_stack([directions, np.ones(5)])
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        message = Bearing(header=outcome.frame.header, target_id=sighting.target_id)
        message.state = STATES[sighting.status]
        message.error_x, message.error_y = directions[0].tolist()
        message.ray.x, message.ray.y, message.ray.z = rays[0].tolist()
        message.width, message.height = _angle(rays[1], rays[2]), _angle(rays[3], rays[4])
        self._send(lambda: self.bearing.publish(message))
        return ""

    def _lens(self, name: str, outcome: FrameOutcome, without: str = "") -> CameraModel | None:
        """The lens of an image, where what is called so can do without; it is told then."""
        camera, problem = None, ""
        try:
            camera = self._camera(outcome.frame.header, *outcome.size)
        except (GuidanceError, CameraModelError) as error:
            problem = f"{error}{without}"
        self._tell(name, problem)
        return camera

    def _publish_position(self, sighting: _Waiting, depth: Image) -> None:
        try:
            camera = self._camera(sighting.header, *sighting.size)
            if (depth.width, depth.height) != sighting.size:
                raise GuidanceError(
                    f"depth has {depth.width}x{depth.height} pixels, the image "
                    f"{sighting.size[0]}x{sighting.size[1]}: it must be aligned with the image"
                )
            if depth.header.frame_id != sighting.header.frame_id:
                raise GuidanceError(
                    f"depth has frame_id {depth.header.frame_id!r}, the image "
                    f"{sighting.header.frame_id!r}: it must be aligned with the image"
                )
            found = surface(*depth_view(depth), sighting.box, camera)
        except (GuidanceError, CameraModelError, DepthError) as error:
            self._tell("position", str(error))
            return
        self._tell("position", "")
        if self.position.get_subscription_count():
            message = PointStamped(header=sighting.header)
            message.point.x, message.point.y, message.point.z = found.position
            self._send(lambda: self.position.publish(message))
        if self.points.get_subscription_count():
            cloud = make_cloud(sighting.header, found.points)
            self._send(lambda: self.points.publish(cloud))

    def _camera(self, header: Any, width: int, height: int) -> CameraModel:
        """The camera's model for an image.

        Raises:
            GuidanceError, CameraModelError: why there is none; no words while it may yet come.
        """
        if self._source.empty:
            if self._subscriptions.age("camera_info") <= GRACE:
                raise GuidanceError("")
            topic = self._subscriptions.resolved("camera_info")
            raise GuidanceError(
                f"no CameraInfo comes on {topic}, {self._source_of(topic)}: remap it "
                "(-r camera_info:=TOPIC)"
            )
        return self._source.model(header, width, height, self._host.settings)

    def _tell(self, name: str, problem: str) -> None:
        """Keep the problem for diagnostics; each new one goes to the log."""
        problem = cut(problem)
        # Numbers in it change from image to image; that makes it no new problem.
        if problem and _words(problem) != _words(self.problems[name]):
            self._node.get_logger().warning(f"no {name}: {problem}")
        self.problems[name] = problem


def _words(text: str) -> str:
    return "".join(character for character in text if not character.isdigit())


def _angle(one: np.ndarray, two: np.ndarray) -> float:
    """Angle between unit vectors in radians; exact for small ones too, NaN for NaN."""
    return 2.0 * math.atan2(float(np.linalg.norm(one - two)), float(np.linalg.norm(one + two)))
