"""The generated scene: repeatable, and its truth is where the pixels are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from duml_tracker_ros.scene import AerialScene, SceneSettings, random_settings
from duml_tracker_ros.scene.camera import CameraPose, SceneCamera, project
from duml_tracker_ros.scene.paths import Path

# Nothing between the ground truth and the pixels: no noise, light, blur, traffic or occluders.
PLAIN = SceneSettings(
    noise=0, light=0, clouds=0, exposure=0, look_alikes=(), traffic=0, trees=(), bridges=()
)


@pytest.fixture(scope="module")
def demo() -> AerialScene:
    return AerialScene()


def test_same_seed_same_bytes_in_any_order(demo: AerialScene) -> None:
    again = AerialScene()
    for index in (250, 3, 140):
        one, two = demo.render(index), again.render(index)
        assert np.array_equal(one.image, two.image)
        assert (one.box, one.visibility) == (two.box, two.visibility)
    other = AerialScene(seed=8)
    assert not np.array_equal(other.render(3).image, demo.render(3).image)


def test_demo_scene_has_its_events(demo: AerialScene) -> None:
    frames = [demo.render(i) for i in range(0, 300, 2)]
    assert all(f.image.shape == (480, 640, 3) and f.image.dtype == np.uint8 for f in frames)
    assert all(f.box is not None for f in frames)
    seen = np.array([f.visibility for f in frames])
    hidden = seen < 0.05
    starts = np.flatnonzero(np.diff(hidden.astype(int)) == 1)
    ends = np.flatnonzero(np.diff(hidden.astype(int)) == -1)
    assert len(starts) == 2, "one tree and one bridge hide the target"
    assert all(6 <= 2 * (b - a) <= 30 for a, b in zip(starts, ends, strict=True))
    assert seen[0] == 1.0
    assert seen[-1] == 1.0
    # The scene is no slide show: the camera moves, the picture has detail.
    assert np.mean(np.abs(frames[0].image.astype(int) - frames[60].image)) > 8
    assert frames[0].image.std() > 20
    assert len({f.image[5, 5].tobytes() for f in frames}) > 20


def test_look_alike_passes_close(demo: AerialScene) -> None:
    truth = demo.render(150).box
    assert truth is not None
    nearest = min(
        np.hypot(*(actor.track[150, :2] - demo._target.track[150, :2]))
        for actor in demo._actors
        if actor.model.kind == demo._target.model.kind
    )
    assert nearest < 4.0


@pytest.mark.parametrize("tilt", [0.0, 24.0, 48.0])
@pytest.mark.parametrize("kind", ["car", "truck", "person"])
def test_box_is_where_the_target_is(kind: str, tilt: float) -> None:
    """The picture with the target and the one without differ exactly inside the box."""
    settings = replace(
        PLAIN, kind=kind, tilt=tilt, turn=31, target_size=52 if kind != "person" else 30
    )
    with_target = AerialScene(3, 320, 240, 40, settings)
    without = AerialScene(3, 320, 240, 40, settings)
    far = without._target.track.copy()
    far[:, :2] += 1e4
    without._target = type(without._target)(without._target.model, far)
    # The shadow belongs to the target's picture but not to its box: let none fall.
    for scene in (with_target, without):
        scene._world = replace(scene._world, plan=replace(scene._world.plan, sun=(0.0, 0.0)))
        scene._target = type(scene._target)(
            replace(scene._target.model, shadow=np.zeros_like(scene._target.model.shadow)),
            scene._target.track,
        )
    for index in (0, 17, 39):
        frame = with_target.render(index)
        assert frame.box is not None
        change = np.abs(frame.image.astype(int) - without.render(index).image).max(2) > 12
        rows, columns = np.nonzero(change)
        x, y, w, h = frame.box
        found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert np.abs(found - (x, y, x + w, y + h)).max() < 2.0, (found, frame.box)
        assert frame.visibility == pytest.approx(1.0, abs=0.02)


def test_visibility_counts_what_covers_the_target() -> None:
    settings = replace(PLAIN, bridges=(0.5,), hidden_frames=6)
    scene = AerialScene(5, 320, 240, 60, settings)
    seen = np.array([scene.render(i).visibility for i in range(60)])
    hidden = int((seen < 0.02).sum())
    assert 2 <= hidden <= 14
    partly = seen[(seen > 0.1) & (seen < 0.9)]
    assert len(partly) >= 8
    middle = int(np.argmin(seen))
    assert np.all(np.diff(seen[max(0, middle - 12) : middle]) <= 0.02), "it sinks steadily"


def test_target_out_of_view_has_no_box() -> None:
    scene = AerialScene(2, 320, 240, 10, PLAIN)
    track = scene._target.track.copy()
    track[5, :2] += 300
    x, y, w, h = scene.render(4).box or (0, 0, 0, 0)
    left = scene._poses[4].pixels_per_metre
    track[4, 0] -= (x + w / 2) / left
    scene._target = type(scene._target)(scene._target.model, track)
    assert scene.render(5).box is None
    assert scene.render(5).visibility == 0.0
    assert scene.render(4).visibility < 0.9


def test_random_scenes_vary_and_keep_their_target_size() -> None:
    themes, kinds, sizes, brightness = set(), set(), [], []
    for seed in range(40):
        settings = random_settings(seed)
        themes.add(settings.theme)
        kinds.add(settings.kind)
        sizes.append(settings.target_size)
    assert len(themes) >= 6
    assert len(kinds) >= 6
    assert min(sizes) < 18
    assert max(sizes) > 80
    assert min(sizes) >= 12
    assert max(sizes) <= 150
    for seed in range(4):
        scene = AerialScene.random(seed, frames=12)
        frame = scene.render(6)
        assert frame.image.shape == (240, 320, 3)
        brightness.append(float(frame.image.mean()))
        if frame.box is not None:
            assert 4 < max(frame.box[2:]) < 240
    assert max(brightness) - min(brightness) > 15


def test_camera_projects_the_point_looked_at_to_the_centre() -> None:
    camera = SceneCamera(321, 203, 500)
    pose = CameraPose((12.0, -7.5), 0.7, 0.5, 8.0)
    assert project(camera.plane(pose), np.array([[12.0, -7.5]]))[0] == pytest.approx((160.5, 101.5))
    # Higher points appear farther up; at the centre a metre across is `pixels_per_metre`.
    raised = project(camera.plane(pose, 2.0), np.array([[12.0, -7.5]]))[0]
    assert raised[0] == pytest.approx(160.5)
    assert raised[1] < 101.5 - 2.0 * 8 * np.sin(0.5) * 0.99
    across = np.array([[12.0 + np.cos(0.7), -7.5 + np.sin(0.7)]])
    assert project(camera.plane(pose), across)[0] == pytest.approx((168.5, 101.5))
    corners = camera.ground_corners(pose)
    assert project(camera.plane(pose), corners)[2] == pytest.approx((321, 203))


def test_path_has_unit_speed_and_right_hand_offset() -> None:
    path = Path(np.array([[0.0, 0.0], [40.0, 0.0], [60.0, 30.0], [60.0, 80.0]]))
    s = np.linspace(5, path.length - 5, 50)
    position, heading = path.at(s)
    step = np.hypot(*np.diff(position, axis=0).T) / np.diff(s)
    assert np.all(np.abs(step - 1) < 0.02)
    right, _ = path.at(s, 3.0)
    assert np.allclose(np.hypot(*(right - position).T), 3.0)
    # Y points down on the map: right of a drive towards +x is +y.
    assert path.at(1.0, 3.0)[0][1] > 2.5
    beyond, _ = path.at(path.length + 10)
    assert beyond == pytest.approx((60.0, 90.0), abs=1.0)


def test_errors_name_the_value() -> None:
    with pytest.raises(ValueError, match="16x240"):
        AerialScene(1, 16, 240)
    with pytest.raises(ValueError, match="frames=0"):
        AerialScene(1, 320, 240, 0)
    with pytest.raises(ValueError, match="tank"):
        AerialScene(1, 320, 240, 10, SceneSettings(kind="tank"))
    with pytest.raises(ValueError, match="moon"):
        AerialScene(1, 320, 240, 10, SceneSettings(theme="moon"))
    with pytest.raises(IndexError, match="12"):
        AerialScene(1, 64, 64, 12, PLAIN).render(12)
