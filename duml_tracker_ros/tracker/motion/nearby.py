"""Where a lost target is looked for around the place where it is expected: in a square that grows.

The square is seen in a crop of the usual size, so with the fewer pixels the wider it is. What may
be the target there is looked at closely in the next frame, and only then judged. In turn with that
come the expected place and the one in the square that has most of the target's colours.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from dataclasses import dataclass, field

from ...pixels import Pixels
from ..frame.palette import Histogram, most_like
from ..geometry import Box, Window
from .egomotion import Motion

Picture = tuple[Pixels, str]
"""An image and the order of its channels."""
PLACES = 3
"""So many places with its colours are looked at before the best of them is again."""
APART = 0.4
"""Distance between them at least, half a side of such a square around each, in usual windows."""
RESIZE = 1.5
"""How much larger or smaller than expected what a hint shows is taken to be at most."""
LEAST = 8
"""Pixels that the square must show of the image along each side for colours to be looked for."""


class Look(enum.Enum):
    """How the search region of a frame was chosen, and what is made of it."""

    CLOSE = "where the target may be: what is seen is the target, or it is lost"
    COARSE = "a wide square around the expected place: it says where to look closely next"
    FAR = "closely, somewhere else in the image: a shadow of the target"
    FAR_COARSE = "a wide tile of the image: it says where to look there next"


@dataclass
class Nearby:
    """How far the search around the expected place has come.

    Attributes:
        turn: looks so far; every other one is a coarse one.
        hint: what a coarse look showed, not looked at closely yet, in image pixels.
        seen: centres of what was looked at for its colours in this round.
    """

    turn: int = 0
    hint: Box | None = None
    seen: list[tuple[float, float]] = field(default_factory=list)

    def window(
        self,
        frame: Picture,
        usual: Window,
        sides: tuple[float, float],
        colours: Histogram | None,
        growth: float,
    ) -> tuple[Window, Look]:
        """Where to look next, and how.

        Args:
            usual: around the expected place.
            sides: (w, h) of the target in pixels.
            colours: of the target; None where they are not known.
            growth: how much wider than the usual one the square is.
        """
        if self.hint is not None:
            x, y, w, h = self.hint
            self.hint = None
            # Its size is known roughly, that of what was lost was known a while ago.
            ratio = math.sqrt(w * h / (sides[0] * sides[1]))
            side = usual.side * min(max(ratio, 1 / RESIZE), RESIZE)
            return dataclasses.replace(usual, cx=x + w / 2, cy=y + h / 2, side=side), Look.CLOSE
        if growth <= 1:
            return usual, Look.CLOSE
        self.turn += 1
        if self.turn % 2 == 0:
            return dataclasses.replace(usual, side=growth * usual.side), Look.COARSE
        place = None
        if colours is not None and self.turn % 4 == 3:
            place = self._coloured(frame, usual, sides, colours, growth)
        if place is None:
            return usual, Look.CLOSE
        return dataclasses.replace(usual, cx=place[0], cy=place[1]), Look.CLOSE

    def _coloured(
        self,
        frame: Picture,
        usual: Window,
        sides: tuple[float, float],
        colours: Histogram,
        growth: float,
    ) -> tuple[float, float] | None:
        """The centre of what looks most like the target by its colours in the square."""
        image, order = frame
        half = growth * usual.side / 2
        left, top = max(int(usual.cx - half), 0), max(int(usual.cy - half), 0)
        right, bottom = max(int(usual.cx + half), 0), max(int(usual.cy + half), 0)
        part = image[top:bottom, left:right]
        if min(part.shape[:2]) < LEAST:
            return None
        if len(self.seen) > PLACES:
            self.seen.clear()
        known = [(x - left, y - top) for x, y in self.seen]
        place = most_like(part, order, sides, colours, known, APART * usual.side)
        if place is None:
            return None
        self.seen.append((place[0] + left, place[1] + top))
        return self.seen[-1]

    def stand_still(self, motion: Motion | None) -> None:
        """Keep the hint at its place in the world."""
        if self.hint is not None and motion is not None:
            self.hint = motion.move(self.hint)

    def forget(self) -> None:
        """Begin anew: the target is seen."""
        self.turn, self.hint = 0, None
        self.seen.clear()


def growth(unseen: int, factor: float, most: float) -> float:
    """How much wider than usual the square is after so many frames.

    >>> [round(growth(n, 1.15, 2.0), 2) for n in (0, 1, 4, 5, 10_000)]
    [1.0, 1.15, 1.75, 2.0, 2.0]
    """
    if factor <= 1 or most <= 1:
        return 1.0
    # Far beyond the step that reaches the limit the power has no number.
    return min(factor ** min(unseen, math.ceil(math.log(most, factor))), most)
