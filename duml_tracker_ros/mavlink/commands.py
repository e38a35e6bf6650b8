"""The commands a camera is sent: what each asks for, checked, and how it is answered."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from .codec import dialect
from .tracking import SLOTS

ACCEPTED = int(dialect.MAV_RESULT_ACCEPTED)
REJECTED = int(dialect.MAV_RESULT_TEMPORARILY_REJECTED)
DENIED = int(dialect.MAV_RESULT_DENIED)
UNSUPPORTED = int(dialect.MAV_RESULT_UNSUPPORTED)
IN_PROGRESS = int(dialect.MAV_RESULT_IN_PROGRESS)

FASTEST = 0.02
SLOWEST = 3600.0
# A command that comes again within this time, its answer lost, is answered as before.
REPEATED = 5.0
MOST_REMEMBERED = 32


class Denied(Exception):  # noqa: N818 - it is the command that is denied
    """A command that asks for what cannot be; the text says what."""

    result = DENIED


class Later(Denied):
    """A command that cannot be obeyed yet; the text says why."""

    result = REJECTED


class NotMeant(Denied):
    """A command that means another camera."""


@dataclass(frozen=True)
class CameraCommand:
    """COMMAND_LONG or COMMAND_INT.

    Attributes:
        sender: (system, component) ids.
        named: it is meant for this component by its id, not for all.
        repeat: it has been sent before.
    """

    kind: int
    sender: tuple[int, int]
    numbers: tuple[float, ...]
    named: bool
    repeat: bool

    @property
    def key(self) -> Hashable:
        """The same for a command that is sent again. NaN, unlike itself, is told as a text."""
        return self.kind, self.sender, tuple(map(str, self.numbers))


def read_command(message: Any, component: int) -> CameraCommand:
    """A command of either form."""
    first = (message.param1, message.param2, message.param3, message.param4)
    if message.get_type() == "COMMAND_LONG":
        rest: tuple[float, ...] = (message.param5, message.param6, message.param7)
        repeat = message.confirmation > 0
    else:
        rest, repeat = (float(message.x), float(message.y), message.z), False
    sender = message.get_srcSystem(), message.get_srcComponent()
    named = message.target_component == component
    return CameraCommand(message.command, sender, first + rest, named, repeat)


def read_slot(value: float, component: int) -> int | None:
    """The slot that a target camera id means; None for all cameras.

    Raises:
        NotMeant: it is the id of another component.
        Denied: it is no id.
    """
    # MAVSDK sends what it leaves open as NaN.
    if math.isnan(value) or value == 0:
        return None
    if value == component:
        return 0
    if value in SLOTS:
        return int(value)
    if value.is_integer() and 7 <= value <= 255:
        raise NotMeant(f"camera {value:g} is another one: this is component {component}")
    raise Denied(f"target camera id {value:g}: use 0, 1 to 6, or {component}")


def read_rectangle(numbers: tuple[float, ...]) -> tuple[float, float, float, float]:
    """x, y, width, height in shares of the image, from two corners. Raises Denied."""
    if not all(math.isfinite(value) for value in numbers):
        raise Denied(f"rectangle {_shown(numbers)}: corners must be numbers from 0 to 1")
    x1, y1, x2, y2 = (min(max(value, 0.0), 1.0) for value in numbers)
    (left, right), (top, bottom) = sorted((x1, x2)), sorted((y1, y2))
    if right <= left or bottom <= top:
        raise Denied(
            f"rectangle {_shown(numbers)} covers nothing of the image: give corners from 0 to 1"
        )
    return left, top, right - left, bottom - top


def read_point(numbers: tuple[float, ...], size: tuple[int, int]) -> tuple[float, float, float]:
    """x, y in shares of the image, and the side of a square as a share of its shorter side.

    The side is 0, for the tracker to choose, where no radius of more than a pixel is given.

    Args:
        numbers: x, y, radius as a share of the image's width.
        size: (width, height) of the image in pixels; 0 while not known.

    Raises:
        Denied: a number is no share.
        Later: there is a radius, and the size of the image is not known.
    """
    x, y, radius = numbers
    if not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):
        raise Denied(f"point ({_shown((x, y))}) is not in the image: give x and y from 0 to 1")
    if math.isnan(radius):
        radius = 0.0
    if not 0.0 <= radius <= 1.0:
        raise Denied(f"radius {radius:g}: give a share of the image's width, from 0 to 1")
    width, height = size
    if radius > 0.0 and not width:
        raise Later(
            "no news of the tracker yet, so how many pixels the radius has is not known: "
            "send it again, or without a radius"
        )
    if radius * width <= 1.0:
        return x, y, 0.0
    return x, y, min(2.0 * radius * width / min(width, height), 1.0)


def read_interval(value: float) -> float | None:
    """Seconds from microseconds: -1 for never, None for the default. Raises Denied."""
    if value == 0:
        return None
    if value == -1:
        return -1.0
    if not 0 < value <= 1e6 * SLOWEST:
        raise Denied(f"interval {value:g}: give microseconds, 0 for the default, or -1 for never")
    return max(value * 1e-6, FASTEST)


def _shown(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in numbers)


class Answered:
    """What was answered to the last commands, for those that come again."""

    def __init__(self) -> None:
        self._results: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def keep(self, command: CameraCommand, result: int, now: float) -> None:
        self._results.pop(command.key, None)
        self._results[command.key] = now, result
        while len(self._results) > MOST_REMEMBERED:
            self._results.popitem(last=False)

    def forget(self, command: CameraCommand) -> None:
        """It is obeyed anew; what comes again from now on is that."""
        self._results.pop(command.key, None)

    def before(self, command: CameraCommand, now: float) -> int | None:
        """The answer to this command when it has been given a moment ago and comes again."""
        if not command.repeat:
            return None
        then, result = self._results.get(command.key, (-math.inf, 0))
        return result if now - then <= REPEATED else None
