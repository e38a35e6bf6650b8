"""One way to follow targets for the worker, whether its tracker can follow one or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ..pixels import Pixels
from ..tracker import Box, ConfigError, MultiTargetTracker, Tracker, TrackResult


class Follower(Protocol):
    """Follows targets, which are handles that mean nothing to others."""

    def start(self, image: Pixels, box: Box, order: str) -> Any:
        """Make a target. Raises BoxError or ImageError and then leaves all others alone."""
        ...

    def track(self, image: Pixels, targets: Sequence[Any], order: str) -> Sequence[TrackResult]: ...


class _One:
    """The one target of any tracker."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def start(self, image: Pixels, box: Box, order: str) -> None:
        self._tracker.init(image, box, order)

    def track(self, image: Pixels, targets: Sequence[None], order: str) -> Sequence[TrackResult]:
        return [self._tracker.update(image, order) for _ in targets]


def make_follower(tracker: Tracker, max_targets: int) -> Follower:
    """What follows up to `max_targets` targets with a tracker.

    Raises:
        ConfigError: the tracker cannot follow several.
    """
    if max_targets == 1:
        return _One(tracker)
    if isinstance(tracker, MultiTargetTracker):
        return tracker
    name = tracker.info().get("name", type(tracker).__name__)
    raise ConfigError(
        f"max_targets = {max_targets}: the tracker {name!r} follows one target only; "
        "set max_targets to 1 or take another tracker"
    )
