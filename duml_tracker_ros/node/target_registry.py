"""Which targets are followed: their ids, their states, their ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from ..messages.image_codec import ImageView
from ..tracker import TrackResult, TrackState
from .catch_up import CatchUp
from .command import WorkerError
from .frame_ring import CameraFrame
from .outcome import Sighting, Status
from .texts import cut

LAST_ID = 0xFFFFFFFF
PROOF = 3
"""Images on end in which a target that nobody pointed at must be plain before it is TRACKING."""


class Logger(Protocol):
    """What is needed of a logger; that of a ROS node fits."""

    def info(self, message: str) -> Any: ...

    def warning(self, message: str) -> Any: ...

    def error(self, message: str) -> Any: ...


@dataclass(eq=False)
class Followed:
    """One target.

    Attributes:
        handle: the tracker's own idea of it.
        size: (width, height) of the images it is followed in.
        source: their frame_id.
        seq: number of the last frame it was followed in.
        class_id: what it is, of who handed it over; empty: nobody said.
        behind: what it has to catch up on; None when it is at the newest frame.
        proof: in how many more images it must be plain before it is told as TRACKING.
    """

    target_id: int
    handle: Any
    size: tuple[int, int]
    source: str
    seq: int
    class_id: str = ""
    behind: CatchUp | None = None
    status: Status = Status.TRACKING
    lost_since: float | None = None
    proof: int = 0


class TargetRegistry:
    """The targets of one worker, in the order of their selection.

    Only the worker's thread changes it; any thread may look.

    Args:
        limit: how many targets there may be. With one, a selection replaces the former target.

    Attributes:
        next_id: the lowest id that was not used yet.
        keep_ids: called with the next id whenever it changes, before the target is published.
    """

    def __init__(self, limit: int, logger: Logger) -> None:
        self.limit = limit
        self.next_id = 1
        self.keep_ids: Callable[[int], None] = lambda next_id: None
        self.selected = 0
        self.resting = Status.IDLE
        self._logger = logger
        self._targets: list[Followed] = []
        self._ended: list[Sighting] = []

    def __len__(self) -> int:
        return len(self._targets)

    @property
    def present(self) -> list[Followed]:
        """Those that are followed in the newest frame."""
        return [target for target in self._targets if target.behind is None]

    @property
    def late(self) -> Followed | None:
        """The first of those that have to catch up."""
        return next((target for target in self._targets if target.behind is not None), None)

    def states(self) -> dict[int, Status]:
        """State of each target by id, in the order of selection."""
        return {target.target_id: target.status for target in tuple(self._targets)}

    # -- selection ----------------------------------------------------------------------------

    def make_room(self, target_id: int, replaces: int) -> list[Followed]:
        """The targets that a new one takes the place of.

        Args:
            target_id: id that the new one shall get; 0 = any.
            replaces: id of the target that is given up for it; 0 = none.

        Raises:
            WorkerError: the id is used, there is no target to replace, or no room.
        """
        if target_id and target_id == self.selected:
            raise WorkerError(
                f"target_id {target_id} is that of the last selection: ids must change, "
                "use another or 0"
            )
        if target_id and target_id in self.states():
            raise WorkerError(f"target_id {target_id} is followed already: use another or 0")
        found = self.find(replaces) if replaces else []
        if self.limit == 1:
            return list(self._targets)
        if len(self) - len(found) >= self.limit:
            raise WorkerError(
                f"{len(self)} targets are followed and max_targets is {self.limit}: stop one, or "
                f"name one in replaces; they are {self._names()}"
            )
        return found

    def add(self, target: Followed, former: Iterable[Followed]) -> None:
        """Follow a target in place of former ones; an id of 0 becomes the next free one."""
        self.end(former, f"target {target.target_id or self.next_id} takes its place")
        while not target.target_id:
            if self.next_id not in self.states():
                target.target_id = self.next_id
            self.next_id = self.next_id % LAST_ID + 1
        self.selected = target.target_id
        self.next_id = max(self.next_id, self.selected % LAST_ID + 1)
        self.keep_ids(self.next_id)
        self.resting = Status.IDLE
        self._targets.append(target)

    def find(self, target_id: int) -> list[Followed]:
        """The target with this id, all for 0. Raises WorkerError when no target has it."""
        found = [t for t in self._targets if target_id in (0, t.target_id)]
        if target_id and not found:
            raise WorkerError(
                f"there is no target {target_id}; "
                + (f"followed: {self._names()}" if self._targets else "there is none")
            )
        return found

    def _names(self) -> str:
        return ", ".join(map(str, self.states()))

    # -- frame by frame -----------------------------------------------------------------------

    def end_misplaced(
        self, targets: Iterable[Followed], frame: CameraFrame, view: ImageView
    ) -> None:
        """End those that were followed in images of another size or source."""
        for target in targets:
            if target.size != (view.width, view.height) or target.source != frame.source:
                self.end(
                    [target],
                    f"the image changed from {target.size[0]}x{target.size[1]} "
                    f"{cut(target.source)!r} to {view.width}x{view.height} {cut(frame.source)!r}",
                )

    def judge(
        self, target: Followed, result: TrackResult, arrival: float, lost_timeout: float
    ) -> None:
        """Take over the tracker's verdict; end the target that was lost for too long.

        Args:
            arrival: time of the frame in seconds.
            lost_timeout: in seconds; 0 = never.
        """
        before, target.status = target.status, Status(result.state.value)
        if target.proof:
            plain = target.status is Status.TRACKING
            target.proof = target.proof - 1 if plain else PROOF
            target.status = Status.UNCERTAIN if plain else target.status
        if result.state is TrackState.LOST:
            if target.lost_since is None:
                target.lost_since = arrival
            lost_for = arrival - target.lost_since
            if 0.0 < lost_timeout <= lost_for:
                self.end([target], f"it was lost for {lost_for:.1f} s (lost_timeout)")
                return
        else:
            target.lost_since = None
        if result.state is TrackState.IDLE:
            self.end([target], "the tracker gave it up")
        elif target.status is not before and Status.LOST in (target.status, before):
            found = "lost" if target.status is Status.LOST else "found again"
            self._logger.info(f"target {target.target_id} {found}")

    def follows(self, target: Followed) -> bool:
        return target in self._targets

    # -- ends ---------------------------------------------------------------------------------

    def end(
        self, targets: Iterable[Followed], reason: str, status: Status = Status.IDLE
    ) -> tuple[int, ...]:
        """Follow these no longer; returns their ids."""
        ended = list(targets)
        for target in ended:
            self._targets.remove(target)
            self._logger.info(f"target {target.target_id} dropped: {reason}")
            # Who listens for one target of several cannot tell its end from the others' images.
            if self.limit > 1:
                self._ended.append(Sighting(target.target_id, status, class_id=target.class_id))
        if not self._targets:
            self.resting = status
        return tuple(target.target_id for target in ended)

    def take_ended(self) -> list[Sighting]:
        """Those that ended since the last call, to be told once."""
        ended, self._ended = self._ended, []
        return ended
