"""Joins what comes of one image, by its stamp: the picture, its targets, what was looked at."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..messages.image_codec import ImageView
from ..node.frame_ring import CameraFrame, FrameRing
from ..node.statistics import RecentValues
from .readings import DebugReading, TargetReading

# A tracker that is silent for longer answers no image: they are shown without targets.
PATIENCE = 1.0
RING_SECONDS = 1.0
RING_BYTES = 64 << 20
RATE_SECONDS = 3.0


@dataclass(frozen=True)
class Scene:
    """What browsers are shown at a time.

    Attributes:
        frame: None when there is no image.
        targets: None when the tracker did not answer this image.
        mask: the pixels of all targets, order mono; None when there is none, or nobody wants it.
        numbers: rates, counts, and what is wrong, by name.
    """

    seq: int
    frame: CameraFrame | None
    targets: tuple[TargetReading, ...] | None = None
    debug: tuple[DebugReading, ...] = ()
    mask: ImageView | None = None
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass
class _Answer:
    """Targets of one image, as far as they have come."""

    stamp_ns: int
    targets: list[TargetReading] = field(default_factory=list)
    debug: list[DebugReading] = field(default_factory=list)
    mask: ImageView | None = None
    told: bool = False

    @property
    def complete(self) -> bool:
        if not self.targets:
            return False
        return sum(not target.ended for target in self.targets) >= self.targets[-1].followed

    @property
    def explained(self) -> bool:
        return len(self.debug) >= sum(not target.ended for target in self.targets)


class Joiner:
    """Makes scenes of images and answers, whichever of them comes first.

    Used from one thread, but for `numbers`.

    Args:
        emit: gets every scene.
        clock: monotonic time in seconds.
    """

    def __init__(
        self, emit: Callable[[Scene], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.wants_debug = self.wants_mask = False
        self._emit = emit
        self._clock = clock
        self._ring = FrameRing(RING_SECONDS, RING_BYTES)
        self._answer: _Answer | None = None
        self._seq = 0
        self._answered = self._emitted = self._masked = -math.inf
        self._dropped = 0
        self._images, self._answers = RecentValues(RATE_SECONDS), RecentValues(RATE_SECONDS)

    def clear(self) -> None:
        """Forget all images and answers; counts begin anew."""
        self._ring.clear()
        self._answer, self._dropped = None, 0
        self._answered = self._emitted = self._masked = -math.inf
        self._images, self._answers = RecentValues(RATE_SECONDS), RecentValues(RATE_SECONDS)

    def take_frame(self, frame: CameraFrame) -> None:
        """An image has come."""
        now = self._clock()
        self._ring.append(frame)
        self._images.add(now=now)
        answer = self._answer
        if answer is not None and not answer.told and answer.stamp_ns == frame.stamp_ns:
            self._settle(answer)
        elif now - self._answered > PATIENCE:
            self._tell(frame)

    def take_target(self, stamp_ns: int, target: TargetReading) -> None:
        """A target has come, or word that there is none."""
        answer = self._answer
        if answer is None or answer.stamp_ns != stamp_ns or answer.complete:
            if answer is not None and not answer.told and answer.complete:
                # What was looked at has not come; the next answer must not wait for it, too.
                self._tell_answer(answer)
            if answer is None or answer.stamp_ns != stamp_ns:
                self._answered = self._clock()
                self._answers.add(now=self._answered)
                self._dropped += target.dropped
            answer = self._answer = _Answer(stamp_ns)
        answer.targets.append(target)
        self._settle(answer)

    def take_debug(self, stamp_ns: int, debug: DebugReading) -> None:
        """What was looked at for one target has come; it follows the targets of its image."""
        answer = self._answer
        if answer is not None and answer.stamp_ns == stamp_ns and not answer.told:
            answer.debug.append(debug)
            self._settle(answer)

    def take_mask(self, stamp_ns: int, mask: ImageView) -> None:
        """The pixels of all targets have come; they follow the targets of their image."""
        self._masked = self._clock()
        answer = self._answer
        if answer is not None and answer.stamp_ns == stamp_ns and not answer.told:
            answer.mask = mask
            self._settle(answer)

    def tick(self) -> None:
        """Emit a scene while nothing comes, so that browsers see why; call it now and then."""
        if self._clock() - self._emitted > PATIENCE:
            self._tell(None)

    def numbers(self) -> dict[str, Any]:
        """Rates in Hz and counts; from any thread."""
        now = self._clock()
        return {
            "images": round(self._images.rate(now), 1),
            "answers": round(self._answers.rate(now), 1),
            "dropped": self._dropped,
        }

    def _settle(self, answer: _Answer) -> None:
        if not answer.complete or (self.wants_debug and not answer.explained):
            return
        # Only a tracker that has masks is waited for.
        masks = self.wants_mask and self._clock() - self._masked <= PATIENCE
        if answer.mask is not None or not masks:
            self._tell_answer(answer)

    def _tell_answer(self, answer: _Answer) -> None:
        frame = self._ring.find(answer.stamp_ns)
        if frame is not None:
            answer.told = True
            self._tell(frame, answer)

    def _tell(self, frame: CameraFrame | None, answer: _Answer | None = None) -> None:
        self._seq += 1
        self._emitted = self._clock()
        scene = Scene(self._seq, frame, numbers=self.numbers())
        if answer is not None:
            targets, debug = tuple(answer.targets), tuple(answer.debug)
            scene = dataclasses.replace(scene, targets=targets, debug=debug, mask=answer.mask)
        self._emit(scene)
