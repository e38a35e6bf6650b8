"""Start and end of the node's process."""

import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from node_harness import NAMESPACE, TARGET, NodeProcess, Talker

OWN = f"{NAMESPACE}_signals"
SETTINGS = {"weights": "random", "device": "cpu", "namespace": OWN}


@pytest.fixture
def own():
    """A talker in the namespace of these tests: other tests share a node in theirs."""
    talker = Talker(OWN)
    yield talker
    talker.close()


def ends_cleanly(process, number):
    return process.signal(number) == 0 and "Traceback" not in process.log()


def test_interrupt_while_tracking_ends_cleanly(own):
    with NodeProcess(**SETTINGS, autostart=True) as process:
        own.fresh_target()
        assert own.init(TARGET, meanwhile=own.publish).success
        own.fresh_target(lambda target: target.target_id)
        assert ends_cleanly(process, signal.SIGINT), process.log()


def test_signals_during_configure_end_cleanly():
    settings = {**SETTINGS, "autostart": True}
    with NodeProcess(**settings) as one, NodeProcess(**settings) as other:
        one.wait_for_log("configuring")
        assert one.signal(signal.SIGINT) == 0, one.log()
        other.wait_for_log("configuring")
        assert other.signal(signal.SIGTERM) == 0, other.log()


def test_signals_while_unconfigured_end_cleanly():
    with (
        NodeProcess(**SETTINGS) as one,
        NodeProcess(**{**SETTINGS, "namespace": f"{OWN}_2"}) as other,
    ):
        for process, number in ((one, signal.SIGINT), (other, signal.SIGTERM)):
            process.wait_for_log("unconfigured; waiting")
            assert ends_cleanly(process, number), process.log()


def test_interrupt_while_inactive_ends_cleanly(own):
    with NodeProcess(**SETTINGS) as process:
        process.wait_for_log("unconfigured; waiting")
        own.bring_to("inactive")
        assert ends_cleanly(process, signal.SIGINT), process.log()


def test_services_answer_and_termination_ends_cleanly_when_finalized(own):
    with NodeProcess(**SETTINGS) as process:
        process.wait_for_log("unconfigured; waiting")
        assert own.change("shutdown")
        assert own.state() == "finalized"
        assert "finalized" in own.init(TARGET).message
        assert ends_cleanly(process, signal.SIGTERM), process.log()


def test_killed_node_is_replaced_by_a_new_one(own):
    settings = {**SETTINGS, "autostart": True}
    with NodeProcess(**settings) as first:
        own.fresh_target()
        assert own.init(TARGET, meanwhile=own.publish).success
        own.fresh_target(lambda target: target.target_id)
        assert first.signal(signal.SIGKILL) == -signal.SIGKILL
    own.targets.clear()
    with NodeProcess(**settings) as second:
        # The talker knows nothing of it: same topics, same services.
        assert own.fresh_target().target_id == 0
        assert own.init(TARGET, meanwhile=own.publish).success
        assert own.fresh_target(lambda target: target.target_id).target_id == 1
        assert ends_cleanly(second, signal.SIGTERM), second.log()


def test_wrong_parameter_is_one_clear_line():
    with NodeProcess(debug_rate=5) as process:
        assert process.wait() == 1
        assert "debug_rate" in process.log()
        assert "Traceback" not in process.log()


def test_incompatible_qos_is_named(own):
    override = {f"qos_overrides.{OWN}/image.subscription.reliability": "reliable"}
    with NodeProcess(**SETTINGS, autostart=True, **override) as process:
        process.wait_for_log("incompatible QoS")
        assert f"qos_overrides.{OWN}/image.subscription" in process.log()
        process.wait_for_log("/talker (best_effort) has incompatible QoS")
        own.spin_until(lambda: own.values().get("incompatible publishers") == "1", "diagnostics")
        assert "incompatible QoS" in own.values()["publishers"]
        own.bring_to("inactive")
        assert ends_cleanly(process, signal.SIGTERM), process.log()


def test_process_ends_in_time_though_a_library_hangs_with_the_interpreters_lock():
    hang = (
        "import ctypes; from duml_tracker_ros.node.deadline import end_within;"
        "assert end_within(0.5, 7); ctypes.PyDLL(None).sleep(120)"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-P", "-c", hang], timeout=60)
    assert done.returncode == 7
    assert time.monotonic() - began < 50.0


def test_help_needs_no_ros():
    done = subprocess.run(
        [sys.executable, "-P", "-m", "duml_tracker_ros.node", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "--params-file" in done.stdout
