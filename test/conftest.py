"""Fixtures of several test files."""

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def source_copy(tmp_path_factory):
    """A copy of what is built and installed, for builds that leave their traces beside it."""
    copy = tmp_path_factory.mktemp("source")
    for name in (
        "cmake",
        "config",
        "duml_tracker_ros",
        "launch",
        "msg",
        "resource",
        "srv",
        "tools",
    ):
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, copy / name, ignore=ignore)
    for pattern in ("*.md", "*.in", "*.py", "*.toml", "*.txt", "*.xml", "LICENSE"):
        for file in ROOT.glob(pattern):
            shutil.copy(file, copy)
    return copy
