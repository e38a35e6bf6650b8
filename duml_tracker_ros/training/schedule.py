"""The learning rate by step, and what takes the steps."""

from __future__ import annotations

import math

import torch
from torch import nn

from .config import TrainConfig

LEAST = 0.01
"""Share of the learning rate that is left in the end, where the recipe does not say."""


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then flat, then down: half a cosine, exponentially, or in steps.

    >>> recipe = TrainConfig(steps=1000, lr=0.1, warmup=100, flat=0.5)
    >>> [round(learning_rate(step, recipe), 3) for step in (0, 99, 500, 750, 1000)]
    [0.001, 0.1, 0.1, 0.051, 0.001]
    """
    if step < config.warmup:
        if config.warmup_from:
            rise = config.lr - config.warmup_from
            return config.warmup_from + rise * step / config.warmup
        return config.lr * (step + 1) / config.warmup
    if config.decay == "steps":
        passed = sum(step >= share * config.steps for share in config.decay_at)
        return config.lr * config.decay_factor**passed
    start = max(config.warmup, int(config.flat * config.steps))
    if step < start:
        return config.lr
    progress = min((step - start) / max(config.steps - start, 1), 1.0)
    least = config.lr_end / config.lr if config.lr_end else LEAST
    if config.decay == "exponential":
        return config.lr * least**progress
    return config.lr * (least + (1 - least) * 0.5 * (1 + math.cos(math.pi * progress)))


def make_optimiser(net: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The recipe's optimiser; no weight decay on biases, norms and the online branch's bins.

    ``share`` of a group is its factor on the learning rate.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {
        (1.0, config.weight_decay): [],
        (1.0, 0.0): [],
    }
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            share = config.backbone_rate if name.startswith("backbone.") else 1.0
            decay = config.weight_decay if parameter.dim() > 1 else 0.0
            groups.setdefault((share, decay), []).append(parameter)
    parts = [
        {"params": members, "weight_decay": decay, "share": share}
        for (share, decay), members in groups.items()
    ]
    if config.optimiser == "sgd":
        return torch.optim.SGD(parts, lr=config.lr, momentum=config.momentum)
    if config.optimiser == "adam":
        return torch.optim.Adam(parts, lr=config.lr)
    return torch.optim.AdamW(parts, lr=config.lr)
