"""How targets move, in the image and in the world, against generated scenes with exact truth."""

import math

import cv2
import numpy as np
import pytest

from duml_tracker_ros.estimation.image_motion import ImageMotion, Ray, centre
from duml_tracker_ros.estimation.world_motion import (
    Pose,
    WorldError,
    WorldMotion,
    from_distance,
    from_plane,
)
from duml_tracker_ros.evaluation.motion_trial import DRAWS, SOURCES, bounds, filmed, measure
from duml_tracker_ros.scene.camera import project

RUNS = 50
DOWN = Pose(np.array([0.0, 0.0, 40.0]), np.diag([1.0, -1.0, -1.0]))
AHEAD = np.array([0.0, 0.0, 1.0])


@pytest.fixture(scope="module")
def figures():
    return {name: measure(source, RUNS // DRAWS) for name, source in SOURCES.items()}


@pytest.mark.parametrize("name", SOURCES)
def test_world_estimates_are_near_and_their_covariance_is_honest(figures, name):
    found = figures[name]
    assert found.position <= 0.03
    assert found.velocity <= 0.3
    low, high = bounds(6 if SOURCES[name].deviation else 4, RUNS)
    assert low <= found.world_nees <= high


@pytest.mark.parametrize("name", ["depth", "range"])
def test_prediction_is_nearer_than_the_last_box_and_its_covariance_is_honest(figures, name):
    found = figures[name]
    assert found.predicted < 0.6 * found.held
    assert found.rate < 0.03
    low, high = bounds(4, RUNS)
    assert low <= found.image_nees <= high


def test_the_bounds_are_those_of_chi_square():
    # 95 % of chi-square with 300 degrees of freedom lie between 253.91 and 349.87.
    assert bounds(6, 50) == pytest.approx((253.91 / 300, 349.87 / 300), abs=1e-3)


def test_the_scene_in_space_projects_to_its_image():
    for frame in filmed(SOURCES["range"], 3, frames=2):
        x, y, z = frame.rotation.T @ (frame.target - frame.camera)
        seen = np.array([x, y]) / z * frame.focal + (320, 240)
        assert seen == pytest.approx(centre(frame.box), abs=0.05 * frame.box[2])
        assert np.linalg.det(frame.rotation) == pytest.approx(1.0)
        # The ground below the middle of the image, by the homography and by the ray.
        place = from_plane(Pose(frame.camera, frame.rotation), AHEAD, 0.0, 0.1, 0.0, 0.0)
        assert place.position[2] == pytest.approx(0.0, abs=1e-9)


def test_ground_places_agree_with_the_scenes_homography():
    from duml_tracker_ros.scene.camera import CameraPose, SceneCamera

    camera = SceneCamera(640, 480, 900.0)
    view = CameraPose((12.0, -7.0), 0.4, 0.5, 20.0, 0.03)
    rotation, position = camera.in_space(view)
    for x, y in ((320.0, 240.0), (10.0, 470.0), (630.0, 20.0)):
        ray = np.array([(x - 320) / 900, (y - 240) / 900, 1.0])
        ray /= np.linalg.norm(ray)
        found = from_plane(Pose(position, rotation), ray, 0.0, 0.1, 0.0, 0.0).position
        # The map's y points down, the world's up.
        truth = project(np.linalg.inv(camera.plane(view)), np.array([[x, y]]))[0]
        assert found == pytest.approx([truth[0], -truth[1], 0.0], abs=1e-6)


def box_at(x):
    return (x - 20.0, 85.0, 40.0, 30.0)


def test_a_stamp_that_jumps_back_or_far_ahead_begins_anew():
    for jump in (-3.0, 0.0, 5.0):
        motion = ImageMotion()
        first = motion.see(10.0, box_at(100))
        for step in range(1, 20):
            sight = motion.see(10.0 + step / 20, box_at(100 + 5 * step))
        assert sight.mean[2] == pytest.approx(100.0, abs=5.0)
        assert sight.covariance[2, 2] < first.covariance[2, 2] / 10
        anew = motion.see(10.95 + jump, box_at(300))
        assert anew.mean == pytest.approx([300.0, 100.0, 0.0, 0.0])
        assert anew.covariance == pytest.approx(first.covariance)


def test_what_is_lost_grows_uncertain_and_then_nothing_is_told():
    motion = ImageMotion()
    for step in range(20):
        motion.see(step / 20, box_at(100 + 5 * step))
    near, far = motion.ahead(1.0), motion.ahead(1.5)
    assert far.mean[0] == pytest.approx(near.mean[0] + 0.5 * near.mean[2])
    assert np.linalg.det(far.covariance) > 10 * np.linalg.det(near.covariance)
    assert motion.ahead(2.5) is None
    assert motion.ahead(0.5) is None, "an image older than the last one with the target"


@pytest.mark.parametrize("known", [True, False])
def test_the_cameras_own_turning_is_taken_out_where_it_is_known(known):
    """A target that stands still before a camera that turns to the right at 0.5 rad/s."""
    motion, target = ImageMotion(), np.array([0.1, 0.0, 1.0]) / math.hypot(0.1, 1.0)
    for step in range(40):
        rotation, _ = cv2.Rodrigues(np.array([0.0, 0.5 * step / 20, 0.0]))
        direction = rotation.T @ target
        x = 500 * direction[0] / direction[2] + 320
        ray = Ray(direction, 500.0, rotation if known else None)
        sight = motion.see(step / 20, box_at(x), ray)
    assert sight.rate == pytest.approx([0.0, 0.0 if known else -0.5, 0.0], abs=0.03)
    assert sight.rate_covariance[1, 1] < 0.05**2
    # Another series of attitudes has nothing to do with the former.
    turned = motion.see(2.0, box_at(x), Ray(direction, 500.0, rotation, series=1))
    assert turned.rate_covariance[1, 1] > 0.5


def test_one_wild_box_is_left_out_and_a_new_course_is_believed():
    motion = ImageMotion()
    for step in range(20):
        steady = motion.see(step / 20, box_at(100 + 5 * step))
    wild = motion.see(1.0, box_at(600))
    assert wild.mean[0] == pytest.approx(steady.mean[0] + steady.mean[2] / 20)
    for step in range(1, 6):
        sight = motion.see(1.0 + step / 20, box_at(600))
    assert sight.mean[0] == pytest.approx(600.0, abs=1.0)


def test_places_that_nothing_tells_are_refused_with_words():
    with pytest.raises(WorldError, match="a distance of nan m tells nothing"):
        from_distance(DOWN, AHEAD, math.nan, 0.1, 0.001, 0.001)
    with pytest.raises(WorldError, match="check ground_height"):
        from_plane(DOWN, AHEAD, 50.0, 0.2, 0.001, 0.001)
    level = Pose(DOWN.position, np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]]))
    with pytest.raises(WorldError, match="along the ground"):
        from_plane(level, AHEAD, 0.0, 0.2, 0.001, 0.001)


def test_what_is_wrong_all_along_is_not_averaged_away():
    motion = WorldMotion()
    place = from_plane(DOWN, np.array([0.6, 0.0, 0.8]), 0.0, 0.5, 0.001, 0.002)
    for step in range(200):
        mean, covariance = motion.see(step / 20, place)
    assert mean == pytest.approx([30.0, 0.0, 0.0, 0.0, 0.0, 0.0], abs=1e-6)
    # Half a metre of height is 0.375 m along the ground here.
    assert covariance[0, 0] > 0.375**2
    assert covariance[2, 2] == pytest.approx(0.25, rel=0.01)
    assert covariance[1, 1] < 0.15**2
