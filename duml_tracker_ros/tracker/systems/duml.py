"""DuML: offline classification for accuracy, online regression for robustness, fused."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..network.dual_modal import DualModalNet
from ..online.localizer import OnlineLocalizer
from .siamese import SiameseTracker


class DumlTracker(SiameseTracker[DualModalNet]):
    """The dual-modal tracker: its online branch is the one trained with the network (eq. 3)."""

    name = "duml"
    network = DualModalNet

    def make_online(
        self, features: Tensor, cells: Tensor, start: Sequence[Tensor]
    ) -> OnlineLocalizer:
        model, rule = self.net.online, self.config.online
        assert model is not None
        return OnlineLocalizer(model, rule, features, cells, start[0], self.net.memory_dtype)
