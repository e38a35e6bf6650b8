"""CPU threads of the node's tracker."""

from __future__ import annotations

import cv2
import torch


def use_threads(count: int) -> None:
    """Let torch and OpenCV take this many threads in this process."""
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
