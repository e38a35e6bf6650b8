"""DuML: offline classification for accuracy, online regression for robustness, fused."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

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
from ..online.filters import apply_filter
from ..online.memory import SampleMemory
from ..online.policy import decide, trustworthy
from ..online.solver import steepest_descent
from ..postprocess import Candidate, hann_window, select
from ..timing import StageClock
from ..types import Box, ScoreMaps, Tracker, TrackResult, TrackState


class DumlTracker(Tracker):
    """The dual-modal tracker.

    Per frame: crop around the last box, backbone and neck, offline heads, online filter, fusion,
    size penalty and window, peak, score voting, peak analysis, and then memory and online step
    when the frame is sure enough to learn from.

    Args:
        net: network with its weights, in eval mode on ``device``, batch norms folded.
        checkpoint: where the weights came from (None for random ones).
    """

    name = "duml"

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
        self._box: Box | None = None
        self._state = TrackState.IDLE
        self._unseen = 0
        self._frame = 0

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

    @torch.inference_mode()
    def init(self, image: np.ndarray, box: Box, order: str = "rgb") -> None:
        width, height = check_image(image, order)
        box = validate_box(box, width, height)
        n, o = self.config.network, self.config.online
        fill = mean_colour(image, order)
        template = crop_array(image, template_window(box, n.template_size), fill, order)
        window = search_window(box, n.template_size, n.search_size)
        crop = crop_array(image, window, fill, order)
        target = (box[2] * window.scale, box[3] * window.scale)
        crops, centres = augment_search(crop, target, o.init_samples)

        z = self.net.extract(self._upload(template[None]))
        self._kernels = [k.contiguous() for k in self.net.template_kernels(z)]
        features = self.net.online_features(self.net.extract(self._upload(crops)))
        cells = features.shape[-1]
        first = n.search_size / 2 - n.stride * (cells - 1) / 2
        where = torch.from_numpy(np.ascontiguousarray((centres[:, ::-1] - first) / n.stride))
        self._memory = SampleMemory(features.shape[1], cells, cells, o.memory, self.device)
        self._memory.start(features, where.to(self.device))
        self._filter = self.net.initial_filter(z)
        self._optimise(o.init_iterations)
        self._first_filter = self._filter

        self._fill = fill
        self._box = box
        self._sizes = [math.sqrt(box[2] * box[3])] * 8
        self._state = TrackState.TRACKING
        self._unseen = 0
        self._frame = 0

    @torch.inference_mode()
    def update(self, image: np.ndarray, order: str = "rgb") -> TrackResult:
        width, height = check_image(image, order)
        if self._box is None:
            raise TrackerError("no target: call init(image, box) first")
        n, clock = self.config.network, self.clock
        self._frame += 1
        clock.start()
        window = self._window()
        crop = crop_array(image, window, self._fill, order)
        clock.lap("crop")
        features = self.net.extract(self._upload(crop[None]))
        clock.lap("backbone")
        out = self.net.predict(self._kernels, features)
        online = self.net.online_features(features)
        sample = online[:, :, None]
        robust = apply_filter(sample, self._filter)[0, 0]
        first = apply_filter(sample, self._first_filter)[0, 0]
        clock.lap("heads")
        candidate, numbers = self._locate(out, robust, first, window)
        clock.lap("localize")
        finding = self._judge(numbers)
        self._move(numbers, finding, window, width, height)
        self._learn(online, finding, numbers, window)
        clock.lap("online")
        region = map_region(window, robust.shape[-1], n.stride)
        maps = {"fused": candidate.fused_map, "robust": robust, "accurate": candidate.accurate_map}
        return TrackResult(
            self._box,
            finding.confidence,
            finding.state,
            self._unseen,
            window.region,
            ScoreMaps(maps, region),
        )

    def _upload(self, crops: np.ndarray) -> Tensor:
        """uint8 [B, S, S, 3] -> uint8 [B, 3, S, S] on the device, channels last."""
        return torch.from_numpy(crops).permute(0, 3, 1, 2).to(self.device, non_blocking=True)

    def _window(self) -> Window:
        """Where to search: around the last box, wider the longer the target is lost."""
        assert self._box is not None
        n, rule = self.config.network, self.config.localize
        window = search_window(self._box, n.template_size, n.search_size)
        if not self._unseen:
            return window
        growth = min(rule.search_growth**self._unseen, rule.max_search)
        # More pixels at the same scale first, so that the target keeps its size in the crop.
        size = int((n.search_size * growth - 1) // 32) * 32 + 1
        return dataclasses.replace(window, side=window.side * size / n.search_size, size=size)

    def _grid(self, size: int) -> tuple[Tensor, Tensor]:
        if size not in self._grids:
            anchors = self.net.anchor_grid(size).to(self.device)
            self._grids[size] = anchors, hann_window(self.net.cells(size)).to(self.device)
        return self._grids[size]

    def _locate(
        self, out: OfflineOutput, robust: Tensor, first: Tensor, window: Window
    ) -> tuple[Candidate, list[float]]:
        """Best candidate, and all the host needs of it in one copy."""
        assert self._box is not None
        p, rule = self.config.postprocess, self.config.localize
        anchors, hann = self._grid(window.size)
        if self._unseen:
            # A target that was lost may come back anywhere.
            p = dataclasses.replace(p, window_influence=0.0)
        size = [self._box[2] * window.scale, self._box[3] * window.scale]
        last = torch.tensor(size, device=self.device)
        best = select(out, robust, anchors, last, hann, p)
        half = last / (2 * self.config.network.stride) * rule.neighbourhood
        second = second_peak(robust, best.cell, half[1].clamp_min(2), half[0].clamp_min(2))
        scalars = torch.stack(
            (
                best.penalty,
                best.fused,
                best.robust,
                best.accurate,
                second,
                first.flatten()[best.cell],
            )
        )
        return best, torch.cat((best.box, scalars)).tolist()

    def _judge(self, numbers: list[float]) -> Finding:
        robust, accurate, second = numbers[6:9]
        rule = self.config.localize
        finding = judge(robust, accurate, second, self._state, rule)
        self._unseen = self._unseen + 1 if finding.state is TrackState.LOST else 0
        self._state = finding.state
        return finding

    def _move(
        self, numbers: list[float], finding: Finding, window: Window, width: int, height: int
    ) -> None:
        """Move the box to the candidate; a lost target stays where it was last seen."""
        assert self._box is not None
        if finding.state is TrackState.LOST or not all(map(math.isfinite, numbers)):
            return
        p = self.config.postprocess
        cx, cy, w, h = numbers[:4]
        _, _, w, h = window.to_image((cx, cy, w, h))
        x, y, _, _ = window.to_image((cx, cy, 0, 0))
        rate = min(numbers[4] * numbers[5] * p.size_rate, 1.0)
        w = self._box[2] * (1 - rate) + w * rate
        h = self._box[3] * (1 - rate) + h * rate
        # Swallowing a neighbour looks like sudden growth against the recent size.
        recent = sorted(self._sizes)[len(self._sizes) // 2]
        cap = min(p.max_growth * recent / max(math.sqrt(w * h), 1e-6), 1.0)
        w, h = w * cap, h * cap
        x = min(max(x, 0.0), float(width))
        y = min(max(y, 0.0), float(height))
        w = min(max(w, 2.0), 2.0 * width)
        h = min(max(h, 2.0), 2.0 * height)
        self._box = (x - w / 2, y - h / 2, w, h)
        self._sizes = [*self._sizes[1:], math.sqrt(w * h)]

    def _learn(
        self, online: Tensor, finding: Finding, numbers: list[float], window: Window
    ) -> None:
        """Remember the frame and improve the filter, if the policy says so."""
        assert self._box is not None
        rule = self.config.online
        trusted = trustworthy(finding, numbers[6], numbers[7], numbers[9], rule)
        decision = decide(finding, trusted, self._frame, rule)
        if not decision.insert or window.size != self.config.network.search_size:
            return
        n = self.config.network
        x, y, w, h = window.to_crop(self._box)
        first = n.search_size / 2 - n.stride * (online.shape[-1] - 1) / 2
        centre = torch.tensor([y + h / 2 - first, x + w / 2 - first], device=self.device) / n.stride
        self._memory.insert(online[0], centre, decision.rate)
        if decision.iterations:
            self._optimise(decision.iterations)

    def _optimise(self, iterations: int) -> None:
        features, centres, weights = self._memory.view()
        problem = self.net.online.problem(features, centres, weights)
        for weight, _ in steepest_descent(problem, self._filter, iterations, self.net.online.step):
            self._filter = weight
