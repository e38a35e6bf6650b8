"""One stage of TLPG at run time: the point model of one target and what it learns from."""

from __future__ import annotations

from torch import Tensor

from ..config import OnlineConfig
from .deformable import DeformableModel
from .memory import SampleMemory
from .policy import Decision


class PointLocalizer:
    """Deformable central correlation with one target.

    Args:
        features: first-frame samples [N, C, H, W], the first frame itself foremost.
        targets: (row, column, height, width) in cells of each [N, 4].
    """

    def __init__(
        self, model: DeformableModel, config: OnlineConfig, features: Tensor, targets: Tensor
    ) -> None:
        self.model = model
        size = features.shape[1], features.shape[2], features.shape[3]
        self.memory = SampleMemory(size, config.memory, features.device)
        self.memory.start(features, targets)
        self.points = model.start(features[:1], targets[:1])
        self.optimise(config.init_iterations)

    def look(self, features: Tensor, cells: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Scores [N] and ltrb in cells [N, 4] in a frame [C, H, W].

        cells: indices of the flattened map [N]; None: all.
        """
        batch = None if cells is None else cells[None]
        scores, ltrb = self.model.look(self.points, features[None], batch)
        return scores[0], ltrb[0]

    def learn(self, features: Tensor, target: Tensor, decision: Decision) -> None:
        """Remember a frame [C, H, W] with its target [4], and improve the model."""
        if decision.insert:
            self.memory.insert(features, target, decision.rate)
            self.optimise(decision.iterations)

    def optimise(self, iterations: int) -> None:
        """Steepest descent on the samples in the memory."""
        if iterations:
            self.points = self.model.learn(self.points, *self.memory.view(), iterations)
