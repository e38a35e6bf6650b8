"""What a node keeps of its targets for the process after it: whole, checked, and never too old."""

import json
import logging
import time
import types

import numpy as np
import pytest
from kill_harness import kills
from node_harness import TARGET, scene

from duml_tracker_ros.messages.image_codec import ImageView
from duml_tracker_ros.node.last_seen import LastSeen, too_old
from duml_tracker_ros.node.outcome import FrameOutcome, Sighting, Status
from duml_tracker_ros.node.target_registry import PROOF, Followed, TargetRegistry
from duml_tracker_ros.tracker import TrackState

LOGGER = logging.getLogger("seen")


def outcome(box=TARGET, status=Status.TRACKING, target_id=7, pixels=None, order="bgr"):
    pixels = scene() if pixels is None else pixels
    frame = types.SimpleNamespace(source="camera")
    sighting = Sighting(target_id, status, types.SimpleNamespace(box=box), "boat")
    return FrameOutcome(frame, ImageView(pixels, order), (sighting,), target_id, 0, 0.0)


def kept(file, *outcomes):
    seen = LastSeen(file, LOGGER)
    for one in outcomes:
        seen.take(one)
    seen.write()
    return seen


def test_a_target_comes_back_as_it_was(tmp_path):
    file = tmp_path / "folder" / "node.seen"
    kept(file, outcome())
    (found,) = LastSeen(file, LOGGER).read()
    assert found.box == TARGET
    assert (found.target_id, found.size, found.source) == (7, (640, 480), "camera")
    assert found.class_id == "boat"
    assert too_old(found, 5.0) == ""
    live = types.SimpleNamespace(seq=12, stamp_ns=5, arrival=1.0, header="header")
    frame = found.frame(live)
    assert (frame.seq, frame.source, frame.header) == (11, "camera", "header")
    view = frame.view()
    left, top, right, bottom = found.region
    assert left < 300 - 40 and right > 340 + 40 and top < 220 - 30 and bottom > 250 + 30  # noqa: PT018
    truth = scene()[top:bottom, left:right, ::-1].astype(int)
    assert np.abs(view.pixels[top:bottom, left:right] - truth).mean() < 6.0


@pytest.mark.parametrize("order", ["rgb", "rgba", "bgra", "mono"])
def test_pictures_of_any_order_and_size(tmp_path, order):
    colours = scene(1920, 1080, 300, 220)
    pixels = {
        "rgb": colours[..., ::-1],
        "rgba": np.dstack([colours[..., ::-1], colours[..., 0]]),
        "bgra": np.dstack([colours, colours[..., 0]]),
        "mono": colours[..., 0],
    }[order]
    # Beyond the border of the image, and larger than what is kept.
    kept(tmp_path / "a", outcome((-20.0, 100.0, 400.0, 300.0), pixels=pixels, order=order))
    (found,) = LastSeen(tmp_path / "a", LOGGER).read()
    assert max(found.picture.shape) <= 512
    if order != "mono":
        middle = colours[220:250, 300:340, ::-1].reshape(-1, 3).mean(0)
        live = types.SimpleNamespace(seq=1, stamp_ns=0, arrival=0.0, header=None)
        again = found.frame(live).view().pixels[220:250, 300:340].reshape(-1, 3).mean(0)
        assert again == pytest.approx(middle, abs=25)


def test_lost_targets_stay_and_ended_ones_go(tmp_path):
    file = tmp_path / "node.seen"
    seen = kept(file, outcome(), outcome((1.0, 1.0, 9.0, 9.0), Status.LOST))
    assert LastSeen(file, LOGGER).read()[0].box == TARGET
    ended = outcome()
    seen.take(FrameOutcome(ended.frame, ended.view, (Sighting(7, Status.IDLE),), 7, 0, 0.0))
    seen.write()
    assert LastSeen(file, LOGGER).read() == []
    seen.forget()
    assert not file.exists()
    assert LastSeen(file, LOGGER).read() == []


def changed(**fields):
    def change(found):
        found["targets"][0].update(fields)
        return json.dumps(found)

    return change


DAMAGES = {
    "empty": lambda found: "",
    "cut": lambda found: json.dumps(found)[:-20],
    "noise": lambda found: "\x00\x01{",
    "other": lambda found: "[]",
    "format": lambda found: json.dumps({**found, "format": 2}),
    "box": changed(box=[1.0, float("nan"), 4.0, 4.0]),
    "flat": changed(box=[1.0, 1.0, 0.0, 4.0]),
    "short": changed(box=[1.0]),
    "region": changed(region=[0, 0, 9999, 10]),
    "huge": changed(size=[99999999, 99999999], region=[0, 0, 99999999, 10]),
    "picture": changed(picture="AAAA"),
    "no base64": changed(picture="\u00e4"),
    "time": changed(time="never"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_ignored_with_words(tmp_path, caplog, damage):
    file = tmp_path / "node.seen"
    kept(file, outcome())
    file.write_text(DAMAGES[damage](json.loads(file.read_text())), encoding="utf-8")
    assert LastSeen(file, LOGGER).read() == []
    assert f"{file} tells of no target and is ignored" in caplog.text


def test_what_is_too_old_is_told_with_the_parameter(tmp_path):
    kept(tmp_path / "a", outcome())
    (found,) = LastSeen(tmp_path / "a", LOGGER).read()
    old = types.SimpleNamespace(time=time.time() - 60)
    assert "ago (reselect_after is 5 s)" in too_old(old, 5.0)
    assert "the clock was set back" in too_old(types.SimpleNamespace(time=time.time() + 60), 5.0)
    assert too_old(found, 60.0) == ""


def test_a_folder_that_cannot_be_written_is_told_once(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    seen = kept(tmp_path / "file" / "a", outcome())
    seen.take(outcome())
    seen.write()
    assert caplog.text.count("state_folder") == 1


def test_killed_at_any_write_the_file_is_the_old_or_the_new(tmp_path):
    file = tmp_path / "node.seen"
    kept(file, outcome())
    boxes = []
    for _ in kills(lambda: kept(file, outcome((50.0, 60.0, 40.0, 30.0))), tmp_path):
        (found,) = LastSeen(file, LOGGER).read()
        boxes.append(found.box)
    assert len(boxes) > 3
    assert boxes[0] == TARGET
    assert set(boxes) <= {TARGET, (50.0, 60.0, 40.0, 30.0)}
    assert LastSeen(file, LOGGER).read()[0].box == (50.0, 60.0, 40.0, 30.0)


def test_on_trial_it_is_uncertain_until_it_was_plain_on_end():
    registry = TargetRegistry(1, LOGGER)
    target = Followed(0, None, (640, 480), "camera", 0, status=Status.UNCERTAIN, proof=PROOF)
    registry.add(target, [])
    states = [TrackState.LOST, *[TrackState.TRACKING] * 2, TrackState.UNCERTAIN]
    states += [TrackState.TRACKING] * 4
    told = []
    for state in states:
        registry.judge(target, types.SimpleNamespace(state=state), 0.0, 0.0)
        told.append(target.status)
    uncertain, tracking = Status.UNCERTAIN, Status.TRACKING
    assert told == [Status.LOST, *[uncertain] * 6, tracking]
