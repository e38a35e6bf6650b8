"""FCOT: two online classifiers and an online box regressor on an encoder-decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..frame.localize import Finding, second_peak
from ..frame.peak import Peak
from ..frame.sampling import cell_points, sample_points
from ..geometry import box_cells, cells_to_crop
from ..motion.target import TargetTrack
from ..network.encoder_decoder import (
    COARSE,
    FINE,
    DecoderFeatures,
    EncoderDecoderGraph,
    EncoderDecoderNet,
)
from ..online.box_regressor import BoxRegressor
from ..online.localizer import OnlineLocalizer
from ..online.ltrb import box_of
from ..online.memory import SampleMemory
from ..online.policy import NOTHING, Decision, Surest
from ..postprocess import hann_window, pick, size_penalty
from .frame_loop import FrameTracker
from .records import FrameImage, Located, Observation, Search, TargetModel


class FcotSample(NamedTuple):
    """A frame to learn from: features, and the target in the cells of both maps [4]."""

    features: DecoderFeatures
    coarse: Tensor
    fine: Tensor


@dataclass
class FcotTarget(TargetModel):
    """A target with its online models, and the surest frame since they last learned."""

    coarse: OnlineLocalizer
    fine: OnlineLocalizer
    box: BoxRegressor
    best: Surest[FcotSample] = field(default_factory=Surest)

    @property
    def memory(self) -> SampleMemory:
        """That of the coarse classifier; the others remember the same frames."""
        return self.coarse.memory


@dataclass
class FcotLocated(Located):
    """Attributes: features of the frame."""

    features: DecoderFeatures


class FcotTracker(FrameTracker[EncoderDecoderNet, FcotTarget, FcotLocated]):
    """Fully convolutional online tracking (Cui et al. 2020).

    The target is where ``mu`` M18 + (1 - ``mu``) M72 is highest (eq. 1); its box is what the
    online regressor says there (eq. 2, 3). The surest of every ``online.interval`` frames enters
    the memories, and all three models learn from them.
    """

    name = "fcot"
    network = EncoderDecoderNet

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._grids: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def begin(self, track: TargetTrack, frame: FrameImage, samples: int) -> FcotTarget:
        net, rule, kept = self.net, self.config.online, self.net.memory_dtype
        crops, boxes = self.first_samples(track, frame, samples)
        features = DecoderFeatures(*self.search(crops))
        coarse, fine = self._cells(boxes, features)
        # The initialisers see the first frame alone.
        first = DecoderFeatures(*(f[:1] for f in features))
        starts = net.classifiers(first, coarse[:1], fine[:1])
        regressor = net.regressor(net.extract(crops[:1]), fine[:1])
        return FcotTarget(
            track,
            OnlineLocalizer(net.coarse_model, rule, features.coarse, coarse, starts[0], kept),
            OnlineLocalizer(net.fine_model, rule, features.fine, fine, starts[1], kept),
            BoxRegressor(net.box_model, rule, features.box, fine, regressor[:1], net.unit / FINE),
        )

    @classmethod
    def graphs(cls, net: EncoderDecoderNet) -> tuple[None, EncoderDecoderGraph]:
        return None, EncoderDecoderGraph(net)

    def locate(
        self, searches: Sequence[Search[FcotTarget]], outputs: Sequence[Tensor]
    ) -> list[FcotLocated]:
        features = DecoderFeatures(*outputs)
        return [self._locate(search, features.of(i)) for i, search in enumerate(searches)]

    def _cells(self, boxes: Tensor, features: DecoderFeatures) -> tuple[Tensor, Tensor]:
        """Boxes (cx, cy, w, h) in search-crop pixels in the cells of the coarse and fine map."""
        size = self.config.network.search_size
        maps = ((features.coarse, COARSE), (features.fine, FINE))
        coarse, fine = (
            box_cells(boxes, size, f.shape[-1], stride).to(self.device) for f, stride in maps
        )
        return coarse, fine

    def _grid(self, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Where the fine cells lie among coarse and among fine scores, and the window."""
        if size not in self._grids:
            cells = self.net.cells(size)
            fine = cell_points(cells, cells, self.device)[None]
            # Scores of a filter of even side lie half a cell before the cells.
            even = 0.5 * ((self.config.network.decoder.kernel + 1) % 2)
            window = hann_window(cells).to(self.device)
            self._grids[size] = fine * (FINE / COARSE) + even, fine + even, window
        return self._grids[size]

    def _locate(self, search: Search[FcotTarget], features: DecoderFeatures) -> FcotLocated:
        """The best candidate of one search region."""
        p, target, size = self.config.postprocess, search.target, search.window.size
        last, influence, near = search.expected
        at_coarse, at_fine, hann = self._grid(size)
        # Now, and as of the first frame.
        coarse = torch.cat(target.coarse.scores(features.coarse[None]))
        fine = torch.cat(target.fine.scores(features.fine[None]))
        coarse = sample_points(coarse[None], at_coarse)[0]
        fine = sample_points(fine[None], at_fine)[0]
        both = p.mu * coarse.clamp(0, 1.2) + (1 - p.mu) * fine.clamp(0, 1.2)
        fused, cells = both[0], both.shape[-1]
        best = torch.lerp(fused, hann, influence).flatten().argmax(0, keepdim=True)
        at = torch.cat((torch.div(best, cells, rounding_mode="floor"), best % cells))
        distances = target.box.distances(features.box[None]).flatten(1).index_select(1, best)[:, 0]
        box = cells_to_crop(box_of(distances, at, target.box.unit), size, cells, FINE)
        penalty = size_penalty(box[2], box[3], last, p)
        second = second_peak(coarse[0], best, near)
        scores = pick(fused, best), pick(coarse[0], best), pick(fine[0], best)
        numbers = Peak.pack(box, penalty, *scores, second, pick(both[1], best))
        maps = {"fused": fused, "robust": coarse[0], "accurate": fine[0]}
        return FcotLocated(numbers, maps, FINE, features)

    def learn(
        self, seen: Observation[FcotTarget, FcotLocated], finding: Finding, trusted: bool
    ) -> Decision:
        """Keep the surest frame; when its time has come, let all three models learn from it."""
        rule, target, features = self.config.online, seen.search.target, seen.located.features
        if rule.update == "never":
            return NOTHING
        if trusted and seen.peak.fused > target.best.score:
            track, window = target.track, seen.search.window
            maps = ((features.coarse, COARSE), (features.fine, FINE))
            coarse, fine = (self.cells_of(track, window, f.shape[-1], s) for f, s in maps)
            target.best.keep(seen.peak.fused, FcotSample(features, coarse, fine))
        interval = 1 if rule.update == "every_frame" else rule.interval
        if target.track.frame % interval:
            return NOTHING
        chosen = target.best.take()
        if chosen is None:
            return NOTHING
        decision = Decision(True, rule.rate, rule.iterations)
        self.update_later(target, _update, target, chosen, decision, rule.learn_box)
        return decision


def _update(target: FcotTarget, sample: FcotSample, decision: Decision, box: bool) -> None:
    seen = sample.features
    target.coarse.learn(seen.coarse, sample.coarse, None, decision)
    target.fine.learn(seen.fine, sample.fine, None, decision)
    if box:
        target.box.learn(seen.box, sample.fine, decision)
