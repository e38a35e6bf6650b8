"""What other threads ask of the worker, with waits that end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDoneError
from typing import Any


class WorkerError(RuntimeError):
    """The worker refused or could not do what was asked; the text says why."""


class Command:
    """Something the worker does between two frames.

    Args:
        always: do it also when nobody waits for it any more.
    """

    def __init__(self, action: Callable[[], Any], always: bool = False) -> None:
        self._action = action
        self._always = always
        self._future: Future[Any] = Future()
        self._abandoned = threading.Event()

    @property
    def abandoned(self) -> bool:
        """True when nobody waits any more: the command must leave no trace."""
        return self._abandoned.is_set()

    def when_done(self, callback: Callable[[], None]) -> None:
        """Call back once it is done, on the worker thread, or at once if it is done already."""
        self._future.add_done_callback(lambda _: callback())

    def result(self, timeout: float) -> Any:
        """What the action returned.

        Raises:
            TimeoutError: it took longer than `timeout` seconds; it is abandoned then.
        """
        try:
            return self._future.result(timeout)
        except NotDoneError:
            if self._future.done():
                raise
            self._abandoned.set()
            raise TimeoutError(f"not done within {timeout:g} s") from None

    def run(self) -> None:
        if self.abandoned and not self._always:
            self.refuse("it was given up before the tracker got to it")
            return
        try:
            self._future.set_result(self._action())
        except Exception as error:
            self._future.set_exception(error)

    def refuse(self, reason: str) -> None:
        self._future.set_exception(WorkerError(reason))
