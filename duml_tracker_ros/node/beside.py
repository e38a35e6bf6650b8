"""A process beside the tracker's: its node is served on one thread, its own work runs on another.

The tracker goes first where both want the processor, and whatever such a process meets outside,
the tracker does not notice.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import os
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..media.addresses import without_passwords
from .ending import Ending
from .exit_watchdog import end_within

# Longest time that taking down the middleware may take, seconds.
ENDING = 8.0
# The tracker goes first where both want the processor.
NICENESS = 5


class BesideError(Exception):
    """The process cannot start; one line with the remedy."""


@dataclass(frozen=True)
class Beside:
    """What such a process is.

    Attributes:
        name: of its node.
        title: what it is in a sentence.
        library: module that it needs besides ROS.
        install: how to get that.
        load: imports what makes its node, which is called once rclpy is initialised.
        serve: does its work until it is asked to end.
    """

    name: str
    title: str
    usage: str
    library: str
    install: str
    load: Callable[[], Callable[[], Any]]
    serve: Callable[[Any, Ending], Awaitable[None]]

    def run(self, arguments: Sequence[str] | None = None) -> int:
        """Run it; returns the exit status: 0 when asked to end, 1 when it could not start."""
        arguments = list(sys.argv[1:] if arguments is None else arguments)
        if "--help" in arguments or "-h" in arguments:
            print(self.usage, end="")
            return 0
        ending = Ending()
        try:
            import rclpy
            from rclpy.exceptions import ParameterException
            from rclpy.signals import SignalHandlerOptions
        except ImportError as error:
            command = self.name.removeprefix("duml_")
            return self._fail(
                f"{self.title} needs ROS 2 ({error}): source a ROS 2 workspace with this package, "
                f"or run make setup and use .venv/bin/duml-tracker {command}"
            )
        try:
            importlib.import_module(self.library)
        except ImportError:
            return self._fail(f"{self.title} needs {self.library}: {self.install}")
        # All that is slow to import comes before there is something to take down.
        make = self.load()
        with contextlib.suppress(OSError):
            os.nice(NICENESS)
        ending.hold()
        try:
            no_handlers = SignalHandlerOptions.NO
            rclpy.init(args=[sys.argv[0], *arguments], signal_handler_options=no_handlers)
            node = make()
        except (BesideError, ParameterException, ValueError, RuntimeError) as error:
            ending.begin()
            end_within(ENDING, 1)
            rclpy.try_shutdown()
            return self._fail(str(error))
        spinner = Spinner(node)
        status = 1
        try:
            asyncio.run(self._serve(node, ending))
            status = 0
        except BesideError as error:
            self._fail(str(error))
        finally:
            ending.begin()
            sys.stdout.flush()
            end_within(ENDING, status)
            spinner.stop()
            node.destroy_node()
            rclpy.try_shutdown()
        return status

    async def _serve(self, node: Any, ending: Ending) -> None:
        await self.serve(node, ending)

    def _fail(self, reason: str) -> int:
        print(f"{self.name}: {without_passwords(reason)}", file=sys.stderr)
        return 1


class Spinner:
    """Serves a node on a thread of its own."""

    def __init__(self, node: Any) -> None:
        from rclpy.executors import SingleThreadedExecutor

        self._node = node
        self._executor: Any = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._going = True
        self._thread = threading.Thread(target=self._spin, name="ros", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._going = False
        self._executor.wake()
        self._thread.join(2.0)
        self._executor.shutdown(1.0)

    def _spin(self) -> None:
        while self._going:
            try:
                self._executor.spin_once(1.0)
            except Exception:
                # One callback that failed must not end the others.
                if self._going:
                    self._node.get_logger().error(traceback.format_exc().rstrip())


async def asked_to_end(ending: Ending, broken: Callable[[], bool]) -> None:
    """Wait until the process is asked to end, or until something is broken.

    Once it is asked it ends within twice `ENDING`, whatever hangs.
    """
    asked = asyncio.Event()
    ending.wake = functools.partial(asyncio.get_running_loop().call_soon_threadsafe, asked.set)
    try:
        while not ending.asked and not broken():
            with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(asked.wait(), 1.0)
    finally:
        ending.wake = None
    if ending.asked:
        # Before what is served is taken down, so that no part of it can keep the process.
        end_within(2 * ENDING)
