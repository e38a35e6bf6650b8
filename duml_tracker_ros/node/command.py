"""What other threads ask of the worker, with waits that end."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDoneError
from typing import Any


class WorkerError(RuntimeError):
    """The worker refused or could not do what was asked; the text says why."""


class Overtaken(WorkerError):  # noqa: N818 - nothing went wrong
    """A newer selection of the same target came before the tracker got to this one."""


class Command:
    """Something the worker does between two frames.

    Args:
        always: do it also when nobody waits for it any more.
        place: of a selection, the id of the target it takes the place of; 0: it needs a free one.
            None of everything else.
    """

    def __init__(
        self, action: Callable[[], Any], always: bool = False, place: int | None = None
    ) -> None:
        self.place = place
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

    def refuse(self, reason: str, kind: type[WorkerError] = WorkerError) -> None:
        self._future.set_exception(kind(reason))


class CommandQueue:
    """Commands in the order they came, of the selections only the newest of each place.

    So it stays short however fast selections come. It has no lock of its own.

    Args:
        limit: how many targets there may be, and thus how many may wait for a free place.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[Command] = deque()

    def add(self, command: Command) -> Command | None:
        """Append a command; the one that it makes needless, for the caller to refuse."""
        overtaken = None
        if command.place is not None:
            same = [other for other in self._waiting if other.place == command.place]
            if len(same) >= (self._limit if command.place == 0 else 1):
                overtaken = same[0]
                self._waiting.remove(overtaken)
        self._waiting.append(command)
        return overtaken

    @property
    def first(self) -> Command | None:
        return self._waiting[0] if self._waiting else None

    def pop(self) -> Command:
        return self._waiting.popleft()

    def take_all(self) -> list[Command]:
        commands, self._waiting = list(self._waiting), deque()
        return commands
