"""What the worker does next: a command, or a frame and who is followed in it."""

from __future__ import annotations

import math
from typing import NamedTuple

from .command import Command, CommandQueue
from .frame_ring import CameraFrame
from .target_registry import Followed, TargetRegistry

# How long a selection waits for a target that catches up with the newest frame, seconds.
PATIENCE = 0.3


class Job(NamedTuple):
    """Targets to be followed in a frame that is new to them, and whether to publish it."""

    frame: CameraFrame
    targets: list[Followed]
    publish: bool


class Schedule:
    """Orders what waits. It has no thread, no lock and no clock: callers say what time it is.

    Of frames the newest waits, of selections the newest of each place. However fast selections
    come, a frame is published between two of them. Targets that catch up take turns with the
    newest frame, which the others are owed.

    Args:
        registry: who is followed and who has to catch up.

    Attributes:
        frame_due: a selection cost time; the next one comes after a published frame.
        step_time: seconds that a frame takes.
    """

    def __init__(self, registry: TargetRegistry) -> None:
        self.frame_due = False
        self.step_time = 0.0
        self._registry = registry
        self._newest: CameraFrame | None = None
        self._commands = CommandQueue(registry.limit)
        self._skipped = 0
        self._selected_at = -math.inf
        self._late_had_turn = False
        self._last_seq = -1

    # -- what comes ---------------------------------------------------------------------------

    def offer(self, frame: CameraFrame) -> bool:
        """Let the newest frame wait; True when it takes the place of one that waited."""
        overwritten = self._newest is not None
        self._skipped += overwritten
        self._newest = frame
        return overwritten

    def add(self, command: Command) -> Command | None:
        """Let a command wait; return the one that it makes needless, for the caller to refuse."""
        return self._commands.add(command)

    def drop_frame(self) -> None:
        """Forget the frame that waits, and the count of those before it."""
        self._newest = None
        self._skipped = 0

    def take_commands(self) -> list[Command]:
        """All commands that wait; they do no longer."""
        return self._commands.take_all()

    def take_skipped(self) -> int:
        """Frames that were overwritten since the last call."""
        skipped, self._skipped = self._skipped, 0
        return skipped

    # -- what is next -------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """True while there is nothing to do."""
        return not (self._commands.first or self._newest or self._registry.late)

    def next(self, now: float) -> Command | Job | None:
        """What is up next; None when what waited needs nothing done."""
        return self._next_command(now) or self._next_job(now)

    def selected(self, now: float) -> None:
        """Note when a selection is done."""
        self._selected_at = now

    def _next_command(self, now: float) -> Command | None:
        """The command that is up next; None when there is none or a frame is due before it."""
        command, late = self._commands.first, self._registry.late
        if command is None:
            return None
        selects = command.place is not None
        if selects and self.frame_due and (self._newest is not None or late is not None):
            if late is None or now - self._selected_at < PATIENCE:
                return None
            if self._registry.limit == 1 or command.place == late.target_id:
                # The target that catches up is about to be replaced; publish it once before.
                assert late.behind is not None
                late.behind.hurry(now)
                return None
        return self._commands.pop()

    def _next_job(self, now: float) -> Job | None:
        late, present = self._registry.late, self._registry.present
        owed = self._newest is not None and bool(present)
        self._late_had_turn = late is not None and not (owed and self._late_had_turn)
        if late is None or not self._late_had_turn:
            frame, self._newest = self._newest, None
            return self._job(frame, present, True) if frame is not None else None
        assert late.behind is not None
        step = self.step_time * (2 if present else 1)
        frame, newest = late.behind.next(late.seq, step, now)
        if not newest:
            assert frame is not None
            return self._job(frame, [late], False)
        late.behind = None
        if frame is None:
            return None
        # It stands for the frame that waits, unless that was published for the others already.
        self._newest = None
        told = any(target.seq >= frame.seq for target in present)
        return self._job(frame, [*present, late], not told)

    def _job(self, frame: CameraFrame, targets: list[Followed], publish: bool) -> Job | None:
        """The frame for those it is new to; None where it is news for nobody."""
        targets = [target for target in targets if target.seq < frame.seq]
        if not targets and (len(self._registry) or frame.seq <= self._last_seq):
            return None
        for target in targets:
            target.seq = frame.seq
        if publish:
            self._last_seq = frame.seq
        return Job(frame, targets, publish)
