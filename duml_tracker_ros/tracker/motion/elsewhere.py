"""Where else a lost target may be: where its colours are, tiles in turn, a shadow of what is there.

The place where it is expected has its turn, too. What is found elsewhere is followed as a shadow
first: only what stays plain for some frames becomes the target again, and nothing is
learned meanwhile.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

from ..config import ReacquireConfig
from ..frame.palette import Histogram, most_like
from ..geometry import Box, Window, search_window
from ..network_config import NetworkConfig
from .egomotion import Motion
from .nearby import Look, Picture

TURNS = 2
"""Of so many looks elsewhere all but one go where the target's colours are,"""
PLACES = 10
"""to so many places before the best of them are looked at again."""
STEP = 0.6
"""Distance between tiles as a share of their side: a target at the border of one is well inside of
the next."""
FINEST = 1 / 40
"""Least side of a tile as a share of the image's longer one: a round of more takes minutes."""
REACH = 1.0
"""How far a shadow may move from frame to frame, in its own sides."""
RESIZE = 1.5
"""Greatest ratio of its sides from frame to frame."""


@dataclass
class Elsewhere:
    """How far the search of the whole image for one target has come.

    Attributes:
        turn: how often was looked elsewhere.
        tile: number of the tile that was looked at last.
        seen: centres of what was looked at for its colours in this round.
        hint: what a tile showed, not looked at closely yet, in image pixels.
        shadow: box of what may be the target, in image pixels.
        held: frames on end in which it was plain.
    """

    turn: int = 0
    tile: int = 0
    seen: list[tuple[float, float]] = field(default_factory=list)
    hint: Box | None = None
    shadow: Box | None = None
    held: int = 0

    def stand_still(self, motion: Motion | None) -> None:
        """Keep the shadow and the hint at their places in the world."""
        if motion is None:
            return
        if self.shadow is not None:
            self.shadow = motion.move(self.shadow)
        if self.hint is not None:
            self.hint = motion.move(self.hint)

    def window(
        self,
        frame: Picture,
        box: Box,
        colours: Histogram | None,
        network: NetworkConfig,
        rule: ReacquireConfig,
    ) -> tuple[Window, Look]:
        """Where to look next: around the shadow, where its colours are, or the tile that is up.

        Args:
            frame: image and order of its channels.
            box: where the target is expected.
            colours: of the target; None where they are not known.
        """
        near = self.shadow or self.hint
        usual = search_window(near or box, network.template_size, network.search_size)
        self.hint = None
        if near is not None:
            return usual, Look.FAR
        self.turn += 1
        if colours is not None and self.turn % TURNS:
            place = self._coloured(frame, box, colours, usual)
            if place is not None:
                return dataclasses.replace(usual, cx=place[0], cy=place[1]), Look.FAR
        height, width = frame[0].shape[:2]
        found = tiles(box, (width, height), network, rule)
        self.tile = self.tile % len(found) + 1
        return found[self.tile - 1], Look.FAR_COARSE

    def _coloured(
        self, frame: Picture, box: Box, colours: Histogram, usual: Window
    ) -> tuple[float, float] | None:
        """The centre of what looks most like the target by its colours and was not looked at in
        this round, nor is searched anyway; None, and a new round, after some."""
        if len(self.seen) < PLACES:
            known = [(usual.cx, usual.cy), *self.seen]
            place = most_like(*frame, box[2:], colours, known, STEP * usual.side)
            if place is not None:
                self.seen.append(place)
                return place
        self.seen.clear()
        return None

    def see(self, box: Box | None, rule: ReacquireConfig) -> Box | None:
        """Take over what was found there; the target's box once it has held for long enough.

        Args:
            box: of what is plain enough to be the target; None where nothing is.
        """
        same = box is not None and self.shadow is not None and _same(box, self.shadow)
        self.held = self.held + 1 if same else int(box is not None)
        # Another thing than the shadow is a shadow of its own.
        self.shadow = box
        if self.held <= rule.hold:
            return None
        self.forget()
        return box

    def forget(self) -> None:
        """Begin anew: the target is seen."""
        self.turn, self.tile, self.hint, self.shadow, self.held = 0, 0, None, None, 0
        self.seen.clear()


def tiles(
    box: Box, image_size: tuple[int, int], network: NetworkConfig, rule: ReacquireConfig
) -> list[Window]:
    """Windows that cover the image at every scale, those near the box first.

    Args:
        image_size: (width, height).
    """
    usual = search_window(box, network.template_size, network.search_size)
    out = []
    for scale in rule.scales:
        side = max(usual.side * scale, FINEST * max(image_size))
        columns, rows = (_places(extent, side) for extent in image_size)
        level = [Window(x, y, side, usual.size) for y in rows for x in columns]
        out += sorted(level, key=lambda w: math.hypot(w.cx - usual.cx, w.cy - usual.cy))
    return out


def _places(extent: int, side: float) -> list[float]:
    """Centres of tiles along one axis, evenly spread from border to border."""
    count = max(1, math.ceil((extent - side) / (STEP * side)) + 1)
    if count == 1:
        return [extent / 2]
    first, last = min(side, extent) / 2, extent - min(side, extent) / 2
    return [first + (last - first) * i / (count - 1) for i in range(count)]


def well_inside(box: Box, window: Window) -> bool:
    """Is the middle of a box so far inside of a window that it is surely found there?"""
    x, y, w, h = box
    far = max(abs(x + w / 2 - window.cx), abs(y + h / 2 - window.cy))
    return far <= STEP / 2 * window.side


def _same(box: Box, shadow: Box) -> bool:
    """Can one be the other a frame later?"""
    side, former = math.sqrt(box[2] * box[3]), math.sqrt(shadow[2] * shadow[3])
    dx = box[0] + box[2] / 2 - shadow[0] - shadow[2] / 2
    dy = box[1] + box[3] / 2 - shadow[1] - shadow[3] / 2
    return math.hypot(dx, dy) <= REACH * former and 1 / RESIZE <= side / former <= RESIZE
