"""A tiny network with masks, and squares that it can learn by heart, for several test files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from train_harness import TINY, learns, squares

from duml_tracker_ros.tracker.checkpoint import save_checkpoint
from duml_tracker_ros.tracker.network.mask_net import MaskNet
from duml_tracker_ros.tracker.network_config import NetworkConfig
from duml_tracker_ros.tracker.settings import build
from duml_tracker_ros.training.objectives import objective
from duml_tracker_ros.training.recipes import load_train_config

SMALL = {
    **TINY,
    "backbone": {**TINY["backbone"], "shallow": [2, 4]},
    "matching": "pixelwise",
    "online_branch": "none",
    "mask": {"cells": 13, "vector": 16, "widths": [8, 8, 8, 4]},
}


class Lesson(NamedTuple):
    """A weight file, and the losses before and after."""

    path: str
    first: dict[str, float]
    last: dict[str, float]


def masked_squares(count: int = 4) -> dict[str, Tensor]:
    """``squares`` with the masks of the squares."""
    batch = squares(count)
    boxes = batch["box"]
    mask = torch.zeros(*boxes.shape[:2], 193, 193, dtype=torch.uint8)
    for at in (boxes[..., 0].isfinite()).nonzero().tolist():
        x, y, w, h = (int(v) for v in boxes[tuple(at)])
        mask[at[0], at[1], y : y + h, x : x + w] = 255
    return {**batch, "mask": mask, "outlined": boxes[..., 0].isfinite()}


def mask_lesson(folder: Path) -> Lesson:
    """Train on a few samples until they are known.

    With four of them the classes are known by heart: the score falls below any limit where a target
    lies otherwise between two cells, however long the lesson is.
    """
    torch.manual_seed(0)
    config = build(NetworkConfig, SMALL)
    net = MaskNet(config)
    recipe = load_train_config("drol_mask_r50", {"drol_mask.cells": 1})
    first, last = learns(net, objective("drol_mask").loss, recipe, masked_squares(12), steps=40)
    path = folder / "tiny.safetensors"
    save_checkpoint(path, net, config, {"tracker": "drol_mask"})
    return Lesson(str(path), first, last)
