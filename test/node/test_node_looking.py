"""What people look at, over DDS: score maps, pictures, markers; and clicks as rqt sends them."""

import math
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from geometry_msgs.msg import Point
from node_harness import IMAGE, NODE, TARGET, scene, stamp_of
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from test_node_camera_model import CX, CY, FX, FY, Info
from visualization_msgs.msg import Marker, MarkerArray

from duml_tracker_ros.messages.image_codec import ImageView, read_image
from duml_tracker_ros.node.camera_model import CameraModel
from duml_tracker_ros.node.debug_images import annotated_image, score_image
from duml_tracker_ros.node.markers import TargetMarkers
from duml_tracker_ros.node.outcome import FrameOutcome, Sighting, Status
from duml_tracker_ros.tracker import create_tracker

CAMERA = CameraModel(Info())


@pytest.fixture(scope="module")
def result():
    """What the tracker says of one real update."""
    tracker = create_tracker(weights="default", device="cpu")
    tracker.init(scene(), TARGET, "bgr")
    return tracker.update(scene(), "bgr")


def outcome(*sightings):
    frame = SimpleNamespace(header=Header(frame_id="camera"))
    return FrameOutcome(frame, ImageView(scene(), "bgr"), sightings, 1, 0, 0.0)


def watch(talker, kind, topic):
    heard = []
    return heard, talker.node.create_subscription(kind, f"{NODE}/{topic}", heard.append, 10)


def test_images_for_people_come_only_while_watched(active):
    names = {
        "scores": Image,
        "heatmap": Image,
        "annotated": Image,
        "annotated/compressed": CompressedImage,
    }
    assert active.set_parameter("debug_rate", 120.0).successful
    active.init(TARGET)
    watched = {name: watch(active, kind, name) for name, kind in names.items()}
    # The heatmap and the scores of one image are the same map.
    found = {}

    def same():
        stamps = [{stamp_of(m): m for m in heard} for heard, _ in watched.values()]
        common = set.intersection(*(set(s) for s in stamps)) & active.published
        for stamp in common:
            found.update(zip(names, (s[stamp] for s in stamps), strict=True))
        # The images before the selection have an empty map.
        return bool(common) and any(found["scores"].data)

    active.stream_until(same, "all four images of one stamp")
    scores, heatmap = found["scores"], found["heatmap"]
    assert (scores.encoding, scores.width, scores.height, scores.step) == ("32FC1", 640, 480, 2560)
    raw = np.frombuffer(scores.data, np.float32).reshape(480, 640)
    assert raw.max() > 0
    shown = np.round(np.clip(raw, 0, 1) * 255)
    np.testing.assert_array_equal(read_image(heatmap).pixels, shown)
    packed = found["annotated/compressed"]
    assert packed.format == "rgb8; jpeg compressed bgr8"
    picture = cv2.imdecode(np.frombuffer(packed.data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    difference = picture.astype(float) - read_image(found["annotated"]).pixels
    assert np.abs(difference).mean() < 8.0
    for _, subscription in watched.values():
        active.node.destroy_subscription(subscription)


def test_parameter_heatmap_chooses_the_map(result):
    seen = outcome(Sighting(1, Status.TRACKING, result))
    maps = {name: score_image(seen, name) for name in ("fused", "robust", "accurate")}
    for name, image in maps.items():
        assert image.dtype == np.float32
        np.testing.assert_array_equal(image, result.score_maps.to_image(name, 640, 480))
    assert np.abs(maps["robust"] - maps["accurate"]).max() > 0.05
    assert not score_image(outcome(Sighting(0, Status.IDLE)), "fused").any()


def test_annotated_image_shows_box_and_region(result):
    plain = scene()[..., ::-1]
    drawn = annotated_image(outcome(Sighting(3, Status.TRACKING, result)))
    changed = np.argwhere((drawn != plain).any(2))
    x, y, side, _ = result.search_region
    assert changed[:, 1].min() == pytest.approx(x, abs=3)
    assert changed[:, 0].max() == pytest.approx(y + side, abs=3)


def test_markers_of_a_target_go_when_it_is_lost(result):
    shown = TargetMarkers()
    ray, search = shown.next(outcome(Sighting(7, Status.TRACKING, result)), CAMERA, 20.0)
    assert (ray.ns, search.ns, ray.id, search.id) == ("ray", "search", 7, 7)
    assert ray.header.frame_id == "camera"
    assert ray.action == search.action == Marker.ADD
    # Back to the image by the pinhole's own formula.
    end = ray.points[1]
    x, y, w, h = result.box
    assert FX * end.x / end.z + CX + 0.5 == pytest.approx(x + w / 2, abs=0.01)
    assert FY * end.y / end.z + CY + 0.5 == pytest.approx(y + h / 2, abs=0.01)
    assert math.hypot(end.x, end.y, end.z) == pytest.approx(20.0)
    assert len(search.points) == 16
    columns = [FX * p.x / p.z + CX + 0.5 for p in search.points if p.z]
    left, _, side, _ = result.search_region
    assert (min(columns), max(columns)) == pytest.approx((left, left + side), abs=0.01)
    gone = shown.next(outcome(Sighting(7, Status.LOST, result)), CAMERA, 20.0)
    assert [(m.ns, m.id, m.action) for m in gone] == [
        ("ray", 7, Marker.DELETE),
        ("search", 7, Marker.DELETE),
    ]
    assert shown.next(outcome(Sighting(7, Status.LOST, result)), CAMERA, 20.0) == []
    # A lens that is not known any more takes all away, too.
    assert len(shown.next(outcome(Sighting(7, Status.UNCERTAIN, result)), CAMERA, 20.0)) == 2
    unknown = shown.next(outcome(Sighting(7, Status.UNCERTAIN, result)), None, 20.0)
    assert {m.action for m in unknown} == {Marker.DELETE}


def test_markers_need_camera_info_and_follow_the_target(active):
    infos = active.node.create_publisher(CameraInfo, "camera_info", 1)
    heard, subscription = watch(active, MarkerArray, "markers")
    info = CameraInfo(width=640, height=480, distortion_model="plumb_bob", d=[0.0] * 5)
    info.k = [FX, 0.0, CX, 0.0, FY, CY, 0.0, 0.0, 1.0]
    info.header.frame_id = "camera"

    def publish():
        infos.publish(info)
        active.publish()

    target_id = active.init(TARGET).target_id
    active.spin_until(lambda: heard, "markers", meanwhile=publish)
    assert {m.id for m in heard[-1].markers} == {target_id}
    assert all(stamp_of(m) in active.published for m in heard[-1].markers)
    assert active.stop().success

    def deleted():
        return any(m.action == Marker.DELETE for array in heard for m in array.markers)

    active.spin_until(deleted, "the end of the markers", meanwhile=publish)
    active.node.destroy_subscription(subscription)
    active.node.destroy_publisher(infos)


@pytest.fixture
def mice(active):
    """Publishers as rqt_image_view makes them: reliable, a queue of 1000."""
    topics = [f"{IMAGE}_mouse_left", f"{NODE}/annotated_mouse_left"]
    made = {topic: active.node.create_publisher(Point, topic, 1000) for topic in topics}
    yield made
    assert active.set_parameter("mouse_left", False).successful
    for mouse in made.values():
        active.node.destroy_publisher(mouse)


def test_clicks_of_rqt_select_only_when_asked_for(active, process, mice):
    assert not any(mouse.get_subscription_count() for mouse in mice.values())
    assert active.set_parameter("mouse_left", True).successful
    for topic, mouse in mice.items():
        active.spin_until(lambda m=mouse: m.get_subscription_count() == 1, f"{topic} is subscribed")
        former = active.init(TARGET).target_id
        heard = []

        def publish(mouse=mouse, heard=heard):
            # A first click may go before both sides know each other; each one costs a selection.
            if len(heard) % 30 == 0:
                mouse.publish(Point(x=320.0, y=235.0))
            heard.append(active.publish())

        def chosen(former=former):
            return any(t.target_id > former for t in active.targets)

        active.targets.clear()
        active.spin_until(chosen, "the clicked target", meanwhile=publish)
        refusal = f"{topic} refused: point (900, 10) is outside"
        heard.clear()

        def miss(mouse=mouse, heard=heard):
            if len(heard) % 30 == 0:
                mouse.publish(Point(x=900.0, y=10.0))
            heard.append(active.publish())

        active.spin_until(lambda r=refusal: r in process.log(), refusal, meanwhile=miss)
    assert active.set_parameter("mouse_left", False).successful
    active.spin_until(
        lambda: not any(mouse.get_subscription_count() for mouse in mice.values()), "no clicks"
    )


def test_documented_topics_are_those_of_the_node(active):
    root = Path(__file__).resolve().parents[2]
    sys.path.insert(0, str(root / "tools"))
    try:
        import node_graph
    finally:
        sys.path.pop(0)
    assert node_graph.draw() == node_graph.TARGET.read_text(), "run: python tools/node_graph.py"
    into, out = node_graph.entries()
    namespace, _, name = NODE.rpartition("/")

    def published():
        found = active.node.get_publisher_names_and_types_by_node(name, namespace)
        return {topic.replace(NODE, "~"): types[0].rpartition("/")[2] for topic, types in found}

    own = {"/parameter_events", "/rosout", "~/transition_event"}
    documented = {topic: kind.split(" ")[0] for topic, kind, _ in out}
    # These depend on other packages, or on a tracker with masks.
    may_lack = {"~/detections", "~/annotations", "~/mask"}
    active.spin_until(lambda: documented.keys() - published().keys() <= may_lack, "all topics")
    told = {t: k for t, k in published().items() if t not in own}
    assert told.items() <= documented.items()
    found = active.node.get_subscriber_names_and_types_by_node(name, namespace)
    heard = {topic.replace(NODE, "~").replace(f"{namespace}/", "") for topic, _ in found}
    assert heard - own <= {topic for topic, *_ in into}


def test_annotations_for_foxglove(result):
    pytest.importorskip("foxglove_msgs.msg", reason="foxglove_msgs is not installed")
    from duml_tracker_ros.node.annotations import annotations_message

    message = annotations_message(outcome(Sighting(4, Status.TRACKING, result)))
    region, box = message.points
    x, y, w, h = result.box
    assert [(p.x, p.y) for p in box.points] == [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
    assert region.points[0].x == result.search_region[0]
    assert message.texts[0].text.startswith("#4 TRACKING")
    lost = annotations_message(outcome(Sighting(4, Status.LOST, result)))
    assert len(lost.points) == len(lost.texts) == 1
    assert not annotations_message(outcome(Sighting(0, Status.IDLE))).points
