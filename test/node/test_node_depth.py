"""The target's surface in depth images of a known scene, and the pairing of two streams."""

import array
import types

import numpy as np
import pytest
from test_node_camera_model import BROWN, Info, brown, pixel

from duml_tracker_ros.node.camera_model import CameraModel
from duml_tracker_ros.node.depth import DepthError, depth_view, surface
from duml_tracker_ros.node.pairing import Pairing

CAMERA = CameraModel(Info(d=BROWN))


def depth_message(depth, encoding, bigendian=False, padding=0):
    kind = {"16UC1": "u2", "32FC1": "f4"}[encoding]
    kind = np.dtype(kind).newbyteorder(">" if bigendian else "<")
    height, width = depth.shape
    step = width * kind.itemsize + padding
    rows = np.zeros((height, step), np.uint8)
    rows[:, : width * kind.itemsize] = depth.astype(kind).view(np.uint8).reshape(height, -1)
    data = array.array("B", rows.tobytes())
    return types.SimpleNamespace(
        width=width, height=height, step=step, encoding=encoding, is_bigendian=bigendian, data=data
    )


def scene(target=8.0, ground=20.0, unknown=0.0):
    """Metres [480, 640]: a target of known depth in front of the ground, far off the centre."""
    depth = np.full((480, 640), ground, np.float32)
    u, v = pixel((0.4, -0.3), brown, BROWN)
    box = (u - 20.0, v - 15.0, 40.0, 30.0)
    x, y, w, h = (round(value) for value in box)
    depth[y : y + h, x : x + w] = target
    depth[y + 2 : y + 6, x + 2 : x + 9] = unknown
    return depth, box


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
@pytest.mark.parametrize("bigendian", [False, True])
def test_position_and_points_of_a_target_off_the_centre(encoding, bigendian):
    metres, box = scene(unknown=0.0 if encoding == "16UC1" else float("nan"))
    units = metres * 1000 if encoding == "16UC1" else metres
    depth, unit = depth_view(depth_message(units, encoding, bigendian, padding=12))
    found = surface(depth, unit, box, CAMERA)
    np.testing.assert_allclose(found.position, (0.4 * 8, -0.3 * 8, 8.0), atol=1e-3)
    assert found.points.dtype == np.float32
    # 40 x 30 pixels less the 7 x 4 unknown ones; the ground is none of them.
    assert 1100 <= len(found.points) <= 1200
    np.testing.assert_allclose(found.points[:, 2], 8.0, atol=1e-3)
    np.testing.assert_allclose(found.points.mean(0)[:2], (3.2, -2.4), atol=0.05)


def test_loose_box_takes_no_background():
    metres, (x, y, w, h) = scene()
    found = surface(metres, 1.0, (x - 10, y - 8, w + 20, h + 16), CAMERA)
    assert found.position[2] == 8.0
    assert np.all(found.points[:, 2] == 8.0)


def test_large_targets_are_thinned_out():
    found = surface(np.full((480, 640), 5.0, np.float32), 1.0, (0, 0, 640, 480), CAMERA)
    assert 2000 < len(found.points) <= 4096


def test_box_over_the_border():
    metres = np.full((480, 640), 5.0, np.float32)
    assert len(surface(metres, 1.0, (-30, 200, 80, 50), CAMERA).points) == 50 * 50
    with pytest.raises(DepthError, match="0 of 0"):
        surface(metres, 1.0, (-70, 200, 80, 50), CAMERA)


@pytest.mark.parametrize("unknown", [0.0, float("nan"), float("inf"), -1.0])
def test_unknown_depth_gives_no_position(unknown):
    with pytest.raises(DepthError, match="depth is known for 0 of"):
        surface(np.full((480, 640), unknown, np.float32), 1.0, (300, 200, 40, 30), CAMERA)


def test_malformed_depth_is_refused_with_the_reason():
    good = depth_message(scene()[0], "32FC1")
    for fields, words in (
        ({"encoding": "rgb8"}, "16UC1, mono16, 32FC1"),
        ({"data": good.data[:1000]}, "truncated"),
        ({"step": 4}, "truncated or its size"),
        ({"height": 0}, "truncated or its size"),
    ):
        with pytest.raises(DepthError, match=words):
            depth_view(types.SimpleNamespace(**{**vars(good), **fields}))


def test_pairs_are_made_whichever_comes_first():
    pairing = Pairing(4)
    assert pairing.offer_left(100, "image 100", 5) is None
    assert pairing.offer_left(200, "image 200", 5) is None
    assert pairing.offer_right(97, "depth 97", 5) == "image 100"
    assert pairing.offer_right(201, "depth 201", 5) == "image 200"
    assert pairing.offer_right(300, "depth 300", 5) is None
    assert pairing.offer_right(400, "depth 400", 5) is None
    assert pairing.offer_left(403, "image 403", 5) == "depth 400"
    # What came before a pair waits no longer.
    assert pairing.waiting() == (0, 0)


def test_waiting_items_are_bounded_and_can_be_dropped():
    pairing = Pairing(4)
    for stamp in range(0, 1000, 100):
        assert pairing.offer_left(stamp, stamp, 5) is None
    assert pairing.waiting() == (4, 0)
    assert pairing.offer_right(100, "old", 5) is None
    assert pairing.offer_right(800, "new", 5) == 800
    pairing.offer_left(1000, 1000, 5)
    pairing.clear_left()
    assert pairing.offer_right(1000, "late", 5) is None
