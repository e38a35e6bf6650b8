"""The node as users meet it: a process of its own, spoken to over DDS."""

import array
import math
import re
import time

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from node_harness import (
    IMAGE,
    LOST,
    NODE,
    SEEN,
    TARGET,
    nanoseconds,
    scene,
    stamp_of,
)
from sensor_msgs.msg import Image

from duml_tracker_ros.msg import Target
from duml_tracker_ros.node.answers import SERVICE_QOS
from duml_tracker_ros.srv import Init, InitPoint, Stop

SEEN_STATES = (Target.STATE_TRACKING, Target.STATE_UNCERTAIN)


def test_every_output_has_the_header_of_its_image(active):
    publish, sent = active.publish, active.published
    active.targets.clear()
    active.spin_until(lambda: len(active.targets) > 3, "idle targets", meanwhile=publish)
    assert {target.state for target in active.targets[1:]} == {Target.STATE_IDLE}
    assert {target.target_id for target in active.targets[1:]} == {0}
    answer = active.init(TARGET, meanwhile=publish)
    assert answer.success, answer.message
    assert nanoseconds(answer.stamp) in sent
    active.targets.clear()
    active.spin_until(lambda: len(active.targets) > 20, "tracked targets", meanwhile=publish)
    stamps = [stamp_of(target) for target in active.targets[1:]]
    assert set(stamps) <= sent
    assert stamps == sorted(stamps)
    followed = [target for target in active.targets if target.target_id]
    assert followed[-1] is active.targets[-1]
    for target in followed:
        assert target.header.frame_id == "camera"
        assert target.target_id == answer.target_id
        assert (target.image_width, target.image_height) == (640, 480)
        assert target.state in SEEN_STATES
        assert all(math.isfinite(v) for v in (target.x, target.y, target.width, target.height))
        assert 0.0 < target.processing_time <= target.latency < 2.0


def test_boxes_that_are_told_lie_in_the_image(active):
    active.fresh_target()
    answer = active.init((-20, 220, 40, 30), meanwhile=active.publish)
    assert answer.success, answer.message
    assert "(0.0, 220.0) 20.0x30.0: 50% of the box" in answer.message
    for box in ((-20, -10, 40, 30), (615, 460, 40, 30)):
        answer = active.init(box, meanwhile=active.publish)
        assert answer.success, answer.message
        target = active.fresh_target(lambda t, answer=answer: t.target_id == answer.target_id)
        assert target.state in SEEN_STATES
        assert target.x >= 0.0
        assert target.y >= 0.0
        assert target.x + target.width <= 640.001
        assert target.y + target.height <= 480.001
        assert 0.0 < target.visible <= 1.0
        shown = target.width * target.height / (target.whole_box[2] * target.whole_box[3])
        assert shown == pytest.approx(target.visible, rel=1e-3)
    # A tenth of it: whatever is seen there is not the target.
    refused = active.init((-36, 220, 40, 30), meanwhile=active.publish)
    assert not refused.success
    assert "only 10% lies in the image of 640x480" in refused.message
    assert active.fresh_target().target_id == answer.target_id


def test_former_names_of_width_and_height_still_work(active, process):
    active.fresh_target()
    former = Init.Request(x=300.0, y=220.0, w=40.0, h=30.0)
    answer = active.call("init", former, meanwhile=active.publish)
    assert answer.success, answer.message
    assert "40.0x30.0" in answer.message
    process.wait_for_log("they are called width and height")
    former.width, former.height = 10.0, 20.0
    answer = active.call("init", former, meanwhile=active.publish)
    assert not answer.success
    assert "give one" in answer.message


def test_ids_change_and_stop_drops_the_target(active):
    first = active.init(TARGET)
    second = active.init((0.4, 0.4, 0.1, 0.1), normalized=True)
    assert second.success
    assert second.target_id == first.target_id + 1
    assert active.init(TARGET, target_id=900).target_id == 900
    assert active.fresh_target(lambda t: t.target_id == 900).state in SEEN_STATES
    wrong = active.stop(5)
    assert not wrong.success
    assert "900" in wrong.message
    assert active.stop(900).success
    target = active.fresh_target(lambda t: t.target_id == 0)
    assert target.state == Target.STATE_IDLE
    assert math.isnan(target.x)
    assert active.stop().success


def test_lost_target_has_no_box_and_is_given_up(node):
    assert node.set_parameter("overrides", LOST).successful
    node.bring_to("active")
    node.fresh_target()
    assert node.init(TARGET).success
    target = node.fresh_target(lambda t: t.target_id)
    assert target.state == Target.STATE_LOST
    assert all(math.isnan(v) for v in (target.x, target.y, target.width, target.height))
    assert node.set_parameter("lost_timeout", 0.2).successful
    assert node.fresh_target(lambda t: t.target_id == 0).state == Target.STATE_IDLE


def test_init_that_cannot_be_done_is_answered_with_the_reason(node):
    for state in ("unconfigured", "inactive"):
        node.bring_to(state)
        answer = node.init(TARGET)
        assert not answer.success
        assert state in answer.message
        assert ("configure and activate" in answer.message) == (state == "unconfigured")
        assert not node.stop().success
    node.bring_to("active")
    answer = node.init(TARGET)
    assert not answer.success
    assert "no image yet" in answer.message
    node.fresh_target()
    nan = float("nan")
    for box, words in (
        ((nan, 1, 20, 20), "finite"),
        ((1, 1, float("inf"), 20), "finite"),
        ((10, 10, 0, 20), "0"),
        ((10, 10, 20, -5), "-5"),
        ((900, 900, 20, 20), "900"),
        ((1e300, 10, 20, 20), "1"),
    ):
        answer = node.init(box)
        assert not answer.success, box
        assert words in answer.message, (box, answer.message)
        assert answer.target_id == 0
    assert node.set_parameter("max_image_age", 0.05).successful
    node.spin_for(0.1)
    assert "max_image_age" in node.init(TARGET).message
    assert node.set_parameter("max_image_age", 60.0).successful
    answer = node.init(TARGET, stamp_ns=7)
    assert "0.000000007" in answer.message
    assert "ring_seconds" in answer.message
    assert node.init(TARGET).success


def test_every_one_of_many_calls_at_once_is_answered(active):
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState, GetState

    active.fresh_target()
    init = Init.Request(x=300.0, y=220.0, width=40.0, height=30.0)
    wrong = ChangeState.Request(transition=Transition(label="configure"))
    kinds = {
        "init": (Init, init),
        "init_point": (InitPoint, InitPoint.Request(x=320.0, y=235.0)),
        "stop": (Stop, Stop.Request()),
        "get_state": (GetState, GetState.Request()),
        "change_state": (ChangeState, wrong),
    }
    for name, (kind, request) in kinds.items():
        # A client's queue holds ten answers unless it asks for more.
        client = active.node.create_client(kind, f"{NODE}/{name}", qos_profile=SERVICE_QOS)
        active.meet(client)
        futures = [client.call_async(request) for _ in range(60)]
        active.spin_until(lambda futures=futures: all(f.done() for f in futures), name)
        if name == "init":
            assert any(f.result().success for f in futures)
            assert all(f.result().message for f in futures)
        if name == "change_state":
            assert not any(f.result().success for f in futures)
        active.node.destroy_client(client)
    # All kinds in turns, and what they end in is what the last one asked for.
    names = ("init", "init_point", "stop")
    clients = {
        name: active.node.create_client(kinds[name][0], f"{NODE}/{name}", qos_profile=SERVICE_QOS)
        for name in names
    }
    for client in clients.values():
        active.meet(client)
    futures = [clients[n].call_async(kinds[n][1]) for _ in range(40) for n in names]
    active.spin_until(lambda: all(f.done() for f in futures), "all kinds", meanwhile=active.publish)
    assert all(f.result().message for f in futures)
    for client in clients.values():
        active.node.destroy_client(client)
    assert active.state() == "active"


def test_transitions_are_told(node):
    from lifecycle_msgs.msg import TransitionEvent
    from lifecycle_msgs.srv import GetAvailableTransitions

    events = []
    name = f"{NODE}/transition_event"
    subscription = node.node.create_subscription(TransitionEvent, name, events.append, 10)
    node.spin_until(lambda: node.node.count_publishers(name) == 1, "the topic")
    node.add_clients(get_available_transitions=GetAvailableTransitions)
    offered = node.call("get_available_transitions", GetAvailableTransitions.Request())
    labels = {found.transition.label for found in offered.available_transitions}
    assert labels == {"configure", "shutdown"}

    def seen():
        return [(event.start_state.label, event.goal_state.label) for event in events]

    def told():
        """There and back once more: is all of it told? The first events may have no listener."""
        node.bring_to("inactive")
        node.bring_to("unconfigured")
        node.spin_for(0.1)
        return len(events) >= 4 and seen()[-1] == ("cleaningup", "unconfigured")

    node.spin_until(told, "events")
    configured = [("unconfigured", "configuring"), ("configuring", "inactive")]
    assert seen()[-4:] == [*configured, ("inactive", "cleaningup"), ("cleaningup", "unconfigured")]
    node.node.destroy_subscription(subscription)


def test_selection_on_an_old_frame(patient):
    active = patient
    stamps = [active.show() for _ in range(13)]
    answer = active.init(TARGET, stamp_ns=stamps[4])
    assert answer.success, answer.message
    assert nanoseconds(answer.stamp) == stamps[4]
    # The newest of the frames that came since is the one that is reported.
    active.spin_until(
        lambda: any(t.target_id == answer.target_id for t in active.targets), "catching up"
    )
    found = [t for t in active.targets if t.target_id == answer.target_id]
    assert stamp_of(found[0]) == stamps[-1]


def broken_images(talker):
    def with_fields(**fields):
        message = talker.image()
        for name, value in fields.items():
            setattr(message, name, value)
        return message

    return [
        Image(),
        with_fields(data=array.array("B")),
        with_fields(data=array.array("B", bytes(1000))),
        with_fields(height=4000),
        with_fields(width=10_000),
        with_fields(step=3),
        with_fields(step=0),
        with_fields(width=0),
        with_fields(height=1),
        with_fields(encoding=""),
        with_fields(encoding="bayer_gbrg8"),
        with_fields(encoding="32FC1"),
        with_fields(encoding="\u00e4\u00f6 rgb8"),
    ]


def test_malformed_images_are_refused_and_the_target_kept(active, process):
    answer = active.init(TARGET)
    for message in broken_images(active) * 3:
        active.images.publish(message)
        active.spin_for(0.01)
    target = active.fresh_target(lambda t: t.target_id)
    assert target.target_id == answer.target_id
    process.wait_for_log("image refused")
    active.reports.clear()
    active.spin_until(lambda: active.reports, "diagnostics")
    values = active.values()
    assert int(values["images refused"]) > 0
    assert "image refused" in values["last error"]


def test_change_of_size_or_camera_drops_the_target(active):
    active.init(TARGET)
    active.fresh_target(lambda t: t.target_id)
    changed = active.fresh_target(pixels=scene(320, 240, 100, 100))
    assert changed.state == Target.STATE_IDLE
    assert active.init((100, 100, 40, 30)).success
    changed = active.fresh_target(pixels=scene(320, 240, 100, 100), frame_id="other")
    assert changed.state == Target.STATE_IDLE


def test_debug_images_come_only_while_watched_and_at_the_set_rate(active):
    active.spin_until(lambda: active.node.count_publishers(f"{NODE}/heatmap") == 1, "the topic")
    assert active.set_parameter("debug_rate", 10.0).successful
    active.init(TARGET)
    active.fresh_target(lambda t: t.target_id)
    maps, pictures = [], []
    watch = [
        active.node.create_subscription(Image, f"{NODE}/heatmap", maps.append, 10),
        active.node.create_subscription(Image, f"{NODE}/annotated", pictures.append, 10),
    ]
    began = time.monotonic()
    active.spin_until(
        lambda: len(maps) >= 8 and len(pictures) >= 8,
        "debug images",
        meanwhile=active.publish,
    )
    assert len(maps) <= 10.0 * (time.monotonic() - began) * 1.2 + 1
    for message in maps:
        assert (message.encoding, message.width, message.height) == ("mono8", 640, 480)
        assert stamp_of(message) in active.published
    assert max(maps[-1].data) > 0
    assert (pictures[-1].encoding, pictures[-1].width) == ("rgb8", 640)
    assert stamp_of(pictures[-1]) in active.published
    for subscription in watch:
        active.node.destroy_subscription(subscription)


def test_compressed_images(node):
    import cv2
    from sensor_msgs.msg import CompressedImage

    assert node.set_parameter("image_transport", "compressed").successful
    node.bring_to("active")
    publisher = node.node.create_publisher(CompressedImage, "image/compressed", 1)

    def publish():
        raw = node.image()
        data = array.array("B", cv2.imencode(".jpg", scene())[1].tobytes())
        publisher.publish(CompressedImage(header=raw.header, format="jpeg", data=data))

    node.targets.clear()
    node.spin_until(lambda: node.targets, "a target of a compressed image", meanwhile=publish)
    answer = node.init(TARGET, meanwhile=publish)
    assert answer.success, answer.message
    node.spin_until(
        lambda: any(t.target_id == answer.target_id for t in node.targets),
        "tracking",
        meanwhile=publish,
    )
    bomb = bytearray(cv2.imencode(".jpg", scene())[1].tobytes())
    at = bomb.index(b"\xff\xc0")
    bomb[at + 5 : at + 9] = (20000).to_bytes(2, "big") * 2

    def claim():
        message = CompressedImage(header=node.image().header, format="jpeg", data=bytes(bomb))
        publisher.publish(message)

    said = "JPEG of .* bytes claims 20000 x 20000 pixels, and max_pixels is 64000000"
    node.spin_until(
        lambda: re.search(said, node.values().get("last error", "")), "a refusal", meanwhile=claim
    )
    node.targets.clear()
    node.spin_until(lambda: node.targets, "the target that was kept", meanwhile=publish)
    assert node.targets[-1].target_id == answer.target_id
    node.node.destroy_publisher(publisher)


def test_parameters_are_judged_by_the_table(active):
    for name, value, words in (
        ("weights", "other.safetensors", "cleanup"),
        ("image_transport", "compressed", "deactivate"),
        ("heatmap", "rainbow", "fused, robust, accurate"),
        ("debug_rate", 1000.0, "range"),
        ("autostart", True, "read-only"),
    ):
        result = active.set_parameter(name, value)
        assert not result.successful, name
        assert words in result.reason
    assert active.set_parameter("heatmap", "robust").successful


def test_failed_configure_is_explained_and_may_be_repeated(node, process):
    assert node.set_parameter("weights", "/nowhere/x.safetensors").successful
    for _ in range(2):
        assert not node.change("configure")
        assert node.state() == "unconfigured"
    process.wait_for_log("/nowhere/x.safetensors")
    assert node.set_parameter("weights", "random").successful
    for pair, words in (("online.nonsense=3", "memory"), ("localize.lost_below=nan", "finite")):
        answer = node.set_parameter("overrides", pair)
        assert not answer.successful
        assert pair.partition("=")[0] in answer.reason
        assert words in answer.reason
    assert node.set_parameter("overrides", "online.init_samples=900").successful
    assert not node.change("configure")
    process.wait_for_log("online.init_samples = 900")
    assert node.set_parameter("overrides", SEEN).successful
    node.bring_to("active")


def test_diagnostics_name_the_silent_topic_and_then_the_target(node):
    assert node.set_parameter("max_image_age", 0.5).successful
    node.bring_to("active")
    node.spin_until(lambda: f"{IMAGE} has publishers but no images" in node.summary(), "silence")
    assert "fastdds_large_images.xml" in node.summary()
    assert "talker" in node.summary()
    node.fresh_target()
    node.init(TARGET)
    node.stream_until(lambda: node.summary().startswith("target "), "the target")
    values = node.values()
    assert values["lifecycle"] == "active"
    assert values["image topic"] == IMAGE
    assert values["image"] == "640x480 bgr8"
    assert float(values["input rate [Hz]"]) > 0.0
    assert float(values["latency p95 [ms]"]) > 0.0
    assert values["tracker name"] == "duml"
    assert values["tracker device"] == "cpu"
