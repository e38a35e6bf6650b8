"""Where targets are in the world: `~/odometry`, estimated only while somebody subscribes."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from geometry_msgs.msg import TransformStamped

from ..estimation.image_motion import OFFSET, centre_deviation, side
from ..estimation.world_motion import (
    Place,
    Pose,
    WorldError,
    WorldMotion,
    from_distance,
    from_plane,
)
from ..pixels import Box
from .camera_model import CameraModel, CameraModelError
from .camera_source import GuidanceError
from .depth import DepthError, depth_view, surface
from .motion import ray_to
from .outcome import FrameOutcome
from .pairing import Pairing
from .parameters import NodeSettings
from .stamps import nanoseconds
from .timeline import Timeline
from .turning import quaternion_matrix, turned

try:
    from nav_msgs.msg import Odometry
except ImportError:
    Odometry = None
try:
    from tf2_msgs.msg import TFMessage
except ImportError:
    TFMessage = None

# Depth may come before or after the tracker is done with the image of the same moment.
KEPT = 8
# Covariance of what is not known: how the target is turned.
UNKNOWN = 1e6

CameraOf = Callable[[Any, int, int], CameraModel]


@dataclass(frozen=True)
class _Scene:
    """The targets in one image, by their ids."""

    header: Any
    stamp_ns: int
    size: tuple[int, int]
    boxes: dict[int, Box]


class WorldOutput:
    """Estimates each target's place and velocity in the frame `world_frame`.

    Args:
        make: makes a managed publisher from type, topic and depth of the queue.
        send: calls back if and as long as the node may publish.
        camera: the lens of an image, from its header, width and height.
        tell: takes why nothing can be told; empty when it can.
    """

    def __init__(
        self,
        make: Callable[[Any, str, int], Any],
        send: Callable[[Callable[[], None]], None],
        settings: Callable[[], NodeSettings],
        camera: CameraOf,
        tell: Callable[[str], None],
    ) -> None:
        self._send, self._settings, self._camera, self._tell = send, settings, camera, tell
        self.odometry = make(Odometry, "~/odometry", 10) if Odometry is not None else None
        self.transforms = make(TFMessage, "/tf", 100) if TFMessage is not None else None
        self._poses: Timeline[Pose] = Timeline()
        self._ranges: Timeline[Any] = Timeline()
        self._pairing: Pairing[_Scene, Any] = Pairing(KEPT)
        self._filters: dict[int, WorldMotion] = {}
        self._strange = ""
        # Depth comes on another thread than images.
        self._lock = threading.Lock()

    @property
    def publishers(self) -> tuple[Any, ...]:
        """Those that there are and that the settings ask for."""
        both = self.odometry, self.transforms if self._settings().publish_tf else None
        return tuple(publisher for publisher in both if publisher is not None)

    @property
    def wanted(self) -> bool:
        """True while somebody subscribes."""
        return any(publisher.get_subscription_count() for publisher in self.publishers)

    @property
    def source(self) -> str:
        """What tells the distance; empty while it is off or nobody subscribes."""
        source = self._settings().world_source
        return source if source != "off" and self.wanted else ""

    def forget(self) -> None:
        """Begin anew with the next image."""
        with self._lock:
            self._filters.clear()
        self._pairing.clear()
        self._poses.clear()
        self._ranges.clear()

    # -- on the executor's thread -------------------------------------------------------------

    def take_pose(self, message: Any) -> None:
        """Take over a geometry_msgs/PoseStamped of the camera's optical frame."""
        frame, expected = message.header.frame_id, self._settings().world_frame
        if frame != expected:
            self._strange = f"camera_pose is in the frame {frame!r}, world_frame is {expected!r}"
            return
        p, q = message.pose.position, message.pose.orientation
        position, rotation = np.array([p.x, p.y, p.z]), quaternion_matrix(q.x, q.y, q.z, q.w)
        if rotation is None or not np.isfinite(position).all():
            self._strange = "camera_pose is no pose: its numbers are not finite, or no rotation"
            return
        self._strange = ""
        self._poses.add(nanoseconds(message.header.stamp), Pose(position, rotation))

    def take_range(self, message: Any) -> None:
        """Take over a sensor_msgs/Range that looks where the camera looks."""
        self._ranges.add(nanoseconds(message.header.stamp), message)

    def take_depth(self, message: Any) -> None:
        """Take over a depth image, which may have been waited for."""
        stamp_ns = nanoseconds(message.header.stamp)
        scene = self._pairing.offer_right(stamp_ns, message, self._tolerance())
        if scene is not None:
            self._estimate(scene, message)

    # -- on the worker's thread ---------------------------------------------------------------

    def publish(self, outcome: FrameOutcome) -> None:
        """Publish where the targets are that are seen in an image."""
        boxes = {s.target_id: result.box for s, result in outcome.tracked if s.status.seen}
        with self._lock:
            for target_id in self._filters.keys() - {s.target_id for s, _ in outcome.tracked}:
                del self._filters[target_id]
        if not boxes:
            self._pairing.clear_left()
            return
        frame = outcome.frame
        if frame.stamp_ns == 0:
            self._tell("images without a stamp cannot be matched with the camera's pose")
            return
        scene = _Scene(frame.header, frame.stamp_ns, outcome.size, boxes)
        if self._settings().world_source != "depth":
            self._estimate(scene, None)
            return
        depth = self._pairing.offer_left(frame.stamp_ns, scene, self._tolerance())
        if depth is not None:
            self._estimate(scene, depth)
        elif self._pairing.waiting()[0] == KEPT:
            self._tell("no depth comes with the stamp of an image: remap it (-r depth:=TOPIC)")

    def _tolerance(self) -> float:
        return self._settings().depth_tolerance * 1e9

    def _estimate(self, scene: _Scene, depth: Any) -> None:
        problems = []
        try:
            pose, camera = self._pose(scene.stamp_ns), self._camera(scene.header, *scene.size)
        except (GuidanceError, CameraModelError) as error:
            self._tell(str(error))
            return
        for target_id, box in scene.boxes.items():
            try:
                place = self._place(scene, box, pose, camera, depth)
            except (GuidanceError, DepthError, WorldError) as error:
                problems.append(str(error))
                continue
            with self._lock:
                agility = self._settings().target_agility
                motion = self._filters.setdefault(target_id, WorldMotion(agility))
                mean, covariance = motion.see(scene.stamp_ns * 1e-9, place)
            self._publish(scene.header, target_id, mean, covariance)
        self._tell(next(iter(problems), ""))

    def _pose(self, stamp_ns: int) -> Pose:
        found = self._poses.around(stamp_ns)
        if found is None:
            raise GuidanceError(
                self._strange
                or "no camera_pose of the image's time comes: remap it (-r camera_pose:=TOPIC), 5 "
                "a second at least, with stamps of the images' clock"
            )
        one, two, share = found
        step, _ = cv2.Rodrigues(one.rotation.T @ two.rotation)
        return Pose(
            one.position + share * (two.position - one.position),
            one.rotation @ turned(step.ravel(), share),
        )

    def _place(self, scene: _Scene, box: Box, pose: Pose, camera: CameraModel, depth: Any) -> Place:
        settings = self._settings()
        ray = ray_to(box, camera)
        if ray is None:
            raise GuidanceError("the target lies where the lens model has no answer")
        jitter = centre_deviation(box) / ray.focal
        offset = math.hypot(settings.attitude_deviation, OFFSET * side(box) / ray.focal)
        if settings.world_source == "ground":
            height, deviation = settings.ground_height, settings.ground_deviation
            return from_plane(pose, ray.direction, height, deviation, jitter, offset)
        if depth is not None:
            distance = self._depth(scene, box, camera, depth)
            deviation = settings.distance_deviation * distance
        else:
            distance, deviation = self._range(scene.stamp_ns, box, ray.direction, ray.focal)
        return from_distance(pose, ray.direction, distance, deviation, jitter, offset)

    def _depth(self, scene: _Scene, box: Box, camera: CameraModel, depth: Any) -> float:
        if (depth.width, depth.height) != scene.size:
            raise GuidanceError(
                f"depth has {depth.width}x{depth.height} pixels, the image "
                f"{scene.size[0]}x{scene.size[1]}: it must be aligned with the image"
            )
        return math.hypot(*surface(*depth_view(depth), box, camera).position)

    def _range(
        self, stamp_ns: int, box: Box, direction: np.ndarray, focal: float
    ) -> tuple[float, float]:
        """Distance of a target and its standard deviation, metres."""
        found = self._ranges.around(stamp_ns)
        if found is None:
            raise GuidanceError(
                "no range of the image's time comes: remap it (-r range:=TOPIC), 5 a second at "
                "least, with stamps of the images' clock"
            )
        one, two, share = found
        for message in (one, two):
            # NaN is in no range; too near and too far are told as infinite.
            if not message.min_range <= message.range <= message.max_range:
                raise GuidanceError(
                    f"range tells {message.range:g} m, which is not from {message.min_range:g} to "
                    f"{message.max_range:g} m (min_range, max_range)"
                )
        beside = math.acos(min(float(direction[2]), 1.0))
        if beside > max(two.field_of_view, side(box) / focal) / 2:
            raise GuidanceError(
                f"the target is {math.degrees(beside):.0f} degrees beside where range points: keep "
                "it in the middle of the image"
            )
        distance = one.range + share * (two.range - one.range)
        # Since Jazzy the message says how good it is.
        variance = float(getattr(two, "variance", 0.0))
        known = variance > 0.0 and math.isfinite(variance)
        spread = math.sqrt(variance) if known else self._settings().distance_deviation * distance
        return distance, spread

    def _publish(
        self, header: Any, target_id: int, mean: np.ndarray, covariance: np.ndarray
    ) -> None:
        world, name = self._settings().world_frame, f"target_{target_id}"
        if self.odometry is not None and self.odometry.get_subscription_count():
            message = Odometry(child_frame_id=name)
            message.header.stamp, message.header.frame_id = header.stamp, world
            # Its axes are those of the world, so the twist in its frame is that in the world.
            place, motion = message.pose.pose, message.twist.twist
            place.position.x, place.position.y, place.position.z = mean[:3].tolist()
            motion.linear.x, motion.linear.y, motion.linear.z = mean[3:].tolist()
            message.pose.covariance = _six(covariance[:3, :3])
            message.twist.covariance = _six(covariance[3:, 3:])
            self._send(partial(self.odometry.publish, message))
        if self.transforms is not None and self._settings().publish_tf:
            transform = TransformStamped(child_frame_id=name)
            transform.header.stamp, transform.header.frame_id = header.stamp, world
            vector = transform.transform.translation
            vector.x, vector.y, vector.z = mean[:3].tolist()
            self._send(partial(self.transforms.publish, TFMessage(transforms=[transform])))


def missing_packages(settings: NodeSettings) -> Sequence[str]:
    """What the settings ask for and is not installed."""
    lacking = []
    if settings.world_source != "off" and Odometry is None:
        lacking.append("nav_msgs, which ~/odometry needs")
    if settings.publish_tf and TFMessage is None:
        lacking.append("tf2_msgs, which publish_tf needs")
    return lacking


def _six(covariance: np.ndarray) -> np.ndarray:
    """Of position or velocity [3, 3] -> of all six numbers, row by row [36]."""
    whole = np.diag([0.0, 0.0, 0.0, UNKNOWN, UNKNOWN, UNKNOWN])
    whole[:3, :3] = covariance
    return whole.ravel()
