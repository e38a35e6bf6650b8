"""Trials of faults that people meet: signals, two cameras, odd encodings, many calls, 4K."""

from __future__ import annotations

import itertools
import os
import signal
import time
from pathlib import Path

import numpy as np
from node_harness import SEEN, TARGET, WAIT, NodeProcess, nanoseconds, scene, stamp_of
from stress_trials import (
    Bench,
    Camera,
    Finding,
    at_least,
    at_most,
    counted,
    flood,
    own_namespace,
)

LIGHT = {"weights": "random", "overrides": SEEN, "num_threads": 1}


def _heeds_signals(process):
    """Wait until the process has taken over SIGTERM, which its first lines do."""
    bit = 1 << (signal.SIGTERM - 1)
    deadline = time.monotonic() + 60
    while process.running():
        assert time.monotonic() < deadline, f"SIGTERM is not taken over: {process.log()}"
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        if int(caught.split()[1], 16) & bit:
            return
        time.sleep(0.002)


def starts(count):
    """SIGINT and SIGTERM in turns at moments spread over the start-up of as many processes."""
    settings = {**LIGHT, "namespace": own_namespace("starts"), "autostart": True, "device": "cpu"}
    with NodeProcess(**settings) as process:
        _heeds_signals(process)
        began = time.monotonic()
        process.wait_for_log("active; waiting")
        whole = time.monotonic() - began
        assert process.end() == 0, process.log()
    wrong, traced = [], 0
    for index in range(count):
        with NodeProcess(**settings) as process:
            _heeds_signals(process)
            time.sleep(1.1 * whole * index / count)
            status = process.signal((signal.SIGINT, signal.SIGTERM)[index % 2])
            if status:
                wrong.append(status)
            traced += "Traceback" in process.log()
    name = f"signals at {count} moments of start-up"
    return [
        Finding(name, "start-up until active", f"{whole:.2g} s", "", True),
        counted(name, "exit statuses that were not 0", len(wrong), 0),
        counted(name, "tracebacks", traced, 0),
    ]


def two_cameras(seconds):
    """Images of two cameras of different size in turns on one topic."""
    import rclpy
    from node_harness import shared_context
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image

    with Bench("cameras", **LIGHT) as (talker, _):
        intruder = rclpy.create_node(
            "intruder", context=shared_context(), namespace=talker.namespace
        )
        other = intruder.create_publisher(Image, "image", qos_profile_sensor_data)
        small = scene(320, 240, 100, 100)
        talker.bring_to("active")
        talker.fresh_target()
        turns = itertools.cycle(
            [talker.publish, lambda: other.publish(talker.image(small, frame_id="other"))]
        )
        answer = talker.init(TARGET, meanwhile=lambda: next(turns)())
        talker.fresh_target(lambda t: t.target_id)
        talker.targets.clear()
        talker.spin_for(seconds, meanwhile=lambda: next(turns)())
        targets, words = list(talker.targets), talker.summary()
        intruder.destroy_node()
    name = f"two cameras on one topic for {seconds:g} s"
    foreign = sum(target.header.frame_id != "camera" for target in targets)
    lost = sum(target.target_id != answer.target_id for target in targets)
    both = "/talker" in words and "/intruder" in words
    return [
        at_least(name, "targets published", len(targets), 1),
        counted(name, "images of the other one taken", foreign, 0),
        counted(name, "answers without the target", lost, 0),
        counted(name, "diagnostics name both", both, True),
    ]


def odd_encodings(seconds):
    """Images at 20 Hz of an encoding that nobody reads, then good ones."""
    with Bench("encodings", max_image_age=1.0, **LIGHT) as (talker, _):
        talker.bring_to("active")
        sent, due = 0, 0.0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if time.monotonic() >= due:
                message = talker.image()
                message.encoding = "nonsense12"
                talker.images.publish(message)
                sent, due = sent + 1, time.monotonic() + 0.05
            talker.executor.spin_once(timeout_sec=0.01)
        words, values = talker.summary(), talker.values()
        refused = talker.init(TARGET)
        talker.fresh_target()
        accepted = talker.init(TARGET, meanwhile=talker.publish).success
    name = f"an encoding that is not read, at 20 Hz for {seconds:g} s"
    blamed = "nonsense12" in words and "nonsense12" in refused.message
    return [
        at_least(name, "images refused", int(values["images refused"]), sent / 4),
        counted(name, "diagnostics and ~/init name it", blamed, True),
        counted(name, "Fast DDS blamed", "Fast DDS" in words + refused.message, False),
        counted(name, "selection afterwards", accepted, True),
    ]


def many_calls(count):
    """As many calls of each service at once."""
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState, GetState
    from rcl_interfaces.srv import GetParameters

    from duml_tracker_ros.node.answers import SERVICE_QOS
    from duml_tracker_ros.srv import Init, InitPoint, Stop

    requests = {
        "init": (Init, Init.Request(x=300.0, y=220.0, width=40.0, height=30.0)),
        "init_point": (InitPoint, InitPoint.Request(x=320.0, y=235.0)),
        "stop": (Stop, Stop.Request()),
        "get_state": (GetState, GetState.Request()),
        "change_state": (
            ChangeState,
            ChangeState.Request(transition=Transition(label="configure")),
        ),
        "get_parameters": (GetParameters, GetParameters.Request(names=["size"])),
    }
    found = []
    with Bench("calls", **LIGHT) as (talker, _):
        talker.bring_to("active")
        talker.fresh_target()
        for name, (kind, request) in requests.items():
            client = talker.node.create_client(
                kind, f"{talker.name}/{name}", qos_profile=SERVICE_QOS
            )
            talker.meet(client)
            began = time.monotonic()
            futures = [client.call_async(request) for _ in range(count)]
            end = began + 60.0
            talker.spin_until(
                lambda futures=futures, end=end: (
                    all(f.done() for f in futures) or time.monotonic() > end
                ),
                name,
                meanwhile=talker.publish,
            )
            answered = sum(future.done() for future in futures)
            found.append(counted(f"{count} calls at once", f"answers of {name}", answered, count))
            talker.node.destroy_client(client)
    return found


def large_ring(seconds):
    """3840x2160 at 10 Hz: a selection on an image almost as old as ring_seconds."""
    with Bench("ring") as (talker, _):
        talker.bring_to("active")
        with Camera(talker, 3840, 2160, 10.0, seconds + 20):
            talker.spin_until(lambda: talker.targets, "images")

            def span():
                text = talker.values().get("ring", "0 frames, 0.0 s,")
                return float(text.split(", ")[1].split()[0])

            end = time.monotonic() + seconds
            talker.spin_until(lambda: span() >= 1.8 or time.monotonic() > end, "the ring to fill")
            held, text = span(), talker.values()["ring"]
            newest = stamp_of(talker.targets[-1])
            old = [stamp_of(t) for t in talker.targets if newest - stamp_of(t) < 1_500_000_000]
            answer = talker.init(TARGET, stamp_ns=old[0])
            exact = answer.success and nanoseconds(answer.stamp) == old[0]
    name = "a ring of 3840x2160 images"
    return [
        Finding(name, "kept", text, "", True),
        at_least(name, "seconds kept of ring_seconds = 2", held, 1.8, "s"),
        Finding(name, "age of the image selected on", f"{(newest - old[0]) / 1e9:.1f} s", "", True),
        counted(name, "selection on that image", exact, True),
    ]


def uhd(seconds, rate=15.0):
    """3840x2160 in nv12, sent reliably: as many are tracked as a subscriber gets that does nothing.

    One after the other, each alone with the camera.
    """
    name = f"3840x2160 nv12 at {rate:g} Hz, reliable"
    reliable = f"qos_overrides.{own_namespace('uhd')}/image.subscription.reliability"
    with Bench("uhd", **{reliable: "reliable"}) as (talker, process):
        size = 3840, 2160, rate
        with Camera(talker, *size, 2 * seconds + WAIT, "nv12"):
            bare = flood(talker.namespace, seconds)
            try:
                got = float(bare.communicate(timeout=WAIT + seconds)[0])
            finally:
                bare.kill()
        talker.bring_to("active")
        with Camera(talker, *size, 2 * seconds + WAIT, "nv12"):
            talker.spin_until(lambda: talker.targets, "images")
            assert talker.init(TARGET).success
            talker.targets.clear()
            before, began = ticks(process.pid), time.monotonic()
            talker.spin_for(seconds)
            lasted, used = time.monotonic() - began, ticks(process.pid) - before
            targets = list(talker.targets)
    tracked = len(targets) / lasted
    each = f"{1e3 * used / len(targets):.0f} ms"
    late = 1e3 * float(np.quantile([target.latency for target in targets], 0.95))
    return [
        Finding(name, "images that a bare subscriber gets", f"{got:.2f} Hz", "", True),
        at_least(name, "images that are tracked", tracked, round(0.9 * got, 1), "Hz"),
        at_most(name, "latency, 95 %", late, 2e3 / rate, "ms"),
        Finding(name, "processor time of an image", each, "", True),
        counted(name, "targets that were not seen", sum(t.state != 1 for t in targets), 0),
    ]


def ticks(pid):
    """Processor time of a process in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
