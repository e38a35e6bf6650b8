"""TLPG: deformable central correlation in two stages, then NMS or IoU-Net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..frame.localize import Finding, second_peak
from ..frame.peak import Peak
from ..geometry import box_cells, cells_to_crop, cxcywh_to_xyxy, iou, swap_axes
from ..motion.target import TargetTrack
from ..network.proposal_net import ProposalGraph, ProposalNet
from ..online.deformable import DeformableModel
from ..online.ltrb import box_of
from ..online.memory import SampleMemory
from ..online.point_localizer import PointLocalizer
from ..online.policy import Decision, decide
from ..postprocess import hann_window, size_penalty
from .frame_loop import FrameTracker
from .records import FrameImage, Located, Observation, Search, TargetModel


@dataclass
class TlpgTarget(TargetModel):
    """A target with its models of both stages, and IoU-Net's modulation [1, C]."""

    stages: tuple[PointLocalizer, PointLocalizer]
    modulation: Tensor

    @property
    def memory(self) -> SampleMemory:
        """That of the first stage; the second one remembers the same frames."""
        return self.stages[0].memory


@dataclass
class TlpgLocated(Located):
    """Attributes: features of the frame for stage 1 and 2, [C, H, W] each."""

    features: tuple[Tensor, Tensor]


class TlpgTracker(FrameTracker[ProposalNet, TlpgTarget, TlpgLocated]):
    """Joint learning of target localization and proposal generation (Li et al., IJCAI 2020).

    Stage 1 scores every cell and makes a proposal of it; the centres of the best proposals are
    the cells at which stage 2 scores and proposes anew, on enhanced features. Proposals are
    ranked by ``mu`` stage 1 + (1 - ``mu``) stage 2.
    """

    name = "tlpg"
    network = ProposalNet

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._windows: dict[int, Tensor] = {}

    def begin(self, track: TargetTrack, frame: FrameImage, samples: int) -> TlpgTarget:
        net, rule = self.net, self.config.online
        crops, boxes = self.first_samples(track, frame, samples)
        first, second, body = self.search(crops)
        n = self.config.network
        cells = box_cells(boxes, n.search_size, first.shape[-1], n.stride).to(self.device)
        models = [m for m in net.stages if isinstance(m, DeformableModel)]
        stages = (
            PointLocalizer(models[0], rule, first, cells),
            PointLocalizer(models[1], rule, second, cells),
        )
        return TlpgTarget(track, stages, net.iou.modulation(body[:1], cells[:1]))

    @classmethod
    def graphs(cls, net: ProposalNet) -> tuple[None, ProposalGraph]:
        return None, ProposalGraph(net)

    def locate(
        self, searches: Sequence[Search[TlpgTarget]], outputs: Sequence[Tensor]
    ) -> list[TlpgLocated]:
        return [self._locate(s, [f[i] for f in outputs]) for i, s in enumerate(searches)]

    def _locate(self, search: Search[TlpgTarget], features: Sequence[Tensor]) -> TlpgLocated:
        """The best proposal of one search region."""
        p, stride, target = self.config.postprocess, self.config.network.stride, search.target
        last, influence, near = search.expected
        first, second, body = features
        side = first.shape[-1]
        if side not in self._windows:
            self._windows[side] = hann_window(side).flatten().to(self.device)
        hann = self._windows[side]
        robust, ltrb = target.stages[0].look(first)
        centres = self._centres(robust * (1 - influence) + hann * influence, ltrb, side)
        if self.config.proposals.stages == 1:
            accurate, ltrb, mu = robust[centres], ltrb[centres], 1.0
        else:
            accurate, ltrb = target.stages[1].look(second, centres)
            mu = p.mu
        fused = mu * robust[centres].clamp(0, 1.2) + (1 - mu) * accurate.clamp(0, 1.2)
        proposals = box_of(ltrb, _at(centres, side), 1.0)
        best = torch.lerp(fused, hann[centres], influence).argmax(0, keepdim=True)
        box = self._finish(proposals, best, body, target.modulation)
        crop_box = cells_to_crop(box, search.window.size, side, stride)
        penalty = size_penalty(crop_box[2], crop_box[3], last, p)
        one, cell = robust.view(side, side), centres[best]
        runner_up = second_peak(one, cell, near)
        score = robust[cell][0]
        told = penalty, fused[best][0], score, accurate[best][0]
        maps = {
            "fused": (mu * robust).scatter(0, centres, fused).view(side, side),
            "robust": one,
            "accurate": torch.zeros_like(robust).scatter(0, centres, accurate).view(side, side),
        }
        numbers = Peak.pack(crop_box, *told, runner_up, score)
        return TlpgLocated(numbers, maps, stride, (first, second))

    def _centres(self, ranked: Tensor, ltrb: Tensor, side: int) -> Tensor:
        """Cells nearest to the centres of stage 1's best proposals [count].

        Some may be the same cell; their proposals are too, and change nothing.
        """
        chosen = ranked.topk(min(self.config.proposals.count, len(ranked))).indices
        boxes = box_of(ltrb[chosen], _at(chosen, side), 1.0)
        at = boxes[:, :2].round().clamp(0, side - 1).long()
        return at[:, 0] * side + at[:, 1]

    def _finish(self, proposals: Tensor, best: Tensor, body: Tensor, modulation: Tensor) -> Tensor:
        """The resulting box (row, column, height, width) [4]: NMS, or IoU-Net."""
        rule = self.config.proposals
        if rule.ending == "nms":
            return proposals[best][0]
        corners = cxcywh_to_xyxy(swap_axes(proposals))
        beside = iou(corners, corners[best]) >= rule.overlap
        if rule.refine:
            proposals = refine(self.net, body, modulation, proposals, rule.refine)
        quality = self.net.iou(body[None], modulation, proposals[None])[0]
        return proposals[quality.masked_fill(~beside, -torch.inf).argmax(0, keepdim=True)][0]

    def learn(
        self, seen: Observation[TlpgTarget, TlpgLocated], finding: Finding, trusted: bool
    ) -> Decision:
        """Remember the frame and improve both stages, if the policy says so."""
        target, features = seen.search.target, seen.located.features
        decision = decide(finding, trusted, target.track.frame, self.config.online)
        if decision.insert:
            side, stride = features[0].shape[-1], self.config.network.stride
            cells = self.cells_of(target.track, seen.search.window, side, stride)
            self.update_later(target, _update, target.stages, features, cells, decision)
        return decision


def _update(
    stages: Sequence[PointLocalizer], features: Sequence[Tensor], cells: Tensor, decision: Decision
) -> None:
    for stage, seen in zip(stages, features, strict=True):
        stage.learn(seen, cells, decision)


def _at(cells: Tensor, side: int) -> Tensor:
    """Indices of a flattened map -> (row, column) [..., 2]."""
    return torch.stack((cells // side, cells % side), -1)


def refine(net: ProposalNet, body: Tensor, modulation: Tensor, boxes: Tensor, steps: int) -> Tensor:
    """Gradient ascent of the predicted IoU in the boxes [N, 4], relative to their sides (ATOM)."""
    # There is no differentiation in inference mode.
    with torch.inference_mode(False), torch.enable_grad():
        features, look = body[None].clone(), modulation.clone()
        found = boxes.clone()
        for _ in range(steps):
            found = found.detach().requires_grad_(True)
            quality = net.iou(features, look, found[None])
            (slope,) = torch.autograd.grad(torch.sigmoid(quality).sum(), found)
            scale = found.detach()[:, 2:].repeat(1, 2)
            found = found + 0.05 * slope * scale.square()
    return found.detach()
