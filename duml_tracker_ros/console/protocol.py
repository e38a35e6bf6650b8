"""What goes over the WebSocket: checked messages of browsers, packed scenes for them.

A browser sends small JSON objects with a `type`. It gets JSON texts (`welcome`, `answer`,
`refused`) and scenes, which are binary: the length of a JSON header as a 32-bit little-endian
number, the header, the JPEG, the score maps as bytes, the mask as PNG.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

MAX_MESSAGE = 4096
"""Bytes that a browser's message may have at most."""

_LAST_ID = 0xFFFFFFFF
_LAST_STAMP = 0x7FFFFFFF * 1_000_000_000 + 999_999_999


class BadMessage(ValueError):  # noqa: N818 - it is the message that is bad
    """A message that is not understood; the text says what is wrong with it."""


@dataclass(frozen=True)
class Hello:
    """The first message; `token` may be empty."""

    token: str


@dataclass(frozen=True)
class Ack:
    """The scene with this number was drawn; the next one may come."""

    seq: int


@dataclass(frozen=True)
class Watch:
    """What is wanted over the images.

    Attributes:
        debug: score maps, search region and voted boxes.
        mask: the pixels of the targets, where the tracker has masks.
    """

    debug: bool = False
    mask: bool = False


@dataclass(frozen=True)
class Select:
    """Select what is in `numbers`: a box x, y, w, h or a point x, y in pixels.

    Attributes:
        stamp_ns: stamp of the image that it was drawn on.
        replaces: id of the target to give up for it; 0: none.
    """

    request: int
    numbers: tuple[float, ...]
    stamp_ns: int
    replaces: int


@dataclass(frozen=True)
class Stop:
    """Drop the target with this id; 0: all."""

    request: int
    target: int


Message = Hello | Ack | Watch | Select | Stop


def parse(text: str) -> Message:
    """A browser's message.

    Raises:
        BadMessage: it is none; the text names the field and what belongs there.
    """
    try:
        # NaN and Infinity are no JSON, though Python's reader takes them.
        fields = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise BadMessage("the message is not JSON") from None
    if not isinstance(fields, dict):
        raise BadMessage("the message is not a JSON object")
    kind = fields.get("type")
    if kind == "hello":
        token = fields.get("token", "")
        if not isinstance(token, str):
            raise BadMessage("token: must be a text")
        return Hello(token)
    if kind == "ack":
        return Ack(_whole(fields, "seq", 2**53))
    if kind == "watch":
        return Watch(_flag(fields, "debug"), _flag(fields, "mask", False))
    if kind == "stop":
        return Stop(_whole(fields, "request", 2**53), _whole(fields, "target", _LAST_ID))
    if kind == "select":
        request = _whole(fields, "request", 2**53)
        stamp, replaces = _stamp(fields), _whole(fields, "replaces", _LAST_ID)
        return Select(request, _numbers(fields), stamp, replaces)
    raise BadMessage(f"type: {str(kind)[:40]!r} is none of hello, ack, watch, select, stop")


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _flag(fields: dict[str, Any], name: str, default: bool | None = None) -> bool:
    value = fields.get(name, default)
    if not isinstance(value, bool):
        raise BadMessage(f"{name}: must be true or false")
    return value


def _whole(fields: dict[str, Any], name: str, most: int) -> int:
    value = fields.get(name)
    if type(value) is not int or not 0 <= value <= most:
        raise BadMessage(f"{name}: must be a whole number from 0 to {most}")
    return value


def _stamp(fields: dict[str, Any]) -> int:
    # A text, because a browser's numbers have 53 bits.
    value = fields.get("stamp")
    if not isinstance(value, str) or not (value.isascii() and value.isdigit() and len(value) < 20):
        raise BadMessage("stamp: must be a text of nanoseconds")
    if int(value) > _LAST_STAMP:
        raise BadMessage("stamp: later than a ROS stamp can be")
    return int(value)


def _numbers(fields: dict[str, Any]) -> tuple[float, ...]:
    for name, count in (("box", 4), ("point", 2)):
        values = fields.get(name)
        if values is None:
            continue
        good = isinstance(values, list) and len(values) == count
        if not good or not all(type(value) in (int, float) for value in values):
            raise BadMessage(f"{name}: must be {count} numbers")
        try:
            numbers = tuple(float(value) for value in values)
        except OverflowError:
            numbers = (math.inf,)
        if not all(math.isfinite(number) for number in numbers):
            raise BadMessage(f"{name}: must be finite")
        return numbers
    raise BadMessage("select: needs box [x, y, w, h] or point [x, y]")


def pack(header: dict[str, Any], parts: Iterable[bytes]) -> bytes:
    """A binary message."""
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    return b"".join((struct.pack("<I", len(text)), text, *parts))


def unpack(message: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and the rest of a binary message, as a browser reads it."""
    (length,) = struct.unpack_from("<I", message)
    header: dict[str, Any] = json.loads(message[4 : 4 + length])
    return header, message[4 + length :]
