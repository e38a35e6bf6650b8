"""Networks as graphs: tensors in, named tensors out, for every engine and for export."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .base import CropNet
from .heads import OfflineOutput
from .siamese import SiameseNet


class Graph(nn.Module):
    """What an engine runs.

    Attributes:
        inputs: names of what comes in, the crops [B, 3, S, S] first.
        outputs: names of what comes out.
        exact: modules that stay in floating point when the graph is quantised.
    """

    inputs: tuple[str, ...] = ("crop",)
    outputs: tuple[str, ...]
    exact: tuple[str, ...] = ()
    net: CropNet


class TemplateGraph(Graph):
    """What is computed once a target: template crop -> kernels, one a level, and what the online
    branch starts from, if there is one."""

    net: SiameseNet

    def __init__(self, net: SiameseNet) -> None:
        super().__init__()
        self.net = net
        start = ("filter",) if net.starts_online() else ()
        self.outputs = (*kernel_names(net), *start)

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        features = self.net.extract(crops)
        kernels = self.net.template_kernels(features)
        start = (self.net.initial_filter(features),) if self.net.starts_online() else ()
        return (*kernels, *start)


class SiameseGraph(Graph):
    """What is computed of a frame: search crop and kernels -> offline predictions, and features.

    ``features`` are those that the network makes for the online branch, or with ``levels`` all
    that ``extract`` gives; with ``matched`` the head's features come behind them.
    """

    net: SiameseNet

    def __init__(self, net: SiameseNet, levels: bool = False, matched: bool = False) -> None:
        super().__init__()
        self.net, self.levels = net, levels
        kernels = kernel_names(net)
        self.inputs = ("crop", *kernels)
        self.feature_names: tuple[str, ...]
        scored = net.config.offline_branch != "none"
        self.feature_names = ("features",) if net.starts_online() else ()
        # The online branch learns in floating point; so is what it learns from.
        self.exact = ("net.online_features.",)
        if levels:
            count = len(kernels) + len(net.config.backbone.shallow)
            self.feature_names = tuple(f"level{i}" for i in range(count))
        many = 2 * len(kernels) if matched else 0
        self.matched_names = tuple(f"matched{i}" for i in range(many))
        predictions = (*(("cls",) if scored else ()), "deltas", "iou")
        self.outputs = (*predictions, *self.feature_names, *self.matched_names)

    def forward(self, crops: Tensor, *kernels: Tensor) -> tuple[Tensor, ...]:
        levels = self.net.extract(crops)
        out = self.net.predict(kernels, levels)
        cls = () if out.cls is None else (out.cls,)
        matched = out.matched if self.matched_names else ()
        return (*cls, out.deltas, out.iou, *self.features(levels), *matched)

    def features(self, levels: Sequence[Tensor]) -> Sequence[Tensor]:
        """Neck levels -> the features beside the predictions."""
        if self.levels:
            return levels
        return (self.net.online_input(levels),) if self.feature_names else ()

    def unpack(self, outputs: Sequence[Tensor]) -> tuple[OfflineOutput, list[Tensor]]:
        """Predictions and features of what ``forward`` gave."""
        first = 0 if self.outputs[0] == "deltas" else 1
        cls = outputs[0] if first else None
        behind = first + 2 + len(self.feature_names)
        out = OfflineOutput(cls, outputs[first], outputs[first + 1], tuple(outputs[behind:]))
        return out, list(outputs[first + 2 : behind])


class FeaturesGraph(Graph):
    """The part of a frame's graph that makes the features: what is learned from the first frame."""

    net: SiameseNet

    def __init__(self, search: SiameseGraph) -> None:
        super().__init__()
        self.net, self.search = search.net, search
        self.outputs = search.feature_names

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.search.features(self.net.extract(crops)))


def kernel_names(net: SiameseNet) -> tuple[str, ...]:
    """A name for the template's kernels of each level."""
    return tuple(f"kernel{i}" for i in range(len(net.config.backbone.strides)))
