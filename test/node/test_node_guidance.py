"""Bearing, position and points over DDS: right numbers, and silence where nothing may be told."""

import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from geometry_msgs.msg import PointStamped
from node_harness import LOST, NODE, TARGET, stamp_of
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from test_node_camera_model import BROWN, CX, CY, FX, FY, brown
from test_node_depth import depth_message

from duml_tracker_ros.msg import Bearing, Target


class Rig:
    """A calibrated camera with aligned depth, and a controller that listens."""

    def __init__(self, talker):
        self.talker = talker
        node = talker.node
        self.infos = node.create_publisher(CameraInfo, "camera_info", 1)
        self.depths = node.create_publisher(Image, "depth", 1)
        self.heard = {"bearing": [], "position": [], "points": []}
        self.listeners = {}
        self.info = CameraInfo(width=640, height=480, distortion_model="plumb_bob")
        self.info.d = list(BROWN)
        self.info.k = [FX, 0.0, CX, 0.0, FY, CY, 0.0, 0.0, 1.0]
        self.info.header.frame_id = "camera"
        self.depth = 12.0
        self.depth_late = False

    def listen(self, *names):
        kinds = {"bearing": Bearing, "position": PointStamped, "points": PointCloud2}
        for name in names:
            self.listeners[name] = self.talker.node.create_subscription(
                kinds[name], f"{NODE}/{name}", self.heard[name].append, 50
            )

    def publish(self):
        """One image with its camera_info and its depth."""
        image = self.talker.image()
        info = self.info
        if info is not None:
            info.header.stamp = image.header.stamp
            self.infos.publish(info)
        if not self.depth_late:
            self.publish_depth(image.header)
        self.talker.published.add(stamp_of(image))
        self.talker.images.publish(image)
        if self.depth_late:
            self.talker.spin_for(0.1)
            self.publish_depth(image.header)

    def publish_depth(self, header):
        if not self.depth:
            return
        raw = depth_message(np.full((480, 640), self.depth * 1000), "16UC1")
        message = Image(header=header, width=640, height=480, step=1280, encoding="16UC1")
        message.data = raw.data
        self.depths.publish(message)

    def wait(self, *names):
        """The next message of each of these topics."""
        for name in names:
            self.heard[name].clear()
        self.talker.spin_until(
            lambda: all(self.heard[name] for name in names), names, meanwhile=self.publish
        )
        return [self.heard[name][-1] for name in names]

    def values(self):
        self.talker.reports.clear()
        self.talker.spin_until(lambda: self.talker.reports, "diagnostics", meanwhile=self.publish)
        return self.talker.values()

    def silent(self, reason):
        """Nothing is told of the bearing any more, and diagnostics say why."""
        self.talker.spin_until(
            lambda: reason in self.values()["bearing"], reason, meanwhile=self.publish
        )
        # What was told before may still be on its way.
        began = self.talker.clock_ns
        self.talker.targets.clear()
        self.talker.stream_until(
            lambda: sum(stamp_of(t) > began for t in self.talker.targets) > 3, "targets"
        )
        assert not [b for b in self.heard["bearing"] if stamp_of(b) > began]

    def close(self):
        for listener in self.listeners.values():
            self.talker.node.destroy_subscription(listener)
        self.talker.node.destroy_publisher(self.infos)
        self.talker.node.destroy_publisher(self.depths)


@pytest.fixture
def rig(active):
    rig = Rig(active)
    yield rig
    rig.close()
    assert active.set_parameter("max_camera_info_age", 5.0).successful


def test_nothing_is_subscribed_while_nobody_listens(rig):
    talker = rig.talker
    talker.spin_until(lambda: talker.node.count_publishers(f"{NODE}/bearing") == 1, "the topic")
    assert talker.init(TARGET).success
    talker.fresh_target(lambda t: t.target_id)
    talker.spin_for(0.5)
    assert rig.infos.get_subscription_count() == rig.depths.get_subscription_count() == 0
    rig.listen("bearing")
    talker.spin_until(lambda: rig.infos.get_subscription_count() == 1, "camera_info")
    assert rig.depths.get_subscription_count() == 0
    rig.listen("position")
    talker.spin_until(lambda: rig.depths.get_subscription_count() == 1, "depth")
    for listener in rig.listeners.values():
        talker.node.destroy_subscription(listener)
    rig.listeners.clear()
    talker.spin_until(
        lambda: rig.infos.get_subscription_count() == rig.depths.get_subscription_count() == 0,
        "the end of the subscriptions",
    )


def test_bearing_points_at_the_target(rig):
    answer = rig.talker.init(TARGET)
    rig.listen("bearing")
    rig.talker.targets.clear()
    bearing = rig.wait("bearing")[0]
    assert bearing.target_id == answer.target_id
    assert bearing.header.frame_id == "camera"
    assert bearing.state in (Target.STATE_TRACKING, Target.STATE_UNCERTAIN)

    def same():
        return [t for t in rig.talker.targets if stamp_of(t) == stamp_of(bearing)]

    rig.talker.spin_until(same, "the target of the bearing")
    target = same()[0]
    # Back to the image by the lens model's own formula.
    x, y = brown((bearing.error_x, bearing.error_y), BROWN)
    assert FX * x + CX + 0.5 == pytest.approx(target.x + target.width / 2, abs=0.01)
    assert FY * y + CY + 0.5 == pytest.approx(target.y + target.height / 2, abs=0.01)
    ray = np.array([bearing.ray.x, bearing.ray.y, bearing.ray.z])
    assert np.linalg.norm(ray) == pytest.approx(1.0)
    assert ray[0] / ray[2] == pytest.approx(bearing.error_x)
    assert ray[1] / ray[2] == pytest.approx(bearing.error_y)
    assert bearing.width == pytest.approx(target.width / FX, rel=0.1)
    assert bearing.height == pytest.approx(target.height / FY, rel=0.1)


@pytest.mark.parametrize("late", [False, True])
def test_position_and_points_with_depth(rig, late):
    rig.talker.init(TARGET)
    rig.listen("bearing", "position", "points")
    rig.depth_late = late
    bearing, position, points = rig.wait("bearing", "position", "points")
    assert stamp_of(position) in rig.talker.published
    assert position.header.frame_id == "camera"
    assert position.point.z == pytest.approx(12.0)
    same = [b for b in rig.heard["bearing"] if stamp_of(b) == stamp_of(position)] or [bearing]
    assert position.point.x == pytest.approx(12.0 * same[0].error_x, abs=0.3)
    assert position.point.y == pytest.approx(12.0 * same[0].error_y, abs=0.3)
    cloud = np.frombuffer(points.data, np.float32).reshape(-1, 3)
    assert [field.name for field in points.fields] == ["x", "y", "z"]
    assert points.width == len(cloud) > 100
    np.testing.assert_allclose(cloud[:, 2], 12.0)


def test_cloud_is_read_by_sensor_msgs_py():
    reader = pytest.importorskip("sensor_msgs_py.point_cloud2")
    from std_msgs.msg import Header

    from duml_tracker_ros.node.cloud import make_cloud

    points = np.arange(12, dtype=np.float32).reshape(4, 3)
    cloud = make_cloud(Header(frame_id="camera"), points)
    assert np.array_equal(reader.read_points_numpy(cloud), points)
    written = reader.create_cloud_xyz32(Header(frame_id="camera"), points)
    for name in ("fields", "data", "width", "height", "point_step", "row_step", "is_bigendian"):
        assert getattr(cloud, name) == getattr(written, name)
    assert make_cloud(Header(), points[:0]).width == 0


def test_unusable_camera_info_is_named_and_silences_the_bearing(rig):
    rig.talker.init(TARGET)
    # The node lets go of an earlier subscription, and of what came by it, within a second.
    rig.talker.spin_until(lambda: not rig.values()["camera info"], "nothing", meanwhile=rig.publish)
    rig.listen("bearing")
    good = rig.info
    rig.info = None
    rig.silent("no CameraInfo comes on")
    rig.info = good
    rig.wait("bearing")
    for fields, reason in (
        ({"k": [0.0] * 9}, "not calibrated"),
        ({"width": 320, "height": 240}, "320x240"),
        ({"distortion_model": "odd"}, "'odd' is not known"),
    ):
        former = {name: getattr(good, name) for name in fields}
        for name, value in fields.items():
            setattr(good, name, value)
        rig.silent(reason)
        for name, value in former.items():
            setattr(good, name, value)
        rig.wait("bearing")
    good.header.frame_id = "another"
    rig.silent("different cameras")
    good.header.frame_id = "camera"
    rig.wait("bearing")
    assert rig.talker.set_parameter("max_camera_info_age", 0.3).successful
    rig.info = None
    rig.silent("max_camera_info_age")


def test_missing_or_unmatched_depth_is_named(rig):
    rig.talker.init(TARGET)
    rig.listen("position")
    rig.wait("position")
    rig.depth = 0.0
    rig.talker.spin_until(
        lambda: "depth" in rig.values()["position"], "no depth", meanwhile=rig.publish
    )
    rig.depth = 7.0
    assert rig.wait("position")[0].point.z == pytest.approx(7.0)


def test_lost_target_has_neither_bearing_nor_position(node):
    assert node.set_parameter("overrides", LOST).successful
    node.bring_to("active")
    rig = Rig(node)
    try:
        rig.listen("bearing", "position", "points")
        node.fresh_target()
        assert node.init(TARGET).success
        node.targets.clear()
        node.spin_until(
            lambda: len([t for t in node.targets if t.target_id]) > 10,
            "targets",
            meanwhile=rig.publish,
        )
        assert all(math.isnan(t.x) for t in node.targets)
        assert not any(rig.heard.values())
    finally:
        rig.close()
