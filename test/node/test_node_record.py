"""The node's traces: written while asked for, readable afterwards, never in the way of tracking."""

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from node_harness import TARGET

from duml_tracker_ros.explain.story import tell, verdict
from duml_tracker_ros.explain.trace import read_trace


@pytest.fixture
def recording(active):
    yield active
    assert active.set_parameter("record_debug", "").successful
    active.fresh_target()


def test_traces_are_written_while_asked_for(recording, tmp_path):
    talker = recording
    first = talker.init(TARGET).target_id
    talker.fresh_target(lambda t: t.target_id == first)
    assert talker.set_parameter("record_debug", str(tmp_path)).successful
    talker.targets.clear()
    talker.stream_until(lambda: len(talker.targets) > 10, "targets of the first")
    # Another target has a trace of its own, which ends the first one's.
    second = talker.init((310.0, 230.0, 40.0, 30.0)).target_id
    # A trace is written behind the target of its frame: it is there with the next one.
    for _ in range(2):
        talker.fresh_target(lambda t: t.target_id == second)
    assert talker.set_parameter("record_debug", "").successful
    for _ in range(2):
        talker.fresh_target()
    found = {int(path.name.rpartition("_")[2]): path for path in tmp_path.iterdir()}
    assert set(found) == {first, second}
    trace = read_trace(found[first])
    assert len(trace) >= 10
    assert trace["frame"].tolist() == list(range(1, len(trace) + 1))
    assert set(trace["stamp_ns"].tolist()) <= talker.published
    assert trace.about["target_id"] == first
    assert trace.about["frame_id"] == "camera"
    assert trace.about["tracker"]["weights"] == "random"
    assert trace.picture(0).shape == (224, 224, 3)
    assert "Without truth" in verdict(tell("node", trace, None))
    written = sum(1 for _ in tmp_path.rglob("*.npz"))
    talker.fresh_target()
    assert sum(1 for _ in tmp_path.rglob("*.npz")) == written


def test_unwritable_folder_is_told_and_tracking_goes_on(recording, tmp_path, process):
    talker = recording
    (tmp_path / "file").write_text("in the way")
    target_id = talker.init(TARGET).target_id
    assert talker.set_parameter("record_debug", str(tmp_path / "file")).successful
    talker.fresh_target()
    process.wait_for_log("record_debug: ")
    talker.spin_until(lambda: "record_debug" in talker.values().get("last error", ""), "the error")
    assert talker.fresh_target(lambda t: t.target_id).target_id == target_id
