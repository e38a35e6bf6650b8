"""The node takes images as cameras send them, of any encoding."""

import array

import pytest
from camera_formats import bayer, nv12, thermal, yuyv
from node_harness import WAIT, scene, stamp_of

pytest.importorskip("rclpy")

TARGET = (300, 220, 40, 30)


SENT = [
    ("nv12", nv12, 0),
    ("YUYV", yuyv, 0),
    ("bayer_rggb8", bayer, 0),
    ("mono16", thermal, 1),
]


def test_target_is_kept_while_the_encoding_changes(active):
    answer = active.init(TARGET)
    for encoding, make, big in SENT:
        rows = make(scene())

        def publish(encoding=encoding, rows=rows, big=big):
            message = active.image()
            message.encoding, message.is_bigendian, message.step = encoding, big, rows.shape[1]
            message.data = array.array("B", rows.tobytes())
            active.images.publish(message)

        began = active.clock_ns
        active.targets.clear()
        active.spin_until(
            lambda began=began: sum(stamp_of(t) > began for t in active.targets) >= 5,
            f"five images of {encoding}",
            meanwhile=publish,
        )
        found = [t for t in active.targets if stamp_of(t) > began]
        assert {t.target_id for t in found} == {answer.target_id}
        assert (found[-1].image_width, found[-1].image_height) == (640, 480)


def test_encoding_that_cannot_be_read_is_told_with_the_remedy(active, process):
    message = active.image()
    message.encoding = "Mono12Packed"
    active.spin_until(
        lambda: "8 or 16 bits" in process.log(),
        "the remedy in the log",
        WAIT,
        lambda: active.images.publish(message),
    )
