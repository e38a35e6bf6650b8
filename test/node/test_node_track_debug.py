"""What ~/debug says of a target: search region, score maps, voted boxes."""

import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from node_harness import NODE, TARGET, scene, stamp_of
from std_msgs.msg import Header

from duml_tracker_ros.messages.image_codec import ImageView
from duml_tracker_ros.msg import TrackDebug
from duml_tracker_ros.node.frame_ring import CameraFrame
from duml_tracker_ros.node.outcome import FrameOutcome, Sighting, Status
from duml_tracker_ros.node.track_debug import debug_messages
from duml_tracker_ros.tracker import create_tracker


def overlap(a, b):
    """Share of box a that lies in box b."""
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(w, 0.0) * max(h, 0.0) / (a[2] * a[3])


@pytest.mark.parametrize("name", ["duml", "fcot"])
def test_message_holds_what_the_tracker_looked_at(name):
    tracker = create_tracker(name, "default" if name == "duml" else "random", "cpu")
    pixels = scene()
    tracker.init(pixels, TARGET, "bgr")
    result = tracker.update(pixels, "bgr")
    header = Header(frame_id="camera")
    view = ImageView(pixels, "bgr")
    frame = CameraFrame(1, 0, "camera", time.monotonic(), pixels.nbytes, header, lambda: view)
    sightings = (Sighting(3, Status.IDLE), Sighting(4, Status.TRACKING, result))
    (message,) = debug_messages(FrameOutcome(frame, view, sightings, 4, 0, 0.01))
    assert (message.target_id, message.header) == (4, header)
    assert message.search_region == pytest.approx(result.search_region)
    assert message.map_region == pytest.approx(result.score_maps.region)
    shape = message.rows, message.cols
    assert shape == result.score_maps["fused"].shape
    for key in ("fused", "robust", "accurate"):
        values = np.array(getattr(message, key), np.float32).reshape(shape)
        if result.score_maps[key].shape == shape:
            np.testing.assert_array_equal(values, result.score_maps[key])
    if name == "fcot":
        assert len(message.vote_boxes) == 0
        return
    boxes = np.array(message.vote_boxes).reshape(-1, 4)
    shares = np.array(message.vote_shares)
    assert 1 <= len(boxes) == len(shares) <= 10
    assert (np.diff(shares) <= 0).all()
    assert 0 < shares.sum() <= 1.0001
    assert overlap(boxes[0], TARGET) > 0.6
    peak = np.array(message.fused).argmax()
    x, y, w, h = message.map_region
    at = x + w * (peak % shape[1] + 0.5) / shape[1], y + h * (peak // shape[1] + 0.5) / shape[0]
    assert overlap((*at, 1e-3, 1e-3), TARGET) == pytest.approx(1)


def test_one_message_for_each_image_while_subscribed(active):
    heard = []
    subscription = active.node.create_subscription(TrackDebug, f"{NODE}/debug", heard.append, 50)
    answer = active.init(TARGET, meanwhile=active.publish)
    assert answer.success, answer.message
    active.stream_until(lambda: len(heard) > 5, "debug messages")
    assert {message.target_id for message in heard} == {answer.target_id}
    stamps = [stamp_of(message) for message in heard]
    assert set(stamps) <= active.published
    assert stamps == sorted(set(stamps))
    assert {message.rows * message.cols for message in heard} == {len(heard[-1].fused)}
    active.node.destroy_subscription(subscription)
