"""The search of the whole image for a lost target: tiles, shadows, and a return far away."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from duml_tracker_ros.scene import AerialScene
from duml_tracker_ros.tracker import TrackState, create_tracker
from duml_tracker_ros.tracker.config import PostprocessConfig, ReacquireConfig, load_config
from duml_tracker_ros.tracker.frame.localize import Finding
from duml_tracker_ros.tracker.frame.palette import most_like, palette
from duml_tracker_ros.tracker.geometry import overlap, search_window
from duml_tracker_ros.tracker.motion.egomotion import Motion
from duml_tracker_ros.tracker.motion.elsewhere import Elsewhere, tiles
from duml_tracker_ros.tracker.motion.nearby import Look
from duml_tracker_ros.tracker.motion.target import HIDDEN, TargetTrack
from duml_tracker_ros.tracker.network_config import NetworkConfig
from duml_tracker_ros.tracker.systems.frame_loop import FrameTracker
from duml_tracker_ros.tracker.systems.records import TargetModel

NETWORK, RULE = NetworkConfig(), ReacquireConfig(active=True, scales=(1.4, 1.0))
BOX = (100.0, 90.0, 40.0, 30.0)


@pytest.mark.parametrize("size", [(640, 480), (1920, 1080), (100, 80)])
def test_tiles_cover_the_image_at_every_scale_near_ones_first(size: tuple[int, int]) -> None:
    found = tiles(BOX, size, NETWORK, RULE)
    sides = sorted({w.side for w in found})
    assert len(sides) == 2
    assert sides[1] / sides[0] == pytest.approx(1.4)
    assert {w.size for w in found} == {NETWORK.search_size}, "none costs more than a usual search"
    for side in sides:
        level = [w for w in found if w.side == side]
        for x in np.linspace(0, size[0], 30):
            for y in np.linspace(0, size[1], 30):
                inside = [max(abs(x - w.cx), abs(y - w.cy)) / side for w in level]
                assert min(inside) <= 0.5 + 1e-9
        far = [np.hypot(w.cx - 120, w.cy - 105) for w in level]
        assert far == sorted(far)


def test_of_a_tiny_target_in_a_large_image_there_are_no_more_tiles_than_can_be_looked_at() -> None:
    found = tiles((1000.0, 500.0, 2.0, 2.0), (3840, 2160), NETWORK, ReacquireConfig(scales=(0.1,)))
    assert len(found) < 3000
    assert {w.side for w in found} == {96.0}


def test_tiles_come_in_turn_and_a_shadow_must_hold() -> None:
    one, other = (400.0, 300.0, 40.0, 30.0), (200.0, 300.0, 40.0, 30.0)
    search, image = Elsewhere(), np.zeros((480, 640, 3), np.uint8)
    arguments = (image, "rgb"), BOX, None, NETWORK, RULE
    usual = search_window(BOX, NETWORK.template_size, NETWORK.search_size)

    def see(box: tuple[float, float, float, float] | None) -> tuple | None:
        return search.see(box, RULE)

    every = tiles(BOX, (640, 480), NETWORK, RULE)
    looks = [search.window(*arguments) for _ in range(len(every) + 1)]
    assert looks == [(w, Look.FAR_COARSE) for w in (*every, every[0])]
    search.hint = one
    for look in (Look.FAR, Look.FAR_COARSE):
        near, how = search.window(*arguments)
        assert how is look, "what a tile hints at is looked at closely, once"
        assert ((near.cx, near.cy, near.side) == (420.0, 315.0, usual.side)) == (how is Look.FAR)
    assert see(one) is None
    near, how = search.window(*arguments)
    assert how is Look.FAR
    assert (near.cx, near.cy, near.size) == (420.0, 315.0, NETWORK.search_size)
    assert see(None) is None, "seen once: a flash"
    assert search.shadow is None
    for box in (one, other, one, other, one, other):
        assert see(box) is None, "what jumps about is not one thing"
    moving = [(400.0 + 20 * i, 300.0, 40.0, 30.0) for i in range(4)]
    assert [see(box) for box in moving] == [None, None, None, moving[-1]]
    assert search.shadow is None
    grown = [(400.0, 300.0, 40.0 * k, 30.0 * k) for k in (1.0, 1.6, 1.6, 1.6)]
    assert [see(box) for box in grown] == [None] * 4
    search.stand_still(Motion(np.array([[1.0, 0, 7], [0, 1, -3], [0, 0, 1]])))
    assert search.shadow == pytest.approx((407.0, 297.0, 64.0, 48.0))


def test_nothing_is_taken_far_away_before_the_target_was_lost_for_long() -> None:
    """What is hidden for a moment comes back near its place; doubles elsewhere are left alone."""
    config = load_config("lite")
    rule, frame = config.reacquire, (np.zeros((480, 640, 3), np.uint8), "rgb")
    assert rule.active
    track = TargetTrack(BOX, (0.0, 0.0, 0.0), TrackState.LOST)
    looks = []
    for track.unseen in range(1, rule.after + 40):
        looks.append(track.search_lost(frame, config)[1])
    far = {Look.FAR, Look.FAR_COARSE}
    assert not far & set(looks[: rule.after - 1])
    later = looks[rule.after - 1 :]
    assert sum(look in far for look in later) == len(later) * (rule.near - 1) // rule.near
    assert {Look.CLOSE, Look.COARSE} <= set(later), "its place has its turn, too"
    track.nearby.hint = BOX
    track.unseen = rule.after
    window, look = track.search_lost(frame, config)
    assert look is Look.CLOSE, "what a look hints at there is looked at first"
    assert (window.cx, window.cy) == (BOX[0] + BOX[2] / 2, BOX[1] + BOX[3] / 2)


def test_looks_go_where_the_targets_colours_are() -> None:
    rng = np.random.default_rng(4)
    image = rng.integers(60, 120, (480, 640, 3)).astype(np.uint8)
    reds = [(60, 60), (500, 100), (300, 400)]
    for x, y in reds:
        image[y : y + 30, x : x + 40] = (180, 80, 60)
    # Less of it is less like the target.
    image[400:415, 300:340] = 90
    colours = palette(image, "rgb", (60.0, 60.0, 40.0, 30.0))
    search, box = Elsewhere(), (100.0, 200.0, 40.0, 30.0)
    arguments = (image, "rgb"), box, colours, NETWORK, RULE
    looks = [search.window(*arguments) for _ in range(4)]
    assert [how for _, how in looks] == [Look.FAR, Look.FAR_COARSE] * 2, "and a tile in turn"
    windows = [w for w, _ in looks]
    middles = [(x + 20, y + 15) for x, y in reds[:2]]
    found = [(windows[i].cx, windows[i].cy) for i in (0, 2)]
    assert sorted(found) == pytest.approx([pytest.approx(m, abs=8) for m in middles])
    assert {w.size for w in windows} == {NETWORK.search_size}
    assert windows[1::2] == tiles(box, (640, 480), NETWORK, RULE)[:2]
    third, _ = search.window(*arguments)
    assert third.cy == pytest.approx(422, abs=8)
    assert most_like(image, "bgr", (40.0, 30.0), np.zeros_like(colours)) is None


def test_a_lost_frame_costs_one_look_of_the_usual_size(images: dict[str, np.ndarray]) -> None:
    w, h = map(float, images["size"])
    tracker = create_tracker("duml", device="cpu", **{"reacquire.after": 10})
    target = tracker.start(images["here"], (*map(float, SPOT), w, h))
    for _ in range(3):
        tracker.track(images["here"], [target])
    inner, shapes = tracker.search, []

    def search(crops, *rest):
        shapes.append(tuple(crops.shape))
        return inner(crops, *rest)

    tracker.search = search
    regions = set()
    for _ in range(24):
        (result,) = tracker.track(images["gone"], [target])
        regions.add(result.search_region[:2])
    size = tracker.config.network.search_size
    assert shapes == [(1, 3, size, size)] * 24
    assert len(regions) >= 5, "it looks about"


SPOT, FAR = (100, 180), (520, 390)


@pytest.fixture(scope="module")
def images() -> dict[str, np.ndarray]:
    """Ground without the target, and with it at two places that are far from each other."""
    frame = AerialScene(5, 1500, 480, frames=1).render(0)
    assert frame.box is not None
    x, y, w, h = (round(v) for v in frame.box)
    patch = frame.image[y : y + h, x : x + w]
    empty = np.ascontiguousarray(frame.image[:, :640])
    out = {"gone": empty}
    for name, (left, top) in (("here", SPOT), ("far", FAR)):
        out[name] = empty.copy()
        out[name][top : top + h, left : left + w] = patch
    out["size"] = np.array([w, h])
    return out


@pytest.mark.parametrize("active", [True, False])
def test_a_target_that_returns_far_away_is_found(
    images: dict[str, np.ndarray], active: bool
) -> None:
    w, h = map(float, images["size"])
    tracker = create_tracker("duml", device="cpu", size="compact", **{"reacquire.active": active})
    target = tracker.start(images["here"], (*map(float, SPOT), w, h))

    def see(name: str) -> TrackState:
        return tracker.track(images[name], [target])[0].state

    assert [see("here") for _ in range(3)] == [TrackState.TRACKING] * 3
    target.finish_update()
    memory = target.memory
    assert memory is not None
    known = memory.shares()
    assert {see("gone") for _ in range(14)} == {TrackState.LOST}
    for _ in range(50 if active else 12):
        state = see("far")
        if state is not TrackState.LOST:
            break
        assert memory.shares() == known, "nothing is learned before"
    truth = (*map(float, FAR), w, h)
    assert (overlap(target.track.box, truth) > 0.5) == active


@pytest.fixture
def lost(images: dict[str, np.ndarray]) -> tuple[FrameTracker, TargetModel]:
    """A tracker as it is by default, and a target that has just gone."""
    w, h = map(float, images["size"])
    tracker = create_tracker("duml", device="cpu", size="compact")
    assert isinstance(tracker, FrameTracker)
    target = tracker.start(images["here"], (*map(float, SPOT), w, h))
    assert all(told(tracker, target, images["here"])[0] is TrackState.TRACKING for _ in range(3))
    return tracker, target


def told(
    tracker: FrameTracker, target: TargetModel, image: np.ndarray
) -> tuple[TrackState, tuple[float, float, float, float]]:
    (result,) = tracker.track(image, [target])
    return result.state, result.box


def test_a_double_in_view_is_not_taken_while_the_target_is_hidden(
    images: dict[str, np.ndarray], lost: tuple[FrameTracker, TargetModel]
) -> None:
    w, h = map(float, images["size"])
    for _ in range(40):
        assert told(*lost, images["far"])[0] is TrackState.LOST
    both = images["far"].copy()
    rows, columns = (slice(c, c + int(n)) for c, n in ((SPOT[1], h), (SPOT[0], w)))
    both[rows, columns] = images["here"][rows, columns]
    seen = [told(*lost, both) for _ in range(8)]
    assert seen[-1][0] is TrackState.TRACKING
    assert all(overlap(box, (*map(float, SPOT), w, h)) > 0.5 for _, box in seen)


def test_what_was_found_far_away_is_on_trial_and_the_search_goes_back_if_it_fails(
    images: dict[str, np.ndarray], lost: tuple[FrameTracker, TargetModel]
) -> None:
    tracker, target = lost
    w, h = map(float, images["size"])
    here, far = ((*map(float, at), w, h) for at in (SPOT, FAR))
    target.finish_update()
    memory, trial = target.memory, tracker.config.localize.proof_far
    assert memory is not None
    known = memory.shares()
    states = [told(*lost, images["gone"])[0] for _ in range(50)]
    assert set(states) == {TrackState.LOST}
    frames = 0
    while states[-1] is TrackState.LOST:
        states.append(told(*lost, images["far"])[0])
        frames += 1
        assert frames < 60
    on_trial = [told(*lost, images["far"]) for _ in range(trial - 3)]
    assert {state for state, _ in on_trial} == {TrackState.UNCERTAIN}
    assert overlap(on_trial[-1][1], far) > 0.5
    target.finish_update()
    assert memory.shares() == known, "nothing is learned of it"
    state, box = told(*lost, images["gone"])
    assert state is TrackState.LOST
    assert overlap(box, here) > 0.5
    assert target.track.unseen >= 50 + frames, "it was never seen"
    assert target.track.left is None
    again = [told(*lost, images["here"])[0] for _ in range(20)]
    assert again[-1] is TrackState.TRACKING, "it is found where it was"


@pytest.mark.parametrize(
    "box",
    [
        (96.0, 96.0, 0.0, 0.0),
        (96.0, 96.0, 1e-30, 5.0),
        (96.0, 96.0, 1e30, 1e30),
        (96.0, 96.0, 20.0, np.nan),
        (np.nan, 96.0, 20.0, 20.0),
    ],
)
def test_boxes_that_cannot_be_are_no_hint_and_never_the_target(
    box: tuple[float, ...], images: dict[str, np.ndarray]
) -> None:
    """Whatever the scores say; a lost target is looked for in the same way as before."""
    tracker = create_tracker("duml", device="cpu", size="compact", **{"reacquire.after": 2})
    assert isinstance(tracker, FrameTracker)
    image = images["here"][:60, :80]
    target = tracker.start(image, (20.0, 20.0, 12.0, 10.0))
    target.track.state, target.track.unseen = TrackState.LOST, 2
    look = tracker.look

    def odd(*args: Any) -> list[Any]:
        known = {"robust": 0.9, "accurate": 0.9}
        peaks = dict(zip(("cx", "cy", "w", "h"), box, strict=True))
        return [
            dataclasses.replace(seen, peak=seen.peak._replace(**peaks, **known))
            for seen in look(*args)
        ]

    tracker.look = odd  # type: ignore[method-assign]
    for _ in range(12):
        before = target.track.state
        state, told_box = told(tracker, target, image)
        assert all(map(math.isfinite, told_box))
        if not all(map(math.isfinite, box)):
            assert state is TrackState.LOST, "it is nowhere"
        if before is TrackState.LOST:
            assert target.track.elsewhere.shadow is None
            assert target.track.nearby.hint is None


def test_what_is_found_while_the_size_is_restored_is_looked_at_in_its_size() -> None:
    config = load_config("lite")
    track = TargetTrack((0.0, 90.0, 4.0, 30.0), (0.0, 0.0, 0.0), TrackState.LOST)
    track.whole, track.unseen = (40.0, 30.0), HIDDEN
    track.nearby.hint = BOX
    frame = np.zeros((480, 640, 3), np.uint8), "rgb"
    window, _ = track.search_lost(frame, config)
    network = config.network
    usual = search_window(BOX, network.template_size, network.search_size)
    assert window.side == pytest.approx(usual.side)


def test_what_left_as_a_sliver_is_expected_to_come_back_whole() -> None:
    track, network, rule = TargetTrack(BOX, (0.0, 0.0, 0.0)), NetworkConfig(), PostprocessConfig()
    size = 320, 240
    track.plain = True

    def seen(box: tuple[float, float, float, float]) -> None:
        window = search_window(track.box, network.template_size, network.search_size)
        x, y = (box[0] + box[2] / 2, box[1] + box[3] / 2)
        cx, cy = ((c - m) * window.scale for c, m in ((x, window.cx), (y, window.cy)))
        middle = window.size / 2
        sides = box[2] * window.scale, box[3] * window.scale
        track.move((middle + cx, middle + cy, *sides), 1.0, window, size, rule)

    for left in range(100, 310, 10):
        seen((float(left), 90.0, min(40.0, 320.0 - left), 30.0))
    assert track.box[2] < 30
    track.state = TrackState.LOST
    middle = track.box[0] + track.box[2] / 2
    track.restore_size()
    assert track.box[2:] == pytest.approx((40.0, 30.0), rel=0.05)
    assert track.box[0] + track.box[2] / 2 == pytest.approx(middle)


@pytest.mark.parametrize("preset", ["", "paper"])
def test_what_went_behind_something_is_expected_to_come_out_whole(preset: str) -> None:
    """Its box shrinks with its score: of that nothing is kept, but by the papers' rules."""
    config = load_config("lite", {"preset": preset} if preset else {})
    track = TargetTrack(BOX, (0.0, 0.0, 0.0), usual=0.9)
    frame = np.zeros((240, 320, 3), np.uint8), "rgb"

    def seen(width: float, score: float, state: TrackState) -> None:
        finding = Finding(state, score, False, score, False, score, True)
        track.observe(finding, config.localize, (0.0, 0.0))
        window = track.search(config.network)
        sides = width * window.scale, BOX[3] * window.scale
        middle = window.size / 2
        track.move((middle, middle, *sides), 1.0, window, (320, 240), config.postprocess)

    for _ in range(5):
        seen(40.0, 0.9, TrackState.TRACKING)
    for width in (36.0, 30.0, 24.0, 18.0, 12.0):
        seen(width, 0.5, TrackState.TRACKING)
    assert track.box[2] < 24
    for unseen in range(1, HIDDEN + 1):
        seen(12.0, 0.0, TrackState.LOST)
        assert track.unseen == unseen
        track.search_lost(frame, config)
        whole = track.box[2] == pytest.approx(40.0, rel=0.05)
        assert whole == (unseen == HIDDEN and not preset)


def test_another_target_that_is_followed_is_not_taken(images: dict[str, np.ndarray]) -> None:
    """Two targets look alike; one is gone, and the other one is still itself."""
    w, h = map(float, images["size"])
    tracker = create_tracker(
        "duml", device="cpu", size="compact", **{"reacquire.active": True, "reacquire.after": 1}
    )
    both = images["far"].copy()
    both[SPOT[1] : SPOT[1] + int(h), SPOT[0] : SPOT[0] + int(w)] = images["here"][
        SPOT[1] : SPOT[1] + int(h), SPOT[0] : SPOT[0] + int(w)
    ]
    targets = [tracker.start(both, (*map(float, p), w, h)) for p in (SPOT, FAR)]
    tracker.track(both, targets)
    for _ in range(24):
        tracker.track(images["far"], targets)
    assert targets[0].track.state is TrackState.LOST
    assert overlap(targets[0].track.box, (*map(float, SPOT), w, h)) > 0.5
    assert targets[1].track.state is TrackState.TRACKING
