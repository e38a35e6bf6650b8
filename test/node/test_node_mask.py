"""Masks over DDS: only of a tracker that has them, one for each image while subscribed."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from node_harness import NODE, TARGET, stamp_of
from sensor_msgs.msg import Image


@pytest.fixture
def masked(node):
    """The running node, active, with the shipped weights of DROL-Mask."""
    for name, value in (("tracker", "drol_mask"), ("weights", "default")):
        assert node.set_parameter(name, value).successful
    node.bring_to("active")
    node.fresh_target()
    yield node
    node.bring_to("unconfigured")
    for name, value in (("tracker", "duml"), ("weights", "random")):
        assert node.set_parameter(name, value).successful


def pixels_of(message):
    """mono8 message -> [H, W]."""
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)


def test_mask_lies_on_the_target_in_the_geometry_of_the_image(masked):
    heard = []
    subscription = masked.node.create_subscription(Image, f"{NODE}/mask", heard.append, 50)
    masked.stream_until(lambda: len(heard) > 2, "masks without a target")
    assert not any(pixels_of(message).any() for message in heard)
    answer = masked.init(TARGET, meanwhile=masked.publish)
    assert answer.success, answer.message
    masked.fresh_target(lambda target: target.target_id == answer.target_id)
    heard.clear()
    masked.stream_until(lambda: len(heard) > 5, "masks of the target")
    masked.node.destroy_subscription(subscription)
    x, y, w, h = (int(value) for value in TARGET)
    truth = np.zeros((480, 640), bool)
    truth[y : y + h, x : x + w] = True
    scores = []
    for message in heard:
        assert (message.encoding, message.width, message.height) == ("mono8", 640, 480)
        assert stamp_of(message) in masked.published
        mask = pixels_of(message)
        assert set(np.unique(mask)) <= {0, 255}
        scores.append((truth & (mask > 0)).sum() / (truth | (mask > 0)).sum())
    assert np.median(scores) > 0.5


def test_a_tracker_without_masks_has_no_topic_for_them(active):
    def publishers(topic):
        return active.node.count_publishers(f"{NODE}/{topic}")

    # Those of the test before may still be known.
    active.spin_until(lambda: not publishers("mask") and publishers("heatmap") == 1, "topics")
