"""Selects what a process that was killed followed, in the first image after it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .boxes import pixel_box
from .command import Command
from .frame_ring import CameraFrame
from .last_seen import LastSeen, Remembered, too_old
from .target_registry import PROOF, Logger
from .worker import TrackerWorker


class Reselection:
    """Made from what was seen last when the node starts.

    Args:
        longest: seconds since then after which a target is not selected again.
        tell: gets what came of it, in words.
    """

    def __init__(
        self, last_seen: LastSeen, longest: float, logger: Logger, tell: Callable[[str], None]
    ) -> None:
        self._remembered = last_seen.read()
        self._longest, self._logger, self._tell = longest, logger, tell

    def take_up(self, worker: TrackerWorker, live: CameraFrame) -> None:
        """Select the targets, unless that was done or others are selected; call it with images."""
        remembered, self._remembered = self._remembered, []
        if worker.registry.selected:
            return
        for target in remembered[: worker.registry.limit]:
            if reason := too_old(target, self._longest):
                self._logger.warning(f"{_name(target)} is not selected: {reason}")
                continue
            frame, box = target.frame(live), pixel_box(*target.box)
            command = worker.init(frame, box, class_id=target.class_id, proof=PROOF)
            command.when_done(partial(self._taken_up, target, command))

    def _taken_up(self, target: Remembered, command: Command) -> None:
        try:
            selection = command.result(0.0)
        except Exception as error:
            text = f"{_name(target)} is not selected: {error}"
            self._logger.warning(text)
        else:
            seen = f"where it was seen last, as target {selection.target_id}"
            text = f"{_name(target)} is looked for {seen}"
            self._logger.info(text)
        self._tell(text)


def _name(target: Remembered) -> str:
    return f"target {target.target_id} of the former process"
