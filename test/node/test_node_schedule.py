"""What the worker does next, without its thread: newest first, in turns, a frame between two
selections."""

import logging

import pytest

from duml_tracker_ros.node.catch_up import CatchUp
from duml_tracker_ros.node.command import Command
from duml_tracker_ros.node.frame_ring import CameraFrame, FrameRing
from duml_tracker_ros.node.schedule import PATIENCE, Job, Schedule
from duml_tracker_ros.node.target_registry import Followed, TargetRegistry


def frame(seq: int) -> CameraFrame:
    return CameraFrame(seq, seq, "camera", float(seq), 1, None, lambda: None)


def selection(place: int = 0) -> Command:
    return Command(lambda: None, place=place)


def follow(registry: TargetRegistry, seq: int, behind: CatchUp | None = None) -> Followed:
    target = Followed(0, None, (640, 480), "camera", seq, behind=behind)
    registry.add(target, [])
    return target


@pytest.fixture
def registry():
    return TargetRegistry(2, logging.getLogger("schedule"))


@pytest.fixture
def schedule(registry):
    return Schedule(registry)


def test_the_newest_frame_waits_and_those_before_it_are_counted(schedule):
    assert schedule.idle
    assert [schedule.offer(frame(seq)) for seq in (1, 2, 3)] == [False, True, True]
    assert not schedule.idle
    job = schedule.next(0.0)
    assert (job.frame.seq, job.targets, job.publish) == (3, [], True)
    assert schedule.idle
    assert (schedule.take_skipped(), schedule.take_skipped()) == (2, 0)


def test_no_frame_is_told_twice_and_none_that_is_older(schedule):
    for seq, told in ((2, True), (2, False), (1, False), (3, True)):
        schedule.offer(frame(seq))
        assert (schedule.next(0.0) is not None) == told


def test_commands_come_before_frames(schedule):
    stop = Command(lambda: None)
    schedule.offer(frame(1))
    schedule.add(stop)
    assert schedule.next(0.0) is stop
    assert isinstance(schedule.next(0.0), Job)


def test_a_frame_is_published_between_two_selections(schedule):
    first, second, stop = selection(1), selection(2), Command(lambda: None)
    schedule.add(first)
    schedule.add(second)
    assert schedule.next(0.0) is first
    schedule.frame_due = True
    schedule.selected(0.0)
    schedule.offer(frame(1))
    # What costs no time waits for no frame.
    assert isinstance(schedule.next(0.0), Job)
    schedule.frame_due = False
    schedule.add(stop)
    assert schedule.next(0.0) is second
    schedule.frame_due = True
    schedule.offer(frame(2))
    assert schedule.next(0.0) is stop


def test_without_a_frame_selections_do_not_wait(schedule):
    first, second = selection(1), selection(2)
    schedule.add(first)
    schedule.add(second)
    schedule.frame_due = True
    assert schedule.next(0.0) is first
    assert schedule.next(0.0) is second


def kept(*numbers: int) -> FrameRing:
    ring = FrameRing(60.0, 10**6)
    for seq in numbers:
        ring.append(frame(seq))
    return ring


def test_a_target_that_catches_up_takes_turns_with_the_newest_frame(schedule, registry):
    present = follow(registry, 4)
    late = follow(registry, 0, CatchUp(kept(1, 2, 3, 4, 5), until=100.0))
    jobs = []
    for seq in (5, 6):
        schedule.offer(frame(seq))
        jobs += [schedule.next(0.0), schedule.next(0.0)]
    assert [job.frame.seq for job in jobs] == [1, 5, 2, 6]
    assert [job.publish for job in jobs] == [False, True, False, True]
    assert [job.targets for job in jobs] == [[late], [present]] * 2
    # Alone it goes on until it is at the newest frame that is kept, which the other has seen.
    rest = [schedule.next(0.0) for _ in range(3)]
    assert [job.frame.seq for job in rest] == [3, 4, 5]
    assert [job.publish for job in rest] == [False, False, False]
    assert registry.late is None
    assert schedule.idle


def test_frames_are_left_out_to_catch_up_in_time(schedule, registry):
    late = follow(registry, 0, CatchUp(kept(*range(1, 11)), until=1.0))
    schedule.step_time = 0.25
    job = schedule.next(0.0)
    assert (job.frame.seq, job.targets, job.publish) == (3, [late], False)
    assert schedule.next(2.0).frame.seq == 10
    assert late.behind is None


def test_a_selection_waits_for_a_target_that_catches_up_but_not_for_long(schedule, registry):
    late = follow(registry, 0, CatchUp(kept(1, 2, 3, 4), until=100.0))
    schedule.frame_due = True
    schedule.selected(0.0)
    other = selection()
    schedule.add(other)
    assert schedule.next(PATIENCE / 2).frame.seq == 1
    assert schedule.next(PATIENCE) is other
    # One that takes its place lets it be told of once before.
    schedule.add(selection(late.target_id))
    job = schedule.next(2 * PATIENCE)
    assert (job.frame.seq, job.publish) == (4, True)
    assert late.behind is None


def test_what_waits_can_be_given_up(schedule):
    commands = [selection(1), Command(lambda: None)]
    for command in commands:
        schedule.add(command)
    assert schedule.take_commands() == commands
    schedule.offer(frame(1))
    schedule.offer(frame(2))
    schedule.drop_frame()
    assert schedule.idle
    assert schedule.take_skipped() == 0
