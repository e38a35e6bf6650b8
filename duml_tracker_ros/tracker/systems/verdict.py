"""What is made of an observation: which peak is the target, its state and box, if it teaches."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ..config import LocalizeConfig, TrackerConfig
from ..frame.localize import Claim, Finding, TrackState, judge
from ..frame.palette import palette
from ..motion.lookalikes import ScoredBox
from ..motion.nearby import Look
from ..online.policy import trustworthy
from .records import L, Observation, T

TURNED_ABOVE = 0.75
"""Share of the target's usual score from which a candidate may have turned while it was away,"""
TURNED = 1.5
"""and how much less alike its colours may be then for each of what is above that."""


def settle(seen: Observation[T, L], config: TrackerConfig) -> tuple[Observation[T, L], Finding]:
    """Judge the frame and move the box; tell the peak that is taken for the target, too."""
    track, window, claim, chosen = seen.search.target.track, seen.search.window, Claim.OWN, 0
    places: list[ScoredBox] = []
    if seen.others:
        peaks = (seen.peak, seen.chroma), *seen.others
        places = [ScoredBox(window.box_in_image(*p.box), p.fused, c) for p, c in peaks]
        chosen, claim = track.look_alikes.choose(places)
    if chosen:
        peak, shade = seen.others[chosen - 1]
        seen = dataclasses.replace(seen, peak=peak, chroma=shade)
    finding = _doubt(seen, verdict(seen, config, claim), config.localize)
    if places:
        track.look_alikes.learn(places, chosen, claim, finding.state)
    track.observe(finding, config.localize, seen.chroma)
    trust = seen.peak.penalty * seen.peak.fused
    track.move(seen.peak.box, trust, window, seen.frame.size, config.postprocess)
    return seen, finding


def _doubt(seen: Observation[Any, Any], finding: Finding, rule: LocalizeConfig) -> Finding:
    """A second opinion on what is TRACKING by all scores: the colours of the candidate."""
    usual, tolerance = seen.search.target.track.palette, rule.palette_tolerance
    if finding.state is TrackState.LOST:
        usual.interrupt()
    if not tolerance or finding.state is not TrackState.TRACKING:
        return finding
    box = seen.search.window.box_in_image(*seen.peak.box)
    if not usual.doubts(palette(seen.frame.image, seen.frame.order, box), tolerance):
        return finding
    return dataclasses.replace(finding, state=TrackState.UNCERTAIN, weak=True)


def _strange(seen: Observation[Any, Any], config: TrackerConfig) -> bool:
    """Has the candidate other colours than what was lost?"""
    track, rule = seen.search.target.track, config.localize
    if track.colour.differs(seen.chroma, rule.colour_tolerance):
        return True
    # In all of the image more is like the target than around its place, and there, too, the longer
    # it is away.
    near = seen.search.look is not Look.FAR and track.left is None
    if near and track.unseen < config.reacquire.after:
        return False
    box = seen.search.window.box_in_image(*seen.peak.box)
    colours = palette(seen.frame.image, seen.frame.order, box)
    score = 0.5 * (seen.peak.robust + seen.peak.accurate) / max(track.usual, 1e-6)
    changed = TURNED * max(min(score, 1.0) - TURNED_ABOVE, 0.0)
    return track.palette.differs(colours, rule.palette_tolerance + changed)


def verdict(
    seen: Observation[Any, Any], config: TrackerConfig, claim: Claim = Claim.OWN
) -> Finding:
    """The verdict on a candidate. One whose box has no number is lost: it is nowhere."""
    track, peak, rule = seen.search.target.track, seen.peak, config.localize
    finding = judge(
        peak.robust,
        peak.accurate,
        peak.second,
        track.state,
        track.usual,
        rule,
        _strange(seen, config),
        track.trial,
        track.usual_accurate,
        claim,
    )
    if all(map(math.isfinite, peak.box)):
        return finding
    return dataclasses.replace(finding, state=TrackState.LOST, proof=False)


def trusted(seen: Observation[Any, Any], finding: Finding, config: TrackerConfig) -> bool:
    """Is something learned from the frame?"""
    peak, rule = seen.peak, config.online
    return trustworthy(finding, peak.robust, peak.accurate, peak.first, rule)
