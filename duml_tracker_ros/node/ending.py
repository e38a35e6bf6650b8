"""SIGINT and SIGTERM ask a process to end, from the first line of its `main` to its last.

rclpy's own handlers take the context away between any two lines, Python's raises KeyboardInterrupt
there: whatever is being made then fails. Here a signal ends the process at once while there is
nothing to take down, is no more than a wish once there is, and nothing after the wish is heeded.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Ending:
    """Takes over SIGINT and SIGTERM; make one in the main thread, before the slow imports.

    rclpy must not take them as well: init it with ``signal_handler_options`` NO.

    Attributes:
        asked: the process shall end; look at it wherever something may take long.
        wake: called in the main thread when it is asked to end; the result is ignored.
    """

    def __init__(self) -> None:
        self.asked = False
        self.wake: Callable[[], object] | None = None
        self._held = False
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    def hold(self) -> None:
        """From now on there is something to take down: a signal only asks."""
        self._held = True

    def begin(self) -> None:
        """The process ends: further signals, the interpreter's last moments included, are idle."""
        self.asked = True
        ignore_signals()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if not self._held:
            os._exit(0)
        if self.wake is not None:
            self.wake()


def ignore_signals() -> None:
    """Heed neither SIGINT nor SIGTERM any more."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Both signals raise KeyboardInterrupt in here, the first time; afterwards they are ignored.

    For programs that run one thing after another and have nothing to lose.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        ignore_signals()
        raise KeyboardInterrupt

    for number in SIGNALS:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        ignore_signals()
