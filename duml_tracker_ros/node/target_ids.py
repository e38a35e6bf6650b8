"""Target ids that go on where a former process left off, however that one ended."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from ..outputs import write_text
from .target_registry import LAST_ID, Logger

BLOCK = 100
"""Ids that are reserved at a time, so that few selections write to disk."""


def state_file(folder: str, node: str, domain: int, ending: str) -> Path:
    """Where a node keeps what outlives its process.

    Args:
        folder: the parameter state_folder; empty: duml_tracker in $ROS_HOME, else in ~/.ros.
        node: its fully qualified name; `domain`: its ROS domain.
    """
    home = os.environ.get("ROS_HOME") or "~/.ros"
    place = Path(os.path.expanduser(folder or os.path.join(home, "duml_tracker")))
    return place / f"{domain}.{node.strip('/').replace('/', '.')}.{ending}"


class TargetIds:
    """Ids are reserved on disk before they are used, so the next process begins above them.

    Where that cannot be done they begin at the hundredths of a second of the clock, faster than
    which nobody selects targets.

    Attributes:
        first: the first id of this process.
    """

    def __init__(self, file: Path, logger: Logger) -> None:
        self._file, self._logger = file, logger
        self._end = 1
        try:
            self.first = self._read()
            self._reserve(self.first)
        except (OSError, ValueError) as error:
            self.first = int(time.time() * 100) % LAST_ID + 1
            self._end = self.first
            self._warn(error, f"ids begin at {self.first}, by the clock")
            self.keep(self.first)

    def keep(self, next_id: int) -> None:
        """Take note of the next id; call it before the one before that is told to anybody."""
        if 0 < (self._end - next_id) % LAST_ID <= BLOCK:
            return
        try:
            self._reserve(next_id)
        except OSError as error:
            self._warn(error, "ids may be used again after a restart")
            # Not at every selection.
            self._end = self._after(next_id)

    def _read(self) -> int:
        try:
            text = self._file.read_bytes()[:100]
        except FileNotFoundError:
            return 1
        number = json.loads(text)
        if type(number) is not int or not 0 < number <= LAST_ID:
            raise ValueError(f"{text!r} is no id")
        return number

    def _reserve(self, next_id: int) -> None:
        end = self._after(next_id)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_text(self._file, f"{end}\n")
        self._end = end

    @staticmethod
    def _after(next_id: int) -> int:
        return (next_id + BLOCK - 1) % LAST_ID + 1

    def _warn(self, error: Exception, consequence: str) -> None:
        self._logger.warning(
            f"{self._file}: {error}: {consequence}; make it a file that can be read and written, "
            "or name another folder in state_folder"
        )
