"""What the node does when something breaks: the reason is told, and it goes on or can be mended."""

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from node_harness import IMAGE, NAMESPACE, SEEN, TARGET, NodeProcess, Talker, scene, stamp_of
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from duml_tracker_ros.msg import Target
from duml_tracker_ros.tracker.checkpoint import default_weights

SEEN_STATES = (Target.STATE_TRACKING, Target.STATE_UNCERTAIN)
TRACKER, OUT_OF_MEMORY, DEVICE_LOST = 3, 4, 5  # marks of images for faulty_node.py


@pytest.fixture(scope="module")
def broken():
    """An active node whose real tracker fails on marked images."""
    own = f"{NAMESPACE}_faults"
    settings = {"weights": "random", "device": "cpu", "overrides": SEEN, "diagnostics_period": 0.2}
    program = (str(Path(__file__).parents[1] / "faulty_node.py"),)
    with NodeProcess(program=program, namespace=own, autostart=True, **settings) as process:
        talker = Talker(own)
        talker.process = process
        talker.fresh_target()
        yield talker
        talker.close()
        assert process.running(), process.log()
        assert process.end() == 0, process.log()


def marked(kind):
    image = scene()
    image[0, 0] = (1, 2, kind)
    return image


def fail(talker, kind, words):
    """Select a target, let the tracker fail, and check what is told of it."""
    # A marked image may still be the newest one.
    talker.fresh_target()
    assert talker.init(TARGET, meanwhile=talker.publish).success
    target = talker.fresh_target(lambda t: t.state == Target.STATE_ERROR, pixels=marked(kind))
    assert target.target_id == 0
    talker.spin_until(
        lambda: (
            words in talker.values().get("last error", "")
            and talker.values()["target state"] == "error"
            and talker.summary().startswith("target dropped: ")
        ),
        "the reason",
    )
    talker.process.wait_for_log(words)


@pytest.mark.parametrize(
    ("kind", "words"),
    [(TRACKER, "simulated fault of the tracker"), (OUT_OF_MEMORY, "CUDA out of memory")],
)
def test_failed_tracker_starts_anew_with_the_next_selection(broken, kind, words):
    fail(broken, kind, words)
    assert broken.fresh_target().state == Target.STATE_ERROR
    answer = broken.init(TARGET, meanwhile=broken.publish)
    assert answer.success, answer.message
    assert broken.fresh_target(lambda t: t.target_id).state in SEEN_STATES


def test_lost_device_needs_a_new_configure(broken):
    fail(broken, DEVICE_LOST, "CUDA error")
    answer = broken.init(TARGET, meanwhile=broken.publish)
    assert not answer.success
    assert "deactivate, cleanup and configure" in answer.message
    broken.bring_to("unconfigured")
    broken.bring_to("active")
    broken.fresh_target()
    assert broken.init(TARGET, meanwhile=broken.publish).success
    assert broken.fresh_target(lambda t: t.target_id).state in SEEN_STATES


def test_damaged_weights_are_named_and_can_be_replaced(node, process, tmp_path):
    whole = default_weights("compact").read_bytes()
    for name, content in (
        ("truncated.safetensors", whole[: len(whole) // 2]),
        ("garbage.safetensors", b"\x00\xff" * 5000),
        ("empty.safetensors", b""),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        assert node.set_parameter("weights", str(path)).successful
        assert not node.change("configure")
        assert node.state() == "unconfigured"
        process.wait_for_log(str(path))
        node.spin_until(
            lambda name=name: name in node.values().get("last error", ""), "diagnostics"
        )
    assert node.set_parameter("weights", "random").successful
    node.bring_to("active")
    assert node.fresh_target().state == Target.STATE_IDLE


def test_camera_that_dies_and_returns_keeps_its_target(node, process):
    node.bring_to("active")
    node.fresh_target()
    answer = node.init(TARGET, meanwhile=node.publish)
    assert answer.success, answer.message
    assert node.set_parameter("max_image_age", 0.5).successful
    node.fresh_target(lambda t: t.target_id)
    node.node.destroy_publisher(node.images)
    node.spin_until(lambda: "nobody publishes" in node.summary(), "the missing camera")
    refused = node.init(TARGET)
    assert not refused.success
    assert f"nobody publishes {IMAGE}" in refused.message
    node.images = node.node.create_publisher(Image, "image", qos_profile_sensor_data)
    target = node.fresh_target(lambda t: t.target_id)
    assert target.target_id == answer.target_id
    assert target.state in SEEN_STATES
    process.wait_for_log("images come again")


def test_stamps_that_repeat_jump_back_or_are_zero(active):
    answer = active.init(TARGET)
    active.targets.clear()
    later = active.clock_ns
    stamps = [later + 10**9, later + 10**9, 0, 0, later - 5 * 10**9, later - 4 * 10**9, 77]

    def send(stamp_ns):
        message = active.image()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        count = len(active.targets)
        active.images.publish(message)
        active.spin_until(lambda: len(active.targets) > count, "an answer to each image")

    for stamp_ns in stamps:
        send(stamp_ns)
    assert [stamp_of(target) for target in active.targets] == stamps
    assert {target.target_id for target in active.targets} == {answer.target_id}
    assert all(target.state in SEEN_STATES for target in active.targets)
    # Of two images with one stamp the newer one is meant.
    assert active.init(TARGET, stamp_ns=stamps[0]).success
    # Stamp 0 is the newest image, whatever its own stamp is.
    assert active.init(TARGET).success


def test_bag_that_loops_under_simulated_time(node):
    """Time stands still, jumps back with each loop of the bag, and the node goes on."""
    assert node.set_parameter("use_sim_time", True).successful
    clocks = node.node.create_publisher(Clock, "/clock", 10)
    try:
        node.bring_to("active")
        node.fresh_target()
        answer = node.init(TARGET, meanwhile=node.publish)
        assert answer.success, answer.message
        begin = node.clock_ns
        for _ in range(3):
            node.clock_ns = begin
            node.targets.clear()
            for _ in range(10):
                count = len(node.targets)
                clock = Clock()
                clock.clock.sec, clock.clock.nanosec = divmod(node.clock_ns, 10**9)
                clocks.publish(clock)
                node.publish()
                node.spin_until(lambda count=count: len(node.targets) > count, "an answer")
            assert {target.target_id for target in node.targets} == {answer.target_id}
            assert all(target.state in SEEN_STATES for target in node.targets)
        node.reports.clear()
        node.spin_until(lambda: node.reports, "diagnostics while the clock stands still")
        stamp = stamp_of(node.reports[-1])
        assert stamp == 0 or abs(stamp - node.clock_ns) < 2 * 10**9
        assert node.stop().success
    finally:
        assert node.set_parameter("use_sim_time", False).successful
        node.node.destroy_publisher(clocks)
