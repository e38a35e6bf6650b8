"""Where each branch has its peak when every search begins at the true box.

What a run loses it loses to the end, so that its AUC says little of why. Here the search begins
around the true box of the frame before, and the target's true box is what is learned from: what the
branches see of one frame, and whether one is right where the other is wrong.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .. import progress as bars
from ..datasets import Dataset
from ..datasets import Sequence as Clip
from ..pixels import Box
from ..tracker import TrackState
from ..tracker.frame.localize import second_peak
from ..tracker.geometry import Window, overlap, search_window
from ..tracker.systems.records import FrameImage, Search
from ..tracker.systems.siamese import SiameseTarget, SiameseTracker
from ..tracker.systems.verdict import verdict
from .metrics import present
from .one_pass import as_box
from .participants import OwnTracker, TrackerSpec
from .workers import limit_threads, seed_all

BRANCHES = {"offline": "accurate", "online": "robust", "fused": "fused"}
"""Names of the branches, and of their score maps."""
UPDATES: dict[str, dict[str, Any]] = {
    "never": {"online.update": "never"},
    "paper": {"online.update": "paper", "online.interval": 20, "online.iterations": 2},
    "as set": {},
    "every_frame": {"online.update": "every_frame"},
}
"""When the filter learns after the first frame, as settings of the tracker."""
WIDE = 4
"""One frame of so many is searched in the widest window, too: that is four times the work."""
NEAR = 1 / 3
"""Share of the sides within which a peak is the target's."""


@dataclass(frozen=True)
class Peaks:
    """What one search showed.

    Attributes:
        right: by branch, whether its peak is on the target.
        scores: of the offline and the online branch, the highest on the target and elsewhere.
        box: overlap of the tracker's own choice with the true box.
    """

    right: dict[str, bool]
    scores: dict[str, tuple[float, float]]
    box: float


@dataclass(frozen=True)
class Shares:
    """Means over clips of one rule in windows of one size, the shares of searches.

    Attributes:
        right: by branch, that its peak is on the target.
        either: that one of the offline and the online peak is: as much as any fusion could reach.
        online_alone, offline_alone: that this one is and the other is not.
        scores: mean score on the target and elsewhere, of the offline and the online branch.
        box: mean overlap of what the tracker would choose.
    """

    right: dict[str, float]
    either: float
    online_alone: float
    offline_alone: float
    scores: dict[str, tuple[float, float]]
    box: float


def study_branches(
    spec: TrackerSpec,
    clips: Dataset,
    rules: Mapping[str, Mapping[str, Any]] = UPDATES,
    *,
    threads: int | None = None,
    progress: bool = True,
) -> dict[tuple[str, float], Shares]:
    """Search every frame of every clip around the true box before, under each rule of learning.

    Args:
        spec: a tracker that matches a template, with an online branch beside it.
        rules: names, and the settings of each.

    Returns:
        By rule and side of the window, as a multiple of the usual one.
    """
    if threads is not None:
        limit_threads(threads)
    found: dict[tuple[str, float], Shares] = {}
    total = len(rules) * sum(len(clip) for clip in clips)
    with bars.progress(total=total, unit="frame", show=progress, desc=spec.name) as bar:
        for name, settings in rules.items():
            # Engines compile for the usual crops alone.
            fixed = {"engine": "torch"}
            changed = {"online.asynchronous": "never", **spec.overrides, **settings, **fixed}
            tracker = OwnTracker(dataclasses.replace(spec, overrides=changed)).tracker
            assert isinstance(tracker, SiameseTracker)
            seen = [_follow(tracker, clip, bar.update) for clip in clips]
            for side in seen[0]:
                found[name, side] = _shares([clip[side] for clip in seen if clip[side]])
    return found


@torch.inference_mode()
def _follow(tracker: SiameseTracker[Any], clip: Clip, on_frame: Any) -> dict[float, list[Peaks]]:
    """The peaks of one clip, by side of the window."""
    seed_all()
    n, wide = tracker.config.network, tracker.config.localize.max_search
    target = tracker.start(clip.image(0), as_box(clip.truth[0]), "bgr")
    former, there = as_box(clip.truth[0]), present(clip.truth)
    seen: dict[float, list[Peaks]] = {1.0: [], wide: []}
    for index in range(1, len(clip)):
        on_frame(1)
        target.track.frame += 1
        if not there[index]:
            continue
        truth, frame = as_box(clip.truth[index]), FrameImage(clip.image(index), "bgr")
        target.track.box = former
        usual = search_window(former, n.template_size, n.search_size)
        if wide > 1 and index % WIDE == 0:
            size = n.search_size + 32 * int(n.search_size * (wide - 1) // 32)
            window = dataclasses.replace(usual, side=usual.side * size / n.search_size, size=size)
            seen[wide].append(_look(tracker, target, frame, window, truth)[0])
        peaks, observation = _look(tracker, target, frame, usual, truth)
        seen[1.0].append(peaks)
        finding = dataclasses.replace(
            verdict(observation, tracker.config), state=TrackState.TRACKING
        )
        target.track.box = former = truth
        tracker.learn(observation, finding, True)
    return seen


def _look(
    tracker: SiameseTracker[Any],
    target: SiameseTarget,
    frame: FrameImage,
    window: Window,
    truth: Box,
) -> tuple[Peaks, Any]:
    rule, stride = tracker.config, tracker.config.network.stride
    expected = target.track.expect(window, stride, rule.postprocess, rule.localize)
    (seen,) = tracker.look(frame, [Search(target, window, expected)])
    maps = {name: seen.located.maps[key].float() for name, key in BRANCHES.items()}
    cells = maps["fused"].shape[-1]
    row, column, height, width = window.to_cells(truth, cells, stride)

    def is_near(score: torch.Tensor) -> bool:
        at_row, at_column = divmod(int(score.argmax()), cells)
        down, across = abs(at_row - row), abs(at_column - column)
        return down <= max(NEAR * height, 1.0) and across <= max(NEAR * width, 1.0)

    inside = (min(max(round(c), 0), cells - 1) for c in (row, column))
    middle = next(inside) * cells + next(inside)
    scores = {}
    for name in ("offline", "online"):
        score = maps[name]
        highest = torch.nn.functional.max_pool2d(score[None], 3, 1, 1).flatten()[middle]
        elsewhere = second_peak(score, torch.tensor([middle], device=score.device), expected.near)
        scores[name] = float(highest), float(elsewhere)
    right = {name: is_near(score) for name, score in maps.items()}
    return Peaks(right, scores, overlap(window.box_in_image(*seen.peak.box), truth)), seen


def _shares(clips: Sequence[Sequence[Peaks]]) -> Shares:
    """Every clip weighs the same."""

    def mean(value: Any) -> float:
        return float(np.mean([np.mean([value(peaks) for peaks in clip]) for clip in clips]))

    def scores(name: str) -> tuple[float, float]:
        return mean(lambda p: p.scores[name][0]), mean(lambda p: p.scores[name][1])

    return Shares(
        {name: mean(lambda p, name=name: p.right[name]) for name in BRANCHES},
        mean(lambda p: p.right["offline"] or p.right["online"]),
        mean(lambda p: p.right["online"] and not p.right["offline"]),
        mean(lambda p: p.right["offline"] and not p.right["online"]),
        {name: scores(name) for name in ("offline", "online")},
        mean(lambda p: p.box),
    )
