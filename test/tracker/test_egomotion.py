"""The camera's motion against exact truth, and where a target is expected because of it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from turning_camera import TurningCamera, away_and_back

from duml_tracker_ros.scene import AerialScene, SceneSettings
from duml_tracker_ros.scene.camera import project
from duml_tracker_ros.tracker import TrackState, create_tracker
from duml_tracker_ros.tracker.geometry import overlap
from duml_tracker_ros.tracker.motion.egomotion import Attitude, Motion, View, between, view_of
from duml_tracker_ros.tracker.motion.prediction import Prediction
from duml_tracker_ros.tracker.motion.target import TargetTrack
from duml_tracker_ros.tracker.network_config import NetworkConfig

SIZE = (640, 480)
STILL = SceneSettings(look_alikes=(), traffic=4, trees=(), bridges=(), clouds=0.0, tilt=0.0)


@pytest.fixture(scope="module")
def scene() -> AerialScene:
    return AerialScene(3, *SIZE, frames=40, settings=dataclasses.replace(STILL, tilt=12.0))


@pytest.fixture(scope="module")
def ground() -> np.ndarray:
    """One picture that views are cut out of."""
    return AerialScene(5, 1500, 480, frames=1, settings=STILL).render(0).image


def grid(width: int, height: int) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(0.15, 0.85, 5) * width, np.linspace(0.15, 0.85, 5) * height)
    return np.column_stack([x.ravel(), y.ravel()])


def moved(motion: Motion, points: np.ndarray) -> np.ndarray:
    return project(motion.matrix, points)


def test_flow_finds_the_motion_of_the_scenes_camera(scene: AerialScene) -> None:
    """Pans, turns, tilts and zoom at once; the truth is the homography of the ground."""
    off = []
    for index in range(0, 36, 4):
        former, now = scene.render(index), scene.render(index + 4)
        assert former.box is not None
        motion = between(view_of(former.image, "rgb"), view_of(now.image, "rgb"), [former.box])
        assert motion is not None
        truth = scene._plane(index + 4)(0.0) @ np.linalg.inv(scene._plane(index)(0.0))
        points = grid(*SIZE)
        off.append(np.linalg.norm(moved(motion, points) - project(truth, points), axis=1).mean())
        shift = np.linalg.norm(points - project(truth, points), axis=1).mean()
        assert off[-1] < 0.25 * shift + 0.5
    assert np.mean(off) < 1.5


@pytest.mark.parametrize("order", ["rgb", "bgr", "rgba", "bgra", "mono"])
def test_a_fast_pan_is_found_in_every_channel_order(ground: np.ndarray, order: str) -> None:
    first, second = ground[:, 300:940], ground[:, 340:980]
    if order == "mono":
        first, second = first[..., 1], second[..., 1]
    elif order.endswith("a"):
        alpha = np.full((*first.shape[:2], 1), 255, np.uint8)
        first, second = np.dstack([first, alpha]), np.dstack([second, alpha])
    motion = between(view_of(first, order), view_of(second, order))
    assert motion is not None
    x, y, w, h = motion.move((300.0, 200.0, 40.0, 30.0))
    assert (x, y) == pytest.approx((260.0, 200.0), abs=1.0)
    assert (w, h) == pytest.approx((40.0, 30.0), rel=0.01)


def test_turn_and_zoom_about_the_middle(ground: np.ndarray) -> None:
    import cv2

    first = np.ascontiguousarray(ground[:, 300:940])
    turn = cv2.getRotationMatrix2D((319.5, 239.5), 4.0, 1.08)
    motion = between(view_of(first, "rgb"), view_of(cv2.warpAffine(first, turn, SIZE), "rgb"))
    assert motion is not None
    assert motion.move((300.0, 200.0, 100.0, 50.0))[2:] == pytest.approx((108.0, 54.0), rel=0.005)
    angle = math.degrees(math.atan2(motion.matrix[0, 1], motion.matrix[0, 0]))
    assert angle == pytest.approx(4.0, abs=0.2)
    assert moved(motion, np.array([[320.0, 240.0]]))[0] == pytest.approx([320, 240], abs=0.7)


def test_what_moves_with_the_target_says_nothing_of_the_camera(ground: np.ndarray) -> None:
    """Half of the image moves; it is the target's, and left out."""
    first = np.ascontiguousarray(ground[:, 300:940])
    second = first.copy()
    second[100:380, 160:500] = first[100:380, 140:480]
    box = (130.0, 90.0, 380.0, 300.0)
    motion = between(view_of(first, "rgb"), view_of(second, "rgb"), [box])
    assert motion is None or np.abs(motion.matrix[:2, 2]).max() < 1.0


def test_no_estimate_where_there_is_nothing_to_go_by(ground: np.ndarray) -> None:
    noise = np.random.default_rng(0)
    one, two = (noise.integers(0, 255, (480, 640, 3), np.uint8) for _ in range(2))
    plain = np.full((480, 640, 3), 90, np.uint8)
    view = view_of(np.ascontiguousarray(ground[:, 300:940]), "rgb")
    assert between(view_of(one, "rgb"), view_of(two, "rgb")) is None, "another scene"
    assert between(view_of(plain, "rgb"), view_of(plain, "rgb")) is None, "no texture"
    assert between(view, view) is None, "a camera that stands still needs no correction"
    assert between(view, view_of(ground[:240, :320], "rgb")) is None, "another size"
    assert between(view_of(ground[:8, :8], "rgb"), view_of(ground[:8, :8], "rgb")) is None, "tiny"
    everywhere = (0.0, 0.0, 640.0, 480.0)
    pan = view_of(np.ascontiguousarray(ground[:, 320:960]), "rgb")
    assert between(view, pan) is not None
    assert between(view, pan, [everywhere]) is None, "nothing but the target"


def test_a_measured_attitude_is_taken_in_place_of_the_flow(ground: np.ndarray) -> None:
    camera = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    angle = math.radians(3.0)
    right = np.array(
        [[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]]
    )
    image = ground[:, :640]
    former = view_of(image, "rgb", Attitude(np.eye(3), camera))
    now = view_of(image, "rgb", Attitude(right, camera))
    assert former.grey is None, "nothing is computed for it"
    motion = between(former, now)
    assert motion is not None
    x, _, w, _ = motion.move((310.0, 230.0, 20.0, 20.0))
    # The camera turns to the right: what it sees goes to the left.
    assert x + w / 2 == pytest.approx(320 - 500 * math.tan(angle), abs=1e-6)
    far, _, wide, _ = motion.move((20.0, 230.0, 20.0, 20.0))
    there = math.atan2(30 - 320, 500) - angle
    assert far + wide / 2 == pytest.approx(320 + 500 * math.tan(there), abs=1e-6)
    assert wide > w, "off the axis things grow"
    behind = np.diag([-1.0, 1.0, -1.0])
    assert between(former, view_of(image, "rgb", Attitude(behind, camera))) is None


def shift(dx: float, dy: float = 0.0) -> Motion:
    return Motion(np.array([[1.0, 0, dx], [0, 1, dy], [0, 0, 1]]))


def test_the_guess_that_was_right_lately_is_taken() -> None:
    box = (100.0, 100.0, 20.0, 20.0)
    walker = Prediction()
    for _ in range(8):
        assert walker.ahead(box, None, False)[1] == 100.0
        box = (box[0] + 10, 100.0, 20.0, 20.0)
        walker.learn(box)
    assert walker.ahead(box, None, False)[0] == pytest.approx(box[0] + 10, abs=0.5)

    shaken, box = Prediction(), (100.0, 100.0, 20.0, 20.0)
    for step in range(8):
        motion = shift(15.0 * (-1) ** step, 9.0 * (-1) ** (step // 2))
        shaken.ahead(box, motion, False)
        box = motion.move(box)
        shaken.learn(box)
    assert shaken.ahead(box, shift(-12.0, 5.0), False)[:2] == pytest.approx(
        (box[0] - 12, box[1] + 5), abs=1.0
    )


def test_a_followed_target_stays_in_the_image_while_the_camera_moves() -> None:
    box, followed = (100.0, 100.0, 20.0, 20.0), Prediction()
    for _ in range(10):
        followed.ahead(box, shift(-12.0), False)
        followed.learn(box)
    assert followed.ahead(box, shift(-12.0), False) == pytest.approx(box, abs=0.1)
    # Unsteady now: it must not be dragged along.
    assert followed.ahead(box, shift(-40.0), True) == pytest.approx(box, abs=0.1)


def test_a_lost_target_is_kept_at_its_place_in_the_world() -> None:
    box, lost = (100.0, 100.0, 20.0, 20.0), Prediction()
    assert lost.ahead(box, shift(-22.0), True) == box, "nothing is known of it yet"
    for _ in range(4):
        lost.ahead(box, None, False)
        lost.learn(box)
    for _ in range(30):
        box = lost.ahead(box, shift(-22.0), True)
    for _ in range(30):
        box = lost.ahead(box, shift(22.0), True)
    assert box == pytest.approx((100.0, 100.0, 20.0, 20.0), abs=1e-6)
    lost.drift = (5.0, 0.0)
    for _ in range(60):
        box = lost.ahead(box, None, True)
    assert box[0] - 100 < 5.0 / (1 - 0.8) + 1, "the velocity dies away"


def test_a_camera_that_comes_nearer_to_the_ground_need_not_come_nearer_to_its_target() -> None:
    """A car is followed by another one: all that stands still grows, and the car does not."""
    nearer = Motion(np.array([[1.04, 0, -4.4], [0, 1.04, -4.4], [0, 0, 1]]))
    sides = {}
    for name, grows in (("car", 1.0), ("house", 1.04)):
        box, seen = (100.0, 100.0, 20.0, 20.0), Prediction()
        for _ in range(8):
            seen.ahead(box, nearer, False)
            box = (100.0, 100.0, box[2] * grows, box[3] * grows)
            seen.learn(box)
        former = box[2]
        for _ in range(10):
            box = seen.ahead(box, nearer, True)
        sides[name] = box[2] / former
    assert sides["car"] == pytest.approx(1.0)
    assert sides["house"] == pytest.approx(1.04**10, rel=1e-6)


def test_errors_of_many_frames_do_not_lead_a_lost_target_astray() -> None:
    """A minute of estimates that are off by a little, each time the same way."""
    track = TargetTrack((100.0, 100.0, 40.0, 20.0), (0.0, 0.0, 0.0))
    for _ in range(5):
        track.anticipate(None, View(None, SIZE))
        track.prediction.learn(track.box)
    track.state, track.unseen = TrackState.LOST, 1
    for matrix in (np.diag([0.99, 0.99, 1.0]), np.diag([1.01, 1.01, 1.0])):
        for _ in range(1800):
            track.anticipate(Motion(matrix), View(None, SIZE))
        x, y, w, h = track.box
        assert w / h == pytest.approx(2.0)
        assert 0.5 * 40 - 1e-6 <= w <= 2.0 * 40 + 1e-6
        assert abs(x) <= 3 * SIZE[0]
        assert abs(y) <= 3 * SIZE[1]
        window = track.search(NetworkConfig())
        assert 0 <= window.cx <= SIZE[0]
        assert 0 <= window.cy <= SIZE[1]


def pan(ground: np.ndarray, lefts: list[int]) -> list[np.ndarray]:
    return [np.ascontiguousarray(ground[:, left : left + 640]) for left in lefts]


@pytest.mark.parametrize("active", [False, True])
def test_the_search_starts_where_the_camera_has_brought_the_target(
    ground: np.ndarray, active: bool
) -> None:
    tracker = create_tracker("duml", device="cpu", size="compact", **{"motion.active": active})
    lefts = [400, 400, 400, 400, 430, 460, 490, 520, 550, 580]
    images = pan(ground, lefts)
    target = tracker.start(images[0], (300.0, 220.0, 40.0, 40.0))
    for image in images[1:5]:
        (result,) = tracker.track(image, [target])
    target.track.state, target.track.unseen = TrackState.LOST, 1
    before = target.track.box
    (result,) = tracker.track(images[5], [target])
    middle = result.search_region[0] + result.search_region[2] / 2
    expected = before[0] + before[2] / 2 - (30.0 if active else 0.0)
    assert middle == pytest.approx(expected, abs=2.0)


def test_switched_off_nothing_is_computed_and_several_targets_share_one_estimate(
    ground: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from duml_tracker_ros.tracker.systems import frame_loop

    calls: list[int] = []

    def count(former: object, view: object, boxes: list) -> None:
        calls.append(len(boxes))

    monkeypatch.setattr(frame_loop, "between", count)
    images = pan(ground, [400, 410, 420])
    off = create_tracker("duml", device="cpu", size="compact", **{"motion.active": False})
    target = off.start(images[0], (300.0, 220.0, 40.0, 40.0))
    off.track(images[1], [target])
    assert not calls
    assert target.track.view is None
    on = create_tracker("duml", device="cpu", size="compact", **{"motion.active": True})
    targets = [on.start(images[0], (x, 220.0, 40.0, 40.0)) for x in (200.0, 300.0)]
    on.track(images[1], targets)
    calls.clear()
    on.track(images[2], targets)
    assert calls == [2]


def test_without_an_estimate_the_search_is_that_of_a_tracker_without_it(
    ground: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from duml_tracker_ros.tracker.systems import frame_loop

    monkeypatch.setattr(frame_loop, "between", lambda *_: None)
    images = pan(ground, [400, 402, 400, 401, 403, 400])
    told = []
    for active in (False, True):
        tracker = create_tracker("duml", device="cpu", size="compact", **{"motion.active": active})
        tracker.init(images[0], (300.0, 220.0, 40.0, 40.0))
        told.append([tracker.update(image).box for image in images[1:3]])
    assert told[0] == told[1]


@pytest.mark.parametrize("measured", [False, True], ids=["flow", "attitude"])
def test_a_target_out_of_sight_is_found_when_the_camera_comes_back_another_way(
    measured: bool,
) -> None:
    """60 degrees a second at 20 images a second, by 42 degrees; without it, it stays lost."""
    camera, way = TurningCamera(), away_and_back()

    def follow(active: bool) -> list[tuple[TrackState, float | None]]:
        tracker = create_tracker("duml", device="cpu", size="compact", **{"motion.active": active})
        seen = []
        for index, angles in enumerate(way):
            if measured:
                tracker.attitude = Attitude(camera.rotation(*angles), camera.matrix)
            truth, image = camera.box(*angles), camera.view(*angles)
            if index == 0:
                assert truth is not None
                tracker.init(image, truth)
                continue
            result = tracker.update(image)
            seen.append((result.state, overlap(result.box, truth) if truth else None))
        return seen

    told = follow(True)
    gone = [i for i, (_, there) in enumerate(told) if there is None]
    back = gone[-1] + 1
    assert len(gone) >= 20
    assert back <= len(told) - 8
    assert all(there is not None and there > 0.7 for _, there in told[: gone[0]])
    # A part of it at the border may be found before all of it is back.
    away = [i for i in gone[2:] if camera.out_of_sight(*way[i + 1])]
    assert len(away) >= 12
    assert all(told[i][0] is TrackState.LOST for i in away)
    assert all(there is not None and there > 0.7 for _, there in told[back + 3 :])
    assert told[-1][0] is TrackState.TRACKING
    assert measured or follow(False)[-1][1] == 0.0
