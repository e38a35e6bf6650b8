"""`~/motion` over DDS: velocity, prediction, and what is told of a lost target."""

import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from node_harness import NODE, TARGET, scene, stamp_of
from sensor_msgs.msg import CameraInfo

from duml_tracker_ros.msg import Motion, Target

FOCAL = 600.0


class Listener:
    """A controller that hears ~/motion, and the camera's calibration."""

    def __init__(self, talker):
        self.talker, self.heard = talker, []
        node = talker.node
        self.infos = node.create_publisher(CameraInfo, "camera_info", 1)
        self.info = CameraInfo(width=640, height=480)
        self.info.k = [FOCAL, 0.0, 319.5, 0.0, FOCAL, 239.5, 0.0, 0.0, 1.0]
        self.info.header.frame_id = "camera"
        self.subscription = node.create_subscription(
            Motion, f"{NODE}/motion", self.heard.append, 50
        )
        # Its filter begins with the first image that the node knows of a listener at.
        talker.spin_until(self.infos.get_subscription_count, "camera_info is wanted")

    def see(self, pixels, info=True, targets=1):
        """Show an image until it is answered; all that is told of motion in it, by target."""
        if info:
            self.infos.publish(self.info)
        stamp = self.talker.show(pixels=pixels)

        def told():
            return [m for m in self.heard if stamp_of(m) == stamp]

        self.talker.spin_until(lambda: len(told()) >= targets, "motion")
        return {m.target_id: m for m in told()}

    def close(self):
        self.talker.node.destroy_subscription(self.subscription)
        self.talker.node.destroy_publisher(self.infos)


@pytest.fixture
def seeing(node):
    """The node with trained weights, and a listener."""
    for name, value in (("weights", "default"), ("overrides", ""), ("camera_latency", 0.25)):
        assert node.set_parameter(name, value).successful
    node.bring_to("active")
    listener = Listener(node)
    yield listener
    listener.close()
    assert node.set_parameter("camera_latency", 0.0).successful


def test_velocity_prediction_and_loss_are_told(seeing):
    talker = seeing.talker
    talker.show(pixels=scene(x=60))
    answer = talker.init((60.0, 220.0, 40.0, 30.0))
    assert answer.success, answer.message
    first = seeing.see(scene(x=65), info=False)[answer.target_id]
    assert math.isnan(first.angular_velocity.y), "without camera_info"
    # 5 pixels in a thirtieth of a second. An image that was sent twice makes it begin anew.
    for step in range(2, 90):
        motion = seeing.see(scene(x=60 + 5 * step))[answer.target_id]
        if step >= 15 and motion.covariance[10] < 15.0**2:
            break
    assert motion.header.frame_id == "camera"
    assert motion.state in (Target.STATE_TRACKING, Target.STATE_UNCERTAIN)
    assert motion.x == pytest.approx(60 + 5 * step + 20, abs=8)
    assert (motion.velocity_x, motion.velocity_y) == pytest.approx((150.0, 0.0), abs=30)
    assert motion.horizon >= 0.25
    assert motion.predicted_x == pytest.approx(motion.x + motion.horizon * motion.velocity_x)
    covariance = motion.covariance.reshape(4, 4)
    assert 0 < motion.covariance[10] < first.covariance[10]
    assert motion.predicted_covariance[0] > covariance[0, 0]
    # Angles turn more slowly the farther from the axis they are.
    x = (motion.x - 320) / FOCAL
    assert motion.angular_velocity.y == pytest.approx(150 / FOCAL / (1 + x * x), abs=0.06)
    assert not motion.camera_rotation_removed

    # Out of sight: it goes on as it was, and that gets ever less sure.
    plain = np.full((480, 640, 3), 100, np.uint8)
    for _ in range(5):
        lost = seeing.see(plain)[answer.target_id]
        if lost.state == Target.STATE_LOST:
            break
    assert lost.state == Target.STATE_LOST
    before, lost = lost, seeing.see(plain)[answer.target_id]
    assert lost.covariance[0] > before.covariance[0] > motion.covariance[0]
    assert lost.x == pytest.approx(before.x + before.velocity_x / 30)
    assert math.isnan(lost.angular_velocity.x)
    talker.clock_ns += 1_500_000_000
    gone = seeing.see(plain)[answer.target_id]
    assert gone.state == Target.STATE_LOST
    told = [gone.x, gone.velocity_y, gone.predicted_x, *gone.covariance, *gone.predicted_covariance]
    assert np.isnan(told).all()

    # A clock that is set back.
    talker.clock_ns -= 5_000_000_000
    for _ in range(40):
        found = seeing.see(scene(x=140))[answer.target_id]
        if found.state != Target.STATE_LOST:
            break
    assert found.velocity_x == 0.0, "begun anew"
    assert found.covariance[10] == pytest.approx(first.covariance[10], rel=0.3)
    talker.clock_ns += 10_000_000_000


def test_each_of_several_targets_has_a_motion_of_its_own(node):
    assert node.set_parameter("max_targets", 2).successful
    node.bring_to("active")
    listener = Listener(node)
    try:
        node.fresh_target()
        ids = {node.init(TARGET).target_id, node.init((100.0, 100.0, 40.0, 30.0)).target_id}
        motions = listener.see(scene(), targets=2)
        assert set(motions) == ids
        centres = [(m.x, m.y) for m in motions.values()]
        assert math.dist(*centres) > 50
    finally:
        listener.close()
        node.bring_to("unconfigured")
        assert node.set_parameter("max_targets", 1).successful


@pytest.mark.parametrize("value", [-0.1, 5.5, math.nan])
def test_a_latency_out_of_range_is_refused_with_the_range(value):
    from duml_tracker_ros.node.parameters import TABLE

    assert f"camera_latency = {value!r}: must be from 0 to 5 s" in TABLE.check(
        "camera_latency", value
    )
