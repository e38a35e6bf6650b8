"""What CONTRIBUTING.md promises: a backbone and a data set are one file and one entry each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from train_harness import TINY, settings

from duml_tracker_ros.cli.main import main
from duml_tracker_ros.datasets import Dataset, Sequence, catalogue
from duml_tracker_ros.datasets.base import collect, images_of, make_sequence
from duml_tracker_ros.tracker import ConfigError, create_tracker
from duml_tracker_ros.tracker.network import backbone
from duml_tracker_ros.tracker.network.blocks import ConvBn
from duml_tracker_ros.tracker.network.levels import Backbone, level_channels
from duml_tracker_ros.tracker.network_config import BackboneConfig
from duml_tracker_ros.training.loop import train_from_config

BOX = (40.0, 30.0, 44.0, 36.0)


class PlainBackbone(Backbone):
    """One strided convolution after the other."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.wanted = (*config.shallow, *config.strides)
        widths = dict(zip((2, 4, 8, 16), config.widths, strict=False))
        self.channels, self.shallow_channels = level_channels(config, widths)
        inputs = (3, *widths.values())
        self.steps = nn.ModuleList(
            ConvBn(a, b, 3, 2) for a, b in zip(inputs, widths.values(), strict=False)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = {}
        for level, step in enumerate(self.steps, start=1):
            x = maps[2**level] = step(x)
        return [maps[stride] for stride in self.wanted]


def load_corners(root: Path, pattern: str | None = None) -> Dataset:
    """<Seq>/*.png with the corners of every box in <Seq>/corners.json."""

    def load(name: str) -> Sequence:
        corners = np.array(json.loads((root / name / "corners.json").read_text()), float)
        boxes = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
        return make_sequence(name, images_of(root / name, name), boxes)

    return collect("corners", [p.parent.name for p in root.glob("*/corners.json")], load, pattern)


def train_corners(root: Path) -> Iterator[Sequence]:
    yield from load_corners(root)


@pytest.fixture
def clips(tmp_path, monkeypatch) -> Path:
    """Two clips in the layout of `load_corners`, which is registered."""
    monkeypatch.setitem(catalogue.BENCHMARKS, "corners", load_corners)
    read = catalogue.videos("corners", train_corners)
    monkeypatch.setitem(catalogue.TRAINING, "corners", read)
    rng = np.random.default_rng(3)
    x, y, w, h = BOX
    for name in ("one", "two"):
        (tmp_path / "clips" / name).mkdir(parents=True)
        for i in range(3):
            image = cv2.resize(rng.integers(0, 255, (9, 12, 3), np.uint8), (160, 120))
            assert cv2.imwrite(str(tmp_path / "clips" / name / f"{i}.png"), image)
        corners = json.dumps([[x, y, x + w, y + h]] * 3)
        (tmp_path / "clips" / name / "corners.json").write_text(corners)
    return tmp_path / "clips"


@pytest.fixture
def plain(monkeypatch) -> dict[str, object]:
    """Settings of a small network on `PlainBackbone`, which is registered."""
    monkeypatch.setitem(backbone.BACKBONES, "plain", PlainBackbone)
    return {**TINY, "backbone": {**TINY["backbone"], "kind": "plain"}}


def test_a_backbone_is_one_class_and_one_entry(plain) -> None:
    options = {f"network.{k}": v for k, v in plain.items() if k != "backbone"}
    options |= {"network.backbone.kind": "plain", "network.backbone.widths": [8, 8, 16, 16]}
    tracker = create_tracker("duml", "random", "cpu", "compact", **options)
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    tracker.init(image, BOX)
    assert np.isfinite(tracker.update(image).box).all()
    assert tracker.info()["config"]["network"]["backbone"]["kind"] == "plain"
    with pytest.raises(ConfigError, match=r"backbone\.kind = 'plane': choose from slim, .*plain"):
        create_tracker("duml", "random", "cpu", **{"network.backbone.kind": "plane"})


def test_a_data_set_is_one_reader_and_its_entries(clips, plain, tmp_path, capsys) -> None:
    """It is evaluated on by the command line, and trained on, here with the backbone above."""
    quick = {"data.root": "", "data.layouts": {"corners": str(clips)}, "data.mix": {"still": 1.0}}
    options = settings(tmp_path, tmp_path / "cache") | {"network": plain, "steps": 1} | quick
    train_from_config("duml_compact", out=tmp_path / "run", overrides=options)
    trained = torch.load(tmp_path / "run" / "last.pt", weights_only=True)["net"]
    assert any(key.startswith("backbone.steps.3") for key in trained)
    command = ["eval", "--dataset", "corners", "--root", str(clips), "--sequences", "two"]
    command += ["--device", "cpu", "--weights", "random", "--out", str(tmp_path / "eval")]
    assert main([*command, "--size", "compact", "--jobs", "1"]) == 0
    assert "duml" in capsys.readouterr().out
