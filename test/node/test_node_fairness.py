"""Selections that come faster than the tracker works leave the frames their turn."""

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from geometry_msgs.msg import Point
from node_harness import NODE, TARGET
from worker_harness import ALWAYS_SEEN, WAIT

from duml_tracker_ros.msg import Target
from duml_tracker_ros.node.boxes import pixel_box
from duml_tracker_ros.node.command import Overtaken, WorkerError
from duml_tracker_ros.node.frame_ring import FrameRing
from duml_tracker_ros.srv import InitPoint

BOX_OF = pixel_box(*TARGET)


def test_only_the_newest_of_waiting_selections_is_worked(run):
    box = run(**ALWAYS_SEEN)
    box.block()
    older = [box.worker.init(box.frame(), BOX_OF) for _ in range(20)]
    newest = box.worker.init(box.frame(), BOX_OF)
    for command in older:
        with pytest.raises(Overtaken, match="newer selection"):
            command.result(0.0)
    box.hold.set()
    assert newest.result(WAIT).target_id == 1


def test_a_stop_between_two_selections_stays_between_them(run):
    box = run(**ALWAYS_SEEN)
    box.init()
    box.block()
    first = box.worker.init(box.frame(), BOX_OF)
    stop = box.worker.stop_target()
    second = box.worker.init(box.frame(), BOX_OF)
    box.hold.set()
    with pytest.raises(Overtaken):
        first.result(WAIT)
    assert stop.result(WAIT) == (1,)
    assert second.result(WAIT).target_id == 2
    assert box.see().target_id == 2


def test_selections_of_different_targets_are_all_worked(run):
    box = run(max_targets=3, **ALWAYS_SEEN)
    for _ in range(3):
        box.init()
    box.block()
    waiting = [box.worker.init(box.frame(), BOX_OF, replaces=i) for i in (1, 2, 2, 3)]
    free = [box.worker.init(box.frame(), BOX_OF) for _ in range(4)]
    with pytest.raises(Overtaken):
        waiting.pop(1).result(0.0)
    with pytest.raises(Overtaken):
        free.pop(0).result(0.0)
    box.hold.set()
    assert [command.result(WAIT).target_id for command in waiting] == [4, 5, 6]
    for command in free:
        with pytest.raises(WorkerError, match="max_targets is 3"):
            command.result(WAIT)


@pytest.mark.parametrize("age", [3, 60])
def test_selections_on_old_frames_do_not_catch_up_for_ever(run, age):
    """Each needs longer to reach the newest frame than the next one takes to come."""
    box = run(**ALWAYS_SEEN)
    box.worker.catch_up = WAIT
    ring = FrameRing(60.0, 10**9)
    for _ in range(age + 1):
        ring.append(box.frame())
    for _ in range(3):
        count = len(box.outcomes)
        first = box.worker.init(ring.after(0)[-age], BOX_OF, ring=ring).result(WAIT).target_id
        second = box.worker.init(ring.newest(), BOX_OF).result(WAIT).target_id
        assert second == first + 1
        assert [s.target_id for s in box.outcomes[count].sightings] == [first]
        assert box.outcomes[count].frame is ring.newest()


def test_targets_are_told_of_while_clicks_and_requests_come_at_30_hz(active):
    active.add_clients(init_point=InitPoint)
    clicks = active.node.create_publisher(Point, f"{NODE}/click", 1)
    active.spin_until(lambda: clicks.get_subscription_count() == 1, "~/click is subscribed")
    answers = []

    def flood():
        active.publish()
        clicks.publish(Point(x=320.0, y=235.0))
        # As many as can be outstanding: a busy machine serves fewer than 30 a second.
        if sum(not answer.done() for answer in answers) < 10:
            request = InitPoint.Request(x=320.0, y=235.0)
            answers.append(active.clients["init_point"].call_async(request))

    def tracked():
        return [t for t in active.targets if t.state == Target.STATE_TRACKING]

    active.targets.clear()
    # Each selection makes a target with an id of its own.
    active.spin_until(lambda: len({t.target_id for t in tracked()}) > 6, "targets", meanwhile=flood)
    stamps = [t.header.stamp.sec * 10**9 + t.header.stamp.nanosec for t in tracked()]
    assert stamps == sorted(set(stamps))
    active.spin_until(lambda: all(a.done() for a in answers), "all answers")
    answers = [answer.result() for answer in answers]
    assert any(answer.success for answer in answers)
    refusals = {answer.message for answer in answers if not answer.success}
    assert all("newer selection" in message for message in refusals), refusals
    active.node.destroy_publisher(clicks)
