"""The parameters of the console, declared once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..parameters import START, Spec, check_value


class ConsoleError(Exception):
    """The console cannot start; one line with the remedy."""


def _parameter(default: Any, text: str, **details: Any) -> Any:
    return dataclasses.field(default=default, metadata={"spec": Spec(START, text, **details)})


@dataclasses.dataclass(frozen=True)
class Settings:
    """Values of all parameters of the console; all are read at start."""

    host: str = _parameter(
        "127.0.0.1",
        "address to serve on; another than loopback (0.0.0.0: all) needs a token",
        pattern=r"[A-Za-z0-9.:_-]+",
        remedy="use an address such as 127.0.0.1 or 0.0.0.0",
    )
    port: int = _parameter(8090, "port to serve on; 0 takes a free one", low=0, high=65535)
    token_file: str = _parameter(
        "", "file whose first line browsers must know; without one a token is made where needed"
    )
    allowed_hosts: str = _parameter(
        "",
        "further names, separated by spaces, under which browsers may reach the console",
        pattern=r"[A-Za-z0-9._-]*( +[A-Za-z0-9._-]+)*",
        remedy="use names separated by spaces, for example 'robot.local robot'",
    )
    tracker: str = _parameter(
        "duml_tracker",
        "name of the tracker node, with its namespace if that is another",
        pattern=r"/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*",
        remedy="use a node's name, for example 'duml_tracker' or '/drone/duml_tracker'",
    )
    image_transport: str = _parameter(
        "raw",
        "raw subscribes to image, compressed to image/compressed",
        choices=("raw", "compressed"),
    )
    rate: float = _parameter(
        30.0, "most images a second that are sent to a browser", low=0.2, high=120.0, unit="Hz"
    )
    max_width: int = _parameter(
        1280, "wider images are made smaller before they are sent", low=64, high=8192, unit="px"
    )
    quality: int = _parameter(80, "JPEG quality of the images", low=10, high=100)
    max_clients: int = _parameter(16, "browsers at a time", low=1, high=256)


SPECS: dict[str, Spec] = {
    field.name: field.metadata["spec"] for field in dataclasses.fields(Settings)
}
DEFAULTS = Settings()


def settings_from(values: Mapping[str, Any]) -> Settings:
    """Settings from ROS values. Raises ConsoleError that names each wrong one and the remedy."""
    reasons = [
        reason
        for name, value in values.items()
        if (reason := check_value(name, value, getattr(DEFAULTS, name), SPECS[name]))
    ]
    if reasons:
        raise ConsoleError("; ".join(reasons))
    return Settings(**values)


def to_markdown() -> str:
    """Table of the parameters for docs/console.md."""
    lines = ["| parameter | default | range | text |", "|---|---|---|---|"]
    for name, spec in SPECS.items():
        default = getattr(DEFAULTS, name)
        allowed = ", ".join(spec.choices)
        if spec.low is not None and spec.high is not None:
            allowed = f"{spec.low:g} to {spec.high:g} {spec.unit}".rstrip()
        shown = f'"{default}"' if isinstance(default, str) else default
        lines.append(f"| `{name}` | `{shown}` | {allowed} | {spec.text} |")
    return "\n".join(lines) + "\n"
