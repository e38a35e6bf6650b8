"""How the camera turned, from an IMU: its axes and gaps, and the node over DDS."""

import math

import cv2
import numpy as np
import pytest
from turning_camera import SIZE, TurningCamera, away_and_back

from duml_tracker_ros.node.parameters import TABLE
from duml_tracker_ros.node.turning import AXES, Turning, axes_matrix, quaternion_matrix

MS = 1_000_000


def test_axes_are_named_as_they_point_and_never_mirrored():
    assert len(AXES) == 24
    assert all(np.linalg.det(axes_matrix(names)) == pytest.approx(1.0) for names in AXES)
    # A body frame has x forward, y left, z up; the optical frame x right, y down, z forward.
    forward, left, up = np.eye(3)
    body = axes_matrix("-y,-z,x")
    assert body @ forward == pytest.approx([0, 0, 1])
    assert body @ left == pytest.approx([-1, 0, 0])
    assert body @ up == pytest.approx([0, -1, 0])
    assert TABLE.check("imu_axes", "-y,-z,x") == ""
    assert "imu_axes = 'y,z,-x': name three of" in TABLE.check("imu_axes", "y,z,-x")


def test_rates_add_up_to_a_turn_about_the_cameras_own_axes():
    turning, rate = Turning(), np.array([0.0, math.radians(60), 0.0])
    for step in range(101):
        turning.add_rates(step * 10 * MS, rate)
    rotation, _ = turning.at(1000 * MS)
    assert rotation == pytest.approx(TurningCamera.rotation(60.0), abs=1e-9)
    between, _ = turning.at(505 * MS)
    assert between == pytest.approx(TurningCamera.rotation(30.3), abs=1e-9)
    beyond, _ = turning.at(1050 * MS)
    assert beyond == pytest.approx(TurningCamera.rotation(63.0), abs=1e-9)
    # Now about the camera's x axis, wherever that points.
    for step in range(101, 152):
        turning.add_rates(step * 10 * MS, np.array([math.radians(60), 0.0, 0.0]))
    rotation, _ = turning.at(1510 * MS)
    assert np.abs(rotation - TurningCamera.rotation(60.3, 30.3)).max() < 0.01


def test_orientations_are_taken_as_they_are():
    half = math.radians(15)
    matrix = quaternion_matrix(0.0, math.sin(half), 0.0, math.cos(half))
    assert matrix == pytest.approx(TurningCamera.rotation(30.0), abs=1e-12)
    assert quaternion_matrix(0.0, 0.0, 0.0, 0.0) is None
    assert quaternion_matrix(math.nan, 0.0, 0.0, 1.0) is None
    turning = Turning()
    turning.add_rotation(0, np.eye(3))
    turning.add_rotation(100 * MS, matrix)
    between, _ = turning.at(50 * MS)
    assert between == pytest.approx(TurningCamera.rotation(15.0), abs=1e-9)


def test_nothing_is_made_up_across_a_gap():
    turning, rate = Turning(), np.array([0.0, 1.0, 0.0])
    assert turning.at(0) is None
    for stamp in (0, 100, 800, 900):
        turning.add_rates(stamp * MS, rate)
    assert turning.at(50 * MS)[1] != turning.at(850 * MS)[1], "of two series"
    assert turning.at(400 * MS) is None
    assert turning.at(150 * MS) is None, "the series ends there"
    assert turning.at(1050 * MS) is not None
    assert turning.at(1200 * MS) is None
    turning.add_rates(100 * MS, rate)
    assert turning.at(900 * MS) is None, "a clock that was set back begins anew"
    turning.add_rates(110 * MS, np.array([math.nan, 0.0, 0.0]))
    assert turning.at(105 * MS) is not None
    for step in range(2000):
        turning.add_rates((200 + 10 * step) * MS, rate)
    assert len(turning._samples) < 400, "old ones are dropped"


def test_the_node_keeps_a_target_out_of_sight_by_its_imu(node):
    """The camera pans away over plain ground, where images tell nothing, and comes from above."""
    pytest.importorskip("rclpy", reason="needs ROS 2")
    from node_harness import stamp_of
    from sensor_msgs.msg import CameraInfo, Imu

    from duml_tracker_ros.msg import Target

    settings = {"weights": "default", "overrides": "", "camera_motion": "on"}
    assert node.set_parameter("lost_timeout", 0.0).successful
    for name, value in {**settings, "imu": "angular_velocity", "imu_axes": "-y,-z,x"}.items():
        assert node.set_parameter(name, value).successful
    imus = node.node.create_publisher(Imu, "imu", 50)
    infos = node.node.create_publisher(CameraInfo, "camera_info", 1)
    node.bring_to("active")
    node.spin_until(lambda: imus.get_subscription_count() and infos.get_subscription_count(), "it")
    camera, way, optical = TurningCamera(plain=True), away_and_back(), axes_matrix("-y,-z,x")
    info = CameraInfo(width=SIZE[0], height=SIZE[1])
    # Calibrations count from pixel centres.
    (fx, _, cx), (_, fy, cy), _ = camera.matrix.tolist()
    info.k = [fx, 0.0, cx - 0.5, 0.0, fy, cy - 0.5, 0.0, 0.0, 1.0]
    info.header.frame_id = "camera"

    former = list(way[0])

    def show(index):
        """What the IMU says on the way from the former image, then the image; its stamp."""
        image = node.image(camera.view(*way[index]), "rgb8")
        step, _ = cv2.Rodrigues(camera.rotation(*former).T @ camera.rotation(*way[index]))
        former[:] = way[index]
        rates = optical.T @ step.ravel() / 33_333_333e-9
        infos.publish(info)
        for before in (22_222_222, 11_111_111, 1):
            message = Imu()
            stamp = divmod(stamp_of(image) - before, 10**9)
            message.header.stamp.sec, message.header.stamp.nanosec = stamp
            vector = message.angular_velocity
            vector.x, vector.y, vector.z = map(float, rates)
            imus.publish(message)
        node.images.publish(image)
        return stamp_of(image)

    def told(index):
        """What is said of the target in an image; those that are dropped are shown again."""
        shown = set()
        found = []

        def arrived():
            found.extend(t for t in node.targets if stamp_of(t) in shown)
            return bool(found)

        node.targets.clear()
        node.spin_until(arrived, "a target", meanwhile=lambda: shown.add(show(index)) or None)
        return found[0]

    told(0)
    assert node.init(camera.box(*way[0])).success
    states = []
    for index, angles in enumerate(way):
        target, truth = told(index), camera.box(*angles)
        states.append(target.state)
        if index >= len(way) - 6:
            assert truth is not None
            assert target.state == Target.STATE_TRACKING
            box = target.x, target.y, target.width, target.height
            assert box == pytest.approx(truth, abs=0.3 * truth[2])
    assert states.count(Target.STATE_LOST) >= 15
    node.spin_until(
        lambda: node.values().get("imu") == "angular_velocity",
        "diagnostics",
        meanwhile=lambda: show(len(way) - 1),
    )
