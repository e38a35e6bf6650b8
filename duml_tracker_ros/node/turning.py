"""How a camera was turned at any recent moment, from what an IMU or a gimbal says now and then."""

from __future__ import annotations

import itertools
import math
import threading
from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np

KEPT = 3.0
"""Seconds that are remembered: images that wait for a selection are older than the newest."""
GAP = 0.2
"""Seconds without a message after which nothing is known of what came between."""


def axes_matrix(names: str) -> np.ndarray:
    """Vectors of the device's frame -> the optical frame (x right, y down, z forward) [3, 3].

    Args:
        names: one of `AXES`: which of the device's axes are the optical frame's x, y and z.
    """
    rows = []
    for name in names.split(","):
        row = np.zeros(3)
        row["xyz".index(name[-1])] = -1.0 if name[0] == "-" else 1.0
        rows.append(row)
    return np.array(rows)


def quaternion_matrix(x: float, y: float, z: float, w: float) -> np.ndarray | None:
    """Rotation matrix [3, 3] of a quaternion; None where it is none."""
    norm = math.sqrt(x * x + y * y + z * z + w * w)
    if not math.isfinite(norm) or not 0.5 < norm < 2.0:
        return None
    x, y, z, w = x / norm, y / norm, z / norm, w / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def turned(rates: np.ndarray, seconds: float) -> np.ndarray:
    """Rotation [3, 3] by constant rates [3] in rad/s."""
    matrix, _ = cv2.Rodrigues(np.asarray(rates, np.float64) * seconds)
    return np.asarray(matrix)


AXES = tuple(
    names
    for names in map(",".join, itertools.permutations(("x", "-x", "y", "-y", "z", "-z"), 3))
    if np.linalg.det(axes_matrix(names)) > 0.5
)
"""The 24 ways to name the axes of one frame by those of another, none mirrored."""


@dataclass(frozen=True)
class _Sample:
    stamp_ns: int
    rotation: np.ndarray
    rates: np.ndarray
    epoch: int


class Turning:
    """Recent rotations of a camera's optical frame to a world that stands still.

    Messages come on one thread and are asked for on another.
    """

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()
        self._epoch = 0
        self._lock = threading.Lock()

    def add_rates(self, stamp_ns: int, rates: np.ndarray) -> None:
        """Turn on by what the camera turned at since the last message.

        Args:
            rates: rad/s about the axes of its optical frame [3].
        """
        if not np.isfinite(rates).all():
            return
        with self._lock:
            last = self._last(stamp_ns)
            rotation = np.eye(3)
            if last is not None:
                seconds = (stamp_ns - last.stamp_ns) * 1e-9
                rotation = last.rotation @ turned((rates + last.rates) / 2, seconds)
            self._append(_Sample(stamp_ns, rotation, rates, self._epoch))

    def add_rotation(self, stamp_ns: int, rotation: np.ndarray) -> None:
        """Take over how the optical frame is turned against the world [3, 3]."""
        if not np.isfinite(rotation).all():
            return
        with self._lock:
            last = self._last(stamp_ns)
            rates = np.zeros(3)
            if last is not None:
                step, _ = cv2.Rodrigues(last.rotation.T @ rotation)
                rates = np.asarray(step).ravel() / ((stamp_ns - last.stamp_ns) * 1e-9)
            self._append(_Sample(stamp_ns, rotation, rates, self._epoch))

    def at(self, stamp_ns: int) -> tuple[np.ndarray, int] | None:
        """The rotation at a moment, and which unbroken series it is of; None if nobody knows.

        A little beyond the last message the camera is taken to turn on as it did.
        """
        with self._lock:
            samples = tuple(self._samples)
        for before, after in zip(reversed(samples), (None, *reversed(samples)), strict=False):
            if before.stamp_ns > stamp_ns:
                continue
            seconds = (stamp_ns - before.stamp_ns) * 1e-9
            if seconds > GAP or (after is not None and after.epoch != before.epoch):
                return None
            rates = before.rates
            if after is not None:
                step, _ = cv2.Rodrigues(before.rotation.T @ after.rotation)
                rates = np.asarray(step).ravel() / ((after.stamp_ns - before.stamp_ns) * 1e-9)
            return before.rotation @ turned(rates, seconds), before.epoch
        return None

    def clear(self) -> None:
        """Forget what came."""
        with self._lock:
            self._samples.clear()
            self._epoch += 1

    def _last(self, stamp_ns: int) -> _Sample | None:
        """The former message, if nothing is missing since; a new series begins otherwise."""
        last = self._samples[-1] if self._samples else None
        if last is not None and not 0 < stamp_ns - last.stamp_ns <= GAP * 1e9:
            if stamp_ns <= last.stamp_ns:
                self._samples.clear()
            self._epoch += 1
            return None
        return last

    def _append(self, sample: _Sample) -> None:
        self._samples.append(sample)
        while sample.stamp_ns - self._samples[0].stamp_ns > KEPT * 1e9:
            self._samples.popleft()
