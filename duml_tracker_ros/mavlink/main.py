"""Runs the MAVLink bridge until it is asked to end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..node.addresses import is_loopback
from ..node.beside import Beside, asked_to_end
from ..node.ending import Ending

if TYPE_CHECKING:
    from .bridge import MavlinkNode

USAGE = """\
usage: mavlink_node [--ros-args ...]   (duml-tracker mavlink has options for the same)

Makes the tracker a MAVLink camera: ground stations select targets and get their status.
Examples:
  --ros-args -p connection:=udp:127.0.0.1:14560
  --ros-args -p connection:=udpout:10.0.0.5:14550 -p system_id:=1 -p gimbal:=true
Parameters: docs/mavlink.md
"""


def load() -> type[MavlinkNode]:
    from . import camera, transport  # noqa: F401
    from .bridge import MavlinkNode

    return MavlinkNode


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bridge; returns the exit status: 0 when asked to end, 1 when it could not start."""
    names = ("duml_mavlink", "the MAVLink bridge", USAGE, "pymavlink", "pip install pymavlink")
    return Beside(*names, load, serve).run(arguments)


async def serve(bridge: MavlinkNode, ending: Ending) -> None:
    """Serve until the process is asked to end.

    Raises:
        MavlinkError: the key or the connection cannot be used.
    """
    from .camera import CameraComponent
    from .codec import Codec, read_key
    from .peers import Peers
    from .transport import Transport

    settings, logger = bridge.settings, bridge.get_logger()
    key = read_key(settings.signing_key_file)
    peers = Peers(logger.info)
    codec = Codec(settings.system_id, settings.component_id, key)

    def warn(text: str) -> None:
        logger.warning(text, throttle_duration_sec=1.0)

    camera = CameraComponent(settings, codec, peers, bridge.operator, warn)
    transport = Transport(
        settings.connection, peers, camera.receive, camera.receive_stream, logger.info
    )
    await transport.open()
    loop = asyncio.get_running_loop()

    def on_loop(take: Callable[..., None]) -> Callable[..., None]:
        def hand_on(*arguments: Any) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(take, *arguments)

        return hand_on

    bridge.on_target = on_loop(camera.take_target)
    bridge.on_bearing = on_loop(camera.take_bearing)
    bridge.on_place = on_loop(camera.take_place)
    try:
        if key is None and not is_loopback(transport.host):
            logger.warning(
                f"connection = {settings.connection!r} reaches beyond this machine: whoever "
                "reaches it can select and stop targets; set signing_key_file, or use loopback"
            )
        where = f"{transport.host}:{transport.bound}"
        # Not through the logger, for those that wait for it.
        print(
            f"mavlink: {settings.connection.partition(':')[0]} {where} as system "
            f"{settings.system_id}, component {settings.component_id}",
            flush=True,
        )
        sending = asyncio.create_task(camera.run())
        await asked_to_end(ending, sending.done)
        if sending.done():
            sending.result()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    finally:
        await transport.close()


if __name__ == "__main__":
    sys.exit(main())
