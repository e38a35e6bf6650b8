"""Parts of a network that training leaves as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import nn

from ..tracker.errors import ConfigError


class Frozen:
    """Holds parts of a network still: no gradient, and batch norms keep their statistics.

    Args:
        names: modules that stay as they are for good.
        thaw_at: the backbone does so, too, until this step.
        norms: the backbone's batch norms keep their statistics for good.

    Raises:
        ConfigError: a name that the network does not have, or nothing is left to train.
    """

    def __init__(
        self, net: nn.Module, names: Sequence[str], thaw_at: int = 0, norms: bool = False
    ) -> None:
        self.net = net
        self.thaw_at = thaw_at
        modules = dict(net.named_modules())
        unknown = sorted(set(names) - set(modules))
        if unknown:
            parts = ", ".join(name for name, _ in net.named_children())
            raise ConfigError(f"freeze = {unknown}: the network has no such part; it has {parts}")
        self.parts = [modules[name] for name in names]
        backbone = modules["backbone"]
        self.norms = [m for m in backbone.modules() if norms and isinstance(m, nn.BatchNorm2d)]
        for part in self.parts:
            part.requires_grad_(False)
        self.thawing = [p for p in backbone.parameters() if thaw_at and p.requires_grad]
        if not any(p.requires_grad for p in net.parameters()):
            raise ConfigError(f"freeze = {list(names)}: nothing is left to train")

    def train(self, step: int) -> None:
        """Training mode for all but what is frozen at a step. Call it before the first step of a
        run and at ``thaw_at``."""
        self.net.train()
        still = step < self.thaw_at
        for parameter in self.thawing:
            parameter.requires_grad_(not still)
        for module in (*self.parts, *self.norms, *([self.net.backbone] if still else [])):
            cast(nn.Module, module).eval()
