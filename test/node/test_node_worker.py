"""The worker thread with the real tracker, without ROS."""

import logging
import os
import threading

import cv2
import numpy as np
import pytest
import torch
from node_harness import TARGET, scene
from worker_harness import ALWAYS_LOST, ALWAYS_SEEN, WAIT, random_tracker

from duml_tracker_ros.evaluation.bench_plan import SURE
from duml_tracker_ros.messages.image_codec import CodecError
from duml_tracker_ros.node.boxes import fraction_box, pixel_box, point_box
from duml_tracker_ros.node.command import WorkerError
from duml_tracker_ros.node.frame_ring import FrameRing
from duml_tracker_ros.node.outcome import Status
from duml_tracker_ros.node.worker import TrackerWorker
from duml_tracker_ros.tracker import WeightsError, create_tracker
from duml_tracker_ros.tracker.online.localizer import OnlineLocalizer


def test_target_is_selected_followed_and_stopped(run):
    box = run(**ALWAYS_SEEN)
    assert box.see().status is Status.IDLE
    assert box.see().target_id == 0
    first = box.init()
    assert first.target_id == 1
    sighting = box.see()
    assert sighting.status in (Status.TRACKING, Status.UNCERTAIN)
    assert sighting.target_id == 1
    assert box.outcomes[-1].processing_time > 0
    assert box.outcomes[-1].followed == 1
    part = fraction_box(0.4, 0.4, 0.1, 0.1)
    assert box.worker.init(box.frame(), part).result(WAIT).box == (256.0, 192.0, 64.0, 48.0)
    assert box.see().target_id == 2
    assert box.init(target_id=40).target_id == 40
    with pytest.raises(WorkerError, match="40 is that of the last selection"):
        box.init(target_id=40)
    assert box.init().target_id == 41
    with pytest.raises(WorkerError, match="no target 7"):
        box.worker.stop_target(7).result(WAIT)
    assert box.worker.stop_target(41).result(WAIT) == (41,)
    assert box.see().status is Status.IDLE
    assert box.outcomes[-1].followed == 0
    assert box.worker.stop_target().result(WAIT) == ()


def test_bad_box_is_refused_and_the_former_target_kept(run):
    box = run(**ALWAYS_SEEN)
    box.init()
    for bad in (
        (float("nan"), 1, 20, 20),
        (10, 10, 0, 20),
        (10, 10, 20, -5),
        (700, 10, 20, 20),
        (10, 10, float("inf"), 20),
        (-500, -500, 20, 20),
    ):
        with pytest.raises(WorkerError, match=r"\w"):
            box.init(box=bad)
        sighting = box.see()
        assert sighting.target_id == 1
        assert sighting.status.seen


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ((300.0, 200.0, 50.0, False), (275.0, 175.0, 50.0, 50.0)),
        ((300.0, 200.0, 0.0, False), (276.0, 176.0, 48.0, 48.0)),
        ((0.5, 0.25, 0.2, True), (272.0, 72.0, 96.0, 96.0)),
        ((0.5, 0.25, 0.0, True), (296.0, 96.0, 48.0, 48.0)),
        ((639.5, 0.0, 0.0, False), (615.5, -24.0, 48.0, 48.0)),
    ],
)
def test_point_becomes_a_square_around_it(point, expected):
    assert point_box(*point, 0.1)(640, 480) == expected


def test_bad_point_is_refused_and_the_former_target_kept(run):
    box = run(**ALWAYS_SEEN)
    box.init()
    for point, words in (
        ((640.0, 20.0, 0.0, False), r"\(640, 20\) is outside the image of 640x480"),
        ((-0.1, 20.0, 0.0, False), "outside"),
        ((0.5, 1.0, 0.0, True), "outside"),
        ((300.0, 200.0, -4.0, False), "size = -4"),
        ((300.0, 200.0, 1.0, False), "too small"),
    ):
        with pytest.raises(WorkerError, match=words):
            box.worker.init(box.frame(), point_box(*point, 0.1)).result(WAIT)
        assert box.see().target_id == 1


def test_lost_target_is_given_up_after_the_timeout(run):
    box = run(**ALWAYS_LOST)
    box.init()
    assert box.see().status is Status.LOST
    box.worker.lost_timeout = 0.2
    statuses = [box.see().status for _ in range(10)]
    assert Status.LOST in statuses
    assert statuses[-1] is Status.IDLE


def test_change_of_image_size_or_source_drops_the_target(run):
    box = run(**ALWAYS_SEEN)
    box.init()
    assert box.see(box.frame(scene(320, 240, 100, 100))).status is Status.IDLE
    box.init()
    assert box.see(box.frame(source="other_camera")).status is Status.IDLE


def test_newest_frame_wins_and_the_others_are_counted(run):
    box = run()
    box.see()
    box.block()
    frames = [box.frame() for _ in range(50)]
    for frame in frames:
        box.worker.submit(frame)
    box.hold.set()
    box.wait(lambda: len(box.outcomes) == 3)
    assert box.outcomes[-1].frame is frames[-1]
    assert box.outcomes[-1].dropped == 49
    assert box.worker.dropped == 49


def test_selection_on_an_old_frame_catches_up_with_the_newest(run):
    box = run(**ALWAYS_SEEN)
    box.worker.catch_up = WAIT
    ring = FrameRing(60.0, 10**9)
    looked_at = []
    for index in range(12):
        frame = box.frame(scene(x=300 + 2 * index))
        decode = frame.decode
        frame.decode = lambda seq=frame.seq, decode=decode: (looked_at.append(seq), decode())[1]
        ring.append(frame)
    old = ring.find(4 * 33_000_000)
    selection = box.worker.init(old, pixel_box(306, 220, 40, 30), ring=ring).result(WAIT)
    assert selection.frame is old
    box.wait(lambda: box.outcomes)
    assert looked_at == list(range(4, 13))
    assert [outcome.frame.seq for outcome in box.outcomes] == [12]
    assert [s.target_id for s in box.outcomes[0].sightings] == [selection.target_id]


def test_catch_up_skips_frames_when_time_is_short(run):
    box = run(**ALWAYS_SEEN)
    box.init()
    # How long an update takes is known from here on.
    box.see()
    for catch_up in (0.0, 0.002, 0.005, 0.01, 0.02, 0.05):
        box.worker.catch_up = catch_up
        box.outcomes.clear()
        ring = FrameRing(60.0, 10**9)
        frames = [box.frame() for _ in range(12)]
        for frame in frames:
            ring.append(frame)
        box.worker.init(frames[0], pixel_box(*TARGET), ring=ring).result(WAIT)
        box.wait(lambda: box.outcomes)
        assert [outcome.frame for outcome in box.outcomes] == frames[-1:]


def test_failing_tracker_goes_to_error_and_recovers_with_the_next_selection(run):
    box = run(**ALWAYS_SEEN)
    box.init()
    assert box.see(box.frame(np.zeros((480, 640, 3)))).status is Status.ERROR
    assert "float64" in box.worker.last_error
    assert box.see().status is Status.ERROR
    assert box.see().target_id == 0
    box.init()
    assert box.see().status.seen


def test_learning_that_fails_beside_a_frame_is_told_of(run, monkeypatch):
    def fail(self, *sample):
        raise RuntimeError("the online step failed")

    always = {"online.asynchronous": "always", "online.update": "every_frame"}
    box = run(**SURE, **always)
    box.init()
    with monkeypatch.context() as patched:
        patched.setattr(OnlineLocalizer, "learn", fail)
        statuses = [box.see().status for _ in range(4)]
    assert statuses[0].seen
    assert statuses[-1] is Status.ERROR
    assert "the online step failed" in box.worker.last_error
    box.init()
    assert box.see().status.seen


def test_unreadable_image_is_refused_and_the_target_kept(run):
    def broken():
        raise CodecError("truncated")

    box = run(**ALWAYS_SEEN)
    box.init()
    frame = box.frame()
    frame.decode = broken
    box.worker.submit(frame)
    box.wait(lambda: len(box.unreadable) == 1)
    assert "truncated" in box.unreadable[0]
    with pytest.raises(WorkerError, match="truncated"):
        box.worker.init(frame, pixel_box(*TARGET)).result(WAIT)
    assert box.see().target_id == 1


def test_selection_that_nobody_waits_for_leaves_no_target(run):
    box = run(**ALWAYS_SEEN)
    box.block()
    command = box.worker.init(box.frame(), pixel_box(*TARGET))
    with pytest.raises(TimeoutError):
        command.result(0.05)
    box.hold.set()
    assert box.see().status is Status.IDLE


def test_release_is_done_also_when_nobody_waits(run):
    box = run(**ALWAYS_SEEN)
    box.init()
    box.block()
    with pytest.raises(TimeoutError):
        box.worker.release().result(0.05)
    box.hold.set()
    box.wait(lambda: not box.worker.registry.states())
    assert box.see().target_id == 0


def test_load_error_reaches_the_caller():
    worker = TrackerWorker(
        lambda: create_tracker(weights="/nowhere/x.safetensors"), print, logging.getLogger()
    )
    with pytest.raises(WeightsError, match="/nowhere"):
        worker.start(WAIT)
    assert worker.close(WAIT)
    with pytest.raises(WorkerError, match="not running"):
        worker.release().result(WAIT)


@pytest.mark.parametrize(("processors", "threads"), [(1, 1), (2, 1), (4, 2), (64, 4)])
def test_half_of_the_processors_are_left_to_others(processors, threads, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))
    before = torch.get_num_threads(), cv2.getNumThreads()
    seen = []
    worker = TrackerWorker(
        lambda: seen.append((torch.get_num_threads(), cv2.getNumThreads())) or random_tracker(),
        print,
        logging.getLogger(),
    )
    try:
        worker.start(WAIT)
        assert seen == [(threads, threads)]
    finally:
        assert worker.close(WAIT)
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def test_slow_load_is_given_up():
    released = threading.Event()

    def slow():
        released.wait(WAIT)
        return random_tracker()

    worker = TrackerWorker(slow, print, logging.getLogger())
    with pytest.raises(WorkerError, match="configure_timeout"):
        worker.start(0.3)
    assert not worker.close(0.1)
    released.set()
    assert worker.close(WAIT)


def test_close_refuses_what_waits(run):
    box = run()
    box.block()
    command = box.worker.init(box.frame(), pixel_box(*TARGET))
    closer = threading.Thread(target=box.worker.close, args=(WAIT,))
    closer.start()
    box.wait(lambda: box.worker._closing)
    box.hold.set()
    closer.join(WAIT)
    with pytest.raises(WorkerError, match="out of service"):
        command.result(WAIT)
    assert not box.worker.alive
