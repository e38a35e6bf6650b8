"""The node takes images as cameras send them, of any encoding."""

import array
import importlib.util
import itertools

import pytest
from camera_formats import bayer, nv12, thermal, yuyv
from node_harness import scene, stamp_of
from video_packets import encode, sequence_parameters

pytest.importorskip("rclpy")

TARGET = (300, 220, 40, 30)


SENT = [
    ("nv12", nv12, 0),
    ("YUYV", yuyv, 0),
    ("bayer_rggb8", bayer, 0),
    ("mono16", thermal, 1),
    ("rgb8", lambda pixels: pixels[..., ::-1].reshape(480, -1), 0),
    ("bgra8", lambda pixels: pixels[..., [0, 1, 2, 2]].reshape(480, -1), 0),
    ("mono8", lambda pixels: pixels[..., 1], 0),
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


def test_video_in_compressed_images_over_dds(node):
    """As some drivers send it; the same way as packets of the video transports go."""
    pytest.importorskip("av", reason="PyAV is not installed")
    from sensor_msgs.msg import CompressedImage

    packets = encode([scene(x=300 + 2 * (k % 5)) for k in range(30)], gop=5)
    assert node.set_parameter("image_transport", "compressed").successful
    node.bring_to("active")
    publisher = node.node.create_publisher(CompressedImage, "image/compressed", 5)
    sent, due = {}, itertools.cycle(packets)

    def publish():
        index, _, data = next(due)
        message = CompressedImage(header=node.image().header, format="h264")
        message.data = array.array("B", data)
        sent[stamp_of(message)] = index
        publisher.publish(message)

    node.targets.clear()
    node.spin_until(lambda: node.targets, "a target of a video", meanwhile=publish)
    answer = node.init(TARGET, meanwhile=publish)
    assert answer.success, answer.message
    node.targets.clear()
    node.spin_until(
        lambda: sum(t.target_id == answer.target_id for t in node.targets) >= 5,
        "five images",
        meanwhile=publish,
    )
    assert all(stamp_of(target) in sent for target in node.targets)
    node.spin_until(lambda: "h264" in node.values().get("image", ""), "codec in diagnostics")
    # A few bytes that claim a thousand million pixels: refused unseen, and the target is kept.
    bomb = CompressedImage(header=node.image().header, format="h264")
    bomb.data = array.array("B", sequence_parameters(32000, 32000) + packets[0][2])
    node.spin_until(
        lambda: "claims 32000 x 32000 pixels, and max_pixels is" in node.summary(),
        "the reason in diagnostics",
        meanwhile=lambda: publisher.publish(bomb),
    )
    node.targets.clear()
    node.spin_until(
        lambda: any(t.target_id == answer.target_id for t in node.targets),
        "the same target",
        meanwhile=publish,
    )
    node.node.destroy_publisher(publisher)


@pytest.mark.parametrize(
    ("transport", "package"),
    [("ffmpeg", "ffmpeg_image_transport_msgs"), ("foxglove", "foxglove_msgs")],
)
def test_transport_whose_package_is_missing_names_it(node, process, transport, package):
    if importlib.util.find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    assert node.set_parameter("image_transport", transport).successful
    node.bring_to("inactive")
    assert not node.change("activate")
    process.wait_for_log(f"image_transport = '{transport}' needs {package}, which is not installed")
    assert node.set_parameter("image_transport", "raw").successful
    node.bring_to("active")
