"""Runs the console until it is asked to end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..deadline import end_within
from ..ending import Ending
from .guard import Guard, find_token
from .settings import ConsoleError

if TYPE_CHECKING:
    from .bridge import Bridge

# Longest time that taking down the middleware may take, seconds.
ENDING = 8.0
# The tracker goes first where both want the processor.
NICENESS = 5

USAGE = """\
usage: console_node [--ros-args ...]   (duml-tracker console has options for the same)

Serves a page on which a person watches the tracker and selects its targets. Examples:
  --ros-args -r image:=/camera/image_raw
  --ros-args -p host:=0.0.0.0 -p port:=8091
Parameters: docs/console.md
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the console; returns the exit status: 0 when asked to end, 1 when it could not start."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if "--help" in arguments or "-h" in arguments:
        print(USAGE, end="")
        return 0
    ending = Ending()
    try:
        import rclpy
        from rclpy.exceptions import ParameterException
        from rclpy.signals import SignalHandlerOptions
    except ImportError as error:
        return _fail(
            f"the console needs ROS 2 ({error}): source a ROS 2 workspace with this package, or "
            "run make setup and use .venv/bin/duml-tracker"
        )
    try:
        import aiohttp  # noqa: F401
    except ImportError:
        return _fail(
            "the console needs aiohttp: apt-get install python3-aiohttp, or pip install aiohttp"
        )
    # All that is slow to import comes before there is something to take down.
    from .bridge import Bridge

    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    ending.hold()
    try:
        rclpy.init(args=[sys.argv[0], *arguments], signal_handler_options=SignalHandlerOptions.NO)
        bridge = Bridge()
    except (ConsoleError, ParameterException, ValueError, RuntimeError) as error:
        ending.begin()
        end_within(ENDING, 1)
        rclpy.try_shutdown()
        return _fail(str(error))
    spinner = Spinner(bridge)
    status = 1
    try:
        asyncio.run(serve(bridge, ending))
        status = 0
    except ConsoleError as error:
        _fail(str(error))
    finally:
        ending.begin()
        sys.stdout.flush()
        end_within(ENDING, status)
        spinner.stop()
        bridge.destroy_node()
        rclpy.try_shutdown()
    return status


def _fail(reason: str) -> int:
    print(f"duml_console: {reason}", file=sys.stderr)
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


async def serve(bridge: Bridge, ending: Ending) -> None:
    """Serve until the process is asked to end.

    Raises:
        ConsoleError: the token or the address cannot be used.
    """
    from aiohttp import web

    from .hub import Hub
    from .picture import encode, encode_mask
    from .server import Server

    settings = bridge.settings
    token = find_token(settings)
    guard = Guard(settings, token)
    logger = bridge.get_logger()
    hub = Hub(
        functools.partial(encode, max_width=settings.max_width, quality=settings.quality),
        functools.partial(encode_mask, max_width=settings.max_width),
        1 / settings.rate,
        bridge.watch,
        lambda text: logger.warning(text, throttle_duration_sec=1.0),
    )
    bridge.emit = hub.offer
    server = Server(guard, hub, bridge, settings.max_clients)
    runner = web.AppRunner(server.application(), access_log=None, handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port, shutdown_timeout=2.0)
        try:
            await site.start()
        except OSError as error:
            raise ConsoleError(
                f"host = {settings.host!r}, port = {settings.port} cannot be served on: "
                f"{error.strerror or error}; choose others with -p host:=... -p port:=..."
            ) from None
        port = runner.addresses[0][1]
        logger.info(f"serving on {settings.host} port {port}")
        # Not through the logger: what it says is published on /rosout.
        print(f"console: open {address(settings.host, port, token)}", flush=True)
        handing_out = asyncio.create_task(hub.run())
        await asked_to_end(ending, handing_out.done)
        if handing_out.done():
            handing_out.result()
        handing_out.cancel()
    finally:
        await runner.cleanup()


def address(host: str, port: int, token: str) -> str:
    """What to open in a browser. The part after # is never sent over the network."""
    name = host
    if host in ("0.0.0.0", "::"):
        name = own_address()
    elif ":" in host:
        name = f"[{host}]"
    return f"http://{name}:{port}/" + (f"#{token}" if token else "")


def own_address() -> str:
    """This machine's address towards other networks, else its name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing: it only asks which way a packet would go.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])


async def asked_to_end(ending: Ending, broken: Callable[[], bool]) -> None:
    """Wait until the process is asked to end, or until something is broken."""
    asked = asyncio.Event()
    ending.wake = functools.partial(asyncio.get_running_loop().call_soon_threadsafe, asked.set)
    try:
        while not ending.asked and not broken():
            with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(asked.wait(), 1.0)
    finally:
        ending.wake = None


if __name__ == "__main__":
    sys.exit(main())
