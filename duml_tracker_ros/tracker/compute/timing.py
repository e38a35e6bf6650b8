"""Stage times of a frame, free of cost unless asked for."""

from __future__ import annotations

import time

import torch


class StageClock:
    """Laps between named stages. On CUDA it synchronises, so it is for profiling only."""

    def __init__(self, device: torch.device, enabled: bool) -> None:
        self.device = device
        self.enabled = enabled
        self._laps: dict[str, float] = {}
        self._last = 0.0

    def start(self) -> None:
        if self.enabled:
            self._laps = {}
            self._last = self._now()

    def lap(self, name: str) -> None:
        if self.enabled:
            now = self._now()
            self._laps[name] = self._laps.get(name, 0.0) + 1e3 * (now - self._last)
            self._last = now

    def milliseconds(self) -> dict[str, float]:
        """Stage -> milliseconds of the last frame."""
        return dict(self._laps)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
