"""A Kalman filter for what moves steadily: position and velocity, pushed about at random."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# A measurement this far off (squared Mahalanobis distance, for each dimension) is of something
# else, or the target has turned; after some in a row they are believed.
GATE = 9.0
PATIENCE = 3


class ConstantVelocity:
    """Position and velocity in n dimensions, from measurements of the position.

    Attributes:
        mean: position, then velocity [2 n].
        covariance: of the mean [2 n, 2 n].

    Args:
        position: first measurement [n].
        noise: its covariance [n, n].
        speed: standard deviation of the velocity before anything is known of it.
        agility: standard deviation of what the velocity changes by in 1 s.
    """

    def __init__(self, position: Array, noise: Array, speed: float, agility: float) -> None:
        self._size = len(position)
        self._speed, self._agility = speed, agility
        self._outliers = 0
        self._start(position, noise)

    def ahead(self, seconds: float) -> tuple[Array, Array]:
        """Mean and covariance after some time, which is not below 0."""
        n = self._size
        step = np.eye(2 * n)
        step[:n, n:] = seconds * np.eye(n)
        pushed = np.array([[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]])
        spread = np.kron(self._agility**2 * pushed, np.eye(n))
        return step @ self.mean, step @ self.covariance @ step.T + spread

    def update(self, seconds: float, position: Array, noise: Array) -> None:
        """Let time pass, then take a measurement."""
        n = self._size
        self.mean, self.covariance = self.ahead(seconds)
        apart = position - self.mean[:n]
        expected = self.covariance[:n, :n] + noise
        if float(apart @ np.linalg.solve(expected, apart)) > GATE * n:
            self._outliers += 1
            if self._outliers > PATIENCE:
                self._start(position, noise)
            return
        self._outliers = 0
        gain = np.linalg.solve(expected, self.covariance[:n]).T
        self.mean = self.mean + gain @ apart
        # Joseph's form stays symmetric and positive.
        keep = np.eye(2 * n) - np.pad(gain, [(0, 0), (0, n)])
        self.covariance = keep @ self.covariance @ keep.T + gain @ noise @ gain.T

    def _start(self, position: Array, noise: Array) -> None:
        n = self._size
        self._outliers = 0
        self.mean = np.concatenate([position, np.zeros(n)])
        self.covariance = np.zeros((2 * n, 2 * n))
        self.covariance[:n, :n] = noise
        self.covariance[n:, n:] = self._speed**2 * np.eye(n)
