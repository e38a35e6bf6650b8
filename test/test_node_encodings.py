"""The node follows its target through images as cameras send them, of any encoding."""

import array

import cv2
import numpy as np
import pytest
from node_harness import WAIT, scene, stamp_of

pytest.importorskip("rclpy")

SEEN_STATES = (1, 2)
TARGET = (300, 220, 40, 30)


def nv12(bgr):
    planes = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
    height, width = bgr.shape[:2]
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    return np.concatenate([planes[:height], np.stack(chroma, -1).reshape(height // 2, width)])


def yuyv(bgr):
    height, width = bgr.shape[:2]
    planes = nv12(bgr)
    rows = np.empty((height, width, 2), np.uint8)
    rows[..., 0] = planes[:height]
    rows[..., 1] = np.repeat(planes[height:], 2, 0)
    return rows.reshape(height, -1)


def bayer(bgr):
    mosaic = bgr[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = bgr[::2, ::2, 2], bgr[1::2, 1::2, 0]
    return mosaic


def thermal(bgr):
    """Numbers of 14 bits, the largest byte first."""
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY).astype(">u2") * 20 + 5000
    return grey.view(np.uint8).reshape(len(bgr), -1)


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
        assert found[-1].state in SEEN_STATES
        assert (found[-1].x, found[-1].y) == pytest.approx(TARGET[:2], abs=4)


def test_encoding_that_cannot_be_read_is_told_with_the_remedy(active, process):
    message = active.image()
    message.encoding = "Mono12Packed"
    active.spin_until(
        lambda: "8 or 16 bits" in process.log(),
        "the remedy in the log",
        WAIT,
        lambda: active.images.publish(message),
    )
