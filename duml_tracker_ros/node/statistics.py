"""Rates and percentiles over the recent past, for diagnostics."""

from __future__ import annotations

import threading
import time
from collections import deque

WINDOW_SECONDS = 5.0
MAX_SAMPLES = 2000
# A longer gap in the stamps is a pause or a jump of the clock, not lost images.
MAX_GAP_SECONDS = 2.0


class RecentValues:
    """Values of the last seconds. Its methods may be called from any thread."""

    def __init__(self, seconds: float = WINDOW_SECONDS) -> None:
        self._seconds = seconds
        self._samples: deque[tuple[float, float]] = deque(maxlen=MAX_SAMPLES)
        self._lock = threading.Lock()
        self.total = 0

    def add(self, value: float = 0.0, now: float | None = None) -> None:
        with self._lock:
            self._samples.append((time.monotonic() if now is None else now, value))
            self.total += 1

    def rate(self, now: float | None = None) -> float:
        """Samples per second between the first and the last recent one; 0 when there are none."""
        samples = self._recent(now)
        if len(samples) < 2 or samples[-1][0] <= samples[0][0]:
            return 0.0
        return (len(samples) - 1) / (samples[-1][0] - samples[0][0])

    def percentile(self, percent: float, now: float | None = None) -> float:
        """Nearest-rank percentile of the recent values; NaN when there are none."""
        values = sorted(value for _, value in self._recent(now))
        if not values:
            return float("nan")
        return values[min(len(values) - 1, int(percent / 100.0 * len(values)))]

    def mean(self, now: float | None = None) -> float:
        """Mean of the recent values; NaN when there are none."""
        values = [value for _, value in self._recent(now)]
        return sum(values) / len(values) if values else float("nan")

    def age(self, now: float | None = None) -> float:
        """Seconds since the last sample; infinite when there was none."""
        with self._lock:
            if not self._samples:
                return float("inf")
            return (time.monotonic() if now is None else now) - self._samples[-1][0]

    def _recent(self, now: float | None) -> list[tuple[float, float]]:
        end = time.monotonic() if now is None else now
        with self._lock:
            return [sample for sample in self._samples if end - sample[0] <= self._seconds]


class Statistics:
    """What the node counts between activate and deactivate."""

    def __init__(self) -> None:
        self.images = RecentValues()
        self.gaps = RecentValues()
        self.latency = RecentValues()
        self.processing = RecentValues()
        self.stages: dict[str, RecentValues] = {}
        self.rejected = 0
        self._last_stamp_ns = 0

    def add_image(self, stamp_ns: int, arrival: float) -> None:
        """Count an image; the stamps tell whether others were lost on the way."""
        self.images.add(now=arrival)
        gap = (stamp_ns - self._last_stamp_ns) * 1e-9
        self._last_stamp_ns = stamp_ns
        if 0.0 < gap < MAX_GAP_SECONDS:
            self.gaps.add(gap, now=arrival)

    def missing_share(self, now: float | None = None) -> float:
        """Estimated share of the images that never arrived, from the spread of the stamps.

        The camera's period is taken to be the shortest usual gap (10th percentile).
        """
        mean = self.gaps.mean(now)
        return max(0.0, 1.0 - self.gaps.percentile(10, now) / mean) if mean > 0.0 else 0.0

    def add_stages(self, milliseconds: dict[str, float]) -> None:
        for name, value in milliseconds.items():
            self.stages.setdefault(name, RecentValues()).add(value)
