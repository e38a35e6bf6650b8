"""What several tests of training share: a tiny network, a batch, a few steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from duml_tracker_ros.tracker.checkpoint import default_weights, load_checkpoint, save_checkpoint
from duml_tracker_ros.tracker.checkpoint.store import load_fitting
from duml_tracker_ros.tracker.config import load_config
from duml_tracker_ros.tracker.network_config import NetworkConfig
from duml_tracker_ros.training.config import TrainConfig
from duml_tracker_ros.training.loop import train_from_config

TINY: dict[str, Any] = {
    "backbone": {"widths": [8, 8, 16, 16], "blocks": [1, 1, 1]},
    "neck": 16,
    "hidden": 16,
    "online_channels": 16,
}


def squares(count: int = 4, frames: int = 2) -> dict[str, Tensor]:
    """Bright squares on noise: something that can be learned by heart. One target is absent."""
    rng = np.random.default_rng(0)
    template = rng.integers(0, 90, (count, 3, 97, 97)).astype(np.float32)
    template[:, :, 24:73, 24:73] += 120
    search = rng.integers(0, 90, (count, frames, 3, 193, 193)).astype(np.float32)
    box = np.zeros((count, frames, 4), np.float32)
    for i in range(count):
        for s in range(frames):
            x, y = rng.integers(10, 130, 2)
            search[i, s, :, y : y + 44, x : x + 52] += 120
            box[i, s] = x, y, 52, 44
    box[0, -1] = np.nan
    return {
        k: torch.from_numpy(v)
        for k, v in zip(("template", "search", "box"), (template, search, box), strict=True)
    }


def learns(
    net: nn.Module,
    loss: Callable[..., tuple[Tensor, dict[str, Tensor]]],
    config: TrainConfig,
    batch: dict[str, Tensor],
    steps: int,
    lr: float = 5e-3,
) -> tuple[dict[str, float], dict[str, float]]:
    """Train on one batch: its losses before and after. Every parameter must get a gradient."""
    optimiser = torch.optim.AdamW(net.parameters(), lr=lr)
    no_cast = torch.autocast("cpu", enabled=False)
    history = []
    net.train()
    for _ in range(steps):
        total, parts = loss(net, batch, config, no_cast)
        optimiser.zero_grad()
        total.backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        history.append({k: float(v.detach()) for k, v in parts.items()})
    net.eval()
    return history[0], history[-1]


def warm_file(
    folder: Path, name: str, network: Callable[[NetworkConfig], nn.Module]
) -> tuple[str, list[str]]:
    """Checkpoint of a tracker's compact network that holds what fits of the shipped weights and is
    random elsewhere, with the names of what fitted."""
    torch.manual_seed(0)
    config = load_config(name=name).network
    net = network(config)
    taken = load_fitting(net, load_checkpoint(default_weights("compact")))
    path = folder / "warm.safetensors"
    save_checkpoint(path, net, config, {"tracker": name})
    return str(path), taken


def resumes_exactly(recipe: str, folder: Path, options: dict) -> tuple[Path, Path]:
    """Train at once, and with a stop after two steps: the weights are the same.

    Returns the file of the former and the folder of the latter.
    """
    whole = train_from_config(recipe, out=folder / "whole", overrides=options)
    part = folder / "part"
    train_from_config(recipe, out=part, overrides={**options, "stop_after": 2})
    assert torch.load(part / "last.pt", weights_only=True)["step"] == 2
    resumed = train_from_config(recipe, resume=True, out=part, overrides=options)
    a, b = load_checkpoint(whole).state, load_checkpoint(resumed).state
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)
    return whole, part


def write_data(root: Path) -> Path:
    """A data set of twelve small pictures with a box each, in the layout of index.jsonl."""
    rng = np.random.default_rng(5)
    lines = []
    (root / "images").mkdir(parents=True)
    for i in range(12):
        image = cv2.resize(rng.integers(0, 255, (9, 12, 3), np.uint8), (160, 120))
        name = f"images/{i:03d}.png"
        assert cv2.imwrite(str(root / name), image)
        target = {"id": None, "box": [40.0, 30.0, 44.0, 36.0], "class": "thing"}
        lines.append(
            {
                "image": name,
                "width": 160,
                "height": 120,
                "source": "made",
                "video": None,
                "frame": None,
                "objects": [target],
            }
        )
    (root / "index.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    return root


def settings(root: Path, cache: Path) -> dict:
    return {
        "data.root": str(root),
        "data.cache": str(cache),
        "data.workers": 0,
        "data.scene_clips": 0,
        "data.grabcut_limit": 0,
        "data.mix": {"still": 1.0, "patch": 0.5},
        "network": TINY,
        "steps": 4,
        "batch": 2,
        "warmup": 2,
        "checkpoint_every": 2,
        "precision": "fp32",
        "device": "cpu",
    }
