"""The moving average of the weights, which is what a training exports."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Ema:
    """Exponential moving average of the weights, slower to forget as training goes on."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        own, new = self.net.state_dict(), net.state_dict()
        floats = [k for k, v in own.items() if v.is_floating_point()]
        torch._foreach_lerp_([own[k] for k in floats], [new[k] for k in floats], 1 - decay)
