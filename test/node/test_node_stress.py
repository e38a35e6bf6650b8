"""Short forms of the trials that `stress.py` runs long: real processes over DDS."""

import random

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

import stress_trials

# Times depend on the machine and on what else runs on it; the long form judges them.
TIMED = ("image to target", "services", "images sent", "targets published", "selection answered")


def judge(findings):
    """All that must hold on any machine."""
    failed = [f for f in findings if not f.ok and not f.what.startswith(TIMED)]
    assert not failed, failed


def test_transitions_in_any_order_with_selections_in_between(node):
    _, wrong, ids = stress_trials.wander(node, 9, random.Random(2))
    assert not wrong
    assert len(set(ids)) == len(ids) > 0


def test_flood_is_answered_from_the_newest_image():
    findings = stress_trials.load(640, 480, 200.0, 2.0)
    judge([f for f in findings if f.what != "memory growth"])


def test_malformed_requests_and_images():
    judge(stress_trials.malformed(100, 200))


def test_several_targets():
    judge([f for f in stress_trials.several(3, 2.0) if "share" not in f.what])


def test_soak():
    findings = stress_trials.soak(4.0)
    judge([f for f in findings if f.what != "memory growth"])
    # What torch and OpenVINO take for a target that is first lost or large stays; a leak of one
    # image in twenty would be more than this. Two such runs grew by 0.8 and 1.3 %: the limit of the
    # long form, 1 %, takes its minutes, and objects of another process cannot be counted instead.
    (growth,) = [f for f in findings if f.what == "memory growth"]
    assert float(growth.value.split()[0]) < 4.0, growth


@pytest.mark.parametrize("mavlink", [False, True])
def test_closed_loop_through_an_occlusion(mavlink):
    findings = stress_trials.closed_loop(128, 16.0, mavlink)
    share, without, *others = findings
    judge(others)
    # One occlusion decides how long the target is away from the centre, and how the processes fall
    # in time decides how it is met: the long form judges the share.
    assert float(share.value.split()[0]) > float(without.value.split()[0]) + 5.0, findings
