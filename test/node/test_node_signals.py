"""Start and end of the node's process."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from node_harness import DOMAIN, NAMESPACE, TARGET, WAIT, NodeProcess, Talker

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
    with NodeProcess(**SETTINGS, tracker="drol_rpn", autostart=True) as process:
        own.fresh_target()
        assert own.init(TARGET, meanwhile=own.publish).success
        own.fresh_target(lambda target: target.target_id)
        assert ends_cleanly(process, signal.SIGINT), process.log()


def test_signals_during_configure_end_cleanly():
    settings = {**SETTINGS, "autostart": True}
    apart = {**settings, "namespace": f"{OWN}_2"}
    with NodeProcess(**settings) as one, NodeProcess(**apart) as other:
        for process, number in ((one, signal.SIGINT), (other, signal.SIGTERM)):
            process.wait_for_log("configuring")
            assert ends_cleanly(process, number), process.log()
            assert "[ERROR]" not in process.log()


AT = """
import os, sys
from {module} import {owner}
def signalled(inner):
    def outer(*arguments, **options):
        print({mark!r}, flush=True)
        os.kill(os.getpid(), {number})
        found = inner(*arguments, **options)
        os.kill(os.getpid(), {number})
        return found
    return outer
{owner}.{name} = signalled({owner}.{name})
from duml_tracker_ros.node.main import main
sys.exit(main())
"""
# Where a configure spends its time: module, owner, function.
LOADING = (
    ("duml_tracker_ros.tracker", "factory", "load_state", signal.SIGTERM),
    ("duml_tracker_ros.tracker.engine.openvino", "OpenVinoEngine", "load", signal.SIGINT),
)


@pytest.mark.parametrize(("module", "owner", "name", "number"), LOADING)
def test_signals_while_weights_load_or_an_engine_compiles_end_cleanly(module, owner, name, number):
    """The shipped weights; a second signal comes while the node ends."""
    if owner == "OpenVinoEngine":
        pytest.importorskip("openvino")
    code = AT.format(module=module, owner=owner, name=name, number=int(number), mark="now")
    engine = {"overrides": "engine=openvino"} if owner == "OpenVinoEngine" else {}
    with NodeProcess(
        program=("-c", code), device="cpu", namespace=f"{OWN}_{name[0]}", autostart=True, **engine
    ) as process:
        assert process.wait() == 0, process.log()
        log = process.log()
    assert "now\n" in log
    assert "on_configure broken off: the process ends" in log
    assert not re.search(r"Traceback|\[ERROR\]", log), log


def test_calls_under_way_are_answered_before_the_process_ends(own):
    import lifecycle_msgs.srv
    import rcl_interfaces.srv

    from duml_tracker_ros.node.answers import SERVICE_QOS
    from duml_tracker_ros.srv import Init, Stop

    kinds = {
        "stop": (Stop, {}),
        "get_state": (lifecycle_msgs.srv.GetState, {}),
        "get_parameters": (rcl_interfaces.srv.GetParameters, {"names": ["device"]}),
        # Called last, and of a tracker that learns a first frame for long: one is under way.
        "init": (Init, {"x": 300.0, "y": 220.0, "width": 40.0, "height": 30.0}),
    }
    clients = {
        name: own.node.create_client(kind, f"{own.name}/{name}", qos_profile=SERVICE_QOS)
        for name, (kind, _) in kinds.items()
    }
    with NodeProcess(**SETTINGS, autostart=True) as process:
        own.fresh_target()
        for client in clients.values():
            own.spin_until(client.service_is_ready, "the service")
        own.publish()
        calls = {
            name: [clients[name].call_async(kind.Request(**fields)) for _ in range(50)]
            for name, (kind, fields) in kinds.items()
        }
        # The first answers show that the requests have reached the process.
        own.spin_until(lambda: all(any(c.done() for c in made) for made in calls.values()), "some")
        os.kill(process.pid, signal.SIGTERM)
        # The selection under way holds the process, so these find it on its way out.
        kind, fields = kinds["init"]
        late = [clients["init"].call_async(kind.Request(**fields)) for _ in range(50)]
        end = time.monotonic() + WAIT
        while process.running() and time.monotonic() < end:
            own.executor.spin_once(timeout_sec=0.01)
        for _ in range(1000):
            own.executor.spin_once(timeout_sec=0.001)
        assert process.wait() == 0, process.log()
        assert "Traceback" not in process.log()
    for client in clients.values():
        own.node.destroy_client(client)
    answered = {name: sum(call.done() for call in made) for name, made in calls.items()}
    assert answered == dict.fromkeys(kinds, 50)
    asked = [call.result() for call in (*calls["init"], *late) if call.done()]
    words = {answer.message for answer in asked if not answer.success}
    assert "the node is going out of service: its process was asked to end" in words


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
        assert "finalized: it was shut down for good; end its process" in own.init(TARGET).message
        own.spin_until(lambda: own.summary().startswith("finalized: shut down for good"), "words")
        assert ends_cleanly(process, signal.SIGTERM), process.log()


@pytest.mark.parametrize("program", ["node", "console"])
def test_signals_at_every_moment_of_start_and_end_end_cleanly(program):
    arguments = ["-r", f"__ns:={OWN}_{program[-1]}"]
    arguments += ["-p", "weights:=random" if program == "node" else "port:=0"]
    # The console ends by way of its web server, which takes its time.
    step = 1 if program == "node" else 4
    done = subprocess.run(
        [
            *(sys.executable, "-P", str(Path(__file__).parents[1] / "signalled.py")),
            *(f"duml_tracker_ros.{program}.main", str(step), "--ros-args", *arguments),
        ],
        env=dict(os.environ, ROS_DOMAIN_ID=str(DOMAIN)),
        stdout=subprocess.PIPE,
        check=True,
    )
    moments = json.loads(done.stdout)
    assert len(moments) == 12 // step
    for moment, number, status, output in moments:
        assert status == 0, (moment, number, output)
        assert not re.search("Traceback|rror", output), (moment, number, output)


IMPORTING = """
import os, sys
class Finder:
    def find_spec(self, name, *_):
        if name == {name!r}:
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Finder())
from duml_tracker_ros.{program}.main import main
main([])
"""


@pytest.mark.parametrize(
    ("program", "name"),
    [("node", "rclpy"), ("node", "torch"), ("console", "rclpy"), ("console", "aiohttp")],
)
def test_signals_while_modules_are_imported_end_cleanly(program, name):
    number = signal.SIGINT if name == "rclpy" else signal.SIGTERM
    code = IMPORTING.format(name=name, number=int(number), program=program)
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=WAIT
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_killed_node_is_replaced_by_a_new_one(own):
    settings = {**SETTINGS, "autostart": True}
    with NodeProcess(**settings) as first:
        own.fresh_target()
        assert own.init(TARGET, meanwhile=own.publish).success
        former = own.fresh_target(lambda target: target.target_id)
        assert first.signal(signal.SIGKILL) == -signal.SIGKILL
    own.targets.clear()
    with NodeProcess(**settings) as second:
        # The talker knows nothing of it: same topics, same services.
        assert own.fresh_target().target_id == 0
        assert own.init(TARGET, meanwhile=own.publish).success
        target = own.fresh_target(lambda target: target.target_id)
        assert target.target_id > former.target_id, "no id is used twice"
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
        "import ctypes; from duml_tracker_ros.node.exit_watchdog import end_within;"
        "assert end_within(0.5, 7); ctypes.PyDLL(None).sleep(100000)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", hang], timeout=WAIT)
    assert done.returncode == 7


def test_console_and_bridge_end_in_time_though_what_they_serve_hangs():
    hang = (
        "import asyncio, time; from duml_tracker_ros.node import beside, ending;"
        "beside.ENDING, end = 0.2, ending.Ending(); end.begin();"
        "asyncio.run(beside.asked_to_end(end, bool)); time.sleep(100000)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", hang], timeout=WAIT)
    assert done.returncode == 0


def test_help_needs_no_ros():
    done = subprocess.run(
        [sys.executable, "-P", "-m", "duml_tracker_ros.node", "--help"],
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=True,
    )
    assert "--params-file" in done.stdout
