"""Selecting the target over DDS: on an old frame, by a point, by a box from a detector."""

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from geometry_msgs.msg import Point
from node_harness import NODE, TARGET, nanoseconds, scene, stamp_of

from duml_tracker_ros.msg import Box, Target
from duml_tracker_ros.srv import InitPoint
from duml_tracker_ros.tracker.geometry import overlap


def true_box(x):
    return (float(x), 220.0, 40.0, 30.0)


def test_box_drawn_on_an_old_frame_finds_the_target_where_it_is_now(node, patient):
    """With trained weights: the target has left the drawn box by more than its own width."""
    node.bring_to("unconfigured")
    assert node.set_parameter("weights", "default").successful
    assert node.set_parameter("overrides", "").successful
    node.bring_to("active")
    places = {}

    def publish(send=node.publish):
        x = 60 + 5 * len(places)
        places[send(pixels=scene(x=x))] = x

    for _ in range(26):
        publish(node.show)
    stamps = sorted(places)
    old = stamps[4]
    node.targets.clear()
    answer = node.init(true_box(places[old]), stamp_ns=old)
    assert answer.success, answer.message
    assert nanoseconds(answer.stamp) == old
    node.spin_until(lambda: any(t.target_id == answer.target_id for t in node.targets), "catch-up")
    node.spin_for(0.3, meanwhile=publish)
    found = [t for t in node.targets if t.target_id == answer.target_id]
    assert stamp_of(found[0]) == stamps[-1], "the first answer is for the newest image"
    for target in found:
        truth = true_box(places[stamp_of(target)])
        assert overlap(truth, true_box(places[old])) == 0.0
        assert target.state in (Target.STATE_TRACKING, Target.STATE_UNCERTAIN)
        assert overlap((target.x, target.y, target.width, target.height), truth) > 0.5


def test_point_service(active):
    active.add_clients(init_point=InitPoint)

    def ask(x, y, **fields):
        return active.call("init_point", InitPoint.Request(x=x, y=y, **fields))

    answer = ask(320.0, 235.0)
    assert answer.success, answer.message
    # 0.08 of 480 pixels, the default of point_size
    assert "(300.8, 215.8) 38.4x38.4" in answer.message
    again = ask(0.5, 0.5, size=0.1, normalized=True)
    assert again.target_id == answer.target_id + 1
    assert "(296.0, 216.0) 48.0x48.0" in again.message
    assert nanoseconds(again.stamp) in active.published
    for x, y, fields, words in (
        (900.0, 10.0, {}, "outside the image of 640x480"),
        (float("nan"), 10.0, {}, "finite"),
        (10.0, 10.0, {"size": -1.0}, "size = -1"),
        (10.0, 10.0, {"target_id": again.target_id}, "ids must change"),
    ):
        refused = ask(x, y, **fields)
        assert not refused.success
        assert words in refused.message
    assert active.fresh_target(lambda t: t.target_id).target_id == again.target_id


def hand_over(talker, kind, topic, make, process):
    """Publish on a topic until the target changes; then show that a refusal has its reason."""
    publisher = talker.node.create_publisher(kind, f"{NODE}/{topic}", 1)
    talker.spin_until(lambda: publisher.get_subscription_count() == 1, f"{topic} is subscribed")
    former = talker.init(TARGET).target_id
    publisher.publish(make(TARGET, talker.show()))
    target = talker.fresh_target(lambda t: t.target_id > former)
    assert target.target_id == former + 1
    # Where the network that was not trained goes from there is another matter.
    publisher.publish(make((900.0, 10.0, 30.0, 30.0), talker.show()))
    process.wait_for_log(f"~/{topic} refused")

    def last_selection():
        return talker.values().get("last selection", "")

    talker.spin_until(lambda: f"~/{topic} refused: " in last_selection(), "the refusal")
    assert "outside" in last_selection()
    assert talker.fresh_target(lambda t: t.target_id).target_id == former + 1
    talker.node.destroy_publisher(publisher)


def test_box_topic(active, process):
    def make(box, stamp_ns):
        message = Box(x=box[0], y=box[1], width=box[2], height=box[3])
        stamp = message.header.stamp
        stamp.sec, stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
        return message

    hand_over(active, Box, "init_box", make, process)


def test_click_topic(active, process):
    def make(box, stamp_ns):
        return Point(x=box[0] + box[2] / 2, y=box[1] + box[3] / 2)

    hand_over(active, Point, "click", make, process)
