"""Runs the console until it is asked to end."""

from __future__ import annotations

import asyncio
import functools
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..node.beside import Beside, asked_to_end
from ..node.ending import Ending
from .guard import Guard, find_token
from .settings import ConsoleError

if TYPE_CHECKING:
    from .bridge import ConsoleNode

# Longest time that connections may take to close.
CLOSING = 2.0

USAGE = """\
usage: console_node [--ros-args ...]   (duml-tracker console has options for the same)

Serves a page on which a person watches the tracker and selects its targets. Examples:
  --ros-args -r image:=/camera/image_raw
  --ros-args -p host:=0.0.0.0 -p port:=8091
Parameters: docs/console.md
"""


def load() -> type[ConsoleNode]:
    from .bridge import ConsoleNode

    return ConsoleNode


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the console; returns the exit status: 0 when asked to end, 1 when it could not start."""
    install = "apt-get install python3-aiohttp, or pip install aiohttp"
    names = ("duml_console", "the console", USAGE, "aiohttp", install)
    return Beside(*names, load, serve).run(arguments)


async def serve(bridge: ConsoleNode, ending: Ending) -> None:
    """Serve until the process is asked to end.

    Raises:
        ConsoleError: the token or the address cannot be used.
    """
    from aiohttp import web

    from .doors import Doors
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
    doors = Doors(logger.warning)
    server = Server(guard, hub, bridge.operator, settings.max_clients, doors)
    runner = web.AppRunner(server.application(), access_log=None, handle_signals=False)
    await runner.setup()
    try:
        try:
            door = await doors.listen(runner, settings.host, settings.port)
        except OSError as error:
            raise ConsoleError(
                f"host = {settings.host!r}, port = {settings.port} cannot be served on: "
                f"{error.strerror or error}; choose others with -p host:=... -p port:=..."
            ) from None
        port = door.sockets[0].getsockname()[1]
        logger.info(f"serving on {settings.host} port {port}")
        # Not through the logger: what it says is published on /rosout.
        print(f"console: open {address(settings.host, port, token)}", flush=True)
        handing_out = asyncio.create_task(hub.run())
        await asked_to_end(ending, handing_out.done)
        if handing_out.done():
            handing_out.result()
        handing_out.cancel()
        door.close()
    finally:
        await runner.shutdown()
        if runner.server is not None:
            await runner.server.shutdown(CLOSING)
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


if __name__ == "__main__":
    sys.exit(main())
