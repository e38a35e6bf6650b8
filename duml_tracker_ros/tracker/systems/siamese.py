"""Trackers that match a template, with or without an online module beside it.

What is learned online, and what else happens to a target, is left to subclasses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..geometry import Window, template_window
from ..localize import Finding, second_peak
from ..network.correlation import centre
from ..network.heads import OfflineOutput
from ..network.siamese import SiameseNet
from ..online.memory import SampleMemory
from ..online.policy import NOTHING, Decision, decide, trustworthy
from ..postprocess import hann_window, select
from ..target import TargetTrack
from ..types import Box
from .frame_loop import FrameTracker, Located, Peak, Target, box_cells


class OnlineModule(Protocol):
    """What learns one target while it is tracked."""

    memory: SampleMemory

    def scores(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Scores [A, H, W] of a frame's features [1, C, H, W]: now, and as of the first frame."""
        ...

    def learn(self, features: Tensor, target: Tensor, scores: Tensor, decision: Decision) -> None:
        """Remember a frame [C, H, W], target (row, column, height, width) in cells, and learn."""
        ...


@dataclass
class SiameseTarget(Target):
    """A target with its template.

    Attributes:
        kernels: template kernels of the offline branch, one a level.
        online: the online branch; None in a tracker without one.
    """

    kernels: list[Tensor]
    online: OnlineModule | None = None

    @property
    def memory(self) -> SampleMemory | None:
        return self.online.memory if self.online is not None else None


@dataclass
class SiameseLocated(Located):
    """Attributes: the cell that the candidate is of, an index into the flattened map; features
    [C, H, W] and scores (now, first) of the online branch, if any; probabilities [n, n] of the
    mask branch, if any."""

    cell: Tensor | None = None
    features: Tensor | None = None
    scores: tuple[Tensor, Tensor] | None = None
    mask: Tensor | None = None


Net = TypeVar("Net", bound=SiameseNet)


class SiameseTracker(FrameTracker[Net, SiameseTarget]):
    """Template matching with an online module beside it.

    Per frame: offline heads, online scores, fusion, size penalty and window, peak, score voting,
    peak analysis, and then learning when the frame is sure enough.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._grids: dict[int, tuple[Tensor, Tensor]] = {}

    def begin(self, track: TargetTrack, image: np.ndarray, order: str) -> SiameseTarget:
        n, net = self.config.network, self.net
        template = self.cut(image, template_window(track.box, n.template_size), track, order)
        z = net.extract(self.upload([template]))
        kernels = [k.contiguous() for k in net.template_kernels(z)]
        target = self.make_target(track, kernels)
        if self.online_input(z) is None:
            return target
        crops, boxes = self.first_samples(track, image, order)
        features = self.online_input(net.extract(crops))
        assert features is not None
        cells = self._cells(boxes, features.shape[-1]).to(self.device)
        target.online = self.make_online(features, cells, z)
        return target

    def make_target(self, track: TargetTrack, kernels: list[Tensor]) -> SiameseTarget:
        """A target before its online module is made."""
        return SiameseTarget(track, kernels)

    def online_input(self, levels: Sequence[Tensor]) -> Tensor | None:
        """Neck levels [B, C, H, W] -> features of the online module; None without one."""
        return None

    def make_online(self, features: Tensor, cells: Tensor, z: Sequence[Tensor]) -> OnlineModule:
        """Learn from the first frame; asked for only where there are features to learn from.

        Args:
            features: of its augmented copies [N, C, H, W].
            cells: the target (row, column, height, width) in each, in cells [N, 4].
            z: neck levels of the template.
        """
        raise NotImplementedError(f"{self.name} learns nothing online")

    def predict(
        self, targets: Sequence[SiameseTarget], features: Sequence[Tensor]
    ) -> OfflineOutput:
        """Offline predictions, one search region a target."""
        levels = zip(*(t.kernels for t in targets), strict=True)
        return self.net.predict([torch.cat(level) for level in levels], features)

    def locate(
        self, searched: Sequence[tuple[SiameseTarget, Window]], features: Sequence[Tensor]
    ) -> list[SiameseLocated]:
        out = self.predict([t for t, _ in searched], features)
        online = self.online_input(features)
        scores: list[tuple[Tensor, Tensor] | None] = [
            t.online.scores(online[i : i + 1]) if t.online and online is not None else None
            for i, (t, _) in enumerate(searched)
        ]
        self.clock.lap("heads")
        found = []
        for i, (target, window) in enumerate(searched):
            track = target.track
            one = self._locate(out.of(i), scores[i], track.box, track.unseen > 0, window)
            one.features = None if online is None else online[i]
            found.append(one)
        self.refine(found, out, features)
        return found

    def refine(
        self, found: Sequence[SiameseLocated], out: OfflineOutput, features: Sequence[Tensor]
    ) -> None:
        """What else is computed of the targets' cells, in one pass; nothing here."""

    def _cells(self, boxes: Tensor, cells: int) -> Tensor:
        n = self.config.network
        return box_cells(boxes, n.search_size, cells, n.stride)

    def _grid(self, size: int) -> tuple[Tensor, Tensor]:
        if size not in self._grids:
            anchors = self.net.anchor_grid(size).to(self.device)
            closed = self.config.postprocess.window == "closed"
            window = hann_window(self.net.cells(size), closed).to(self.device)
            self._grids[size] = anchors, window
        return self._grids[size]

    def _locate(
        self,
        out: OfflineOutput,
        scores: tuple[Tensor, Tensor] | None,
        box: Box,
        lost: bool,
        window: Window,
    ) -> SiameseLocated:
        """The best candidate of one search region."""
        p, rule = self.config.postprocess, self.config.localize
        anchors, hann = self._grid(window.size)
        if lost:
            # A target that was lost may come back anywhere.
            p = dataclasses.replace(p, window_influence=0.0)
        last = torch.tensor([box[2] * window.scale, box[3] * window.scale], device=self.device)
        # Without padding the score map is smaller than the features.
        cells = hann.shape[-1]
        robust, first = (centre(s, cells) for s in scores) if scores is not None else (None, None)
        best = select(out, robust, anchors, last, hann, p)
        half = last / (2 * self.config.network.stride) * rule.neighbourhood
        score = best.robust_map
        second = second_peak(score, best.cell, half[1].clamp_min(2), half[0].clamp_min(2))
        start = best.robust if first is None else first.amax(0).flatten()[best.cell]
        rest = (best.penalty, best.fused, best.robust, best.accurate, second, start)
        maps = {"fused": best.fused_map, "robust": best.robust_map, "accurate": best.accurate_map}
        numbers = torch.cat((best.box, torch.stack(rest)))
        return SiameseLocated(
            numbers,
            maps,
            self.config.network.stride,
            cell=best.cell,
            scores=scores,
            ballot=best.ballot,
        )

    def learn(
        self,
        target: SiameseTarget,
        found: Located,
        peak: Peak,
        finding: Finding,
        window: Window,
    ) -> Decision:
        """Remember the frame and improve the filter, if the policy says so."""
        assert isinstance(found, SiameseLocated)
        if target.online is None or found.features is None:
            return NOTHING
        rule = self.config.online
        trusted = trustworthy(finding, peak.robust, peak.accurate, peak.first, rule)
        decision = decide(finding, trusted, target.track.frame, rule)
        if not decision.insert or window.size != self.config.network.search_size:
            return NOTHING
        assert found.scores is not None
        x, y, w, h = window.to_crop(target.track.box)
        box = torch.tensor([x + w / 2, y + h / 2, w, h])
        cells = self._cells(box, found.features.shape[-1]).to(self.device)
        target.online.learn(found.features, cells, found.scores[0], decision)
        return decision
