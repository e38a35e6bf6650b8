"""Parts of a network that training leaves as they are."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ..tracker.errors import ConfigError


class Frozen:
    """Holds the modules of these names still: no gradient, and batch norms keep their statistics.

    Raises ConfigError for a name that the network does not have, and when nothing is left to train.
    """

    def __init__(self, net: nn.Module, names: Sequence[str]) -> None:
        self.net = net
        modules = dict(net.named_modules())
        unknown = sorted(set(names) - set(modules))
        if unknown:
            parts = ", ".join(name for name, _ in net.named_children())
            raise ConfigError(f"freeze = {unknown}: the network has no such part; it has {parts}")
        self.parts = [modules[name] for name in names]
        for part in self.parts:
            part.requires_grad_(False)
        if not any(p.requires_grad for p in net.parameters()):
            raise ConfigError(f"freeze = {list(names)}: nothing is left to train")

    def train(self) -> None:
        """Training mode for all but the frozen parts."""
        self.net.train()
        for part in self.parts:
            part.eval()
