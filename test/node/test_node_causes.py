"""What the node says of images that do not come, or not as they should, is the true cause."""

import random
import subprocess
import sys
import time

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

import rclpy
from node_harness import IMAGE, NAMESPACE, NODE, TARGET, NodeProcess, scene, shared_context
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image

from duml_tracker_ros.msg import Bearing


@pytest.fixture
def intruder():
    """Another node that publishes on the camera's topic."""
    node = rclpy.create_node("intruder", context=shared_context(), namespace=NAMESPACE)
    yield node
    node.destroy_node()


def publisher_known(active, intruder, kind=Image):
    publisher = intruder.create_publisher(kind, "image", qos_profile_sensor_data)
    active.spin_until(lambda: publisher.get_subscription_count() == 1, "the node", meanwhile=None)
    return publisher


def test_images_of_an_encoding_that_is_not_read_are_named_as_such(node):
    assert node.set_parameter("max_image_age", 0.5).successful
    node.bring_to("active")

    def publish():
        message = node.image()
        message.encoding = "Mono12Packed"
        node.images.publish(message)

    node.spin_until(lambda: "Mono12Packed" in node.summary(), "the encoding", meanwhile=publish)
    assert f"images come on {IMAGE}, but none that can be used" in node.summary()
    assert "Fast DDS" not in node.summary()
    answer = node.init(TARGET, meanwhile=publish)
    assert not answer.success
    assert "Mono12Packed" in answer.message
    assert "8 or 16 bits" in answer.message
    assert "Fast DDS" not in answer.message
    # Once one can be used, it is not a matter of the past.
    node.fresh_target()
    node.stream_until(lambda: "waiting for a target" in node.summary(), "the end of it")


def test_long_texts_of_messages_are_cut_before_they_are_told(node, process):
    node.bring_to("active")
    before = len(process.log())

    def publish():
        message = node.image()
        message.encoding = "long\n" * 20_000
        node.images.publish(message)

    node.spin_until(lambda: "characters)" in node.summary(), "the text", meanwhile=publish)
    assert len(node.summary()) < 1000
    assert "\n" not in node.summary()
    assert len(process.log()) - before < 50_000


def test_a_parameter_that_is_nearly_one_is_told_and_long_values_are_cut(node):
    with NodeProcess(namespace="/slip", weights="random", ring_byte=8) as process:
        process.wait_for_log("parameter ring_byte has no effect: this node has none of that name")
        assert "but ring_bytes" in process.log()
        assert process.end() == 0
    for name in ("tracker", "overrides", "device"):
        result = node.set_parameter(name, "A" * 70_000)
        assert not result.successful
        assert name in result.reason
        assert len(result.reason) < 1500


def test_ros_arguments_that_are_none_are_told_in_words():
    for words in (["-r", "__ns:=slip"], ["-p", "device"]):
        command = [sys.executable, "-m", "duml_tracker_ros.node", "--ros-args", *words]
        run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert run.returncode == 1
        assert "duml_tracker: failed to initialize rcl: Couldn't parse" in run.stderr
        assert words[1] in run.stderr
        assert "Traceback" not in run.stderr


def test_two_nodes_of_one_name_say_so(node):
    with NodeProcess(weights="random", device="cpu", diagnostics_period=0.2) as second:
        second.wait_for_log(f"2 nodes are named {NODE}")
        node.spin_until(lambda: "2 nodes are named" in node.summary(), "words")
        assert "-r __node:=NAME" in node.summary()
        assert second.end() == 0
    node.reports.clear()
    node.spin_until(lambda: node.reports and "2 nodes" not in node.summary(), "the end of it")


def test_compressed_images_that_are_none_are_named_as_such(node):
    assert node.set_parameter("image_transport", "compressed").successful
    node.bring_to("active")
    publisher = node.node.create_publisher(CompressedImage, "image/compressed", 1)

    def publish():
        publisher.publish(CompressedImage(header=node.image().header, format="jpeg", data=b"no"))

    node.spin_until(
        lambda: "but none that can be used" in node.summary(), "words", meanwhile=publish
    )
    assert "2 bytes" in node.summary()
    node.node.destroy_publisher(publisher)


@pytest.mark.parametrize("size", [(640, 480), (320, 240)])
def test_of_two_cameras_on_one_topic_one_is_taken_and_both_are_named(active, intruder, size):
    active.fresh_target()
    foreign = publisher_known(active, intruder)
    other = scene(*size, 100, 100)

    def foreign_only():
        foreign.publish(active.image(pixels=other, frame_id="other"))

    # In turns, a busy node that takes every other image would hear only one of them.
    chance = random.Random(1)

    def both():
        (foreign_only if chance.random() < 0.25 else active.publish)()

    answer = active.init(TARGET, meanwhile=both)
    assert answer.success, answer.message
    active.targets.clear()
    active.spin_until(lambda: len(active.targets) > 20, "targets", meanwhile=both)
    assert {target.header.frame_id for target in active.targets} == {"camera"}
    assert all(t.target_id == answer.target_id for t in active.targets[2:])
    active.spin_until(lambda: "2 publishers" in active.summary(), "words", meanwhile=both)
    assert f"{NAMESPACE}/intruder" in active.summary()
    assert f"only those of {NAMESPACE}/talker are taken" in active.summary()
    assert "Fast DDS" not in active.summary()

    # The other one is taken when the first falls silent, which ends the target.
    active.targets.clear()
    active.spin_until(
        lambda: any(t.header.frame_id == "other" for t in active.targets),
        "the other camera",
        meanwhile=foreign_only,
    )
    assert active.targets[-1].target_id == 0
    active.stream_until(
        lambda: active.targets[-1].header.frame_id == "camera", "the first camera again"
    )


def test_publishers_of_another_type_are_named(node, intruder):
    assert node.set_parameter("max_image_age", 0.5).successful
    node.node.destroy_publisher(node.images)
    node.bring_to("active")
    other = intruder.create_publisher(CompressedImage, "image", 1)
    try:
        node.spin_until(lambda: "not sensor_msgs/msg/Image" in node.summary(), "the type")
        assert f"{NAMESPACE}/intruder" in node.summary()
        assert "image_transport" in node.summary()
        assert "Fast DDS" not in node.summary()
    finally:
        intruder.destroy_publisher(other)
        node.images = node.node.create_publisher(Image, "image", qos_profile_sensor_data)


def test_camera_info_is_not_missed_before_it_had_time_to_come(active, process):
    """The first image after somebody subscribes comes before the node itself has subscribed."""
    from duml_tracker_ros.node.guidance import GRACE

    active.init(TARGET, meanwhile=active.publish)
    before = process.log().count("no CameraInfo comes")
    watch = active.node.create_subscription(Bearing, f"{NODE}/bearing", lambda _: None, 10)
    began = time.monotonic()
    active.stream_until(lambda: "no CameraInfo" in active.values().get("bearing", ""), "words")
    assert time.monotonic() - began > GRACE
    assert "camera_info, which nobody publishes: remap it" in active.values()["bearing"]
    assert process.log().count("no CameraInfo comes") == before + 1
    active.node.destroy_subscription(watch)
    active.stream_until(lambda: active.values()["bearing"] == "not subscribed", "the end of it")


def test_passwords_of_addresses_stay_out_of_log_and_diagnostics(node, process):
    before = len(process.log())
    assert node.set_parameter("weights", "https://operator:hush@host/w.safetensors").successful
    assert not node.change("configure")
    words = "host/w.safetensors is an address: fetch the file and name it"
    node.spin_until(lambda: words in node.summary(), "the reason")
    assert "hush" not in node.summary() + str(node.values())
    assert words in process.log()[before:]
    assert "hush" not in process.log()[before:]
