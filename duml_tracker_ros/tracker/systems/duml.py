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

    def online_input(self, levels: Sequence[Tensor]) -> Tensor | None:
        features = self.net.online_features
        return None if features is None else features(levels)

    def make_online(self, features: Tensor, cells: Tensor, z: Sequence[Tensor]) -> OnlineLocalizer:
        assert self.net.online is not None
        start = self.net.initial_filter(z)
        return OnlineLocalizer(self.net.online, self.config.online, features, cells, start)
