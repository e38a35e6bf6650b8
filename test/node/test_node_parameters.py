"""The parameter table, and what is made from it."""

from pathlib import Path

import pytest
import yaml

from duml_tracker_ros.node.parameters import (
    TABLE,
    NodeSettings,
    to_yaml,
    tracker_overrides,
)
from duml_tracker_ros.tracker import TRACKERS
from duml_tracker_ros.tracker.config import sizes

ROOT = Path(__file__).resolve().parents[2]


def test_config_file_is_written_from_the_table():
    shipped = (ROOT / "config" / "duml_tracker.yaml").read_text()
    assert shipped == to_yaml(), "run: python -m duml_tracker_ros.node.parameters --yaml"


def test_config_file_holds_every_default_with_its_type():
    values = yaml.safe_load((ROOT / "config" / "duml_tracker.yaml").read_text())
    values = values["/**"]["ros__parameters"]
    assert TABLE.read(values) == NodeSettings()
    assert set(values) == set(TABLE.specs)


def test_documented_table_is_the_table():
    assert TABLE.to_markdown() in (ROOT / "docs" / "node.md").read_text()


def test_every_parameter_is_described_and_its_default_valid():
    for name, spec in TABLE.specs.items():
        assert spec.text, name
        assert TABLE.check(name, TABLE.defaults[name]) == "", name
        assert bool(spec.pattern) == bool(spec.remedy), name


def test_every_size_of_every_tracker_can_be_chosen():
    offered = {size for tracker in TRACKERS for size in sizes(tracker)}
    assert set(TABLE.specs["size"].choices) == {"auto", *offered}
    assert sizes("drol_rpn") == ("compact", "lite", "r50", "alexnet", "pysot")
    assert sizes("drol_fc") == ("alexnet", "compact", "lite")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("size", "huge", "compact, r50"),
        ("device", "gpu", "cuda:N"),
        ("debug_rate", -1.0, "0 to 120 Hz"),
        ("debug_rate", 5, "float"),
        ("debug_rate", float("nan"), "0 to 120"),
        ("ring_bytes", -2, "ring_bytes = -2"),
        ("num_threads", True, "int"),
        ("overrides", "online.memory", "key=value"),
        ("overrides", "localize.lost_below=nan", "localize.lost_below = nan: a finite number"),
        ("overrides", "a=1", "unknown key 'a'"),
        ("overrides", "online.memory=1000000000", "must be from 1 to 1000"),
        ("record_debug", "a\0b", "control characters"),
        ("weights", "a\x1b[2J", "control characters"),
        ("weights", "", "path"),
        ("tracker", "../x", "tracking system"),
    ],
)
def test_wrong_values_are_named_with_the_remedy(name, value, words):
    reason = TABLE.check(name, value)
    assert name in reason
    assert words in reason
    with pytest.raises(ValueError, match=name):
        TABLE.read({name: value})


def test_change_is_refused_only_where_it_would_have_no_effect():
    assert "cleanup" in TABLE.check_change("weights", "other.safetensors", "active")
    assert "deactivate" in TABLE.check_change("image_transport", "compressed", "active")
    assert TABLE.check_change("debug_rate", 1.0, "active") == ""
    for state in ("unconfigured", "inactive"):
        assert TABLE.check_change("weights", "other.safetensors", state) == ""


def test_tracker_overrides_come_from_update_and_overrides():
    assert tracker_overrides(NodeSettings()) == {}
    settings = NodeSettings(update="never", overrides="online.memory=30  localize.lost_below=0.3")
    assert tracker_overrides(settings) == {
        "online.memory": "30",
        "localize.lost_below": "0.3",
        "online.update": "never",
    }
