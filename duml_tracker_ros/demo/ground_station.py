"""The demo's ground station: MAVSDK selects the target by a rectangle, listens, and stops it.

What it was answered and told goes into a JSON file.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..arguments import PORT, Parser
from ..outputs import write_text
from .footage import FootageError, add_source_options, open_source

CAMERA = 100
STATUS = "CAMERA_TRACKING_IMAGE_STATUS"
STATUS_ID, SET_INTERVAL = 275, 511
ACTIVE, IDLE = 1, 0
INTERVAL = 0.2  # seconds
WAIT = 120.0


class StationError(RuntimeError):
    """The ground station did not get what it asked for; one line."""


class GroundStation:
    """MAVSDK's view of the tracker.

    Args:
        port: UDP port of loopback on which the bridge listens.
    """

    def __init__(self, port: int) -> None:
        from mavsdk import ComponentType, Configuration, Mavsdk
        from mavsdk.plugins.camera import Camera
        from mavsdk.plugins.mavlink_direct import MavlinkDirect

        self.statuses: list[tuple[float, dict[str, Any]]] = []
        kind = ComponentType.GROUND_STATION
        self._sdk = Mavsdk(Configuration.create_with_component_type(kind))
        self._sdk.add_any_connection(f"udpout://127.0.0.1:{port}")
        wait_for(lambda: any(s.has_camera() for s in self._sdk.get_systems()), "a MAVLink camera")
        (system, *_) = [s for s in self._sdk.get_systems() if s.has_camera()]
        self._camera, self._direct = Camera(system), MavlinkDirect(system)
        self._direct.subscribe_message(STATUS, self._on_status)

    def select(self, corners: Sequence[float]) -> float:
        """Select a rectangle, again while that is refused; seconds from the first try."""
        from mavsdk.plugins.camera import CameraError

        began, last = time.monotonic(), ""

        def accepted() -> bool:
            nonlocal last
            try:
                self._camera.track_rectangle(CAMERA, *corners)
            except CameraError as error:
                last = str(error)
                time.sleep(0.5)
                return False
            return True

        wait_for(accepted, "the target is accepted", lambda: last)
        return time.monotonic() - began

    def listen(self, interval: float) -> None:
        """Ask for the tracking status at an interval in seconds."""
        from mavsdk.plugins.mavlink_direct import MavlinkMessage

        numbers = {f"param{index}": 0 for index in range(3, 8)}
        fields = {
            "target_system": 1,
            "target_component": CAMERA,
            "command": SET_INTERVAL,
            "confirmation": 0,
            "param1": STATUS_ID,
            "param2": interval * 1e6,
            **numbers,
        }
        command = MavlinkMessage("COMMAND_LONG", 245, 190, 1, CAMERA, json.dumps(fields))
        answer = json.loads(self._direct.send_command(command).fields_json)
        if answer["result"] != 0:
            raise StationError(f"the interval of {interval:g} s was refused: {answer}")

    def stop(self) -> None:
        """Stop tracking; returns when the status says so."""
        self._camera.track_stop(CAMERA)
        count = len(self.statuses)
        wait_for(
            lambda: any(s["tracking_status"] == IDLE for _, s in self.statuses[count:]),
            "the status says IDLE",
        )

    def _on_status(self, message: Any, _: object) -> None:
        self.statuses.append((time.monotonic(), json.loads(message.fields_json)))


def wait_for(condition: Callable[[], bool], what: str, why: Callable[[], str] = lambda: "") -> None:
    """Wait until something is true. Raises StationError when it takes too long."""
    end = time.monotonic() + WAIT
    while not condition():
        if time.monotonic() > end:
            raise StationError(f"{what}: not within {WAIT:g} s {why()}".rstrip())
        time.sleep(0.05)


def summarize(
    statuses: Sequence[tuple[float, dict[str, Any]]], selecting: float, listening: int
) -> dict[str, Any]:
    """What the ground station saw from when it asked for its interval on."""
    asked = statuses[listening:]
    gaps = sorted(b[0] - a[0] for a, b in itertools.pairwise(asked))
    return {
        "selected_after": selecting,
        "statuses": len(asked),
        "active": sum(s["tracking_status"] == ACTIVE for _, s in asked),
        "interval": INTERVAL,
        "interval_p50": gaps[len(gaps) // 2] if gaps else None,
        "stopped": bool(asked) and asked[-1][1]["tracking_status"] == IDLE,
    }


def build_parser() -> Parser:
    """The options of this process."""
    parser = Parser(prog="python -m duml_tracker_ros.demo.ground_station")
    add_source_options(parser)
    parser.add_argument("--port", type=PORT, required=True, help="UDP port of the bridge")
    parser.add_argument("--log", type=Path, required=True, help="the camera's list of headers")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for what it saw")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the ground station until the film is over; exit status 1 when it was not obeyed."""
    options = build_parser().parse_args(arguments)
    try:
        source = open_source(options)
        frame = next(iter(source.frames()))
        height, width = frame.image.shape[:2]
        x, y, w, h = source.first_box
        station = GroundStation(options.port)
        corners = (x / width, y / height, (x + w) / width, (y + h) / height)
        selecting = station.select(corners)
        print(f"ground station: the rectangle was accepted after {selecting:.2f} s", flush=True)
        listening = len(station.statuses)
        station.listen(INTERVAL)
        while not options.log.exists():
            time.sleep(0.1)
        time.sleep(2 * INTERVAL)  # the last image's
        station.stop()
        told = summarize(station.statuses, selecting, listening)
        write_text(options.out, json.dumps(told))
    except (FootageError, StationError, OSError) as error:
        print(f"ground station: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # MAVSDK's threads are not waited for: what was to be told is written.
    os._exit(status)
