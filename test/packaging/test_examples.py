"""The examples in the docstrings of public functions say what happens."""

import doctest
import importlib

import pytest

MODULES = (
    "evaluation.metrics",
    "tracker.factory",
    "tracker.geometry",
    "tracker.settings",
    "training.schedule",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name):
    module = importlib.import_module(f"duml_tracker_ros.{name}")
    done = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert done.attempted
    assert not done.failed
