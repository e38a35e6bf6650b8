"""The search of the whole image for a lost target: tiles, shadows, and a return far away."""

from __future__ import annotations

import numpy as np
import pytest

from duml_tracker_ros.scene import AerialScene
from duml_tracker_ros.tracker import TrackState, create_tracker
from duml_tracker_ros.tracker.config import LocalizeConfig, PostprocessConfig, ReacquireConfig
from duml_tracker_ros.tracker.frame.localize import Finding
from duml_tracker_ros.tracker.frame.palette import most_like, palette
from duml_tracker_ros.tracker.geometry import overlap, search_window
from duml_tracker_ros.tracker.motion.egomotion import Motion
from duml_tracker_ros.tracker.motion.elsewhere import Elsewhere, tiles
from duml_tracker_ros.tracker.motion.target import TargetTrack
from duml_tracker_ros.tracker.network_config import NetworkConfig

NETWORK, RULE = NetworkConfig(), ReacquireConfig(active=True)
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


def test_tiles_come_in_turn_and_a_shadow_must_hold() -> None:
    one, other = (400.0, 300.0, 40.0, 30.0), (200.0, 300.0, 40.0, 30.0)
    search, image = Elsewhere(), np.zeros((480, 640, 3), np.uint8)
    arguments = (image, "rgb"), BOX, None, NETWORK, RULE
    usual = search_window(BOX, NETWORK.template_size, NETWORK.search_size)

    def see(box: tuple[float, float, float, float] | None) -> tuple | None:
        return search.see(box, usual, RULE)

    every = tiles(BOX, (640, 480), NETWORK, RULE)
    assert [search.window(*arguments) for _ in range(len(every) + 1)] == [*every, every[0]]
    assert see(one) is None
    near = search.window(*arguments)
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


def test_what_is_where_the_target_is_expected_is_left_to_the_usual_search() -> None:
    track = TargetTrack(BOX, (0.0, 0.0, 0.0), TrackState.LOST, unseen=RULE.after)
    usual = track.search(NETWORK, LocalizeConfig(), RULE)
    assert track.looks_elsewhere(RULE)
    near = BOX[0] + 0.2 * usual.side, *BOX[1:]
    assert track.elsewhere.see(near, usual, RULE) is None
    assert track.elsewhere.shadow is None
    assert not track.looks_elsewhere(RULE), "the next frame is searched there"
    lost = Finding(TrackState.LOST, 0.0, False, 0.0, False)
    track.observe(lost, LocalizeConfig(), (0.0, 0.0))
    assert track.looks_elsewhere(RULE)


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
    windows = [search.window(*arguments) for _ in range(3)]
    middles = [(x + 20, y + 15) for x, y in reds[:2]]
    found = [(windows[i].cx, windows[i].cy) for i in (0, 1)]
    assert sorted(found) == pytest.approx([pytest.approx(m, abs=8) for m in middles])
    assert {w.size for w in windows} == {NETWORK.search_size}
    assert windows[2] == tiles(box, (640, 480), NETWORK, RULE)[0], "and a tile in turn"
    third = search.window(*arguments)
    assert third.cy == pytest.approx(422, abs=8)
    assert most_like(image, "bgr", (40.0, 30.0), np.zeros_like(colours)) is None


def test_a_lost_frame_costs_one_look_of_the_usual_size(images: dict[str, np.ndarray]) -> None:
    w, h = map(float, images["size"])
    tracker = create_tracker("duml", device="cpu", **{"reacquire.active": True})
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
        assert result.state is TrackState.LOST
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


def test_what_left_as_a_sliver_is_expected_to_come_back_whole() -> None:
    track, network, rule = TargetTrack(BOX, (0.0, 0.0, 0.0)), NetworkConfig(), PostprocessConfig()
    size = 320, 240

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
