"""What an operator asks of the tracker, and what is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Answer:
    """What the tracker answered.

    Attributes:
        ok: it was done.
        message: what was done, or why not.
        target: id of the new target; 0 when there is none.
        reached: the tracker has answered at all.
    """

    ok: bool
    message: str
    target: int = 0
    reached: bool = True


class Operator(Protocol):
    """What can be asked, from any thread."""

    async def select(
        self,
        numbers: tuple[float, ...],
        stamp_ns: int = 0,
        replaces: int = 0,
        normalized: bool = False,
    ) -> Answer:
        """Ask for a target: a box x, y, width, height, a point x, y, or a point and a size."""

    async def stop(self, target_id: int) -> Answer:
        """Ask for a target to be dropped; 0: all."""
