"""Several targets in one worker, with the real tracker, without ROS."""

import functools

import numpy as np
import pytest
from node_harness import TARGET, scene
from worker_harness import ALWAYS_LOST, ALWAYS_SEEN, WAIT, random_tracker

from duml_tracker_ros.node.command import WorkerError
from duml_tracker_ros.node.frame_ring import FrameRing
from duml_tracker_ros.node.outcome import Status
from duml_tracker_ros.tracker import create_tracker

OTHER = (100.0, 100.0, 40.0, 30.0)


def two(x=300, other=True):
    """The scene with a second target at OTHER, which another pattern tells from the first."""
    image = scene(x=x)
    if other:
        image[100:130, 100:140] = (200, 60, 30)
        image[104:126, 112:120] = (20, 20, 20)
    return image


def statuses(sightings):
    return {target_id: sighting.status for target_id, sighting in sightings.items()}


def test_selections_add_targets_up_to_the_limit(run):
    box = run(max_targets=3, **ALWAYS_SEEN)
    ids = [box.init().target_id for _ in range(3)]
    assert ids == [1, 2, 3]
    with pytest.raises(WorkerError, match=r"max_targets is 3.*they are 1, 2, 3"):
        box.init()
    assert list(box.see_all()) == ids
    assert box.outcomes[-1].followed == 3
    assert box.outcomes[-1].selected == 3
    with pytest.raises(WorkerError, match="no target 9; followed: 1, 2, 3"):
        box.init(replaces=9)
    with pytest.raises(WorkerError, match="2 is followed already"):
        box.init(target_id=2, replaces=2)
    assert box.init(replaces=2, target_id=70).target_id == 70
    seen = box.see_all()
    assert seen[2].result is None
    assert {i for i, s in seen.items() if s.result is not None} == {1, 3, 70}
    assert box.init(replaces=1).target_id == 71


def test_bad_box_neither_adds_nor_replaces(run):
    box = run(max_targets=2, **ALWAYS_SEEN)
    box.init()
    box.init()
    with pytest.raises(WorkerError, match=r"\w"):
        box.init(box=(10, 10, 0, 20), replaces=1)
    assert list(box.see_all()) == [1, 2]


def test_stopped_target_is_told_once_and_the_others_go_on(run):
    box = run(max_targets=3, **ALWAYS_SEEN)
    for _ in range(3):
        box.init()
    assert box.worker.stop_target(2).result(WAIT) == (2,)
    seen = box.see_all()
    assert seen[2].status is Status.IDLE
    assert seen[2].result is None
    assert box.outcomes[-1].followed == 2
    assert list(box.see_all()) == [1, 3]
    assert box.worker.stop_target().result(WAIT) == (1, 3)
    assert statuses(box.see_all()) == {1: Status.IDLE, 3: Status.IDLE}
    assert statuses(box.see_all()) == {0: Status.IDLE}


def test_all_targets_take_one_pass(run):
    calls = []

    def create(**overrides):
        tracker = random_tracker(**overrides)
        real = tracker.net.extract
        tracker.net.extract = lambda crops: (calls.append(len(crops)), real(crops))[1]
        return tracker

    box = run(max_targets=4, create=create, **ALWAYS_SEEN)
    for _ in range(4):
        box.init()
    calls.clear()
    assert len(box.see_all()) == 4
    assert calls == [4]


def test_one_is_lost_and_given_up_while_the_other_is_seen(run):
    """With trained weights."""
    box = run(max_targets=2, create=functools.partial(create_tracker, device="cpu"))
    first = box.init(frame=box.frame(two())).target_id
    second = box.init(box=OTHER, frame=box.frame(two())).target_id
    for _ in range(4):
        seen = box.see_all(box.frame(two()))
    assert seen[first].status.seen
    assert seen[second].status.seen
    assert abs(seen[second].result.box[0] - OTHER[0]) < 6
    for _ in range(4):
        seen = box.see_all(box.frame(two(other=False)))
    assert statuses(seen)[second] is Status.LOST
    assert seen[first].status.seen
    box.worker.lost_timeout = 0.2
    ends = [box.see_all(box.frame(two(other=False))) for _ in range(10)]
    told = [statuses(seen)[second] for seen in ends if second in seen]
    assert told[-1] is Status.IDLE
    assert len(told) < 10
    assert all(seen[first].status.seen for seen in ends)


def test_one_catches_up_while_the_other_goes_on(run):
    box = run(max_targets=2, **ALWAYS_SEEN)
    box.worker.catch_up = WAIT
    ring = FrameRing(60.0, 10**9)

    def kept():
        frame = box.frame()
        ring.append(frame)
        return frame

    old = kept()
    first = box.init(frame=old, ring=ring).target_id
    for _ in range(8):
        box.see(kept())
    box.block()
    second = box.worker.init(old, lambda width, height: TARGET, ring=ring)
    count = len(box.outcomes)
    latest = kept()
    box.worker.submit(latest)
    box.hold.set()
    second = second.result(WAIT).target_id
    box.wait(lambda: len(box.outcomes) >= count + 2)
    # The newest frame waits for nobody: the first target is told of, the second is on its way.
    assert box.outcomes[count + 1].frame is latest
    assert [s.target_id for s in box.outcomes[count + 1].sightings] == [first]
    box.wait(lambda: box.worker.registry.late is None)
    assert set(box.see_all(kept())) == {first, second}
    numbers = [outcome.frame.seq for outcome in box.outcomes]
    assert numbers == sorted(set(numbers)), "no frame is told twice"


def test_only_the_target_of_another_image_size_is_dropped(run):
    box = run(max_targets=2, **ALWAYS_SEEN)
    ring = FrameRing(60.0, 10**9)
    small = box.frame(scene(320, 240, 100, 100))
    ring.append(small)
    first = box.init().target_id
    newest = box.frame()
    ring.append(newest)
    box.see(newest)
    second = box.init(box=(100, 100, 40, 30), frame=small, ring=ring).target_id
    box.wait(lambda: second not in box.worker.registry.states())
    assert statuses(box.see_all())[second] is Status.IDLE
    assert box.see().target_id == first
    both = box.see_all(box.frame(scene(320, 240, 100, 100)))
    assert statuses(both) == {first: Status.IDLE}


def test_failure_while_tracking_ends_all_and_the_next_selection_starts_anew(run):
    box = run(max_targets=2, **ALWAYS_SEEN)
    box.init()
    box.init()
    seen = box.see_all(box.frame(np.zeros((480, 640, 3))))
    assert statuses(seen) == {1: Status.ERROR, 2: Status.ERROR}
    assert statuses(box.see_all()) == {0: Status.ERROR}
    assert box.init().target_id == 3
    assert box.see().status.seen


@pytest.mark.parametrize("limit", [1, 2])
def test_failure_of_a_selection_leaves_other_targets_alone(run, limit):
    failing = []

    def create(**overrides):
        tracker = random_tracker(**overrides)
        real = tracker.net.extract

        def extract(crops):
            if failing:
                raise RuntimeError(failing.pop())
            return real(crops)

        tracker.net.extract = extract
        return tracker

    box = run(max_targets=limit, create=create, **ALWAYS_SEEN)
    box.init()
    failing.append("no memory left")
    with pytest.raises(WorkerError, match="no memory left"):
        box.init()
    # The target of a tracker of one may be half replaced by then.
    assert box.see().status.seen == (limit > 1)


def test_lost_targets_search_on_with_their_own_regions(run):
    box = run(max_targets=2, **ALWAYS_LOST)
    box.init()
    for _ in range(5):
        box.see()
    box.init(box=OTHER)
    seen = box.see_all()
    assert statuses(seen) == {1: Status.LOST, 2: Status.LOST}
    # Every other look is at a square that has grown.
    assert seen[1].result.search_region[2] > 1.5 * seen[2].result.search_region[2]
