"""From pixels to directions: the lens and pixel geometry that a sensor_msgs/CameraInfo tells.

Directions are normalised image coordinates (x/z, y/z) in the optical frame: x right, y down,
z forward. Messages are taken by their fields, so nothing of ROS is imported.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

PERSPECTIVE = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14)}
FISHEYE = {"equidistant": (4,), "fisheye": (4,)}
ITERATIONS = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 100, 1e-10)
# Focal lengths in pixels, of the widest fisheye on a tiny sensor and of a telescope.
FOCAL = (1.0, 1e7)
MOST_DISTORTION = 1e6
# A point that does not come back to its pixel lies where the lens model has no answer.
MAX_RETURN_ERROR = 0.1


class CameraModelError(ValueError):
    """A CameraInfo that cannot be used for an image; the text says what is wrong with it."""


class CameraModel:
    """One CameraInfo.

    Args:
        info: the message, or anything with its fields.
        rectified: the image is rectified, so P holds and K and D do not.

    Raises:
        CameraModelError: not calibrated, or a distortion model that is not known.
    """

    def __init__(self, info: Any, rectified: bool = False) -> None:
        self.model = "rectified" if rectified else info.distortion_model or "no distortion"
        matrix = np.array(info.p if rectified else info.k, np.float64)
        matrix = matrix.reshape(3, -1)[:, :3]
        name, focal = "P" if rectified else "K", np.diag(matrix)[:2]
        # NaN is in no range.
        if not ((focal >= FOCAL[0]) & (focal <= FOCAL[1])).all():
            raise CameraModelError(
                f"CameraInfo is not calibrated: {name} has focal lengths {focal[0]:g}, {focal[1]:g}"
                f"; {FOCAL[0]:g} to {FOCAL[1]:g} pixels are possible: calibrate the camera"
            )
        if not (np.abs(matrix[:2]) <= FOCAL[1]).all():
            raise CameraModelError(
                f"CameraInfo is not calibrated: {name} has its centre at {matrix[0, 2]:g}, "
                f"{matrix[1, 2]:g} and a skew of {matrix[0, 1]:g}: calibrate the camera"
            )
        self._matrix = matrix
        self._distortion = np.zeros(0) if rectified else _distortion(info)
        self._fisheye = not rectified and info.distortion_model in FISHEYE
        # K belongs to the full resolution, of which the image may be a part, or binned.
        self._binning = np.array([max(1, info.binning_x), max(1, info.binning_y)], np.float64)
        self._offset = np.array([info.roi.x_offset, info.roi.y_offset], np.float64)
        full = (info.roi.width or info.width, info.roi.height or info.height)
        self.size = tuple(int(n // b) for n, b in zip(full, self._binning, strict=True))

    def check(self, width: int, height: int) -> None:
        """Raise CameraModelError when it is the model of an image of another size."""
        if self.size != (width, height):
            raise CameraModelError(
                f"CameraInfo is for images of {self.size[0]}x{self.size[1]} pixels, the image has "
                f"{width}x{height}"
            )

    @property
    def focal(self) -> float:
        """Mean focal length in pixels of the image."""
        lengths = np.diag(self._matrix)[:2] / self._binning
        return float(lengths.mean())

    @property
    def matrix(self) -> np.ndarray:
        """Camera matrix [3, 3] of image coordinates, pixel (0, 0) covering [0, 1) x [0, 1).

        Without the lens's distortion.
        """
        x, y = self._binning
        down = np.diag([1 / x, 1 / y, 1.0])
        down[:2, 2] = (0.5 - self._offset) / self._binning
        return np.asarray(down @ np.vstack([self._matrix[:2], [0.0, 0.0, 1.0]]))

    def directions(self, points: np.ndarray) -> np.ndarray:
        """Directions [N, 2] of image points [N, 2], pixel (0, 0) covering [0, 1) x [0, 1).

        NaN where the lens model has no answer, such as beyond the rim of a fisheye's picture.
        """
        # OpenCV and calibrations count from pixel centres.
        pixels = np.asarray(points, np.float64) * self._binning + self._offset - 0.5
        # The model of a fisheye bends without coefficients, too.
        if not self._fisheye and not self._distortion.any():
            return self._pinhole(pixels)
        found = self._undistort(np.ascontiguousarray(pixels[:, None])).reshape(-1, 2)
        lost = np.hypot(*(self._project(found) - pixels).T)
        found[~(lost <= MAX_RETURN_ERROR)] = np.nan
        return found

    def _undistort(self, pixels: np.ndarray) -> np.ndarray:
        lens = self._matrix, self._distortion
        if self._fisheye:
            return np.asarray(cv2.fisheye.undistortPoints(pixels, *lens, criteria=ITERATIONS))
        if hasattr(cv2, "undistortPointsIter"):
            # OpenCV 4 has another name for it where the iterations can be chosen.
            none = np.eye(3)
            return np.asarray(cv2.undistortPointsIter(pixels, *lens, none, none, ITERATIONS))
        return np.asarray(cv2.undistortPoints(pixels, *lens, criteria=ITERATIONS))

    def _pinhole(self, pixels: np.ndarray) -> np.ndarray:
        (fx, skew, cx), (_, fy, cy) = self._matrix[:2].tolist()
        y = (pixels[:, 1] - cy) / fy
        return np.stack([(pixels[:, 0] - cx - skew * y) / fx, y], 1)

    def _project(self, directions: np.ndarray) -> np.ndarray:
        points = np.column_stack([directions, np.ones(len(directions))])[:, None]
        none = np.zeros(3)
        if self._fisheye:
            pixels, _ = cv2.fisheye.projectPoints(
                points, none, none, self._matrix, self._distortion
            )
        else:
            pixels, _ = cv2.projectPoints(points, none, none, self._matrix, self._distortion)
        return np.asarray(pixels).reshape(-1, 2)


def _distortion(info: Any) -> np.ndarray:
    """Coefficients as OpenCV takes them."""
    values = np.array(info.d, np.float64)
    known = {**PERSPECTIVE, **FISHEYE}
    if not (np.abs(values) <= MOST_DISTORTION).all():
        raise CameraModelError(
            f"CameraInfo has distortion coefficients {values.tolist()[:14]}; none is beyond "
            f"{MOST_DISTORTION:g}: calibrate the camera"
        )
    if info.distortion_model not in known:
        if info.distortion_model == "" and not values.any():
            return np.zeros(0)
        raise CameraModelError(
            f"distortion model {info.distortion_model!r} is not known; these are: "
            f"{', '.join(known)}. Or rectify the image and set rectified"
        )
    lengths = known[info.distortion_model]
    if not values.size:
        return np.zeros(4)
    if values.size not in lengths:
        raise CameraModelError(
            f"distortion model {info.distortion_model!r} has {values.size} coefficients, "
            f"it takes {' or '.join(map(str, lengths))}"
        )
    return values
