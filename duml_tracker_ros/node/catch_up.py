"""How a target that was selected on an old frame gets to the present."""

from __future__ import annotations

from .frame_ring import CameraFrame, FrameRing


class CatchUp:
    """The kept frames that a target has still to be followed through.

    Args:
        until: time at which the newest frame must be reached; frames are skipped to meet it.
    """

    def __init__(self, ring: FrameRing, until: float) -> None:
        self._ring = ring
        self._until = until

    def hurry(self, now: float) -> None:
        """Go to the newest frame at once."""
        self._until = now

    def next(self, seq: int, step_time: float, now: float) -> tuple[CameraFrame | None, bool]:
        """The frame to take after number `seq`, and whether it is the newest and thus the last.

        Args:
            step_time: seconds that a frame takes.
        """
        waiting = self._ring.after(seq)
        if not waiting:
            return None, True
        left = self._until - now
        if left <= 0.0:
            return waiting[-1], True
        affordable = max(1, int(left / max(step_time, 1e-3)))
        pick = -(-len(waiting) // affordable) - 1
        return waiting[pick], pick == len(waiting) - 1
