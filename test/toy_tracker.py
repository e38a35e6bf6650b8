"""A tracker of its own: what somebody who adds one has to write, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from duml_tracker_ros.tracker.config import TrackerConfig
from duml_tracker_ros.tracker.frame.localize import Finding, second_peak
from duml_tracker_ros.tracker.frame.peak import Peak
from duml_tracker_ros.tracker.geometry import cells_to_crop, search_window
from duml_tracker_ros.tracker.motion.target import TargetTrack
from duml_tracker_ros.tracker.network.base import CropNet
from duml_tracker_ros.tracker.network.graphs import Graph
from duml_tracker_ros.tracker.online.policy import NOTHING, Decision
from duml_tracker_ros.tracker.postprocess import hann_window, pick
from duml_tracker_ros.tracker.settings import Group, Range
from duml_tracker_ros.tracker.systems.frame_loop import FrameTracker
from duml_tracker_ros.tracker.systems.records import (
    FrameImage,
    Located,
    Observation,
    Search,
    TargetModel,
)
from duml_tracker_ros.training.config import TrainConfig
from duml_tracker_ros.training.objectives import Objective


@dataclass(frozen=True)
class ToySettings(Group, path="toy"):
    """How much more a cell counts that looks more like the target."""

    sharpness: Annotated[float, Range(1, 20)] = 4.0


@dataclass(frozen=True)
class ToyConfig(TrackerConfig):
    toy: ToySettings = field(default_factory=ToySettings)


class ToyNet(CropNet):
    """A backbone alone."""

    def extract(self, crops: Tensor) -> list[Tensor]:
        return self.levels(crops)[:1]

    def half_parts(self) -> list:
        return []


class ToyGraph(Graph):
    outputs = ("features",)

    def __init__(self, net: ToyNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        return (self.net.extract(crops)[0],)


@dataclass
class ToyTarget(TargetModel):
    look: Tensor


class ToyTracker(FrameTracker[ToyNet, ToyTarget, Located]):
    """Looks for the cell that is most like the target's first one."""

    name = "toy"
    network = ToyNet

    @classmethod
    def graphs(cls, net: ToyNet) -> tuple[None, ToyGraph]:
        return None, ToyGraph(net)

    def begin(self, track: TargetTrack, frame: FrameImage, samples: int) -> ToyTarget:
        n = self.config.network
        window = search_window(track.box, n.template_size, n.search_size)
        (features,) = self.search(self.upload([self.cut(frame, window, track)]))
        middle = features.shape[-1] // 2
        return ToyTarget(track, F.normalize(features[0, :, middle, middle].float(), dim=0))

    def locate(self, searches: Sequence[Search], outputs: Sequence[Tensor]) -> list[Located]:
        return [self._locate(s, x.float()) for s, x in zip(searches, outputs[0], strict=True)]

    def _locate(self, search: Search[ToyTarget], features: Tensor) -> Located:
        stride, (last, influence, near) = self.config.network.stride, search.expected
        alike = torch.einsum("chw,c->hw", F.normalize(features, dim=0), search.target.look)
        score = alike.clamp(0, 1) ** self.config.toy.sharpness
        cells = score.shape[-1]
        best = torch.lerp(score, hann_window(cells), influence).flatten().argmax(0, keepdim=True)
        width, height = (score.new_tensor([side / stride]) for side in last)
        box = cells_to_crop(
            torch.cat((best // cells, best % cells, height, width)),
            search.window.size,
            cells,
            stride,
        )
        there = pick(score, best)
        rest = score.new_tensor(1.0), there, there, there, second_peak(score, best, near), there
        maps = dict.fromkeys(("fused", "robust", "accurate"), score)
        return Located(Peak.pack(box, *rest), maps, stride)

    def learn(
        self, seen: Observation[ToyTarget, Located], finding: Finding, trusted: bool
    ) -> Decision:
        return NOTHING


def toy_loss(net, batch, config, autocast) -> tuple[Tensor, dict[str, Tensor]]:
    with autocast:
        total = net.extract(batch["search"].flatten(0, 1))[0].float().square().mean()
        total = config.toy.weight * total
    return total, {"total": total}


@dataclass(frozen=True)
class ToyLossConfig(Group, path="toy"):
    weight: Annotated[float, Range(0, 10)] = 1.0


@dataclass(frozen=True)
class ToyTrainConfig(TrainConfig):
    toy: ToyLossConfig = field(default_factory=ToyLossConfig)


OBJECTIVE = Objective(toy_loss, ("total",), ToyTrainConfig)
