"""How a person ends a training early."""

from __future__ import annotations

import contextlib
import signal
from typing import Any


class StopFlag:
    """Turns the first SIGINT or SIGTERM into a request; the second one ends the process."""

    def __init__(self) -> None:
        self.requested = False
        self._former: dict[int, Any] = {}

    def __enter__(self) -> StopFlag:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # not in the main thread
                self._former[number] = signal.signal(number, self._request)
        return self

    def _request(self, number: int, frame: Any) -> None:
        self.requested = True
        signal.signal(number, self._former[number])

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
