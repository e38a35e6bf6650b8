"""Settings are declared once: every value has its range, and what is wrong is named."""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
import torch
from safetensors.torch import save_file

from duml_tracker_ros.tracker.checkpoint import load_checkpoint
from duml_tracker_ros.tracker.checkpoint.store import FORMAT
from duml_tracker_ros.tracker.config import OnlineConfig, TrackerConfig, load_config, sizes
from duml_tracker_ros.tracker.errors import ConfigError
from duml_tracker_ros.tracker.factory import TRACKERS
from duml_tracker_ros.tracker.network_config import NetworkConfig
from duml_tracker_ros.tracker.registry import REGISTRY
from duml_tracker_ros.tracker.settings import (
    Group,
    Range,
    build,
    check_setting,
    groups,
    kinds,
    load_yaml,
    merge,
)
from duml_tracker_ros.training.config import TrainConfig
from duml_tracker_ros.training.objectives import objective
from duml_tracker_ros.training.recipes import CONFIG_DIR, load_train_config

RECIPES = {name: objective(name).config for name in REGISTRY}
ROOTS = (TrackerConfig, TrainConfig, *dict.fromkeys(RECIPES.values()))


def leaves(cls: type[Group], path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and declared type of every setting below a group."""
    inside = groups(cls)
    for name, kind in kinds(cls).items():
        if name in inside:
            yield from leaves(inside[name], f"{path}{name}.")
        else:
            yield f"{path}{name}", kind


SHARED = dict(leaves(TrainConfig))
SETTINGS = [
    (root, name, kind)
    for root in ROOTS
    for name, kind in leaves(root)
    if root is TrainConfig or not issubclass(root, TrainConfig) or name not in SHARED
]


def base(kind: Any) -> Any:
    """A type without what is said about it."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind


def ranges(kind: Any) -> Iterator[Range]:
    yield from (rule for rule in typing.get_args(kind)[1:] if isinstance(rule, Range))


@pytest.mark.parametrize(
    ("root", "name", "kind"), SETTINGS, ids=[f"{r.__name__}-{n}" for r, n, _ in SETTINGS]
)
def test_no_setting_takes_an_absurd_value(root: type[Group], name: str, kind: Any) -> None:
    """Numbers have a range, and neither of its sides is open; wrong types are named, too."""
    value = base(kind)
    if typing.get_origin(value) is tuple:
        item = typing.get_args(value)[0]
        assert item is not str or typing.get_origin(kind) is not Annotated
        absurd: list[Any] = [5, {}, "1", [[]], [None]]
        if item is not str:
            absurd += [[math.nan], [1e300], [-(10**30)], [1] * 1000]
    elif typing.get_origin(value) is dict:
        absurd = [5, [], "1", None]
    elif value in (int, float):
        rule = next(ranges(kind))
        below, above = rule.low - 1, rule.high + 1
        absurd = [math.nan, math.inf, -math.inf, 1e300, -1e300, below, above, 10**400]
        absurd += [str(a) for a in absurd[:5]] + ["", "1e", "9" * 5000, None, [], {}, True]
    else:
        absurd = [None, [], {}, 1.5, "a\0b" if value is str else "nonsense"]
    for wrong in absurd:
        with pytest.raises(ConfigError) as caught:
            check_setting(root, name, wrong)
        with pytest.raises(ConfigError):
            build(root, merge({}, {name: wrong}))
        message = str(caught.value)
        assert message.startswith(name), message
        assert len(message) < 300, message


def test_every_group_knows_its_own_name() -> None:
    for root in ROOTS:
        for name, cls in groups(root).items():
            assert cls.path == name
            for inner, kind in groups(cls).items():
                assert kind.path == f"{name}.{inner}"


def test_shipped_files_are_within_their_ranges() -> None:
    for tracker in TRACKERS:
        for size in sizes(tracker):
            load_config(size, name=tracker)
    for recipe in CONFIG_DIR.glob("*.yaml"):
        load_train_config(recipe)


def test_replaced_values_are_checked_and_texts_become_numbers() -> None:
    online = OnlineConfig()
    with pytest.raises(ConfigError, match=r"online\.memory = 1000000000: must be from 1 to 1000"):
        dataclasses.replace(online, memory=10**9)
    with pytest.raises(ConfigError, match=r"online\.learn_above = nan: a finite number"):
        dataclasses.replace(online, learn_above=math.nan)
    changed = build(OnlineConfig, {"memory": "30", "rate": "1e-2", "merge": 1})
    assert (changed.memory, changed.rate, changed.merge) == (30, 0.01, 1.0)
    assert [type(v) for v in (changed.memory, changed.rate, changed.merge)] == [int, float, float]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("postprocess.scales", [], r"postprocess\.scales = \(\): must be a list of 1 to 16"),
        ("postprocess.scales", [1.0, 0.0], r"postprocess\.scales\[1\] = 0\.0: must be from 0\.25"),
        ("localize.lost_below", "nan", r"localize\.lost_below = nan: a finite number"),
        ("network.backbone.strides", [8, 7], r"network\.backbone\.strides\[1\] = 7: choose from 2"),
        ("engine", "magic", r"engine = 'magic': choose from auto, torch, cuda_graph"),
        ("online.init_samples", 500, r"online\.init_samples = 500: must be at most online\.memory"),
        ("localize.search_growth", 1.00001, r"search_growth = 1\.00001: 1, so .* at least 1\.001"),
        ("name", "a/b", "name = 'a/b': must be a name of letters"),
    ],
)
def test_messages_name_setting_value_and_remedy(key: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(overrides={key: value})


def test_unknown_settings_are_named_with_the_known_ones() -> None:
    for wrong in ("online.memry", "onlin.memory", "online", "", ".", "online.memory.x"):
        with pytest.raises(ConfigError, match=r"known here|mapping"):
            check_setting(TrackerConfig, wrong, "1")
    with pytest.raises(ConfigError, match=r"'network\.decoder\.widht'.*width"):
        build(NetworkConfig, {"decoder": {"widht": 3}})


# 500 bytes that become 9^9 mappings.
BOMB = b"a: &a {x: 1}\n" + b"".join(
    b"%c: &%c {%s}\n" % (98 + i, 98 + i, b", ".join(b"%d: *%c" % (k, 97 + i) for k in range(9)))
    for i in range(8)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\xff\xfe\x00", "not valid YAML: it is no text in UTF-8"),
        (b"a: " + b"9" * 5000, "not valid YAML"),
        (b"[" * 1200, "nested too deep"),
        (b"&a {x: *a}", "nested too deep"),
        (BOMB, r"repeats values by 72 aliases \(\*name\), and no more than 16 are read"),
        (b"- a", "a mapping of keys"),
        (b"a: [", "not valid YAML: line 1, column 5: expected the node content"),
        (b"lr: 1\nsteps: 2\nlr: 3\n", "not valid YAML: line 3, column 1: 'lr' comes twice"),
        (b"data: {root: x, root: y}", "column 17: 'root' comes twice"),
    ],
)
def test_files_that_are_no_configuration_are_named(tmp_path, text: bytes, words: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=words) as caught:
        load_yaml(path)
    assert "odd.yaml" in str(caught.value)


def test_what_older_files_name_is_passed_over_and_nothing_else(tmp_path) -> None:
    tensors = {"a": torch.zeros(1)}
    network = dataclasses.asdict(NetworkConfig()) | {"kind": "dual_modal"}
    meta = {"format": FORMAT, "network": json.dumps(network)}
    save_file(tensors, str(tmp_path / "old.safetensors"), meta)
    assert load_checkpoint(tmp_path / "old.safetensors").network == NetworkConfig()
    assert load_config("lite", {"network.kind": "siamese"}) == load_config("lite")
    check_setting(TrackerConfig, "network.kind", "mask")
    with pytest.raises(ConfigError, match=r"unknown key 'network\.kin'"):
        load_config("lite", {"network.kin": "siamese"})
