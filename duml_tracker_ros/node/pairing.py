"""Pairs two streams by their stamps, whichever of the two comes first."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Left = TypeVar("Left")
Right = TypeVar("Right")
One = TypeVar("One")
Other = TypeVar("Other")
Waiting = deque[tuple[int, One]]
"""Items by their stamps in nanoseconds."""


class Pairing(Generic[Left, Right]):
    """Keeps the last items of both streams until their partner comes.

    A partner is the item of the other stream nearest in time, within the tolerance. Once a pair
    is made, what came before it in either stream waits no longer. Items of one kind may be
    offered from one thread and those of the other from another.
    """

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self._lefts: deque[tuple[int, Left]] = deque(maxlen=keep)
        self._rights: deque[tuple[int, Right]] = deque(maxlen=keep)
        self._lock = threading.Lock()

    def offer_left(self, stamp_ns: int, item: Left, tolerance_ns: float) -> Right | None:
        """The partner of a left item; without one the item waits."""
        return self._offer(self._lefts, self._rights, stamp_ns, item, tolerance_ns)

    def offer_right(self, stamp_ns: int, item: Right, tolerance_ns: float) -> Left | None:
        """The partner of a right item; without one the item waits."""
        return self._offer(self._rights, self._lefts, stamp_ns, item, tolerance_ns)

    def _offer(
        self, own: Waiting[One], others: Waiting[Other], stamp_ns: int, item: One, tolerance: float
    ) -> Other | None:
        with self._lock:
            found = _take(others, stamp_ns, tolerance)
            if found is None:
                own.append((stamp_ns, item))
            else:
                own.clear()
            return found

    def waiting(self) -> tuple[int, int]:
        """How many items of the left and of the right stream wait."""
        return len(self._lefts), len(self._rights)

    def clear_left(self) -> None:
        """Forget the left items that wait."""
        with self._lock:
            self._lefts.clear()

    def clear(self) -> None:
        """Forget all that wait."""
        with self._lock:
            self._lefts.clear()
            self._rights.clear()


def _take(items: Waiting[One], stamp_ns: int, tolerance_ns: float) -> One | None:
    """Remove the item nearest in time and all before it; None when none is near enough."""
    if not items:
        return None
    nearest = min(range(len(items)), key=lambda index: abs(items[index][0] - stamp_ns))
    if abs(items[nearest][0] - stamp_ns) > tolerance_ns:
        return None
    found = items[nearest][1]
    for _ in range(nearest + 1):
        items.popleft()
    return found
