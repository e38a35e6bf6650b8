"""Directions from pixels, against projections written out by the lens models' own formulas."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from duml_tracker_ros.node.camera_model import CameraModel, CameraModelError

FX, FY, CX, CY = 520.0, 505.0, 331.5, 228.25
BROWN = (-0.31, 0.12, 0.0012, -0.0008, -0.02)
RATIONAL = (0.35, -0.12, 0.0009, -0.0004, 0.03, 0.62, -0.05, 0.01)
FISHEYE = (0.021, -0.006, 0.0011, -0.0003)


@dataclasses.dataclass
class Info:
    """The fields of a sensor_msgs/CameraInfo."""

    width: int = 640
    height: int = 480
    distortion_model: str = "plumb_bob"
    d: tuple = ()
    k: tuple = (FX, 0.0, CX, 0.0, FY, CY, 0.0, 0.0, 1.0)
    p: tuple = (400.0, 0.0, 320.0, 0.0, 0.0, 410.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    binning_x: int = 0
    binning_y: int = 0
    roi: SimpleNamespace = dataclasses.field(
        default_factory=lambda: SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    )


def brown(direction, d):
    x, y = direction
    k1, k2, p1, p2, k3, k4, k5, k6 = (*d, *(0.0,) * (8 - len(d)))
    r2 = x * x + y * y
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    return (
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
    )


def kannala(direction, d):
    r = np.hypot(*direction)
    angle = np.arctan(r)
    bent = angle * (1 + sum(k * angle ** (2 * i + 2) for i, k in enumerate(d)))
    return tuple(np.array(direction) * (bent / r if r else 1.0))


def pixel(direction, lens, d):
    """Continuous coordinates of the image point; those of a calibration are 0.5 less."""
    x, y = lens(direction, d)
    return FX * x + CX + 0.5, FY * y + CY + 0.5


DIRECTIONS = [(0.0, 0.0), (0.31, -0.22), (-0.55, 0.4), (0.5, 0.41), (-0.02, -0.39), (0.003, 0.001)]


@pytest.mark.parametrize(
    ("model", "lens", "d"),
    [
        ("plumb_bob", brown, BROWN),
        ("plumb_bob", brown, ()),
        ("rational_polynomial", brown, RATIONAL),
        ("equidistant", kannala, FISHEYE),
        ("fisheye", kannala, FISHEYE),
        ("equidistant", kannala, (0.0, 0.0, 0.0, 0.0)),
    ],
)
def test_projected_directions_come_back(model, lens, d):
    camera = CameraModel(Info(distortion_model=model, d=d))
    points = np.array([pixel(direction, lens, d) for direction in DIRECTIONS])
    np.testing.assert_allclose(camera.directions(points), DIRECTIONS, atol=2e-6)


def test_distortion_matters_off_centre():
    """Without it the direction would be wrong by degrees: the test above can fail."""
    point = np.array([pixel((0.55, -0.4), brown, BROWN)])
    plain = CameraModel(Info()).directions(point)[0]
    assert np.hypot(*(plain - (0.55, -0.4))) > 0.05


def test_wide_fisheye():
    camera = CameraModel(Info(distortion_model="equidistant", d=FISHEYE))
    steep = (np.tan(np.radians(75)), 0.2)
    found = camera.directions(np.array([pixel(steep, kannala, FISHEYE)]))[0]
    np.testing.assert_allclose(found, steep, rtol=1e-4)


def test_no_answer_beyond_the_lens_model():
    """Strong barrel distortion folds back: no direction projects to the outermost pixels."""
    camera = CameraModel(Info(d=(-0.5, 0.0, 0.0, 0.0, 0.0)))
    found = camera.directions(np.array([[2000.0, 1500.0], [CX + 0.5, CY + 0.5]]))
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1], 0.0, atol=1e-9)


def test_rectified_images_take_p():
    camera = CameraModel(Info(d=BROWN), rectified=True)
    found = camera.directions(np.array([[320.5 + 40.0, 240.5 - 41.0]]))[0]
    np.testing.assert_allclose(found, (0.1, -0.1), atol=1e-12)


def test_part_of_the_sensor_and_binning():
    roi = SimpleNamespace(x_offset=100, y_offset=60, width=400, height=300)
    camera = CameraModel(Info(d=BROWN, binning_x=2, binning_y=2, roi=roi))
    assert camera.size == (200, 150)
    direction = (0.2, -0.1)
    u, v = pixel(direction, brown, BROWN)
    found = camera.directions(np.array([[(u - 100) / 2, (v - 60) / 2]]))[0]
    np.testing.assert_allclose(found, direction, atol=1e-6)


def test_size_of_the_image_must_fit():
    camera = CameraModel(Info())
    camera.check(640, 480)
    with pytest.raises(CameraModelError, match="640x480 pixels, the image has 320x240"):
        camera.check(320, 240)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"k": (0.0,) * 9}, "not calibrated"),
        ({"k": (float("nan"),) * 9}, "not calibrated"),
        ({"k": (1e-300, 0, 320, 0, 1e-300, 240, 0, 0, 1)}, "focal lengths 1e-300, 1e-300; 1 to"),
        ({"k": (500, 0, 320, 0, 1e300, 240, 0, 0, 1)}, "focal lengths 500, 1e.300"),
        ({"k": (500, 0, 1e300, 0, 500, 240, 0, 0, 1)}, "its centre at 1e.300, 240"),
        ({"k": (500, float("nan"), 320, 0, 500, 240, 0, 0, 1)}, "a skew of nan"),
        ({"d": (1e300, 0.0, 0.0, 0.0)}, "none is beyond 1e.06"),
        ({"distortion_model": "division", "d": (0.1,)}, "'division' is not known"),
        ({"distortion_model": "", "d": (0.1, 0.0, 0.0, 0.0)}, "'' is not known"),
        ({"d": (0.1, 0.2, 0.3)}, "3 coefficients"),
        ({"d": (float("inf"),) * 5}, "inf"),
        ({"distortion_model": "equidistant", "d": (0.1,) * 5}, "5 coefficients"),
    ],
)
def test_unusable_info_is_refused_with_the_reason(fields, words):
    with pytest.raises(CameraModelError, match=words):
        CameraModel(Info(**fields))
