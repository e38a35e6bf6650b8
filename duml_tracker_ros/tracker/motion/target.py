"""What is remembered of one target between frames: where it is, how large, and if it was seen."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from ..config import LocalizeConfig, PostprocessConfig, ReacquireConfig, TrackerConfig
from ..frame.colour import UsualColour
from ..frame.localize import Finding, TrackState, neighbourhood
from ..frame.palette import UsualPalette
from ..geometry import Box, Sides, Window, overlap, search_window
from ..network_config import NetworkConfig
from .egomotion import Motion, View
from .elsewhere import Elsewhere
from .lookalikes import LookAlikes
from .nearby import Look, Nearby, Picture, growth
from .prediction import Prediction

ASTRAY = 2.0
"""How far from the image a lost target may be taken to be, in its width and height."""
ZOOMED = 2.0
"""How much larger or smaller a lost target may be taken to be as the camera zooms."""
RECENT = 8
"""Frames whose median size says how large the target was lately."""
BORDER = 2.0
"""Pixels that a box must be away from the image's border to hold all of its target,"""
PLAIN = 0.85
"""and the share of its usual score that it must have."""
HIDDEN = 5
"""Frames after which what was lost is not only blurred: it is as large as it was as a whole."""
SAME = 0.3
"""Overlap from which two boxes are of the same thing."""
LOOSE, TIGHT = 0.5, 0.98
"""Overlap between which a drawn box is one of the same thing, and not the same box."""
MOST = 1.5
"""Greatest ratio of their sides that is a matter of how they are drawn."""


class Expectation(NamedTuple):
    """What is expected of a search region; numbers of the host, or of the device in a graph.

    Attributes:
        last: (w, h) of the last box in crop pixels, as the network would give it.
        influence: share of the cosine window.
        near: half the height and width in cells of what counts as one peak.
    """

    last: Sides
    influence: float | Tensor
    near: tuple[float, float] | Tensor


class Left(NamedTuple):
    """Where a target was expected, and for how many frames it was not seen there."""

    box: Box
    unseen: int


@dataclass
class TargetTrack:
    """Box and state of one target.

    Attributes:
        box: last box (x, y, w, h) in image pixels; while lost that of the last sighting, or where
            it has gone to since as the camera moved, which may be outside of the image.
        fill: RGB colour of what lies outside the image.
        unseen: frames since the target was last seen.
        frame: frames since the start.
        trial: frames of proof that are wanted of what was found again; 0: it is the target.
        usual: score that the target usually reaches, a slow mean over the frames it is tracked in.
        usual_accurate, colour: the same of its offline score and of its colour.
        palette: its colours, of which strange ones raise doubt.
        plain: it is seen about as plainly as usual.
        box_bias: width and height of the box that was drawn, as shares of those that the network
            gave in the same frame: whoever drew it had the arms in it, or not. Later boxes keep it.
        whole: its width and height when it was last seen as plainly as usual, with all of it in the
            image: what hides it or cuts it makes its box smaller first.
        nearby, elsewhere: the search for it while it is lost.
        left: where it was expected before something far away was taken for it, on trial.
        look_alikes: what is like it and not it.
        view, prediction: the image it was last looked for in, and how it moves; used only where the
            camera's motion is followed.
    """

    box: Box
    fill: tuple[float, float, float]
    state: TrackState = TrackState.TRACKING
    unseen: int = 0
    frame: int = 0
    trial: int = 0
    usual: float = 0.0
    usual_accurate: float = 0.0
    colour: UsualColour = field(default_factory=UsualColour)
    palette: UsualPalette = field(default_factory=UsualPalette)
    plain: bool = False
    box_bias: tuple[float, float] = (1.0, 1.0)
    whole: tuple[float, float] = (0.0, 0.0)
    nearby: Nearby = field(default_factory=Nearby)
    elsewhere: Elsewhere = field(default_factory=Elsewhere)
    left: Left | None = None
    look_alikes: LookAlikes = field(default_factory=LookAlikes)
    view: View | None = None
    prediction: Prediction = field(default_factory=Prediction)
    _sizes: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self._sizes = [math.sqrt(self.box[2] * self.box[3])] * RECENT
        self.whole = self.box[2:]

    def refine(self, seen: Box, share: float) -> bool:
        """Move a drawn box a share of the way to what the network sees; False where that is another
        thing, or not far enough to matter."""
        shared = overlap(seen, self.box) if all(map(math.isfinite, seen)) else 0.0
        if not LOOSE <= shared <= TIGHT:
            return False
        x, y, w, h = self.box
        cx = x + w / 2 + share * (seen[0] + seen[2] / 2 - x - w / 2)
        cy = y + h / 2 + share * (seen[1] + seen[3] / 2 - y - h / 2)
        w, h = w * (seen[2] / w) ** share, h * (seen[3] / h) ** share
        self.box = (cx - w / 2, cy - h / 2, w, h)
        self._sizes, self.whole = [math.sqrt(w * h)] * RECENT, (w, h)
        return True

    def learn_box_bias(self, seen: Box, share: float) -> None:
        """Compare the box that was drawn with what the network sees of it, in image pixels.

        Args:
            share: how far to go from the network's way to that of the first box.
        """
        if not all(map(math.isfinite, seen)) or overlap(seen, self.box) < SAME:
            return
        ratios = self.box[2] / seen[2], self.box[3] / seen[3]
        width, height = (min(max(r, 1 / MOST), MOST) ** share for r in ratios)
        self.box_bias = width, height

    def expect(
        self, window: Window, stride: int, rule: PostprocessConfig, localize: LocalizeConfig
    ) -> Expectation:
        """What is expected of a search region whose score map has this stride."""
        _, _, w, h = self.box
        last = w * window.scale / self.box_bias[0], h * window.scale / self.box_bias[1]
        # A target that was lost may come back anywhere.
        influence = 0.0 if self.unseen else rule.window_influence
        return Expectation(last, influence, neighbourhood(last, stride, localize))

    def search(self, network: NetworkConfig) -> Window:
        """The usual window around where the target is expected."""
        window = search_window(self.box, network.template_size, network.search_size)
        if self.view is None:
            return window
        width, height = self.view.size
        cx, cy = min(max(window.cx, 0.0), width), min(max(window.cy, 0.0), height)
        return dataclasses.replace(window, cx=cx, cy=cy)

    def search_lost(self, frame: Picture, config: TrackerConfig) -> tuple[Window, Look]:
        """Where to look for a lost target in the next image, and how."""
        rule, colours = config.reacquire, self.palette.recent
        # The papers look for it where and as it was.
        if self.unseen == HIDDEN and (rule.active or config.localize.max_search > 1):
            self.restore_size()
        if self._looks_elsewhere(rule):
            return self.elsewhere.window(frame, self.box, colours, config.network, rule)
        usual = self.search(config.network)
        wide = growth(self.unseen, config.localize.search_growth, config.localize.max_search)
        return self.nearby.window(frame, usual, self.box[2:], colours, wide)

    def _looks_elsewhere(self, rule: ReacquireConfig) -> bool:
        """Is a part of the image searched in the next frame that is far from the last box?"""
        if not rule.active or self.unseen < rule.after or self.nearby.hint is not None:
            return False
        # A shadow is followed in every frame.
        turn = (self.unseen - rule.after) % rule.near
        return self.elsewhere.shadow is not None or turn != rule.near - 1

    def anticipate(self, motion: Motion | None, view: View) -> None:
        """Take the box to where it is expected in the next image.

        Args:
            motion: of the camera since the last one; None where it is not known.
        """
        lost = self.state is TrackState.LOST
        self.nearby.stand_still(motion)
        self.elsewhere.stand_still(motion)
        if self.left is not None and motion is not None:
            self.left = self.left._replace(box=motion.move(self.left.box))
        self.look_alikes.stand_still(motion)
        box = self.prediction.ahead(self.box, motion, lost)
        self.box = self._bounded(box, view.size) if lost else box
        self.view = view

    def _bounded(self, box: Box, image_size: tuple[int, int]) -> Box:
        """A box that small errors of many frames have not led astray: of a size like the last ones,
        and no farther from the image than `ASTRAY` of its sides."""
        recent = sorted(self._sizes)[len(self._sizes) // 2]
        x, y, w, h = box
        cx, cy, side = x + w / 2, y + h / 2, math.sqrt(w * h)
        fit = min(max(side, recent / ZOOMED), recent * ZOOMED) / max(side, 1e-6)
        cx, cy = (
            min(max(c, -ASTRAY * n), (1 + ASTRAY) * n)
            for c, n in zip((cx, cy), image_size, strict=True)
        )
        w, h = w * fit, h * fit
        return cx - w / 2, cy - h / 2, w, h

    def observe(self, finding: Finding, rule: LocalizeConfig, chroma: tuple[float, float]) -> None:
        """Take over the verdict on a frame, where the candidate had this chroma."""
        self.frame += 1
        self.plain = finding.score >= PLAIN * self.usual
        if finding.state is TrackState.TRACKING:
            rate = max(rule.usual_rate, 1 / self.frame)
            self.usual += rate * (finding.score - self.usual)
            self.usual_accurate += rate * (finding.accurate - self.usual_accurate)
            self.colour.learn(chroma, rule.usual_rate)
        lost = finding.state is TrackState.LOST
        self.unseen = self.unseen + 1 if lost else 0
        wanted = rule.proof_far if self.left is not None else rule.proof_frames
        if self.unseen >= max(rule.proof_after, 1) or (self.trial and not finding.proof):
            self.trial = wanted
        else:
            self.trial = max(self.trial - 1, 0)
        if not lost:
            self.nearby.forget()
            self.elsewhere.forget()
        self.state = finding.state
        if self.left is None:
            return
        # What was taken for the target far away is it, or the search goes on where it was left.
        self.left = self.left._replace(unseen=self.left.unseen + 1)
        if lost:
            self.box, self.unseen, self.trial = *self.left, rule.proof_frames
            self._sizes = [math.sqrt(self.box[2] * self.box[3])] * RECENT
        if lost or not self.trial:
            self.left = None

    def restore_size(self) -> None:
        """Expect a lost target as large as it was as a whole: what went behind something, or over
        a border, was seen as a sliver last."""
        x, y, w, h = self.box
        wide, high = self.whole
        self.box = (x + (w - wide) / 2, y + (h - high) / 2, wide, high)
        self._sizes = [math.sqrt(wide * high)] * RECENT

    def return_to(self, box: Box, trial: int) -> None:
        """Go on searching around a box (x, y, w, h) of the network's that is far from the last.

        Args:
            trial: frames of proof that are wanted there.
        """
        self.left, self.trial = Left(self.box, self.unseen), trial
        x, y, w, h = box
        wide, high = w * self.box_bias[0], h * self.box_bias[1]
        self.box = (x + (w - wide) / 2, y + (h - high) / 2, wide, high)
        self._sizes = [math.sqrt(wide * high)] * RECENT
        self.prediction = Prediction()
        # It is looked at closely there once more, and judged.
        self.nearby.hint = self.box

    def move(
        self,
        box: tuple[float, float, float, float],
        trust: float,
        window: Window,
        image_size: tuple[int, int],
        rule: PostprocessConfig,
    ) -> None:
        """Move to a candidate; a lost target stays where it was last seen.

        Args:
            box: candidate (cx, cy, w, h) in crop pixels.
            trust: size penalty times score, in [0, 1]: how far the size follows the candidate's.
            image_size: (width, height).
        """
        if self.state is TrackState.LOST or not all(map(math.isfinite, (*box, trust))):
            return
        cx, cy, w, h = box
        # Both map as the near corner of a box would, so one call serves centre and sides.
        x, y, w, h = window.to_image((cx, cy, w, h))
        w, h = w * self.box_bias[0], h * self.box_bias[1]
        rate = min(trust * rule.size_rate, 1.0)
        w = self.box[2] * (1 - rate) + w * rate
        h = self.box[3] * (1 - rate) + h * rate
        # Swallowing a neighbour looks like sudden growth against the recent size.
        recent = sorted(self._sizes)[len(self._sizes) // 2]
        cap = min(rule.max_growth * recent / max(math.sqrt(w * h), 1e-6), 1.0)
        w, h = w * cap, h * cap
        width, height = image_size
        x = min(max(x, 0.0), float(width))
        y = min(max(y, 0.0), float(height))
        w = min(max(w, 2.0), 2.0 * width)
        h = min(max(h, 2.0), 2.0 * height)
        self.box = (x - w / 2, y - h / 2, w, h)
        if self.state is TrackState.TRACKING:
            self.prediction.learn(self.box)
            left, top = self.box[:2]
            inside = min(left, top, width - left - w, height - top - h) > BORDER
            if inside and self.plain:
                self.whole = w, h
        self._sizes = [*self._sizes[1:], math.sqrt(w * h)]
