"""What all command lines here share: numbers within bounds, and mistakes told in one line."""

from __future__ import annotations

import argparse
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

MOST = 1_000_000_000
"""Of whole numbers that have no bound of their own."""


class Parser(argparse.ArgumentParser):
    """Tells a mistake in one line instead of a screen of usage.

    A box that begins with a minus is a value, and no option; -inf and -nan are values, too, which
    are then refused as such. A text without a type of its own must not be empty.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register("type", None, named)
        self._negative_number_matcher = re.compile(r"-(?:[.\d]|inf|nan)", re.IGNORECASE)

    def _get_value(self, action: argparse.Action, text: str) -> Any:
        # What belongs to a command is judged by its own parser, which knows the option's name.
        if isinstance(action, argparse._SubParsersAction):
            return text
        return super()._get_value(action, text)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} ({self.prog} --help)\n")


def named(text: str) -> str:
    """argparse type: a name that is not empty. An empty path is this folder, which nobody means."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; a variable of the shell may not be set")
    return text


@dataclass(frozen=True)
class Whole:
    """argparse type: a whole number from ``least`` to ``most``, both included."""

    least: int = 1
    most: int = MOST

    def __call__(self, text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = self.least - 1
        if not self.least <= value <= self.most:
            raise argparse.ArgumentTypeError(
                f"{shown(text)} is not a whole number from {self.least} to {self.most}"
            )
        return value


@dataclass(frozen=True)
class Number:
    """argparse type: a number from ``least`` to ``most``, both included; never NaN or infinite."""

    least: float
    most: float

    def __call__(self, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not self.least <= value <= self.most:
            raise argparse.ArgumentTypeError(
                f"{shown(text)} is not a number from {self.least:g} to {self.most:g}"
            )
        return value


positive = Whole()
"""argparse type: a whole number above 0."""
PORT = Whole(1, 65535)
"""argparse type: a port that somebody listens on."""


def line(text: str) -> str:
    """A text for people in one line: what would break it, or move a terminal, is spelled out."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode()
        for c in text
    )


def for_opencv(name: str | Path) -> bool:
    """Whether OpenCV can be given a name; one whose bytes are no UTF-8 kills the process."""
    return not any("\ud800" <= c <= "\udfff" for c in str(name))


NOT_FOR_OPENCV = "its name is no UTF-8, which OpenCV does not take; give it another name"


def shown(text: str, length: int = 60) -> str:
    """What was given, cut where it is long."""
    return repr(text if len(text) <= length else f"{text[:length]}...")
