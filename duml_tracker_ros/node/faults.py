"""Which faults of the device a tracker can go on from."""

from __future__ import annotations

import ctypes
import gc
import os

import torch

# Older versions of torch have no type of their own for these.
_LOST: tuple[type[Exception], ...] = tuple(
    kind for kind in (getattr(torch, "AcceleratorError", None),) if kind is not None
)


def is_out_of_memory(error: BaseException) -> bool:
    """True when the device had no memory left; it can be used again once some is freed."""
    return isinstance(error, torch.OutOfMemoryError)


def is_device_lost(error: BaseException) -> bool:
    """True for errors of the device itself: whatever lies on it cannot be trusted any more."""
    if is_out_of_memory(error):
        return False
    return isinstance(error, _LOST) or "CUDA error" in str(error)


def trim_heap() -> None:
    """Give freed memory back to the system; takes milliseconds.

    glibc keeps what each thread freed, and every configure has a thread of its own; what a target
    leaves between the blocks of the next one is seldom used again.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def free_memory() -> None:
    """Give memory that nobody uses back to the device and to the system."""
    gc.collect()
    trim_heap()
    if torch.cuda.is_available():
        try:
            torch.cuda.empty_cache()
        except RuntimeError:
            # A lost device has none to give.
            return
