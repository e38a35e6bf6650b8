"""A node that is killed, and the one that takes its place, as real processes over DDS."""

import json
import os
import signal

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from node_harness import DOMAIN, NAMESPACE, NodeProcess, Talker, scene

from duml_tracker_ros.msg import Target
from duml_tracker_ros.tracker.geometry import overlap

OWN = f"{NAMESPACE}_respawn"
PLAIN = np.full((480, 640, 3), 100, np.uint8)


@pytest.fixture
def own():
    talker = Talker(OWN)
    yield talker
    talker.close()


def start(folder):
    return NodeProcess(
        namespace=OWN,
        autostart=True,
        device="cpu",
        reselect_after=600.0,
        state_folder=str(folder),
    )


def test_a_killed_nodes_target_is_taken_up_and_no_id_comes_twice(own, tmp_path):
    file = tmp_path / f"{DOMAIN}{OWN.replace('/', '.')}.duml_tracker.seen"
    with start(tmp_path) as process:
        own.fresh_target(pixels=scene())
        former = own.init((300.0, 220.0, 40.0, 30.0), meanwhile=lambda: own.publish(pixels=scene()))
        assert former.success, former.message
        own.stream_until(file.exists, "the file", pixels=scene())
        assert json.loads(file.read_text())["targets"][0]["id"] == former.target_id
        # It was never asked to end.
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    own.targets.clear()
    with start(tmp_path) as process:
        # The target is not there yet: said so, not made up of what is in its place.
        lost = own.fresh_target(lambda t: t.target_id, pixels=PLAIN)
        assert lost.target_id > former.target_id
        assert lost.state == Target.STATE_LOST
        assert "of the former process is looked for" in process.log()
        states, truth = [], (306.0, 224.0, 40.0, 30.0)
        while Target.STATE_TRACKING not in states:
            assert len(states) < 60, states
            stamp = own.show(pixels=scene(x=306, y=224))
            target = next(
                t for t in reversed(own.targets) if t.header.stamp.nanosec == stamp % 10**9
            )
            assert target.target_id == lost.target_id
            states.append(target.state)
        assert states[-4:] == [Target.STATE_UNCERTAIN] * 3 + [Target.STATE_TRACKING]
        assert overlap((target.x, target.y, target.width, target.height), truth) > 0.5
        # Asked to end it leaves nothing to take up.
        assert process.end() == 0, process.log()
    assert not file.exists()
