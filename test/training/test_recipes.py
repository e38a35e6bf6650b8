"""Every tracker's recipe through the training loop: log, resume, and weights the tracker takes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from generated_sequence import render
from train_harness import TINY, resumes_exactly, settings, write_data

from duml_tracker_ros.tracker import TRACKERS, ConfigError, create_tracker
from duml_tracker_ros.tracker.checkpoint import load_checkpoint
from duml_tracker_ros.tracker.checkpoint.store import COUNTER, load_fitting, shipped
from duml_tracker_ros.training.loop import train_from_config
from duml_tracker_ros.training.networks import make_network
from duml_tracker_ros.training.objectives import objective
from duml_tracker_ros.training.recipes import load_train_config
from duml_tracker_ros.training.trainer import warm

LEVELS = {"backbone": {**TINY["backbone"], "strides": [4, 8, 16]}}
NETWORKS: dict[str, dict[str, Any]] = {
    "duml": TINY,
    "siamrcr": TINY,
    "drol_rpn": {
        **TINY,
        "backbone": {**TINY["backbone"], "kind": "slim", "strides": [8, 16]},
        "template_size": 97,
        "search_size": 193,
    },
    "drol_fc": TINY,
    "fcot": {**LEVELS, "decoder": {"width": 8, "coarse": 8, "fine": 8, "box": 8}},
    "tlpg": {**LEVELS, "neck": 8, "points": {"channels": 8, "iou": 8}},
}
# The smallest size with a network of the tracker's own.
SIZES = {"drol_rpn": "alexnet"}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("recipes")
    return write_data(root / "data"), root / "cache"


@pytest.mark.parametrize("tracker", NETWORKS)
def test_recipe_trains_resumes_and_tracks(tracker: str, data, tmp_path) -> None:
    options = {**settings(*data), "network": NETWORKS[tracker], "warm_from": "", "steps": 3}
    size = SIZES.get(tracker, "compact")
    recipe = f"{tracker}_{size}"
    whole, part = resumes_exactly(recipe, tmp_path, options)
    with (part / "log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert rows[-1]["step"] == "2"
    assert set(objective(tracker).parts) < set(rows[-1])
    assert load_checkpoint(whole).notes["tracker"] == tracker
    changed = {f"network.{k}": v for k, v in NETWORKS[tracker].items()}
    changed |= {"classifier.first_steps": 1, "classifier.first_iterations": 2}
    own = create_tracker(tracker, weights=str(whole), device="cpu", size=size, **changed)
    images, boxes = render(2, size=(320, 240))
    own.init(images[0], tuple(boxes[0]), "bgr")
    assert own.update(images[1], "bgr").box is not None


@pytest.mark.parametrize("size", ["compact", "lite"])
@pytest.mark.parametrize("tracker", sorted(set(TRACKERS) - set(SIZES)))
def test_recipes_start_from_shipped_weights(tracker: str, size: str) -> None:
    recipe = load_train_config(f"{tracker}_{size}")
    assert (recipe.tracker, recipe.size) == (tracker, size)
    assert recipe.name == f"{tracker}_{size}"
    # The shipped lite weights of other trackers learned on a duml_lite before the present one.
    source = {"compact": "duml_compact", "lite": "drol_mask_lite"}[size]
    assert recipe.warm_from == ("" if tracker == "duml" else source)
    if not recipe.warm_from:
        return
    net, network = make_network(recipe)
    taken = load_fitting(net, load_checkpoint(shipped(source)))
    own = {k for k in net.state_dict() if k.startswith("backbone.") and not k.endswith(COUNTER)}
    assert own <= set(taken), "all of its backbone"
    warm(net, network, recipe)


def test_what_is_frozen_is_not_left_random() -> None:
    changes = {"warm_from": "duml_lite", "freeze": ["backbone"]}
    recipe = load_train_config("siamrcr_lite", changes)
    net, network = make_network(recipe)
    with pytest.raises(ConfigError, match=r"backbone\.blocks\.11\.expand.* would stay random"):
        warm(net, network, recipe)


def test_only_trackers_with_a_network_of_their_own_are_trained(data, tmp_path) -> None:
    for changes, words in (
        ({"tracker": "drol"}, "train one of"),
        ({"tracker": "drol_rpn"}, "'duml-tracker train duml_compact'"),
        ({"tracker": "drol_rpn", "size": "pysot"}, "'duml-tracker import pysot"),
    ):
        options = {**settings(*data), **changes}
        with pytest.raises(ConfigError, match=words):
            train_from_config("duml_compact", out=tmp_path / "x", overrides=options)
