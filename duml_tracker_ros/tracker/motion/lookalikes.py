"""Things that look like the target, followed as tracks of their own, so as not to be taken for it.

The score maps show them: further peaks that stay from frame to frame. Each has a place, a velocity,
a score and a colour, as the target has, and what is seen in a frame is shared out among all of them
together. So what has gone its own way beside the target is not the target where both are seen, nor
where it is seen alone. Nothing but numbers of the host is computed here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..frame.localize import Claim, TrackState
from ..geometry import Box, overlap
from .egomotion import Motion

MOST = 3
"""Look-alikes that are kept."""
PLAIN = 0.2
"""Share of the target's own score from which on something looks like it."""
KNOWN = 3
"""Frames apart from the target after which a look-alike is known."""
MISSED = 5
"""Frames without it after which it is forgotten,"""
HIDDEN = 30
"""and if it went out of sight at the target's place."""
LONGEST = 60
"""Frames for which the target may be hidden while a look-alike is seen."""
NEAR, STEADY, MERGED = 0.6, 0.8, 1.2
"""Sides of the target within which two places are one; within which two things draw each other's
peaks, so that velocities are not learned; and within which they may be seen as one."""
REACH = 1.0
"""Sides of the target that a look-alike is off its course at most."""
ANYWHERE = 0.9
"""Distance, in sides of the target, that counts at most for one that was not seen."""
SHIFTED = 0.3
"""How much better another way of sharing out must be, in sides of the target."""
FOLLOW = 0.2
"""How fast velocity, score and colour follow what is seen,"""
PULL = 0.1
"""and how far the target's course is drawn to a peak that it shares."""
SHADE = 0.15
"""Difference of chroma that counts as a side of the target does, and"""
MOST_SHADE = 1.0
"""what it counts at most."""

Point = tuple[float, float]


@dataclass(frozen=True)
class ScoredBox:
    """What is seen in a frame and may be the target: image pixels, fused score, chroma."""

    box: Box
    score: float
    chroma: Point


@dataclass
class Course:
    """The way of one thing through the image.

    Attributes:
        box: where it was last, or has gone to since; velocity: pixels a frame.
        seen, missed: frames in which it was seen, and since.
    """

    box: Box
    score: float
    chroma: Point
    velocity: Point = (0.0, 0.0)
    seen: int = 1
    missed: int = 0

    @property
    def side(self) -> float:
        return math.sqrt(self.box[2] * self.box[3])

    def expected(self) -> Box:
        x, y, w, h = self.box
        return x + self.velocity[0], y + self.velocity[1], w, h

    def go_on(self) -> None:
        """It was not seen: it is taken to move on."""
        self.box = self.expected()
        self.missed += 1

    def follow(self, sighting: ScoredBox, steady: bool = True) -> None:
        """It was seen there.

        Args:
            steady: its velocity is learned, too.
        """
        before, now = _centre(self.box), _centre(sighting.box)
        frames = self.missed + 1
        if self.missed:
            # Its box has been moved by the velocity meanwhile.
            before = tuple(b - self.missed * v for b, v in zip(before, self.velocity, strict=True))  # type: ignore[assignment]
        rate = max(FOLLOW, 1 / self.seen)
        moved = (now[0] - before[0]) / frames, (now[1] - before[1]) / frames
        if steady:
            self.velocity = _toward(self.velocity, moved, rate)
        self.score += rate * (sighting.score - self.score)
        if all(map(math.isfinite, sighting.chroma)):
            finite = all(map(math.isfinite, self.chroma))
            self.chroma = _toward(self.chroma, sighting.chroma, rate) if finite else sighting.chroma
        self.box = sighting.box
        self.seen, self.missed = self.seen + 1, 0

    def cost(self, sighting: ScoredBox, side: float, farthest: float = math.inf) -> float:
        """How little a sighting is what it would be of this, in sides of the target.

        Args:
            farthest: what a distance counts at most.
        """
        off = min(_apart(self.expected(), sighting.box) / side, farthest)
        shade = math.dist(self.chroma, sighting.chroma) / SHADE
        return off + (min(shade, MOST_SHADE) if math.isfinite(shade) else 0.0)


@dataclass
class LookAlikes:
    """The target's course and those of its look-alikes.

    Attributes:
        own: the target's; None before it was seen.
        others: those of look-alikes, which are known from their `KNOWN`-th frame on.
        hidden: frames on end in which only look-alikes were seen.
    """

    own: Course | None = None
    others: list[Course] = field(default_factory=list)
    hidden: int = 0

    @property
    def known(self) -> list[Course]:
        return [o for o in self.others if o.seen >= KNOWN]

    def stand_still(self, motion: Motion | None) -> None:
        """Keep all of them at their places in the world."""
        if motion is None:
            return
        for course in [self.own, *self.others] if self.own else self.others:
            course.velocity = motion.turn(course.velocity, course.box)
            course.box = motion.move(course.box)

    def choose(self, seen: Sequence[ScoredBox]) -> tuple[int, Claim]:
        """Which of the sightings of a frame is the target's, and whose it is.

        Args:
            seen: the tracker's choice first, then further peaks of its scores.
        """
        own, known = self.own, self.known
        if own is None or not known:
            return 0, Claim.OWN
        side = own.side
        places = self._plain(seen, seen[0].box, side)
        usual, _ = self._share_out(places, known, side, fixed=0)
        best, (mine, *others) = self._share_out(places, known, side)
        missing = [k for k, i in zip(known, others, strict=True) if i is None]
        if mine is None and 0 in others:
            missing.append(known[others.index(0)])
        at = own.expected()
        if mine in (None, 0) and any(_apart(k.expected(), at) < MERGED * side for k in missing):
            return 0, Claim.SHARED
        if 0 not in others or best + SHIFTED > usual:
            return 0, Claim.OWN
        if mine is not None:
            return seen.index(places[mine]), Claim.OWN
        # Seen beside the target for long, it is believed for long.
        patience = min(known[others.index(0)].seen - self.hidden, LONGEST)
        return 0, Claim.OTHERS if self.hidden < patience else Claim.OWN

    def _plain(self, seen: Sequence[ScoredBox], box: Box, side: float) -> list[ScoredBox]:
        """The first one, and those of the others that are plain and apart from a box."""
        bar = PLAIN * self.own.score if self.own else 0.0
        return [
            s
            for i, s in enumerate(seen)
            if i == 0 or (s.score >= bar and _apart(s.box, box) >= NEAR * side)
        ]

    def _share_out(
        self, seen: Sequence[ScoredBox], known: Sequence[Course], side: float, fixed: int = -1
    ) -> tuple[float, tuple[int | None, ...]]:
        """The cheapest way to share out sightings: its cost, and whose is which (None: unseen).

        Args:
            fixed: sighting that the target has; -1: any.
        """
        assert self.own is not None
        courses = [self.own, *known]
        costs = [[c.cost(s, side) for s in seen] for c in courses]
        if self.own.missed:
            costs[0] = [self.own.cost(s, side, ANYWHERE) for s in seen]

        def rest(index: int, taken: frozenset[int]) -> tuple[float, tuple[int | None, ...]]:
            if index == len(courses):
                return 0.0, ()
            total, whose = rest(index + 1, taken)
            best: tuple[float, tuple[int | None, ...]] = REACH + total, (None, *whose)
            if index == 0 and fixed != -1:
                best = math.inf, best[1]
            for i in range(len(seen)):
                barred = fixed not in (-1, i) if index == 0 else costs[index][i] > REACH
                if i in taken or barred:
                    continue
                total, whose = rest(index + 1, taken | {i})
                if costs[index][i] + total < best[0]:
                    best = costs[index][i] + total, (i, *whose)
            return best

        return rest(0, frozenset())

    def learn(
        self, seen: Sequence[ScoredBox], chosen: int, claim: Claim, state: TrackState
    ) -> None:
        """Take over a frame: who was seen where, and what is new."""
        mine = seen[chosen]
        there = state is not TrackState.LOST and claim is not Claim.OTHERS
        if self.own is None:
            self.own = Course(mine.box, mine.score, mine.chroma)
        elif there and claim is Claim.OWN:
            alone = all(_apart(k.box, mine.box) >= STEADY * self.own.side for k in self.known)
            self.own.follow(mine, alone)
        else:
            self.own.go_on()
            if claim is Claim.SHARED:
                # Two things are one peak: each goes on as before, and not far from it.
                self.own.box, self.own.missed = _between(self.own.box, mine.box), 0
        self.hidden = self.hidden + 1 if claim is Claim.OTHERS else 0
        if there:
            self.hidden = 0
        side = self.own.side
        free = self._plain([mine, *(s for s in seen if s is not mine)], mine.box, side)
        if there or mine.score < PLAIN * self.own.score:
            free.remove(mine)
        for course in sorted(self.others, key=lambda o: -o.seen):
            near = [s for s in free if course.cost(s, side) <= REACH]
            if near:
                best = min(near, key=lambda s: course.cost(s, side))
                course.follow(best, _apart(self.own.box, best.box) >= STEADY * side)
                free = [s for s in free if _apart(s.box, best.box) >= NEAR * side]
            else:
                course.go_on()
        place = self.own.box
        self.others = [o for o in self.others if o.missed <= _patience(o, place, side)]
        if there:
            self.others += [Course(s.box, s.score, s.chroma) for s in free]
        self.others = sorted(self.others, key=lambda o: (-o.seen, -o.score))[:MOST]

    def is_known(self, box: Box, same: float) -> bool:
        """Is there a look-alike at this place?"""
        return any(overlap(o.box, box) > same for o in self.known)


def _patience(course: Course, place: Box, side: float) -> int:
    """Frames for which it is kept unseen: longer where it went out of sight behind the target."""
    if course.seen < KNOWN:
        return 1
    return HIDDEN if _apart(course.box, place) < 2 * side else MISSED


def _apart(a: Box, b: Box) -> float:
    return math.dist(_centre(a), _centre(b))


def _centre(box: Box) -> Point:
    return box[0] + box[2] / 2, box[1] + box[3] / 2


def _between(expected: Box, seen: Box) -> Box:
    """A place a little of the way from where something is expected to where it is seen."""
    (ex, ey), (x, y) = _centre(expected), _centre(seen)
    cx, cy = ex + PULL * (x - ex), ey + PULL * (y - ey)
    return cx - seen[2] / 2, cy - seen[3] / 2, seen[2], seen[3]


def _toward(old: Point, new: Point, rate: float) -> Point:
    return old[0] + rate * (new[0] - old[0]), old[1] + rate * (new[1] - old[1])
