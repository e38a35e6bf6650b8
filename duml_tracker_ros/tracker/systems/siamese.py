"""The frame loop of all trackers that match a template and learn online beside it.

What is learned online, and what else happens to a target, is left to subclasses.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ..augment import augment_search
from ..checkpoint import Checkpoint
from ..config import TrackerConfig
from ..crop import check_image, crop_array, mean_colour
from ..errors import TrackerError
from ..geometry import Window, map_region, search_window, template_window, validate_box
from ..localize import Finding, judge, second_peak
from ..network.dual_modal import DualModalNet
from ..network.heads import OfflineOutput
from ..online.policy import Decision, decide, trustworthy
from ..postprocess import Candidate, hann_window, select
from ..target import TargetTrack
from ..timing import StageClock
from ..types import Box, MultiTargetTracker, ScoreMaps, TrackResult


class OnlineModule(Protocol):
    """What learns one target while it is tracked."""

    def scores(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Scores [A, H, W] of a frame's features [1, C, H, W]: now, and as of the first frame."""
        ...

    def learn(self, features: Tensor, target: Tensor, scores: Tensor, decision: Decision) -> None:
        """Remember a frame [C, H, W], target (row, column, height, width) in cells, and learn."""
        ...


@dataclass
class Target:
    """One target of a tracker.

    Attributes:
        kernels: template kernels of the offline branch, one a level.
        online: the online branch; None in a tracker without one.
    """

    track: TargetTrack
    kernels: list[Tensor]
    online: OnlineModule | None


class Peak(NamedTuple):
    """What the host needs of a frame: the candidate in crop pixels, and the scores there."""

    cx: float
    cy: float
    w: float
    h: float
    penalty: float
    fused: float
    robust: float
    accurate: float
    second: float
    first: float


class SiameseTracker(MultiTargetTracker[Target]):
    """Template matching with an online module beside it.

    Per frame: crop around the last box, backbone and neck, offline heads, online scores, fusion,
    size penalty and window, peak, score voting, peak analysis, and then learning when the frame is
    sure enough.

    ``init`` and ``update`` follow one target. ``start`` and ``track`` follow any number of them
    through the same images, with one backbone pass for all.

    Args:
        net: network with its weights, in eval mode on ``device``, batch norms folded.
        checkpoint: where the weights came from (None for random ones).
    """

    def __init__(
        self,
        config: TrackerConfig,
        net: DualModalNet,
        device: torch.device,
        checkpoint: Checkpoint | None = None,
        profile: bool = False,
    ) -> None:
        self.config = config
        self.net = net
        self.device = device
        self.checkpoint = checkpoint
        self.clock = StageClock(device, profile)
        self._grids: dict[int, tuple[Tensor, Tensor]] = {}
        self.reset()

    def reset(self) -> None:
        self._target: Target | None = None

    def stage_times(self) -> dict[str, float]:
        return self.clock.milliseconds()

    def info(self) -> dict[str, Any]:
        parameters = sum(p.numel() for p in self.net.parameters())
        source = self.checkpoint
        return {
            "name": self.name,
            "size": self.config.size,
            "parameters": parameters,
            "weights": str(source.path) if source else "random",
            "sha256": source.sha256 if source else "",
            "notes": source.notes if source else {},
            "device": str(self.device),
            "config": dataclasses.asdict(self.config),
        }

    def init(self, image: np.ndarray, box: Box, order: str = "rgb") -> None:
        self._target = self.start(image, box, order)

    def update(self, image: np.ndarray, order: str = "rgb") -> TrackResult:
        if self._target is None:
            raise TrackerError("no target: call init(image, box) first")
        return self.track(image, [self._target], order)[0]

    @torch.inference_mode()
    def start(self, image: np.ndarray, box: Box, order: str = "rgb") -> Target:
        """Learn a target from its first image. Raises BoxError or ImageError."""
        width, height = check_image(image, order)
        box = validate_box(box, width, height)
        n, net = self.config.network, self.net
        track = TargetTrack(box, mean_colour(image, order))
        template = crop_array(image, template_window(box, n.template_size), track.fill, order)
        z = net.extract(self._upload([template]))
        kernels = [k.contiguous() for k in net.template_kernels(z)]
        target = self.make_target(track, kernels)
        if self.online_input(z) is None:
            return target
        window = search_window(box, n.template_size, n.search_size)
        crop = crop_array(image, window, track.fill, order)
        sides = box[2] * window.scale, box[3] * window.scale
        crops, centres = augment_search(crop, sides, self.config.online.init_samples)
        features = self.online_input(net.extract(self._upload(list(crops))))
        assert features is not None
        where = torch.from_numpy(centres)
        boxes = torch.cat((where, torch.tensor(sides).expand_as(where)), 1)
        cells = self._cells(boxes, features.shape[-1]).to(self.device)
        target.online = self.make_online(features, cells, z)
        return target

    def make_target(self, track: TargetTrack, kernels: list[Tensor]) -> Target:
        """A target before its online module is made."""
        return Target(track, kernels, None)

    @abstractmethod
    def online_input(self, levels: Sequence[Tensor]) -> Tensor | None:
        """Neck levels [B, C, H, W] -> features of the online module; None without one."""

    @abstractmethod
    def make_online(self, features: Tensor, cells: Tensor, z: Sequence[Tensor]) -> OnlineModule:
        """Learn from the first frame.

        Args:
            features: of its augmented copies [N, C, H, W].
            cells: the target (row, column, height, width) in each, in cells [N, 4].
            z: neck levels of the template.
        """

    def finish(
        self, target: Target, image: np.ndarray, order: str, peak: Peak, finding: Finding
    ) -> None:
        """What else is to be done after a frame; nothing here."""

    def predict(self, targets: Sequence[Target], features: Sequence[Tensor]) -> OfflineOutput:
        """Offline predictions, one search region a target."""
        levels = zip(*(t.kernels for t in targets), strict=True)
        return self.net.predict([torch.cat(level) for level in levels], features)

    @torch.inference_mode()
    def track(
        self, image: np.ndarray, targets: Sequence[Target], order: str = "rgb"
    ) -> list[TrackResult]:
        """Locate every target in the next image. Raises ImageError."""
        check_image(image, order)
        self.clock.start()
        windows = [t.track.search(self.config.network, self.config.localize) for t in targets]
        results: dict[int, TrackResult] = {}
        # Lost targets search larger crops; those of one size share a batch.
        for size in sorted({w.size for w in windows}):
            members = [i for i, w in enumerate(windows) if w.size == size]
            searched = [(targets[i], windows[i]) for i in members]
            results.update(zip(members, self._track_batch(image, searched, order), strict=True))
        return [results[i] for i in range(len(targets))]

    def _track_batch(
        self, image: np.ndarray, searched: list[tuple[Target, Window]], order: str
    ) -> list[TrackResult]:
        net, clock = self.net, self.clock
        crops = [crop_array(image, window, t.track.fill, order) for t, window in searched]
        clock.lap("crop")
        features = net.extract(self._upload(crops))
        clock.lap("backbone")
        out = self.predict([t for t, _ in searched], features)
        online = self.online_input(features)
        scores: list[tuple[Tensor, Tensor] | None] = [
            t.online.scores(online[i : i + 1]) if t.online and online is not None else None
            for i, (t, _) in enumerate(searched)
        ]
        clock.lap("heads")
        found = [
            self._locate(out.of(i), scores[i], t.track.box, t.track.unseen > 0, window)
            for i, (t, window) in enumerate(searched)
        ]
        # The one copy to the host.
        peaks = [Peak(*row) for row in torch.stack([row for _, row in found]).tolist()]
        clock.lap("localize")
        results = []
        for i, (target, window) in enumerate(searched):
            finding = self._settle(target.track, peaks[i], window, image.shape[1::-1])
            if online is not None:
                self._learn(target, online[i], scores[i], peaks[i], finding, window)
            self.finish(target, image, order, peaks[i], finding)
            results.append(self._result(target.track, finding, found[i][0], window))
        clock.lap("online")
        return results

    def _upload(self, crops: Sequence[np.ndarray]) -> Tensor:
        """Crops uint8 [S, S, 3] -> uint8 [B, 3, S, S] on the device, channels last."""
        batch = crops[0][None] if len(crops) == 1 else np.stack(crops)
        return torch.from_numpy(batch).permute(0, 3, 1, 2).to(self.device, non_blocking=True)

    def _cells(self, boxes: Tensor, cells: int) -> Tensor:
        """Boxes (cx, cy, w, h) in search-crop pixels -> (row, column, height, width) in cells."""
        n = self.config.network
        first = n.search_size / 2 - n.stride * (cells - 1) / 2
        offset = torch.tensor([first, first, 0.0, 0.0])
        return ((boxes - offset) / n.stride)[..., [1, 0, 3, 2]]

    def _grid(self, size: int) -> tuple[Tensor, Tensor]:
        if size not in self._grids:
            anchors = self.net.anchor_grid(size).to(self.device)
            self._grids[size] = anchors, hann_window(self.net.cells(size)).to(self.device)
        return self._grids[size]

    def _locate(
        self,
        out: OfflineOutput,
        scores: tuple[Tensor, Tensor] | None,
        box: Box,
        lost: bool,
        window: Window,
    ) -> tuple[Candidate, Tensor]:
        """Best candidate, and the row of numbers that the host needs of it."""
        p, rule = self.config.postprocess, self.config.localize
        anchors, hann = self._grid(window.size)
        if lost:
            # A target that was lost may come back anywhere.
            p = dataclasses.replace(p, window_influence=0.0)
        last = torch.tensor([box[2] * window.scale, box[3] * window.scale], device=self.device)
        robust, first = scores if scores is not None else (None, None)
        best = select(out, robust, anchors, last, hann, p)
        half = last / (2 * self.config.network.stride) * rule.neighbourhood
        score = best.robust_map
        second = second_peak(score, best.cell, half[1].clamp_min(2), half[0].clamp_min(2))
        start = best.robust if first is None else first.amax(0).flatten()[best.cell]
        rest = (best.penalty, best.fused, best.robust, best.accurate, second, start)
        return best, torch.cat((best.box, torch.stack(rest)))

    def _settle(
        self, track: TargetTrack, peak: Peak, window: Window, image_size: tuple[int, int]
    ) -> Finding:
        """Judge the frame and move the box."""
        rule = self.config.localize
        finding = judge(peak.robust, peak.accurate, peak.second, track.state, rule)
        track.observe(finding)
        trust = peak.penalty * peak.fused
        track.move(peak[:4], trust, window, image_size, self.config.postprocess)
        return finding

    def _learn(
        self,
        target: Target,
        features: Tensor,
        scores: tuple[Tensor, Tensor] | None,
        peak: Peak,
        finding: Finding,
        window: Window,
    ) -> None:
        """Remember the frame and improve the filter, if the policy says so."""
        rule = self.config.online
        trusted = trustworthy(finding, peak.robust, peak.accurate, peak.first, rule)
        decision = decide(finding, trusted, target.track.frame, rule)
        if not decision.insert or window.size != self.config.network.search_size:
            return
        assert target.online is not None
        assert scores is not None
        x, y, w, h = window.to_crop(target.track.box)
        box = torch.tensor([x + w / 2, y + h / 2, w, h])
        cells = self._cells(box, features.shape[-1]).to(self.device)
        target.online.learn(features, cells, scores[0], decision)

    def _result(
        self, track: TargetTrack, finding: Finding, best: Candidate, window: Window
    ) -> TrackResult:
        region = map_region(window, best.fused_map.shape[-1], self.config.network.stride)
        maps = {"fused": best.fused_map, "robust": best.robust_map, "accurate": best.accurate_map}
        return TrackResult(
            track.box,
            finding.confidence,
            finding.state,
            track.unseen,
            window.region,
            ScoreMaps(maps, region),
        )
