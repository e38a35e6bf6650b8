"""Fixtures of several test files."""

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from duml_tracker_ros.tracker import factory

ROOT = Path(__file__).resolve().parents[1]

# A shell starts background jobs with SIGINT ignored, and processes that tests interrupt would
# inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# One thread: the same numbers on every machine, and no crawling where another program takes a core.
torch.set_num_threads(1)

# Torch is what the others are compared with: in this process it runs where none is named. Processes
# that tests start choose for themselves.
factory.fastest_engine = lambda device, quantised: "torch"

# A domain that the user has set would bring together what tests keep apart.
os.environ.pop("ROS_DOMAIN_ID", None)

# What nodes keep between runs is of this one alone.
STATE = tempfile.TemporaryDirectory()
os.environ["ROS_HOME"] = STATE.name

OVER_DDS = ("test_node_", "test_demo_processes", "test_gimbal_controller")
STATUS = pytest.StashKey[int]()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    session.config.stash[STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """Take DDS down, which frees its shared memory; a test run must not hang on it."""
    if "node_harness" in sys.modules and STATUS in config.stash:
        from node_harness import close_context

        from duml_tracker_ros.node.exit_watchdog import end_within

        sys.stdout.flush()
        sys.stderr.flush()
        end_within(20.0, config.stash[STATUS])
        close_context()


def pytest_collection_modifyitems(config, items):
    """Tests of several processes over DDS never run beside each other."""
    for item in items:
        over_dds = item.path.name.startswith(OVER_DDS)
        if config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group("dds" if over_dds else item.path.name))


@pytest.fixture(scope="session")
def talker():
    """The camera, operator and listener of the tests that share one node process."""
    from node_harness import Talker

    talker = Talker()
    yield talker
    talker.close()


@pytest.fixture(scope="session")
def process(talker):
    """One node process for many tests: starting one takes seconds."""
    from node_harness import NodeProcess

    with NodeProcess(weights="random", device="cpu", diagnostics_period=0.2) as process:
        process.wait_for_log("unconfigured; waiting", 60.0)
        assert talker.state() == "unconfigured", process.log()
        yield process
        assert process.running(), process.log()
        assert process.end() == 0, process.log()


@pytest.fixture
def node(talker, process):
    """The running node, unconfigured and with default settings; the test may change them."""
    from node_harness import reset

    talker.changed = True
    reset(talker)
    return talker


@pytest.fixture
def active(talker, process):
    """The running node, active and without a target."""
    from node_harness import reset

    if talker.changed or talker.state() != "active":
        reset(talker)
        talker.bring_to("active")
        talker.changed = False
    assert talker.stop().success
    talker.fresh_target()
    return talker


@pytest.fixture
def patient(node):
    """The running node, active, which keeps frames as long as a busy machine may need."""
    assert node.set_parameter("ring_seconds", 60.0).successful
    node.bring_to("active")
    node.fresh_target()
    yield node
    node.bring_to("unconfigured")
    assert node.set_parameter("ring_seconds", 2.0).successful


@pytest.fixture
def run():
    """Starts workers (see worker_harness.py), and ends them with the test."""
    from worker_harness import WAIT, Box

    started = []

    def start(**arguments):
        box = Box(**arguments)
        started.append(box)
        box.worker.start(WAIT)
        return box

    yield start
    for box in started:
        box.hold.set()
        assert box.worker.close(WAIT)


@pytest.fixture(scope="module")
def source_copy(tmp_path_factory):
    """A copy of what is built and installed, for builds that leave their traces beside it."""
    copy = tmp_path_factory.mktemp("source")
    for name in (
        "cmake",
        "config",
        "duml_tracker_ros",
        "examples",
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
