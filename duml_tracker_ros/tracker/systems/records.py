"""The records of a frame: what was searched, what was located there, what the host knows of it."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from torch import Tensor

from ...pixels import Pixels
from ..frame.peak import Peak
from ..frame.voting import Ballot
from ..geometry import Window
from ..motion.lookalikes import MOST
from ..motion.nearby import Look
from ..motion.target import Expectation, TargetTrack
from ..online.memory import SampleMemory

PEAKS = MOST + 1
"""Peaks that are looked at for look-alikes: theirs, and the target's own."""
Chroma = tuple[float, float]


@dataclass
class TargetModel:
    """One target of a tracker; subclasses add what they learned of it.

    Attributes:
        pending_update: of what is learned of it, in the background; None when there is none.
    """

    track: TargetTrack
    pending_update: Future[None] | None = field(default=None, kw_only=True)

    def finish_update(self) -> None:
        """Wait until what was begun to be learned is learned. Raises what went wrong there."""
        pending, self.pending_update = self.pending_update, None
        if pending is not None:
            pending.result()

    @property
    def memory(self) -> SampleMemory | None:
        """What the online model learns from; None without one."""
        return None


@dataclass
class Located:
    """Where a target seems to be in one search region; tensors on the device.

    Attributes:
        numbers: what the host needs to know, as ``Peak.pack`` made it [10].
        maps: ``fused``, ``robust`` and ``accurate`` scores [H, W].
        stride: crop pixels between the cells of the maps.
        ballot: what the box was voted from, in crop pixels; None without voting.
        others: further peaks, packed as ``numbers`` [`PEAKS`, 10]; None unless look-alikes are
            followed.
    """

    numbers: Tensor
    maps: dict[str, Tensor]
    stride: int
    ballot: Ballot | None = field(default=None, kw_only=True)
    others: Tensor | None = field(default=None, kw_only=True)


T = TypeVar("T", bound=TargetModel)
L = TypeVar("L", bound=Located)


class FrameImage(NamedTuple):
    """An image, checked, and the order of its channels (``crop.CHANNELS``)."""

    image: Pixels
    order: str

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.image.shape[1], self.image.shape[0]


@dataclass(frozen=True)
class Search(Generic[T]):
    """A region of the next image in which a target is looked for, and how."""

    target: T
    window: Window
    expected: Expectation
    look: Look = Look.CLOSE


@dataclass(frozen=True)
class Observation(Generic[T, L]):
    """What one search region of a frame showed.

    Attributes:
        located: of the device, and
        peak: what the host knows of it.
        chroma: of the candidate (``colour``).
        others: further peaks with their chroma, where look-alikes are followed.
    """

    frame: FrameImage
    search: Search[T]
    located: L
    peak: Peak
    chroma: Chroma
    others: tuple[tuple[Peak, Chroma], ...] = ()
