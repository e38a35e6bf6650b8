"""What came by stamp in the last moments, for asking what lay around another stamp."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

KEPT = 3.0
"""Seconds that are remembered."""
GAP = 0.2
"""Seconds without a message after which nothing is known of what came between."""

Item = TypeVar("Item")


class Timeline(Generic[Item]):
    """Recent items; they come on one thread and are asked for on another."""

    def __init__(self) -> None:
        self._items: deque[tuple[int, Item]] = deque()
        self._lock = threading.Lock()

    def add(self, stamp_ns: int, item: Item) -> None:
        """Append an item; a stamp that is not above the last one begins anew."""
        with self._lock:
            if self._items and stamp_ns <= self._items[-1][0]:
                self._items.clear()
            self._items.append((stamp_ns, item))
            while stamp_ns - self._items[0][0] > KEPT * 1e9:
                self._items.popleft()

    def around(self, stamp_ns: int) -> tuple[Item, Item, float] | None:
        """Two items on end, and how far a moment lies on the way from the first to the second.

        Up to `GAP` after the second that is above 1. None when nothing is known of that moment.
        """
        with self._lock:
            items = tuple(self._items)
        for (start, one), (end, two) in zip(items[-2::-1], items[:0:-1], strict=True):
            if start <= stamp_ns <= end + GAP * 1e9 and end - start <= GAP * 1e9:
                return one, two, (stamp_ns - start) / (end - start)
        return None

    def clear(self) -> None:
        """Forget what came."""
        with self._lock:
            self._items.clear()
