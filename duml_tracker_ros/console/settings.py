"""The parameters of the console, declared once."""

from __future__ import annotations

import dataclasses

from ..node.beside import BesideError
from ..node.parameter_table import Span, Table, parameter


class ConsoleError(BesideError):
    """The console cannot start; one line with the remedy."""


@dataclasses.dataclass(frozen=True)
class ConsoleSettings:
    """Values of all parameters of the console; all are read at start."""

    host: str = parameter(
        "127.0.0.1",
        "address to serve on; another than loopback (0.0.0.0: all) needs a token",
        pattern=r"[A-Za-z0-9.:_-]+",
        remedy="use an address such as 127.0.0.1 or 0.0.0.0",
    )
    port: int = parameter(8090, "port to serve on; 0 takes a free one", Span(0, 65535))
    token_file: str = parameter(
        "", "file whose first line browsers must know; without one a token is made where needed"
    )
    allowed_hosts: str = parameter(
        "",
        "further names, separated by spaces, under which browsers may reach the console",
        pattern=r"[A-Za-z0-9._-]*( +[A-Za-z0-9._-]+)*",
        remedy="use names separated by spaces, for example 'robot.local robot'",
    )
    tracker: str = parameter(
        "duml_tracker",
        "name of the tracker node, with its namespace if that is another",
        pattern=r"/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*",
        remedy="use a node's name, for example 'duml_tracker' or '/drone/duml_tracker'",
    )
    image_transport: str = parameter(
        "raw",
        "raw subscribes to image, compressed to image/compressed",
        choices=("raw", "compressed"),
    )
    rate: float = parameter(
        30.0, "most images a second that are sent to a browser", Span(0.2, 120.0, "Hz")
    )
    max_width: int = parameter(
        1280, "wider images are made smaller before they are sent", Span(64, 8192, "px")
    )
    quality: int = parameter(80, "JPEG quality of the images", Span(10, 100))
    max_clients: int = parameter(16, "browsers at a time", Span(1, 256))


TABLE = Table(ConsoleSettings, ConsoleError)
