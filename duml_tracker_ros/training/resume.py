"""The point that an interrupted training goes on from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..tracker.errors import ConfigError
from .ema import Ema
from .kept import save_whole


@dataclass(frozen=True)
class ResumePoint:
    """State of a training after ``step`` steps, as ``last.pt`` holds it.

    Attributes:
        net, ema: weights and buffers by name.
        optimiser: its own state dictionary: moments, rates and decay of each group.
    """

    step: int
    net: dict[str, Tensor]
    ema: dict[str, Tensor]
    optimiser: dict[str, Any]

    @classmethod
    def of(
        cls, step: int, net: nn.Module, ema: Ema, optimiser: torch.optim.Optimizer
    ) -> ResumePoint:
        return cls(step, net.state_dict(), ema.net.state_dict(), optimiser.state_dict())

    def save(self, path: Path) -> None:
        """Write it whole or not at all. Raises ConfigError that says what stays, and the remedy."""
        save_whole(dict(vars(self)), path)

    @classmethod
    def restore(
        cls,
        path: Path,
        net: nn.Module,
        ema: Ema,
        optimiser: torch.optim.Optimizer,
        device: torch.device,
    ) -> int:
        """Put what a file holds in its places; return the number of steps already made.

        Raises:
            ConfigError: there is no such file, or it is damaged or of another network.
        """
        if not path.is_file():
            raise ConfigError(f"nothing to resume: {path} does not exist; start without --resume")
        try:
            point = cls(**torch.load(path, map_location=device, weights_only=True))
            net.load_state_dict(point.net)
            ema.net.load_state_dict(point.ema)
            optimiser.load_state_dict(point.optimiser)
            return int(point.step)
        except Exception as error:  # a damaged or foreign file can raise nearly anything
            raise ConfigError(
                f"{path} cannot be resumed from ({error}): it is damaged or of another network; "
                "remove it to start again"
            ) from error
