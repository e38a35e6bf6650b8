"""A tracker is one record: the shipped ones, and one that is added here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from generated_sequence import render
from toy_tracker import OBJECTIVE, ToyConfig, ToyNet, ToyTracker, ToyTrainConfig

from duml_tracker_ros.tracker import ConfigError, TrackState, WeightsError, create_tracker
from duml_tracker_ros.tracker.checkpoint import save_checkpoint
from duml_tracker_ros.tracker.config import load_config, sizes
from duml_tracker_ros.tracker.factory import system
from duml_tracker_ros.tracker.registry import REGISTRY, Registration, registration, resolve
from duml_tracker_ros.tracker.settings import Group
from duml_tracker_ros.tracker.systems.frame_loop import FrameTracker
from duml_tracker_ros.training.networks import make_network
from duml_tracker_ros.training.objectives import Objective, objective
from duml_tracker_ros.training.recipes import load_train_config


@pytest.mark.parametrize("name", list(REGISTRY))
def test_what_a_record_names_is_there(name: str) -> None:
    record = registration(name)
    assert issubclass(system(name), FrameTracker)
    assert system(name).name == name
    assert isinstance(objective(name), Objective)
    assert issubclass(resolve(record.settings), Group)
    if record.recorded:
        assert issubclass(resolve(record.recorded), system(name))
    assert any((record.weights / f"{record.weights_stem(s)}.sha256").is_file() for s in sizes(name))


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The line that a new tracker adds to the registry, and a folder with its files."""
    record = Registration(
        "toy",
        "toy_tracker:ToyTracker",
        objective="toy_tracker:OBJECTIVE",
        settings="toy_tracker:ToyConfig",
        folder=tmp_path,
    )
    monkeypatch.setitem(REGISTRY, "toy", record)
    record.configs.mkdir()
    text = "name: toy\nsize: small\ntoy: {sharpness: 6}\nlocalize: {lost_below: 0.3}\n"
    (record.configs / "toy_small.yaml").write_text(text)
    return tmp_path


def test_settings_of_an_added_tracker_are_found_and_checked(toy: Path) -> None:
    assert sizes("toy") == ("small",)
    config = load_config("small", {"toy.sharpness": "8"}, "toy")
    assert isinstance(config, ToyConfig)
    assert (config.toy.sharpness, config.localize.lost_below) == (8.0, 0.3)
    with pytest.raises(ConfigError, match=r"toy\.sharpness = 90\.0: must be from 1 to 20"):
        load_config("small", {"toy.sharpness": 90}, "toy")
    with pytest.raises(ConfigError, match="unknown key 'toy'"):
        load_config("compact", {"toy.sharpness": 2})


def test_weights_of_an_added_tracker_are_found_and_it_tracks(toy: Path) -> None:
    with pytest.raises(WeightsError, match="duml-tracker train toy_small"):
        create_tracker("toy", device="cpu")
    network = load_config("small", name="toy").network
    torch.manual_seed(0)
    digest = save_checkpoint(toy / "weights" / "toy_small.safetensors", ToyNet(network), network)
    tracker = create_tracker("toy", device="cpu")
    assert isinstance(tracker, ToyTracker)
    assert tracker.info()["sha256"] == digest
    images, boxes = render(2, size=(320, 240), seed=2)
    target = tracker.start(images[0], tuple(boxes[0]))
    for _ in range(3):
        (told,) = tracker.track(images[0], [target])
        assert told.box == pytest.approx(boxes[0], abs=1.0)
    assert told.state is TrackState.UNCERTAIN or told.state is TrackState.TRACKING


def test_an_added_tracker_is_trained_by_its_own_objective(toy: Path) -> None:
    recipe = toy / "toy_small.yaml"
    recipe.write_text("{tracker: toy, size: small, name: toy_small, toy: {weight: 2}}")
    config = load_train_config(recipe, {"toy.weight": "3"})
    assert isinstance(config, ToyTrainConfig)
    assert config.toy.weight == 3
    with pytest.raises(ConfigError, match=r"toy\.weight = 90\.0: must be from 0 to 10"):
        load_train_config(recipe, {"toy.weight": 90})
    with pytest.raises(ConfigError, match="unknown key 'toy'"):
        load_train_config("duml_compact", {"toy.weight": 3})
    net, _ = make_network(config)
    assert isinstance(net, ToyNet)
    assert objective("toy") is OBJECTIVE
    crops = torch.randint(0, 255, (1, 1, 3, 97, 97), dtype=torch.uint8)
    cast = torch.autocast("cpu", enabled=False)
    total, _ = objective("toy").loss(net, {"search": crops}, config, cast)
    total.backward()
    assert any(p.grad is not None and p.grad.any() for p in net.backbone.parameters())


def test_an_unknown_tracker_is_answered_with_all_there_are(toy: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown tracker 'nobody'; choose from duml, .*, toy"):
        create_tracker("nobody")
    with pytest.raises(ConfigError, match="engine = 'cuda_graph'"):
        create_tracker("toy", device="cpu", weights="random", engine="cuda_graph")
