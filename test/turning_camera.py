"""A camera that turns on the spot before a picture of the generated scene; all truth is exact."""

from __future__ import annotations

import math

import cv2
import numpy as np

from duml_tracker_ros.scene import AerialScene, SceneSettings
from duml_tracker_ros.scene.camera import pixel_matrix, project

SETTINGS = SceneSettings(
    target_size=44.0, look_alikes=(), traffic=0, trees=(), bridges=(), clouds=0.0, tilt=0.0,
    drift=0.0, shake=0.0,
)  # fmt: skip
SIZE = (480, 360)
FOCAL = 415.0
"""A field of view of 60 degrees."""


class TurningCamera:
    """Looks at a wall, in whose middle the target stands; angles in degrees.

    60 degrees a second at 20 images a second are 3 degrees an image, 22 pixels.
    """

    def __init__(self, seed: int = 5, plain: bool = False) -> None:
        """``plain``: nothing but the target and a little ground around it is to be seen."""
        frame = AerialScene(seed, 1700, 1300, frames=1, settings=SETTINGS).render(0)
        assert frame.box is not None
        self._picture, self._box = frame.image, frame.box
        x, y, w, h = frame.box
        if plain:
            rows, columns = slice(int(y - h), int(y + 2 * h)), slice(int(x - w), int(x + 2 * w))
            self._picture = np.full_like(frame.image, 110)
            self._picture[rows, columns] = frame.image[rows, columns]
        self._middle = x + w / 2, y + h / 2
        self.matrix = np.array([[FOCAL, 0, SIZE[0] / 2], [0, FOCAL, SIZE[1] / 2], [0, 0, 1]])

    @staticmethod
    def rotation(right: float, up: float = 0.0) -> np.ndarray:
        """From the optical frame to the wall [3, 3]."""
        turn, _ = cv2.Rodrigues(np.array([0.0, math.radians(right), 0.0]))
        lift, _ = cv2.Rodrigues(np.array([math.radians(up), 0.0, 0.0]))
        return turn @ lift

    def _to_image(self, right: float, up: float) -> np.ndarray:
        """Picture pixels -> image pixels [3, 3]."""
        cx, cy = self._middle
        wall = np.array([[1 / FOCAL, 0, -cx / FOCAL], [0, 1 / FOCAL, -cy / FOCAL], [0, 0, 1]])
        return self.matrix @ self.rotation(right, up).T @ wall

    def view(self, right: float, up: float = 0.0) -> np.ndarray:
        """RGB image [360, 480, 3]."""
        return cv2.warpPerspective(self._picture, pixel_matrix(self._to_image(right, up)), SIZE)

    def box(self, right: float, up: float = 0.0) -> tuple[float, float, float, float] | None:
        """The target's box, if all of it is in the image."""
        span = self._span(right, up)
        if span is None or (span[0] < 0).any() or (span[1] > SIZE).any():
            return None
        low, high = span
        return float(low[0]), float(low[1]), *map(float, high - low)

    def out_of_sight(self, right: float, up: float = 0.0) -> bool:
        """Is nothing of the target in the image?"""
        span = self._span(right, up)
        return span is None or bool((span[1] <= 0).any() or (span[0] >= SIZE).any())

    def _span(self, right: float, up: float) -> tuple[np.ndarray, np.ndarray] | None:
        """Least and greatest x, y of the target in the image; None behind the camera."""
        x, y, w, h = self._box
        corners = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
        matrix = self._to_image(right, up)
        if (np.column_stack([corners, np.ones(4)]) @ matrix[2] <= 0.1).any():
            return None
        seen = project(matrix, corners)
        return seen.min(0), seen.max(0)


def away_and_back() -> list[tuple[float, float]]:
    """Degrees right and up at each image: to the right until the target is gone, up while it is
    out of sight, then back and down again, so that it comes in at another border."""
    out = [(0.0, 0.0)] * 8
    out += [(3.0 * i, 0.0) for i in range(1, 15)]
    out += [(42.0, 3.0 * i) for i in range(1, 9)]
    out += [(42.0 - 3.0 * i, 24.0) for i in range(1, 15)]
    out += [(0.0, 24.0 - 3.0 * i) for i in range(1, 9)]
    return out + [(0.0, 0.0)] * 4
