"""Messages of other packages over DDS: video packets, and what a detector hands over."""

import array
import random

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from generated_sequence import render
from node_harness import NAMESPACE, TARGET, WAIT, NodeProcess, Talker, nanoseconds, reset, stamp_of
from other_interfaces import other_interfaces
from rclpy.qos import QoSProfile
from test_node_targets import OTHER, images
from video_packets import encode

from duml_tracker_ros.msg import Target
from duml_tracker_ros.srv import Init
from duml_tracker_ros.tracker.geometry import overlap

OWN = f"{NAMESPACE}_packages"
FRAMES = 30
IMAGES, BOXES = render(FRAMES)
LOST = set(random.Random(1).sample(range(1, FRAMES), 2))


@pytest.fixture(scope="module")
def node():
    # Each packet must come: those that shall be lost are not sent.
    reliable = {
        f"qos_overrides.{OWN}/image/{transport}.subscription.reliability": "reliable"
        for transport in ("ffmpeg", "foxglove")
    }
    # No other engine is compiled, and a busy machine has the time that tests wait.
    settings = {"device": "cpu", "engine": "torch", "configure_timeout": WAIT}
    settings["diagnostics_period"] = 0.2
    with (
        other_interfaces(),
        NodeProcess(namespace=OWN, **settings, **reliable) as process,
    ):
        process.wait_for_log("unconfigured; waiting")
        talker = Talker(OWN)
        yield talker, process
        talker.close()
        assert process.end() == 0, process.log()


def ffmpeg(header, data, key, codec):
    from ffmpeg_image_transport_msgs.msg import FFMPEGPacket

    sent = array.array("B", data)
    size = {"width": IMAGES[0].shape[1], "height": IMAGES[0].shape[0]}
    return FFMPEGPacket(header=header, encoding=codec, flags=int(key), data=sent, **size)


def foxglove(header, data, key, codec):
    from foxglove_msgs.msg import CompressedVideo

    stamp, frame = header.stamp, header.frame_id
    return CompressedVideo(
        timestamp=stamp, frame_id=frame, format=codec, data=array.array("B", data)
    )


def shown(packets):
    """Indices of the images that a decoder shows: none from a loss to the next key frame."""
    whole, found = False, []
    for index, key, _ in packets:
        whole = index not in LOST and (key or whole)
        found += [index] if whole else []
    return found


@pytest.mark.parametrize(
    ("transport", "make", "encoder", "codec", "decoded"),
    [
        ("ffmpeg", ffmpeg, "libx264", "libx264", "h264"),
        ("foxglove", foxglove, "libx265", "h265", "hevc"),
    ],
)
def test_target_is_kept_though_video_packets_are_lost(
    node, transport, make, encoder, codec, decoded
):
    pytest.importorskip("av", reason="PyAV is not installed")
    talker, process = node
    reset(talker)
    for name, value in (("image_transport", transport), ("weights", "default"), ("overrides", "")):
        assert talker.set_parameter(name, value).successful
    assert talker.set_parameter("size", "lite").successful
    talker.bring_to("active")
    packets = encode(IMAGES, encoder, gop=10)
    kind = type(make(talker.image().header, b"", False, codec))
    publisher = talker.node.create_publisher(kind, f"image/{transport}", QoSProfile(depth=32))
    stamps = {}

    def publish(index=0):
        header = talker.image().header
        stamps[nanoseconds(header.stamp)] = index
        _, key, data = packets[index]
        publisher.publish(make(header, data, key, codec))
        return nanoseconds(header.stamp)

    def answered(stamp):
        return any(stamp_of(target) == stamp for target in talker.targets)

    # A key frame, until the node and this have found each other.
    talker.targets.clear()
    talker.spin_until(lambda: talker.targets, "a first image", meanwhile=publish)
    answer = talker.init(BOXES[0], stamp_ns=stamp_of(talker.targets[-1]))
    assert answer.success, answer.message
    expected = shown(packets)
    assert 0 < len(expected) < FRAMES - len(LOST)
    for index in range(1, FRAMES):
        if index in LOST:
            continue
        stamp = publish(index)
        if index in expected:
            talker.spin_until(lambda stamp=stamp: answered(stamp), f"image {index}")
    found = {stamps[stamp_of(target)]: target for target in talker.targets}
    assert sorted(found)[1:] == expected[1:]
    followed = [found[index] for index in expected[1:]]
    assert {target.target_id for target in followed} == {answer.target_id}
    # The generated target may look like a stranger to the second opinion: seen is what is asked.
    assert followed[-1].state in (Target.STATE_TRACKING, Target.STATE_UNCERTAIN)
    boxes = [(t.x, t.y, t.width, t.height) for t in followed]
    seen = [
        overlap(np.array(box), BOXES[index])
        for box, index in zip(boxes, expected[1:], strict=True)
        if box[0] == box[0]
    ]
    assert len(seen) > 0.8 * len(followed)
    assert np.mean(seen) > 0.6
    process.wait_for_log("video: packets were lost")
    talker.spin_until(lambda: decoded in talker.values().get("image", ""), "codec in diagnostics")
    talker.node.destroy_publisher(publisher)


def test_class_of_a_detection_goes_with_the_target(node):
    from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

    talker, process = node
    reset(talker)
    talker.bring_to("active")
    detections = []
    watch = talker.node.create_subscription(
        Detection2DArray, f"{talker.name}/detections", detections.append, 50
    )
    publisher = talker.node.create_publisher(Detection2D, f"{talker.name}/init_detection", 1)

    def told(class_id):
        """Wait for a target of this class, and for what is told of it to those of vision_msgs."""
        target = talker.fresh_target(lambda t: t.target_id and t.class_id == class_id)

        def those():
            # What was told of a former target may still be on its way.
            since = stamp_of(target)
            return [d.detections for d in detections if d.detections and stamp_of(d) >= since]

        talker.stream_until(those, "detections")
        (found,) = those()[0]
        assert found.id == str(target.target_id)
        return found.results[0].hypothesis.class_id

    x, y, w, h = TARGET
    offered = Detection2D()
    offered.bbox.center.position.x, offered.bbox.center.position.y = x + w / 2, y + h / 2
    offered.bbox.size_x, offered.bbox.size_y = w, h
    for class_id, score in (("bus", 0.2), ("car", 0.7), ("van", 0.1)):
        guess = ObjectHypothesisWithPose()
        guess.hypothesis.class_id, guess.hypothesis.score = class_id, score
        offered.results.append(guess)

    def offer():
        talker.publish()
        publisher.publish(offered)

    talker.fresh_target()
    talker.targets.clear()
    talker.spin_until(
        lambda: any(t.target_id for t in talker.targets), "the detection", meanwhile=offer
    )
    assert told("car") == "car"
    # Who selects by hand names it, or does not.
    request = Init.Request(x=x, y=y, width=w, height=h, class_id="boat")
    assert talker.call("init", request, meanwhile=talker.publish).success
    assert told("boat") == "boat"
    assert talker.init(TARGET, meanwhile=talker.publish).success
    assert told("") == "target"
    request.class_id = "x" * 201
    refused = talker.call("init", request, meanwhile=talker.publish)
    assert not refused.success
    assert refused.message == "class_id has 201 characters: use at most 200"
    talker.node.destroy_subscription(watch)
    talker.node.destroy_publisher(publisher)


def test_detections_hold_every_tracked_target(node):
    from vision_msgs.msg import Detection2DArray

    talker, _ = node
    reset(talker)
    assert talker.set_parameter("max_targets", 2).successful
    talker.bring_to("active")
    talker.fresh_target()
    detections = {}
    watch = talker.node.create_subscription(
        Detection2DArray,
        f"{talker.name}/detections",
        lambda message: detections.update({stamp_of(message): message}),
        50,
    )
    talker.stream_until(lambda: len(detections) > 2, "detections while idle")
    assert not any(message.detections for message in detections.values())
    for box in (OTHER, TARGET):
        assert talker.init(box, meanwhile=talker.publish).success
    compared = 0
    for messages in images(talker, 10):
        stamp = stamp_of(messages[0])
        talker.spin_until(lambda stamp=stamp: stamp in detections, "the image's detections")
        assert detections[stamp].header == messages[0].header
        tracked = {str(t.target_id): t for t in messages if t.state == Target.STATE_TRACKING}
        found = detections[stamp].detections
        assert sorted(d.id for d in found) == sorted(tracked)
        for one in found:
            target = tracked[one.id]
            assert one.bbox.center.position.x == pytest.approx(target.x + target.width / 2)
            assert one.bbox.center.position.y == pytest.approx(target.y + target.height / 2)
            assert one.bbox.size_x == pytest.approx(target.width)
            assert 0.0 <= one.results[0].hypothesis.score <= 1.0
        compared += len(tracked)
    assert compared
    talker.node.destroy_subscription(watch)
    talker.bring_to("unconfigured")
    assert talker.set_parameter("max_targets", 1).successful


def test_place_of_the_target_goes_to_tf(node):
    from geometry_msgs.msg import PoseStamped
    from sensor_msgs.msg import CameraInfo
    from tf2_msgs.msg import TFMessage

    talker, process = node
    reset(talker)
    talker.bring_to("active")
    sent = []
    watch = talker.node.create_subscription(TFMessage, "/tf", sent.append, 100)
    infos = talker.node.create_publisher(CameraInfo, "camera_info", 1)
    poses = talker.node.create_publisher(PoseStamped, "camera_pose", 20)
    info = CameraInfo(width=640, height=480)
    info.k = [600.0, 0.0, 319.5, 0.0, 600.0, 239.5, 0.0, 0.0, 1.0]
    info.header.frame_id = "camera"

    def see():
        """One image of a camera that looks down from 40 m."""
        image = talker.image()
        pose = PoseStamped()
        pose.header.stamp, pose.header.frame_id = image.header.stamp, "map"
        pose.pose.position.z, pose.pose.orientation.x, pose.pose.orientation.w = 40.0, 1.0, 0.0
        infos.publish(info)
        poses.publish(pose)
        talker.published.add(stamp_of(image))
        talker.images.publish(image)

    talker.fresh_target()
    target = talker.init(TARGET, meanwhile=talker.publish)
    assert target.success, target.message
    assert talker.set_parameter("world_source", "ground").successful
    talker.targets.clear()
    talker.spin_until(lambda: len(talker.targets) > 10, "targets", meanwhile=see)
    assert not poses.get_subscription_count(), "nobody asked for it"
    assert talker.set_parameter("publish_tf", True).successful
    name = f"target_{target.target_id}"

    def found():
        return [t for m in sent for t in m.transforms if t.child_frame_id == name]

    talker.spin_until(found, "a transform", meanwhile=see)
    transform = found()[-1]
    assert transform.header.frame_id == "map"
    assert stamp_of(transform) in talker.published
    place = transform.transform.translation
    assert (place.x, place.y, place.z) == pytest.approx((0.0, 0.3, 0.0), abs=5.0)
    assert place.z == pytest.approx(0.0, abs=0.01)
    assert transform.transform.rotation.w == 1.0
    for parameter, value in (("world_source", "off"), ("publish_tf", False)):
        assert talker.set_parameter(parameter, value).successful
    talker.node.destroy_subscription(watch)
    talker.node.destroy_publisher(infos)
    talker.node.destroy_publisher(poses)
