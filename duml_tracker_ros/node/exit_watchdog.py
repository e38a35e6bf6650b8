"""Ends the process in time though a library hangs while it is taken down.

Older versions of Fast DDS may deadlock when a participant with TCP transports (LARGE_DATA) is
deleted (https://github.com/eProsima/Fast-DDS/pull/6066). rclpy holds the interpreter's lock
meanwhile, so neither a thread nor a signal handler of Python would run; a timer of the system does.
"""

from __future__ import annotations

import ctypes
import sys

_CLOCK_MONOTONIC = 1
_SIGEV_THREAD = 2


class _SigEvent(ctypes.Structure):
    """struct sigevent of <signal.h>; its union is 48 bytes on 64-bit systems."""

    _fields_ = (
        ("value", ctypes.c_size_t),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("function", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("padding", ctypes.c_char * 32),
    )


class _TimerSpec(ctypes.Structure):
    """struct itimerspec of <time.h>: the interval, then the first expiry."""

    _fields_ = (
        ("interval", ctypes.c_long * 2),
        ("first", ctypes.c_long * 2),
    )


def end_within(seconds: float, status: int = 0) -> bool:
    """End the process with this exit status after `seconds`, unless it ends before.

    Returns False where the system has no such timer; nothing is done then.
    """
    if sys.platform != "linux" or sys.maxsize < 2**32:
        return False
    try:
        libc = ctypes.CDLL(None)
        create, start, leave = libc.timer_create, libc.timer_settime, libc._exit
    except (OSError, AttributeError):
        return False
    # The system's thread calls _exit(status): no interpreter, no lock, no clean-up.
    event = _SigEvent(value=status, notify=_SIGEV_THREAD)
    event.function = ctypes.cast(leave, ctypes.c_void_p).value
    timer = ctypes.c_void_p()
    if create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer)):
        return False
    spec = _TimerSpec()
    spec.first[0], spec.first[1] = divmod(int(seconds * 1e9), 1_000_000_000)
    return bool(start(timer, 0, ctypes.byref(spec), None) == 0)
