"""`~/odometry` over DDS: a target's place and velocity from depth, range and the ground."""

import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("nav_msgs.msg", reason="nav_msgs is not installed")

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from node_harness import NODE, TARGET, scene, stamp_of
from sensor_msgs.msg import CameraInfo, Image, Range
from test_node_depth import depth_message

from duml_tracker_ros.msg import Target
from duml_tracker_ros.node.parameters import TABLE
from duml_tracker_ros.node.timeline import Timeline

FOCAL, HEIGHT, SPEED = 600.0, 40.0, 2.0
STEP = 100_000_000
"""Nanoseconds from image to image."""
PLAIN = np.full((480, 640, 3), 100, np.uint8)
MS = 1_000_000


class Flight:
    """A camera that looks down and flies along with its target at `SPEED`."""

    def __init__(self, talker):
        self.talker, self.heard, self.began = talker, [], talker.clock_ns
        self.frame, self.metres, self.beyond = "map", HEIGHT, 100.0
        node = talker.node
        self.infos = node.create_publisher(CameraInfo, "camera_info", 1)
        self.poses = node.create_publisher(PoseStamped, "camera_pose", 20)
        self.ranges = node.create_publisher(Range, "range", 20)
        self.depths = node.create_publisher(Image, "depth", 5)
        self.info = CameraInfo(width=640, height=480)
        self.info.k = [FOCAL, 0.0, 319.5, 0.0, FOCAL, 239.5, 0.0, 0.0, 1.0]
        self.info.header.frame_id = "camera"
        self.subscription = node.create_subscription(
            Odometry, f"{NODE}/odometry", self.heard.append, 50
        )

    def x(self, stamp_ns):
        return SPEED * (stamp_ns - self.began) * 1e-9

    def see(self, pixels):
        """Show the next image with all that is measured at it, until it is answered."""
        talker = self.talker
        talker.clock_ns += STEP - 33_333_333
        header = talker.image(PLAIN).header
        talker.clock_ns -= 33_333_333
        pose = PoseStamped(header=header)
        pose.header.frame_id = self.frame
        pose.pose.position.x, pose.pose.position.z = self.x(stamp_of(pose)), HEIGHT
        pose.pose.orientation.x, pose.pose.orientation.w = 1.0, 0.0
        distance = Range(header=header, field_of_view=0.02, range=self.metres)
        distance.min_range, distance.max_range = 0.5, self.beyond
        raw = depth_message(np.full((480, 640), self.metres * 1000), "16UC1")
        depth = Image(width=640, height=480, step=1280, encoding="16UC1", data=raw.data)
        depth.header.stamp, depth.header.frame_id = header.stamp, "camera"
        self.infos.publish(self.info)
        self.poses.publish(pose)
        self.ranges.publish(distance)
        self.depths.publish(depth)
        return talker.show(pixels=pixels)

    def wanted(self):
        """What the node subscribes to, of what tells the distance."""
        counts = {"camera_pose": self.poses, "range": self.ranges, "depth": self.depths}
        return {n for n, p in counts.items() if p.get_subscription_count()}

    def told(self, text):
        """Fly on until the diagnostics say so."""
        self.talker.spin_until(
            lambda: text in self.talker.values().get("odometry", ""),
            text,
            meanwhile=lambda: self.see(scene()),
        )

    def close(self):
        node = self.talker.node
        node.destroy_subscription(self.subscription)
        for publisher in (self.infos, self.poses, self.ranges, self.depths):
            node.destroy_publisher(publisher)


@pytest.fixture
def flight(node):
    """The node with trained weights, a camera in flight, and a listener."""
    for name, value in (("weights", "default"), ("overrides", ""), ("world_source", "off")):
        assert node.set_parameter(name, value).successful
    node.bring_to("active")
    flight = Flight(node)
    yield flight
    flight.close()
    assert node.set_parameter("world_source", "off").successful


def test_a_target_is_placed_by_ground_range_and_depth(flight):
    talker = flight.talker
    talker.show(pixels=scene())
    answer = talker.init(TARGET)
    assert answer.success, answer.message
    talker.spin_until(lambda: flight.infos.get_subscription_count(), "camera_info is wanted")
    assert not flight.wanted()
    flight.told("world_source is off: set it to depth, range or ground")
    for source in ("ground", "range", "depth"):
        assert talker.set_parameter("world_source", source).successful
        talker.spin_until(
            lambda s=source: flight.wanted() == {"camera_pose", s} - {"ground"}, source
        )
        flight.heard.clear()
        # Its velocity is known after 2 s. An image that was sent twice makes it begin anew.
        for _ in range(200):
            flight.see(scene())
            stamps = [stamp_of(m) for m in flight.heard]
            if stamps and stamps[-1] - stamps[0] > 2_500 * MS:
                last = flight.heard[-1]
                if last.twist.covariance[0] < 0.25**2:
                    break
        assert last.header.frame_id == "map"
        assert last.child_frame_id == f"target_{answer.target_id}"
        place, motion = last.pose.pose.position, last.twist.twist.linear
        # The middle of the target is 5 pixels above that of the image.
        truth = (flight.x(stamp_of(last)), 5 / FOCAL * HEIGHT, 0.0)
        assert math.dist((place.x, place.y, place.z), truth) < 0.03 * HEIGHT
        assert math.dist((motion.x, motion.y, motion.z), (SPEED, 0.0, 0.0)) < 0.3
        covariance = last.pose.covariance.reshape(6, 6)[:3, :3]
        assert np.linalg.eigvalsh(covariance)[0] > 0
        assert np.linalg.eigvalsh(covariance)[2] < (0.03 * HEIGHT) ** 2

    assert talker.set_parameter("world_source", "range").successful
    flight.beyond = 10.0
    flight.told("range tells 40 m, which is not from 0.5 to 10 m")
    flight.beyond, flight.frame = 100.0, "odom"
    flight.told("camera_pose is in the frame 'odom', world_frame is 'map'")
    flight.frame = "map"

    # A lost target is nowhere.
    for _ in range(5):
        flight.see(PLAIN)
    assert talker.targets[-1].state == Target.STATE_LOST
    began = talker.clock_ns
    for _ in range(5):
        flight.see(PLAIN)
    # What was told before may still be on its way.
    assert not [m for m in flight.heard if stamp_of(m) > began]


def test_a_timeline_knows_what_lay_around_a_moment():
    line = Timeline()
    assert line.around(0) is None
    for stamp in (0, 100, 200, 700, 800):
        line.add(stamp * MS, stamp)
    assert line.around(150 * MS) == (100, 200, 0.5)
    assert line.around(200 * MS) == (100, 200, 1.0)
    assert line.around(450 * MS) is None, "in a gap"
    assert line.around(850 * MS) == (700, 800, 1.5)
    assert line.around(1100 * MS) is None
    assert line.around(-5 * MS) is None
    line.add(300 * MS, 300)
    assert line.around(750 * MS) is None, "a clock that was set back begins anew"
    for stamp in range(400, 9000, 10):
        line.add(stamp * MS, stamp)
    assert len(line._items) < 400, "old ones are dropped"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("world_source", "sonar", "use one of off, depth, range, ground"),
        ("world_frame", "/map", "use a frame's name"),
        ("ground_height", math.nan, "must be from -10000 to 10000 m"),
        ("target_agility", 0.0, "must be from 0.01 to 100 m/s"),
        ("distance_deviation", 2.0, "must be from 0.0001 to 1"),
    ],
)
def test_values_out_of_range_are_refused_with_words(name, value, words):
    assert words in TABLE.check(name, value)
