"""How many CPU threads a tracker takes beside the programs that send it images."""

from __future__ import annotations

import os

import cv2
import torch

MOST = 4
"""The maps of a frame, 25 x 25 cells in ``compact``, are too small to be shared by more."""


def spare_threads() -> int:
    """All processors but one, at most ``MOST``.

    One is left to those programs and to DDS: a thread of a team that has to wait for its processor
    holds up the others.
    """
    known = hasattr(os, "sched_getaffinity")
    processors = len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
    return max(1, min(processors - 1, MOST))


def use_threads(count: int) -> None:
    """Let torch and OpenCV take this many threads in this process."""
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
