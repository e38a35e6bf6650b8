"""Several targets over DDS: each with its own messages, as a controller needs them."""

import math

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from geometry_msgs.msg import Point
from node_harness import NODE, TARGET, stamp_of
from sensor_msgs.msg import Image
from test_node_guidance import Rig

from duml_tracker_ros.msg import Target

SEEN_STATES = (Target.STATE_TRACKING, Target.STATE_UNCERTAIN)
OTHER = (100.0, 100.0, 40.0, 30.0)
LIMIT = 3


@pytest.fixture
def several(node):
    """The running node, active, with room for three targets."""
    assert node.set_parameter("max_targets", LIMIT).successful
    node.bring_to("active")
    node.fresh_target()
    yield node
    node.bring_to("unconfigured")
    assert node.set_parameter("max_targets", 1).successful


def images(talker, count):
    """Target messages of some images, those of one image together."""
    talker.targets.clear()
    found = {}

    def collected():
        for target in talker.targets:
            found.setdefault(stamp_of(target), []).append(target)
        talker.targets.clear()
        return len(found) > count

    talker.stream_until(collected, "targets of some images")
    # The last image may not be complete yet, the first may have begun before.
    return [found[stamp] for stamp in sorted(found)[1:-1]]


def test_each_target_has_its_own_message_with_the_header_of_the_image(several):
    first = several.init(TARGET).target_id
    second = several.init(OTHER).target_id
    assert second == first + 1
    several.fresh_target(lambda t: t.target_id == second)
    for messages in images(several, 8):
        assert sorted(t.target_id for t in messages) == [first, second]
        for message in messages:
            assert message.targets == 2
            assert message.header == messages[0].header
            assert stamp_of(message) in several.published
            assert message.state in SEEN_STATES
            assert math.isfinite(message.x)
    answer = several.stop(first)
    assert answer.success
    assert f"target {first} dropped" in answer.message
    told = [t for messages in images(several, 6) for t in messages if t.target_id == first]
    assert [t.state for t in told] in ([], [Target.STATE_IDLE])
    assert all(math.isnan(t.x) for t in told)
    for messages in images(several, 3):
        assert [(t.target_id, t.targets) for t in messages] == [(second, 1)]
    assert f"{second} dropped" in several.stop().message
    several.fresh_target(lambda t: t.target_id == 0 and t.state == Target.STATE_IDLE)


def test_end_of_one_of_several_is_told_once(several):
    first, second = several.init(TARGET).target_id, several.init(OTHER).target_id
    several.fresh_target(lambda t: t.target_id == second)
    several.targets.clear()
    assert several.stop(first).success
    several.stream_until(
        lambda: len([t for t in several.targets if t.target_id == second]) > 5, "the other target"
    )
    ends = [t for t in several.targets if t.target_id == first and t.state == Target.STATE_IDLE]
    assert len(ends) == 1
    assert ends[0].targets == 1
    after = [t for t in several.targets if stamp_of(t) > stamp_of(ends[0])]
    assert {t.target_id for t in after} == {second}


def test_selection_beyond_the_limit_is_refused_and_may_replace(several, process):
    ids = [several.init(TARGET, meanwhile=several.publish).target_id for _ in range(LIMIT)]
    refused = several.init(TARGET)
    assert not refused.success
    assert f"max_targets is {LIMIT}" in refused.message
    assert ", ".join(map(str, ids)) in refused.message
    clicks = several.node.create_publisher(Point, f"{NODE}/click", 1)
    # The publisher may know of the subscription before the subscription knows of the publisher.
    several.spin_until(
        lambda: "~/click refused: 3 targets are followed" in process.log(),
        "refusal of the click",
        meanwhile=lambda: clicks.publish(Point(x=320.0, y=235.0)),
    )
    several.node.destroy_publisher(clicks)
    assert "no target 999" in several.init(TARGET, replaces=999).message
    new = several.init(OTHER, replaces=ids[1])
    assert new.success, new.message
    assert new.target_id == ids[-1] + 1
    several.fresh_target(lambda t: t.target_id == new.target_id)
    for messages in images(several, 3):
        assert sorted(t.target_id for t in messages) == [ids[0], ids[2], new.target_id]


def test_diagnostics_name_every_target(several):
    first, second = several.init(TARGET).target_id, several.init(OTHER).target_id
    several.stream_until(lambda: several.values().get("targets") == f"2 of {LIMIT}", "two targets")
    assert several.values()["target id"] == f"{first}, {second}"
    assert len(several.values()["target state"].split(", ")) == 2
    assert f"target {first} " in several.summary()
    assert f"target {second} " in several.summary()


def test_bearing_of_each_and_position_of_the_last_selection(several):
    rig = Rig(several)
    try:
        first, second = several.init(OTHER).target_id, several.init(TARGET).target_id
        rig.listen("bearing", "position")
        rig.wait("bearing", "position")
        several.spin_until(
            lambda: {b.target_id for b in rig.heard["bearing"]} == {first, second},
            "both bearings",
            meanwhile=rig.publish,
        )
        left = [b.error_x for b in rig.heard["bearing"] if b.target_id == first]
        right = [b.error_x for b in rig.heard["bearing"] if b.target_id == second]
        assert max(left) < min(right)
        # At 12 m the first selection would be at -4 m.
        assert rig.wait("position")[0].point.x > -1.0
        assert several.stop(second).success
        several.fresh_target(lambda t: t.targets == 1)
        began = several.clock_ns
        rig.wait("bearing")
        several.spin_for(0.5, meanwhile=rig.publish)
        # It does not become that of another target by itself.
        assert not [p for p in rig.heard["position"] if stamp_of(p) > began]
        assert several.init(TARGET, meanwhile=rig.publish).success
        assert rig.wait("position")[0].point.x > -1.0
    finally:
        rig.close()


def test_debug_images_show_all_targets(several):
    assert several.set_parameter("debug_rate", 30.0).successful
    several.init(TARGET)
    several.init(OTHER)
    several.fresh_target(lambda t: t.targets == 2)
    seen = {"heatmap": [], "annotated": []}
    watch = [
        several.node.create_subscription(Image, f"{NODE}/{name}", messages.append, 10)
        for name, messages in seen.items()
    ]
    several.stream_until(lambda: all(len(m) > 1 for m in seen.values()), "debug images")
    for subscription in watch:
        several.node.destroy_subscription(subscription)
    # Both targets' search regions have scores.
    heat = seen["heatmap"][-1]
    width = heat.width
    for x, y, w, h in (TARGET, OTHER):
        rows = range(int(y), int(y + h))
        assert any(max(heat.data[r * width + int(x) : r * width + int(x + w)]) for r in rows)


def test_change_of_the_image_ends_all(several):
    several.init(TARGET)
    several.init(OTHER)
    several.fresh_target(lambda t: t.targets == 2)
    ended = several.fresh_target(frame_id="other")
    assert ended.state == Target.STATE_IDLE
    assert ended.targets == 0
    assert several.fresh_target(lambda t: t.target_id == 0, frame_id="other").targets == 0
