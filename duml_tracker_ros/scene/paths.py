"""Smooth curves on the ground with arc-length access: roads and the tracks driven on them."""

from __future__ import annotations

import numpy as np

from .arrays import Matrix as Points


class Path:
    """A curve through way-points, sampled densely; ground coordinates in metres [N, 2].

    `at(s)` takes arc length in metres and continues straight on beyond both ends.
    """

    def __init__(self, points: Points, step: float = 1.0) -> None:
        points = np.asarray(points, np.float64)
        if points.ndim != 2 or points.shape[0] < 2:
            raise ValueError(f"a path needs at least 2 points [N, 2], got shape {points.shape}")
        dense = _catmull_rom(points)
        length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(dense, axis=0).T))])
        count = max(2, int(length[-1] / step) + 1)
        at = np.linspace(0, length[-1], count)
        self.length = float(length[-1])
        self._s = at
        self.points: Points = np.stack(
            [np.interp(at, length, dense[:, 0]), np.interp(at, length, dense[:, 1])], 1
        )
        tangent = np.gradient(self.points, at, axis=0)
        self._heading = np.unwrap(np.arctan2(tangent[:, 1], tangent[:, 0]))

    def at(self, s: float | Points, offset: float = 0.0) -> tuple[Points, Points]:
        """Position [..., 2] and heading [...] (radians) at arc length s, `offset` to the right."""
        s = np.asarray(s, np.float64)
        heading = np.interp(s, self._s, self._heading)
        position = np.stack(
            [np.interp(s, self._s, self.points[:, 0]), np.interp(s, self._s, self.points[:, 1])], -1
        )
        beyond = s - np.clip(s, 0, self.length)
        along = np.stack([np.cos(heading), np.sin(heading)], -1)
        right = np.stack([-np.sin(heading), np.cos(heading)], -1)
        return position + along * beyond[..., None] + right * offset, heading

    def outline(self, offset: float, start: float, end: float, step: float = 1.0) -> Points:
        """The parallel curve at `offset` metres to the right, between two arc lengths."""
        count = max(2, int(abs(end - start) / step) + 1)
        return self.at(np.linspace(start, end, count), offset)[0]

    def nearest(self, point: Points) -> float:
        """Arc length of the sample nearest to a ground point."""
        return float(self._s[np.argmin(np.sum((self.points - point) ** 2, axis=1))])


def _catmull_rom(points: Points, per_segment: int = 24) -> Points:
    """Interpolating cubic through all points, end points doubled."""
    padded = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    t = np.linspace(0, 1, per_segment, endpoint=False)[:, None]
    out = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        out.append(
            b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
        )
    out.append(points[-1:])
    return np.vstack(out)
