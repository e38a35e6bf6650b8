"""Start and end of the node's process."""

import contextlib
import signal
import subprocess
import sys

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


def test_signals_in_the_other_states_end_cleanly():
    """Unconfigured, inactive and finalized; each process in a namespace of its own."""
    plan = [
        (state, number)
        for number in (signal.SIGINT, signal.SIGTERM)
        for state in ("unconfigured", "inactive", "finalized")
    ]
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(NodeProcess(**{**SETTINGS, "namespace": f"{OWN}_{index}"}))
            for index in range(len(plan))
        ]
        for index, ((state, number), process) in enumerate(zip(plan, processes, strict=True)):
            talker = Talker(f"{OWN}_{index}")
            stack.callback(talker.close)
            process.wait_for_log("unconfigured; waiting")
            if state == "finalized":
                assert talker.change("shutdown")
                # Nothing leads back from here, and still it says so.
                assert talker.state() == "finalized"
                assert "finalized" in talker.init(TARGET).message
            else:
                talker.bring_to(state)
            assert ends_cleanly(process, number), (state, number, process.log())


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


def test_help_needs_no_ros():
    done = subprocess.run(
        [sys.executable, "-P", "-m", "duml_tracker_ros.node", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "--params-file" in done.stdout
