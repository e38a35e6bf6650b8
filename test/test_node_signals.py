"""Start and end of the node's process."""

import signal
import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from node_harness import IMAGE, TARGET, NodeProcess, Talker


@pytest.fixture
def talker():
    talker = Talker()
    yield talker
    talker.close()


def test_interrupt_while_tracking_ends_cleanly(talker):
    with NodeProcess(weights="random", device="cpu", autostart=True) as process:
        talker.fresh_target()
        assert talker.init(TARGET, meanwhile=talker.publish).success
        talker.fresh_target(lambda target: target.target_id)
        assert process.signal(signal.SIGINT) == 0, process.log()
        assert "Traceback" not in process.log()


def test_signals_during_configure_end_cleanly():
    settings = {"weights": "random", "device": "cpu", "autostart": True}
    with NodeProcess(**settings) as one, NodeProcess(**settings) as other:
        one.wait_for_log("configuring")
        assert one.signal(signal.SIGINT) == 0, one.log()
        other.wait_for_log("configuring")
        assert other.signal(signal.SIGTERM) == 0, other.log()


def test_wrong_parameter_is_one_clear_line():
    with NodeProcess(debug_rate=5) as process:
        assert process.wait() == 1
        assert "debug_rate" in process.log()
        assert "Traceback" not in process.log()


def test_incompatible_qos_is_named_and_termination_while_inactive_ends_cleanly(talker):
    override = {f"qos_overrides.{IMAGE}.subscription.reliability": "reliable"}
    with NodeProcess(weights="random", device="cpu", autostart=True, **override) as process:
        process.wait_for_log("incompatible QoS")
        assert f"qos_overrides.{IMAGE}.subscription" in process.log()
        process.wait_for_log("/talker (best_effort) has incompatible QoS")
        talker.bring_to("inactive")
        assert process.signal(signal.SIGTERM) == 0, process.log()
        assert "Traceback" not in process.log()


def test_help_needs_no_ros():
    done = subprocess.run(
        [sys.executable, "-P", "-m", "duml_tracker_ros.node", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "--params-file" in done.stdout
