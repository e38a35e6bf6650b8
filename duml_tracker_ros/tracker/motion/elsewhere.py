"""Where else a lost target may be: tiles of the whole image in turn, and a shadow of what is there.

Around the place where it is expected the usual search goes on. What is found in a tile is followed
as a shadow first: only what stays plain for some frames becomes the target again, and nothing is
learned meanwhile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..config import LocalizeConfig, ReacquireConfig
from ..geometry import Box, Window, search_window
from ..network_config import NetworkConfig
from .egomotion import Motion

STEP = 0.6
"""Distance between tiles as a share of their side: a target at the border of one is well inside of
the next."""
REACH = 1.0
"""How far a shadow may move from frame to frame, in its own sides."""
RESIZE = 1.5
"""Greatest ratio of its sides from frame to frame."""


@dataclass
class Elsewhere:
    """How far the search of the whole image for one target has come.

    Attributes:
        turn: number of the tile that is up next.
        shadow: box of what may be the target, in image pixels.
        held: frames on end in which it was plain.
    """

    turn: int = 0
    shadow: Box | None = None
    held: int = 0

    def stand_still(self, motion: Motion | None) -> None:
        """Keep the shadow at its place in the world."""
        if self.shadow is not None and motion is not None:
            self.shadow = motion.move(self.shadow)

    def window(
        self,
        box: Box,
        image_size: tuple[int, int],
        network: NetworkConfig,
        search: LocalizeConfig,
        rule: ReacquireConfig,
    ) -> Window:
        """Where to look next: around the shadow, or the tile that is up.

        Args:
            box: where the target is expected.
            image_size: (width, height).
        """
        if self.shadow is not None:
            return search_window(self.shadow, network.template_size, network.search_size)
        found = tiles(box, image_size, network, search, rule)
        self.turn = self.turn % len(found) + 1
        return found[self.turn - 1]

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
        self.turn, self.shadow, self.held = 0, None, 0


def tiles(
    box: Box,
    image_size: tuple[int, int],
    network: NetworkConfig,
    search: LocalizeConfig,
    rule: ReacquireConfig,
) -> list[Window]:
    """Windows that cover the image at every scale, those near the box first."""
    size = network.search_size + 32 * int(network.search_size * (search.max_search - 1) // 32)
    usual = search_window(box, network.template_size, network.search_size)
    out = []
    for scale in rule.scales:
        side = usual.side * size / network.search_size * scale
        columns, rows = (_places(extent, side) for extent in image_size)
        level = [Window(x, y, side, size) for y in rows for x in columns]
        out += sorted(level, key=lambda w: math.hypot(w.cx - usual.cx, w.cy - usual.cy))
    return out


def _places(extent: int, side: float) -> list[float]:
    """Centres of tiles along one axis, evenly spread from border to border."""
    count = max(1, math.ceil((extent - side) / (STEP * side)) + 1)
    if count == 1:
        return [extent / 2]
    first, last = min(side, extent) / 2, extent - min(side, extent) / 2
    return [first + (last - first) * i / (count - 1) for i in range(count)]


def _same(box: Box, shadow: Box) -> bool:
    """Can one be the other a frame later?"""
    side, former = math.sqrt(box[2] * box[3]), math.sqrt(shadow[2] * shadow[3])
    dx = box[0] + box[2] / 2 - shadow[0] - shadow[2] / 2
    dy = box[1] + box[3] / 2 - shadow[1] - shadow[3] / 2
    return math.hypot(dx, dy) <= REACH * former and 1 / RESIZE <= side / former <= RESIZE
