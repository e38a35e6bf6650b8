"""Learning beside the next frame: the same track, an earlier answer, no lost error."""

from __future__ import annotations

import gc
import os
import threading

import numpy as np
import pytest
import torch
from generated_sequence import render

from duml_tracker_ros.tracker import TrackState, create_tracker
from duml_tracker_ros.tracker.compute.background import BackgroundUpdates, processors_to_spare
from duml_tracker_ros.tracker.engine.base import Compiled
from duml_tracker_ros.tracker.errors import ConfigError
from duml_tracker_ros.tracker.online.localizer import OnlineLocalizer

CPU = torch.device("cpu")
WAIT = 120.0  # seconds; only failures take that long


def made(name: str = "duml", wish: str = "always", **overrides):
    settings = {"online.asynchronous": wish, "online.update": "every_frame", **overrides}
    return create_tracker(name, device="cpu", **settings)


@pytest.fixture(scope="module")
def clip():
    return render(14)


@pytest.fixture
def held(monkeypatch):
    """The online step of later frames waits for the second event; the first tells of it."""
    begun, go = threading.Event(), threading.Event()
    learn = OnlineLocalizer.learn

    def slowly(self, *sample):
        begun.set()
        assert go.wait(WAIT)
        learn(self, *sample)

    monkeypatch.setattr(OnlineLocalizer, "learn", slowly)
    yield begun, go
    go.set()


@pytest.mark.parametrize("name", ["duml", "drol_rpn", "fcot", "tlpg"])
def test_track_is_the_same_to_the_last_bit(name, clip):
    images, boxes = clip
    trackers = [made(name, wish) for wish in ("always", "never")]
    assert [t.background.active for t in trackers] == [True, False]
    for tracker in trackers:
        tracker.init(images[0], boxes[0])
    shares = set()
    for image in images[1:]:
        one, other = (t.update(image) for t in trackers)
        assert one.box == other.box
        assert one.confidence == other.confidence
        for key in other.score_maps.names:
            assert np.array_equal(one.score_maps[key], other.score_maps[key]), key
        shares.add(one.diagnostics.memory.shares())
        assert one.diagnostics.memory.shares() == other.diagnostics.memory.shares()
    assert len(shares) > 5


def test_several_targets_are_the_same_too(clip):
    images, boxes = clip
    tracks = []
    for wish in ("always", "never"):
        tracker = made(wish=wish)
        x, y, w, h = boxes[0]
        targets = [tracker.start(images[0], box) for box in (boxes[0], (x + 60, y + 20, w, h))]
        found = [tracker.track(image, targets) for image in images[1:]]
        tracks.append([[(r.box, r.confidence) for r in row] for row in found])
    assert tracks[0] == tracks[1]


def test_answer_comes_before_it_is_learned_and_the_next_frame_after(clip, held):
    images, boxes = clip
    begun, go = held
    tracker = made()
    tracker.init(images[0], boxes[0])
    result = tracker.update(images[1])
    assert result.diagnostics.decision.insert
    assert begun.wait(WAIT)
    update = tracker._target.pending_update
    assert not update.done()
    answers = []
    next_frame = threading.Thread(target=lambda: answers.append(tracker.update(images[2])))
    next_frame.start()
    next_frame.join(0.5)
    assert not answers
    go.set()
    next_frame.join(WAIT)
    assert update.done()
    assert answers[0].state is TrackState.TRACKING


def test_without_it_the_answer_waits(clip, held):
    images, boxes = clip
    begun, go = held
    tracker = made(wish="never")
    tracker.init(images[0], boxes[0])
    answers = []
    frame = threading.Thread(target=lambda: answers.append(tracker.update(images[1])))
    frame.start()
    assert begun.wait(WAIT)
    frame.join(0.5)
    assert not answers
    go.set()
    frame.join(WAIT)
    assert len(answers) == 1


def test_what_goes_wrong_is_told_with_the_next_frame(clip, monkeypatch):
    images, boxes = clip
    tracker = made()
    tracker.init(images[0], boxes[0])

    def fail(self, *sample):
        raise MemoryError("no room for a sample")

    with monkeypatch.context() as patched:
        patched.setattr(OnlineLocalizer, "learn", fail)
        tracker.update(images[1])
        with pytest.raises(MemoryError, match="no room"):
            tracker.update(images[2])
    tracker.init(images[3], boxes[3])
    assert tracker.update(images[4]).state is TrackState.TRACKING


def test_a_target_may_be_replaced_while_it_learns(clip, held):
    images, boxes = clip
    begun, go = held
    tracker = made()
    tracker.init(images[0], boxes[0])
    tracker.update(images[1])
    assert begun.wait(WAIT)
    # Neither a new target nor none waits for the former one.
    tracker.init(images[2], boxes[2])
    tracker.reset()
    tracker.init(images[2], boxes[2])
    go.set()
    assert tracker.update(images[3]).state is TrackState.TRACKING


def test_the_thread_ends_with_its_tracker(clip):
    images, boxes = clip

    others = set(threading.enumerate())
    tracker = made()
    assert set(threading.enumerate()) <= others
    tracker.init(images[0], boxes[0])
    for image in images[1:4]:
        tracker.update(image)
    (thread,) = [t for t in threading.enumerate() if t.name == "learning_0" and t not in others]
    del tracker
    gc.collect()
    thread.join(WAIT)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("processors", "threads", "spare"), [(1, 1, 0), (2, 1, 1), (2, 2, 0), (4, 2, 1)]
)
def test_by_default_it_takes_processors_that_are_free(processors, threads, spare, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert processors_to_spare(CPU) == bool(spare)
        assert made(wish="auto", weights="random").background.active == bool(spare)
    finally:
        torch.set_num_threads(before)
    assert not processors_to_spare(torch.device("cuda"))


def test_stages_are_measured_one_after_the_other(clip):
    images, boxes = clip
    tracker = made(profile=True)
    assert not tracker.background.active
    tracker.init(images[0], boxes[0])
    tracker.update(images[1])
    assert tracker.stage_times()["online"] > 0


def test_a_wrong_wish_is_named():
    with pytest.raises(ConfigError, match=r"online\.asynchronous = 'sometimes'.*always, never"):
        made(wish="sometimes")


def test_work_is_done_in_turn_and_in_inference_mode():
    seen = []
    for active in (True, False):
        background = BackgroundUpdates(active)
        with torch.inference_mode():
            jobs = [
                background.run(lambda i=i: seen.append((i, torch.is_inference_mode_enabled())))
                for i in range(3)
            ]
            for job in jobs:
                assert (job is not None) == active
                if job is not None:
                    job.result(WAIT)
    assert seen == [(i, True) for i in range(3)] * 2


class Turn:
    """A graph that doubles crops; each thread of it waits until another has computed one."""

    def __init__(self, done: dict[str, threading.Event], own: str) -> None:
        self.done, self.own = done, own

    def load(self, *_):
        return self

    def twin(self):
        self.done["twin"] = threading.Event()
        return Turn(self.done, "twin")

    def __call__(self, arrays):
        (other,) = self.done.keys() - {self.own}
        self.done[self.own].set()
        assert self.done[other].wait(WAIT)
        return [2.0 * arrays[0].astype(np.float32)]


def test_the_thread_for_learning_takes_crops_of_a_batch():
    helper, crops = BackgroundUpdates(True), torch.arange(5 * 12, dtype=torch.uint8)
    crops = crops.view(5, 2, 2, 3).permute(0, 3, 1, 2)
    graph = Compiled(Turn({"own": threading.Event()}, "own"), None, (crops[:1],), None, helper)
    (found,) = graph(crops)
    assert torch.equal(found, 2.0 * crops.permute(0, 2, 3, 1))


def test_a_thread_that_learns_takes_no_crops():
    helper, crops, go = BackgroundUpdates(True), torch.ones(3, 3, 2, 2), threading.Event()
    learning = helper.run(go.wait, WAIT)
    ready = threading.Event()
    ready.set()
    engine = Turn({"own": ready, "twin": ready}, "own")
    engine.twin = lambda: pytest.fail  # nobody gets to run it
    (found,) = Compiled(engine, None, (crops[:1],), None, helper)(crops)
    assert found.unique().tolist() == [2.0]
    assert not learning.done()
    go.set()
    assert learning.result(WAIT) is None


def test_a_thread_that_has_learned_takes_crops_that_are_left():
    helper, crops, done = BackgroundUpdates(True), torch.ones(3, 3, 2, 2), {}
    learning = helper.run(done.setdefault("own", threading.Event()).wait, WAIT)
    # The caller's first crop ends the learning, and its second waits for one of the thread's.
    (found,) = Compiled(Turn(done, "own"), None, (crops[:1],), None, helper)(crops)
    assert found.unique().tolist() == [2.0]
    assert done["twin"].is_set()
    assert learning.done()


def test_what_goes_wrong_in_a_batch_is_told():
    def wrong(arrays):
        raise RuntimeError("broken")

    engine = Turn({}, "own")
    engine.load = lambda *_: wrong
    wrong.twin = lambda: wrong
    crops = torch.ones(3, 3, 2, 2)
    for helper in (None, BackgroundUpdates(True)):
        with pytest.raises(RuntimeError, match="broken"):
            Compiled(engine, None, (crops[:1],), None, helper)(crops)
