"""The demo's real processes over DDS: the camera, a whole run, interrupts, failures."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import generated_sequence
import numpy as np
import pytest
from node_harness import DOMAIN, shared_context, stamp_of

from duml_tracker_ros.demo.main import environment

MODULE = [sys.executable, "-m"]
WAIT = 240.0  # seconds; only failures take that long


def demo(
    tmp_path: Path, *arguments: str, domain: int | None = None
) -> subprocess.CompletedProcess[str]:
    variables = {} if domain is None else {"ROS_DOMAIN_ID": str(domain)}
    return subprocess.run(
        [*MODULE, "duml_tracker_ros.demo", "--out", "out", *arguments],
        cwd=tmp_path,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
    )


def test_camera_holds_the_first_image_then_plays_all(tmp_path: Path) -> None:
    import rclpy
    from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
    from rcl_interfaces.srv import SetParameters
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import Image

    folder = generated_sequence.write_sequence(tmp_path / "seq", 12)
    pictures, _ = generated_sequence.render(12)
    variables = environment() | {"ROS_DOMAIN_ID": str(DOMAIN)}
    log = tmp_path / "sent.json"
    camera = subprocess.Popen(
        [*MODULE, "duml_tracker_ros.demo.camera", f"--seq={folder}", "--rate=25", f"--log={log}"],
        cwd=tmp_path,
        env=variables,
    )
    context = shared_context()
    node = rclpy.create_node("viewer", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    seen: list[Image] = []
    node.create_subscription(Image, "image", seen.append, 50)
    client = node.create_client(SetParameters, "/camera/set_parameters")
    try:
        end = time.monotonic() + WAIT
        while (len(seen) < 5 or not client.service_is_ready()) and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.1)
        value = ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=False)
        client.call_async(SetParameters.Request(parameters=[Parameter(name="hold", value=value)]))
        while camera.poll() is None and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.1)
        assert camera.poll() == 0
        # What it sent may still be on its way.
        last = json.loads(log.read_text())["sent"][-1][1]
        while all(stamp_of(message) != last for message in seen):
            assert time.monotonic() < end
            executor.spin_once(timeout_sec=0.1)
    finally:
        if camera.poll() is None:
            camera.kill()
        camera.wait()
        executor.shutdown()
        node.destroy_node()
    written = json.loads(log.read_text())
    index_of = {stamp: index for index, stamp in written["sent"]}
    assert len(index_of) == len(written["sent"]), "every image has a stamp of its own"
    indices = []
    for message in seen:
        assert message.encoding == "bgr8"
        assert message.header.frame_id == written["frame_id"]
        indices.append(index_of[stamp_of(message)])
        pixels = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)
        assert np.array_equal(pixels, pictures[indices[-1]])
    assert indices[:5] == [0] * 5
    assert [i for i in indices if i] == list(range(1, 12)), "all frames, in order, once"
    steps = np.diff([stamp for index, stamp in written["sent"] if index]) / 1e9
    # A machine that is late, by its own count, shows them more slowly.
    assert np.mean(steps) > 0.85 / 25
    assert written["late"] or np.mean(steps) < 1.15 / 25


def test_whole_run_answers_with_the_images_headers(tmp_path: Path) -> None:
    """The flow with untrained weights: what is tracked is left open, what is told must be true."""
    run = demo(
        tmp_path, "--frames", "40", "--size", "320x240", "--rate", "10", "--set", "weights=random"
    )
    assert run.returncode in (0, 3), run.stdout + run.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["frames_sent"] == 39
    # However slow the machine: what was not answered was skipped for a newer image, and counted.
    assert summary["frames_received"] >= 2
    assert summary["frames_received"] + summary["frames_dropped"] >= 35, summary
    assert summary["headers_ok"] is True
    assert sum(summary["states"].values()) == summary["frames_received"]
    assert summary["frames_with_truth"] == 39
    assert 0 < summary["node_latency_ms"]["p50"] < summary["latency_ms"]["p50"]
    assert summary["tracker"].startswith("duml")
    assert summary["device"] == "cpu" or summary["device"].startswith("cuda")
    assert (run.returncode == 0) == (summary["failures"] == [])
    for name in summary["files"].values():
        assert (tmp_path / "out" / name).stat().st_size > 1000
    assert "latency" in run.stdout


def test_shipped_weights_track_the_generated_scene(tmp_path: Path) -> None:
    run = demo(tmp_path, "--frames", "60", "--rate", "5")
    assert run.returncode == 0, run.stdout + run.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    answered = summary["frames_received"] / summary["frames_sent"]
    # A slow machine answers fewer frames; those it answers must be right.
    assert summary["mean_iou"] > 0.5 * answered, summary
    assert summary["sha256"]


def test_a_ground_station_selects_on_live_video_listens_and_stops(tmp_path: Path) -> None:
    """MAVSDK on the one side, the tracker with its shipped weights on the other."""
    pytest.importorskip("mavsdk", reason="the ground station is MAVSDK")
    run = demo(tmp_path, "--mavlink", "--frames", "30", "--rate", "5")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "selected over MAVLink" in run.stdout
    told = json.loads((tmp_path / "out" / "ground_station.json").read_text())
    assert told["active"] >= 3, told
    assert told["stopped"], told
    # No more often than it was asked for; how much later a status comes is the machine's.
    assert told["interval_p50"] > 0.75 * told["interval"], told


def test_interrupt_ends_every_process(tmp_path: Path) -> None:
    run = subprocess.Popen(
        [
            *MODULE,
            "duml_tracker_ros.demo",
            "--out=out",
            "--set=weights=random",
            "--rate=5",
            "--frames=90",
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.stdout is not None
    try:
        pids = _when_selected(run)
        assert len(pids) >= 3
        run.send_signal(signal.SIGINT)
        assert run.wait(WAIT) == 130
    finally:
        if run.poll() is None:
            run.kill()
        run.wait()
        run.stdout.close()
    end = time.monotonic() + WAIT
    while (left := [p for p in pids if _alive(p)]) and time.monotonic() < end:
        time.sleep(0.1)
    assert left == []


def test_killed_it_leaves_no_process(tmp_path: Path) -> None:
    """SIGKILL while the target is tracked: nobody is left to pass it on."""
    options = ["--out=out", "--set=weights=random", "--rate=5", "--frames=90"]
    with subprocess.Popen(
        [*MODULE, "duml_tracker_ros.demo", *options],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        assert run.stdout is not None
        try:
            pids = _when_selected(run)
        finally:
            run.kill()
    assert len(pids) >= 3
    end = time.monotonic() + WAIT
    while (left := [p for p in pids if _alive(p)]) and time.monotonic() < end:
        time.sleep(0.1)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


def test_what_does_not_end_with_its_starter_is_killed(tmp_path: Path) -> None:
    """With what it has started itself, and though neither heeds SIGTERM."""
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    child, script = tmp_path / "child.py", tmp_path / "script.py"
    child.write_text(f"{deaf}import time; print('up', flush=True); time.sleep(600)")
    script.write_text(
        f"{deaf}import subprocess, sys; subprocess.run([sys.executable, {str(child)!r}])"
    )
    tied = "from duml_tracker_ros.demo import tied; tied.PATIENCE = 0.2; tied.main()"
    with subprocess.Popen(
        [sys.executable, "-c", tied, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        assert run.stdout.readline() == "up\n"
        (pid,) = _descendants(run.pid)
        # As the system does when the starter is gone.
        run.stdin.close()
        assert run.wait(WAIT) == -signal.SIGKILL
    end = time.monotonic() + WAIT
    while _alive(pid):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_refused_configuration_is_one_clear_reason(tmp_path: Path) -> None:
    run = demo(tmp_path, "--frames", "10", "--set", "weights=/nowhere.safetensors")
    assert run.returncode == 1
    assert "refused to configure" in run.stderr
    assert "/nowhere.safetensors" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "out" / "summary.json").exists()


def test_another_tracker_in_the_domain_is_told(tmp_path: Path) -> None:
    import rclpy

    node = rclpy.create_node("duml_tracker", context=shared_context())
    try:
        # On a busy machine the failure may come long before the other one is discovered.
        for _ in range(4):
            run = demo(tmp_path, "--frames", "10", "--set", "weights=/nowhere", domain=DOMAIN)
            assert run.returncode == 1
            if "twice" in run.stderr:
                break
    finally:
        node.destroy_node()
    assert f"ROS domain {DOMAIN} has /duml_tracker twice" in run.stderr
    assert "unset ROS_DOMAIN_ID" in run.stderr


def test_a_picture_that_cannot_be_read_is_passed_over_and_told(tmp_path: Path) -> None:
    folder = generated_sequence.write_sequence(tmp_path / "seq", 8)
    broken = folder / "img" / "000004.png"
    broken.write_bytes(broken.read_bytes()[:40])
    run = demo(tmp_path, "--seq", str(folder), "--rate", "2")
    assert run.returncode == 1, run.stdout + run.stderr
    assert "frame 3: 000004.png: PNG of 40 bytes is cut off" in run.stderr
    assert "demo: the target was tracked, but 1 frames cannot be read" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_camera_that_dies_ends_the_run(tmp_path: Path) -> None:
    command = [*MODULE, "duml_tracker_ros.demo", "--out=out", "--set=weights=random", "--rate=2"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as run:
        try:
            end = time.monotonic() + WAIT
            while not (cameras := _named(run.pid, "duml_tracker_ros.demo.camera")):
                assert time.monotonic() < end
                time.sleep(0.1)
            os.kill(cameras[0], signal.SIGKILL)
            _, said = run.communicate(timeout=WAIT)
        finally:
            run.kill()
    assert run.returncode == 1, said
    assert "demo: the camera ended with status -9" in said


def _named(pid: int, module: str) -> list[int]:
    """Descendants of a process that run a module."""
    found = []
    for child in _descendants(pid):
        with contextlib.suppress(OSError):
            if module.encode() in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                found.append(child)
    return found


def _descendants(pid: int) -> list[int]:
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += [int(child), *_descendants(int(child))]
    return found


def _when_selected(run: subprocess.Popen[str]) -> list[int]:
    """Its processes, once it has told what came of the selection."""
    assert run.stdout is not None
    for line in run.stdout:
        if "selected" in line or "NOT" in line:
            break
    return _descendants(run.pid)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
