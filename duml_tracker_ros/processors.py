"""The processors of this process and how a tracker shares them with others."""

from __future__ import annotations

import os

MOST = 4
"""The maps of a frame, 25 x 25 cells in ``compact``, are too small to be shared by more."""


def usable_processors() -> int:
    """Processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def tracker_threads() -> int:
    """Threads for a tracker's frames: half of the processors, at most ``MOST``.

    The other half is for what it learns meanwhile, for DDS and for the programs that send images: a
    thread of a team that has to wait for its processor holds up the others.
    """
    return max(1, min(usable_processors() // 2, MOST))
