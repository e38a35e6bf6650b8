"""Trackers that match a template, with or without an online module beside it.

What is learned online, and what else happens to a target, is left to subclasses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..engine import Engine, compile_graph
from ..frame.localize import Finding, second_peak
from ..frame.peak import Peak
from ..geometry import box_cells, template_window
from ..host_choice import choose
from ..motion.target import Expectation, TargetTrack
from ..network.correlation import centre
from ..network.graphs import FeaturesGraph, SiameseGraph, TemplateGraph
from ..network.heads import OfflineOutput
from ..network.siamese import SiameseNet
from ..online.memory import SampleMemory
from ..online.policy import NOTHING, Decision, decide
from ..postprocess import hann_window, highest, pick, select
from .frame_loop import FrameTracker
from .records import PEAKS, FrameImage, Located, Observation, Search, TargetModel
from .short_term import RecentAppearance


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
class SiameseTarget(TargetModel):
    """A target with its template.

    Attributes:
        kernels: template kernels of the offline branch, one a level.
        online: the online branch; None in a tracker without one.
        recent: its recent look, in a tracker that keeps it.
    """

    kernels: list[Tensor]
    online: OnlineModule | None = None
    recent: RecentAppearance = field(default_factory=RecentAppearance)

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


class SiameseTracker(FrameTracker[Net, SiameseTarget, SiameseLocated]):
    """Template matching with an online module beside it.

    Per frame: offline heads, online scores, fusion, size penalty and window, peak, score voting,
    peak analysis, and then learning when the frame is sure enough.

    Attributes:
        on_host: is the box chosen by numpy instead of on the device?
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._grids: dict[int, tuple[Tensor, Tensor]] = {}
        self.on_host = self.device.type == "cpu"

    def _compile(self, engine: Engine | None, plain: Net | None, quantised: bytes | None) -> None:
        super()._compile(engine, plain, quantised)
        self._graph = self.graphs(self.net)[1]
        if not self._graph.feature_names:
            return
        own = FeaturesGraph(self._graph)
        other = None if plain is None else FeaturesGraph(self.graphs(plain)[1])
        crop = self._blank(self.config.network.search_size)
        self.features = compile_graph(engine, other, own, crop, quantised, self.background)

    def begin(self, track: TargetTrack, frame: FrameImage, samples: int) -> SiameseTarget:
        n = self.config.network
        template = self.cut(frame, template_window(track.box, n.template_size), track)
        kernels, start = self.look_at_template(template)
        target = SiameseTarget(track, kernels)
        if not self._graph.feature_names:
            return target
        crops, boxes = self.first_samples(track, frame, samples)
        features = self.online_input(self.features(crops))
        if features is None:
            return target
        cells = box_cells(boxes, n.search_size, features.shape[-1], n.stride).to(self.device)
        target.online = self.make_online(features, cells, start)
        return target

    @classmethod
    def graphs(cls, net: SiameseNet) -> tuple[TemplateGraph, SiameseGraph]:
        return TemplateGraph(net), SiameseGraph(net)

    def look_at_template(self, crop: np.ndarray) -> tuple[list[Tensor], list[Tensor]]:
        """Kernels of a template crop, one a level, and what the online branch starts from."""
        made = [k.contiguous() for k in self.template(self.upload([crop]))]
        count = len(self.config.network.backbone.strides)
        return made[:count], made[count:]

    def kernels(self, targets: Sequence[SiameseTarget]) -> Sequence[Tensor]:
        if len(targets) == 1:
            return targets[0].kernels
        return [torch.cat(level) for level in zip(*(t.kernels for t in targets), strict=True)]

    def online_input(self, seen: Sequence[Tensor]) -> Tensor | None:
        """Features that the search graph gave -> those of the online module; None without one."""
        return seen[0] if seen else None

    def make_online(self, features: Tensor, cells: Tensor, start: Sequence[Tensor]) -> OnlineModule:
        """Learn from the first frame; asked for only where there are features to learn from.

        Args:
            features: of its augmented copies [N, C, H, W].
            cells: the target (row, column, height, width) in each, in cells [N, 4].
            start: what the template graph gave to start from, if anything.
        """
        raise NotImplementedError(f"{self.name} learns nothing online")

    def locate(
        self, searches: Sequence[Search[SiameseTarget]], outputs: Sequence[Tensor]
    ) -> list[SiameseLocated]:
        return self.candidates(searches, *self.predictions(searches, outputs))

    def predictions(
        self, searches: Sequence[Search[SiameseTarget]], outputs: Sequence[Tensor]
    ) -> tuple[OfflineOutput, list[Tensor]]:
        """Offline predictions of the search regions, and the features beside them."""
        return self._graph.unpack(outputs)

    def candidates(
        self,
        searches: Sequence[Search[SiameseTarget]],
        out: OfflineOutput,
        features: Sequence[Tensor],
    ) -> list[SiameseLocated]:
        """The best candidate of each search region."""
        online = self.online_input(features)
        scores: list[tuple[Tensor, Tensor] | None] = [
            s.target.online.scores(online[i : i + 1])
            if s.target.online is not None and online is not None
            else None
            for i, s in enumerate(searches)
        ]
        found = []
        for i, search in enumerate(searches):
            one = self._locate(out.of(i), scores[i], search.expected, search.window.size)
            one.features = None if online is None else online[i]
            found.append(one)
        return found

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
        expected: Expectation,
        size: int,
    ) -> SiameseLocated:
        """The best candidate of one search region, a crop of ``size`` pixels."""
        if self.on_host and not self.config.lookalikes.active:
            return self._choose(out, scores, expected, size)
        anchors, hann = self._grid(size)
        # Without padding the score map is smaller than the features.
        cells = hann.shape[-1]
        robust, first = (centre(s, cells) for s in scores) if scores is not None else (None, None)
        rule = self.config.postprocess
        n, peaks = self.config.network, PEAKS if self.config.lookalikes.active else 0
        radius = max(round(n.anchor_size / n.stride / 2), 1)
        best = select(
            out, robust, anchors, expected.last, hann, rule, expected.influence, peaks, radius
        )
        second = second_peak(best.robust_map, best.cell, expected.near)
        start = best.robust
        if first is not None:
            start = pick(highest(first), best.cell)
        scores_there = best.penalty, best.fused, best.robust, best.accurate
        told = Peak.pack(best.box, *scores_there, second, start)
        others = None if best.others is None else Peak.pack_others(told, best.others)
        maps = {"fused": best.fused_map, "robust": best.robust_map, "accurate": best.accurate_map}
        return SiameseLocated(
            told,
            maps,
            n.stride,
            cell=best.cell,
            scores=scores,
            ballot=best.ballot,
            others=others,
        )

    def _choose(
        self,
        out: OfflineOutput,
        scores: tuple[Tensor, Tensor] | None,
        expected: Expectation,
        size: int,
    ) -> SiameseLocated:
        """``_locate`` on a CPU, where no look-alikes are followed."""
        anchors, hann = self._grid(size)
        now, first = (centre(s, len(hann)) for s in scores) if scores is not None else (None, None)
        best = choose(out, now, anchors, hann, expected, self.config.postprocess)
        start = best.robust if first is None else highest(first).flatten()[best.cell].item()
        told = best.penalty, best.fused, best.robust, best.accurate, best.second, start
        maps = {"fused": best.fused_map, "robust": best.robust_map, "accurate": best.accurate_map}
        return SiameseLocated(
            torch.from_numpy(np.array((*best.box, *told), np.float32)),
            {name: torch.from_numpy(scores) for name, scores in maps.items()},
            self.config.network.stride,
            cell=torch.from_numpy(np.array([best.cell])),
            scores=scores,
            ballot=best.ballot,
        )

    def learn(
        self, seen: Observation[SiameseTarget, SiameseLocated], finding: Finding, trusted: bool
    ) -> Decision:
        """Remember the frame and improve the filter, if the policy says so."""
        target, found = seen.search.target, seen.located
        if target.online is None or found.features is None or found.scores is None:
            return NOTHING
        decision = decide(finding, trusted, target.track.frame, self.config.online)
        if decision.insert:
            side, stride = found.features.shape[-1], self.config.network.stride
            cells = self.cells_of(target.track, seen.search.window, side, stride)
            sample = found.features, cells, found.scores[0], decision
            self.update_later(target, target.online.learn, *sample)
        return decision
