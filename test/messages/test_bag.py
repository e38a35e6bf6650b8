"""`duml-tracker bag`: what goes in as images comes out as the library's boxes, stamp by stamp."""

import json
import math
import os
import random
import re
import shutil
import sqlite3
import struct
import tempfile
from pathlib import Path

import cv2
import lz4.frame
import numpy as np
import pytest
import yaml
from generated_sequence import render
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.rosbag2.reader import zstd
from rosbags.typesys import get_types_from_msg

from duml_tracker_ros.cli.main import main
from duml_tracker_ros.evaluation.workers import limit_threads
from duml_tracker_ros.messages import bag_chunks
from duml_tracker_ros.messages.bag_chunks import _Bounded, _lz4
from duml_tracker_ros.messages.bag_images import BagError, BagImages
from duml_tracker_ros.messages.definitions import DEFINITIONS, DETECTIONS, TARGET, empty, typestore
from duml_tracker_ros.messages.scaling import ScalingRule
from duml_tracker_ros.tracker import create_tracker

ROOT = Path(__file__).resolve().parents[2]
STORE = typestore()
IMAGES, TRUTH = render(8)
BOX = tuple(float(v) for v in TRUTH[0])
FIRST_STAMP = 1_763_712_000_250_000_000
STEP = 40_000_000
RECORDED_LATER = 7_000_000


def image_message(index, raw):
    """One image as a camera would send it: padded rows, or PNG."""
    pixels = IMAGES[index]
    height, width = pixels.shape[:2]
    message = empty(STORE, f"sensor_msgs/msg/{'Image' if raw else 'CompressedImage'}")
    stamp = FIRST_STAMP + index * STEP
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 1_000_000_000)
    message.header.frame_id = "optical"
    if raw:
        message.height, message.width, message.step = height, width, 3 * width + 6
        message.encoding = "bgr8"
        rows = np.zeros((height, message.step), np.uint8)
        rows[:, : 3 * width] = pixels.reshape(height, -1)
        message.data = rows.ravel()
    else:
        message.format = "bgr8; png compressed bgr8"
        message.data = cv2.imencode(".png", pixels)[1].ravel()
    return message


def write_messages(path, topic, kind, messages):
    """A bag of messages that are taken by their fields."""
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(topic, kind, typestore=STORE)
        for index, fields in enumerate(messages):
            message = empty(STORE, kind)
            for name, value in vars(fields).items():
                if name == "header":
                    message.header.frame_id = value.frame_id
                    message.header.stamp.sec = value.stamp.sec
                elif name == "timestamp":
                    message.timestamp.sec = value.sec
                else:
                    setattr(message, name, np.array(value) if name == "data" else value)
            writer.write(connection, index, STORE.serialize_cdr(message, kind))


def write_bag(path, storage="mcap", raw=True, topic="/camera/image", count=8):
    kind = f"sensor_msgs/msg/{'Image' if raw else 'CompressedImage'}"
    with Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()]) as writer:
        images = writer.add_connection(topic, kind, typestore=STORE)
        texts = writer.add_connection("/chatter", "std_msgs/msg/String", typestore=STORE)
        for index in range(count):
            time_ns = FIRST_STAMP + index * STEP + RECORDED_LATER
            data = STORE.serialize_cdr(image_message(index, raw), kind)
            writer.write(images, time_ns, data)
            text = STORE.serialize_cdr(empty(STORE, "std_msgs/msg/String"), "std_msgs/msg/String")
            writer.write(texts, time_ns, text)
    return path


def read_bag(path):
    """(topic, time, bytes) of every message."""
    with Reader(path) as reader:
        return [(c.topic, t, bytes(data)) for c, t, data in reader.messages()]


def targets(path):
    return [
        (t, STORE.deserialize_cdr(data, TARGET))
        for topic, t, data in read_bag(path)
        if topic == "/duml_tracker/target"
    ]


def run(bag, out, *more, topic="/camera/image", box=BOX):
    text = ",".join(f"{v:g}" for v in box)
    arguments = ["bag", str(bag), "--topic", topic, "--box", text, "--out", str(out)]
    # Two threads that wait for each other crawl on a busy machine.
    return main([*arguments, "--quiet", "--device", "cpu", "--threads", "1", *more])


@pytest.fixture(scope="module")
def truth():
    """Box, state and confidence of the library on the same images, from each first image on."""
    limit_threads(1)
    tracker = create_tracker("duml", device="cpu")

    def follow(start=0, box=BOX):
        tracker.init(IMAGES[start], box, "bgr")
        results = [tracker.update(image, "bgr") for image in IMAGES[start + 1 :]]
        return [(box, "tracking", 1.0)] + [(r.box, r.state.value, r.confidence) for r in results]

    return follow


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("raw", [True, False])
def test_round_trip_gives_the_boxes_of_the_library(tmp_path, truth, storage, raw, capsys):
    bag = write_bag(tmp_path / "in", storage, raw)
    assert run(bag, tmp_path / "out", "--storage", storage) == 0, capsys.readouterr().err
    found, expected = targets(tmp_path / "out"), truth()
    assert len(found) == len(expected) == len(IMAGES)
    assert expected[-1][1] == "tracking"
    for index, ((time_ns, message), (box, state, confidence)) in enumerate(
        zip(found, expected, strict=True)
    ):
        assert time_ns == FIRST_STAMP + index * STEP + RECORDED_LATER
        stamp = message.header.stamp
        assert stamp.sec * 10**9 + stamp.nanosec == FIRST_STAMP + index * STEP
        assert message.header.frame_id == "optical"
        assert message.state == getattr(message, f"STATE_{state.upper()}")
        got = (message.x, message.y, message.width, message.height)
        np.testing.assert_array_equal(np.float32(got), np.float32(box))
        assert np.float32(message.confidence) == np.float32(confidence)
        assert (message.target_id, message.targets) == (1, 1)
        assert (message.image_width, message.image_height) == (160, 120)
        assert math.isnan(message.latency)
    for topic, time_ns, data in read_bag(tmp_path / "out"):
        if topic == "/duml_tracker/detections":
            array = STORE.deserialize_cdr(data, DETECTIONS)
            index = (time_ns - RECORDED_LATER - FIRST_STAMP) // STEP
            box, state, _ = expected[index]
            assert len(array.detections) == (state == "tracking")
            for detection in array.detections:
                assert detection.bbox.center.position.x == box[0] + box[2] / 2
                assert (detection.bbox.size_x, detection.bbox.size_y) == (box[2], box[3])
                assert detection.header == array.header


def test_two_runs_write_the_same_bytes_and_ros_reads_them(tmp_path):
    bag = write_bag(tmp_path / "in")
    file = bag / "in.mcap"
    for out, source in (("one", bag), ("two", file)):
        assert run(source, tmp_path / out) == 0
    assert read_bag(tmp_path / "one") == read_bag(tmp_path / "two")
    pytest.importorskip("rclpy", reason="needs ROS 2")
    from rclpy.serialization import deserialize_message

    from duml_tracker_ros.msg import Target

    for topic, _, data in read_bag(tmp_path / "one"):
        if topic == "/duml_tracker/target":
            message = deserialize_message(data, Target)
            assert message.state == Target.STATE_TRACKING
            assert message.header.frame_id == "optical"
            written = STORE.deserialize_cdr(data, TARGET)
            for field in Target.get_fields_and_field_types():
                if field != "header":
                    np.testing.assert_equal(getattr(message, field), getattr(written, field))


def test_rosbag2_reads_the_bag(tmp_path):
    rosbag2 = pytest.importorskip("rosbag2_py", reason="rosbag2_py is not installed")
    assert run(write_bag(tmp_path / "in"), tmp_path / "one") == 0
    reader = rosbag2.SequentialReader()
    reader.open_uri(str(tmp_path / "one"))
    assert {t.name for t in reader.get_all_topics_and_types()} == {
        "/duml_tracker/target",
        "/duml_tracker/detections",
    }
    count = 0
    while reader.has_next():
        reader.read_next()
        count += 1
    assert count == 2 * len(IMAGES)


def test_start_and_frames_choose_the_images(tmp_path, truth, capsys):
    bag = write_bag(tmp_path / "in")
    box = tuple(float(v) for v in TRUTH[3])
    # Between the third and the fourth image: the box belongs to the fourth.
    start = "1763712000.330000001"
    assert run(bag, tmp_path / "out", "--start", start, "--frames", "3", box=box) == 0
    assert "from stamp 1763712000.370000000 on" in capsys.readouterr().out
    found = targets(tmp_path / "out")
    assert [t for t, _ in found] == [FIRST_STAMP + i * STEP + RECORDED_LATER for i in (3, 4, 5)]
    got = [(m.x, m.y, m.width, m.height) for _, m in found]
    np.testing.assert_array_equal(np.float32(got), np.float32([b for b, *_ in truth(3, box)[:3]]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"topic": "/camera/depth"}, "image topics: /camera/image (Image, 2)"),
        ({"topic": "/chatter"}, "is std_msgs/msg/String, not an image; image topics: /camera/"),
        ({"box": (500, 10, 20, 20)}, "outside the image of 160 x 120"),
        ({"more": ("--start", "1900000000")}, "go from 1763712000.250000000 to 1763712000.29"),
        ({"bag": "nowhere"}, "does not exist"),
        ({"bag": "old.bag"}, "ROS 1"),
        ({"bag": "folder"}, "no metadata.yaml"),
        ({"bag": "truncated.mcap"}, "truncated or damaged"),
        ({"bag": "short.mcap"}, "truncated or damaged"),
        ({"bag": "text.db3"}, "truncated or damaged"),
        ({"bag": "pipe.mcap"}, "pipe.mcap is no file; give a bag's folder"),
        ({"bag": "pipe.db3"}, "pipe.db3 is no file; give a bag's folder"),
        ({"bag": "lone.db3.zstd"}, "zstd -d lone.db3.zstd"),
        ({"bag": "first"}, "the first image cannot be used: image 0: data is"),
        ({"out": "in"}, "exists already"),
    ],
)
def test_mistakes_are_told_in_one_line_and_leave_nothing(tmp_path, capsys, change, words):
    bag = write_bag(tmp_path / "in", count=2)
    data = (bag / "in.mcap").read_bytes()
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0")
    (tmp_path / "folder").mkdir()
    for name in ("pipe.mcap", "pipe.db3"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "truncated.mcap").write_bytes(data[: len(data) // 2])
    (tmp_path / "short.mcap").write_bytes(data[:5])
    (tmp_path / "text.db3").write_text("no data base")
    (tmp_path / "lone.db3.zstd").write_bytes(b"\x28\xb5\x2f\xfd")
    if change.get("bag") == "first":
        broken(tmp_path / "first", 0)
    bag, out = tmp_path / change.get("bag", "in"), tmp_path / change.get("out", "out")
    rest = {name: change[name] for name in ("topic", "box") if name in change}
    assert run(bag, out, *change.get("more", ()), **rest) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    if bag.name != "in":
        assert error.count(str(bag)) <= 1, error
    assert not (tmp_path / "out").exists()


def test_one_broken_image_keeps_all_before_and_after_it(tmp_path, capsys):
    broken(tmp_path / "in", 3, count=8)
    assert run(tmp_path / "in", tmp_path / "out", "--tracker", "opencv_kcf") == 1
    out = capsys.readouterr()
    assert "7 images" in out.out
    assert "image 3: data is" in out.err
    assert [t for t, _ in targets(tmp_path / "out")] == [0, 1, 2, 4, 5, 6, 7]


def test_levels_fix_what_is_black_and_white(tmp_path, capsys):
    kind = "sensor_msgs/msg/Image"
    with Writer(tmp_path / "in", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        images = writer.add_connection("/camera/image", kind, typestore=STORE)
        for index, image in enumerate(IMAGES):
            message = empty(STORE, kind)
            deep = 7000 + 3 * cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.uint16)
            message.height, message.width = deep.shape
            message.step, message.encoding = 2 * message.width, "mono16"
            message.data = deep.view(np.uint8).ravel()
            writer.write(images, index, STORE.serialize_cdr(message, kind))
    rule = ScalingRule("fixed", black=7000, white=7765)
    with BagImages(tmp_path / "in", "/camera/image", rule) as found:
        for view, image in zip(found, IMAGES, strict=True):
            grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(int)
            assert np.abs(np.asarray(view.view.pixels[:, :]).squeeze() - grey).max() <= 1
    kcf = ("--tracker", "opencv_kcf")
    for name, levels, seen in (("a", "7000,7765", True), ("b", "0,1", False)):
        assert run(tmp_path / "in", tmp_path / name, "--levels", levels, *kcf) == 0
        last = targets(tmp_path / name)[-1][1]
        assert (abs(last.x - TRUTH[-1][0]) < 6) == seen, (name, capsys.readouterr())


def test_images_of_another_size_are_told_and_passed_over(tmp_path, capsys):
    kind = "sensor_msgs/msg/CompressedImage"
    with Writer(tmp_path / "in", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        images = writer.add_connection("/camera/image", kind, typestore=STORE)
        for index in range(4):
            message = image_message(index, raw=False)
            if index == 2:
                message.data = cv2.imencode(".jpg", IMAGES[2][::2, ::2])[1].ravel()
            writer.write(images, index, STORE.serialize_cdr(message, kind))
    assert run(tmp_path / "in", tmp_path / "out", "--tracker", "opencv_kcf") == 1
    assert "image 2 has 80x60 pixels, the first 160x120" in capsys.readouterr().err
    assert [t for t, _ in targets(tmp_path / "out")] == [0, 1, 3]


def test_a_bag_that_breaks_off_keeps_what_is_before(tmp_path, capsys):
    bag = write_bag(tmp_path / "in", "sqlite3")
    (file,) = bag.glob("*.db3")
    data = bytearray(file.read_bytes())
    # One page in the middle of an image leads to the next; those of the tables stand elsewhere.
    at = len(data) * 6 // 10 // 4096 * 4096
    data[at : at + 4096] = b"\xff" * 4096
    file.write_bytes(data)
    assert run(bag, tmp_path / "out", "--tracker", "opencv_kcf") == 1
    assert " of 8 images" in capsys.readouterr().err
    assert 1 <= len(targets(tmp_path / "out")) < 8


def broken(path, at, count=3):
    """A bag one of whose images has lost half of its rows."""
    kind = "sensor_msgs/msg/Image"
    with Writer(path, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        images = writer.add_connection("/camera/image", kind, typestore=STORE)
        for index in range(count):
            message = image_message(index, raw=True)
            if index == at:
                message.data = message.data[: message.data.size // 2]
            writer.write(images, index, STORE.serialize_cdr(message, kind))


def test_definitions_are_those_of_the_interfaces():
    text = (ROOT / "msg" / "Target.msg").read_text()
    assert get_types_from_msg(text, TARGET)[TARGET] == STORE.fielddefs[TARGET]
    for name in DEFINITIONS:
        package, _, kind = name.split("/")
        share = pytest.importorskip("ament_index_python.packages")
        try:
            folder = Path(share.get_package_share_directory(package))
        except share.PackageNotFoundError:
            continue
        described = json.loads((folder / "msg" / f"{kind}.json").read_text())
        hashes = {t["type_name"]: t["hash_string"] for t in described["type_hashes"]}
        assert STORE.hash_rihs01(name) == hashes[name], name


def small_bag(path, count=30):
    """Images of a few pixels, so that much of the database is no pixel."""
    kind = "sensor_msgs/msg/Image"
    with Writer(path, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        images = writer.add_connection("/camera/image", kind, typestore=STORE)
        for index in range(count):
            message = empty(STORE, kind)
            message.header.stamp.sec = 1000 + index
            message.header.frame_id = "optical"
            message.height, message.width, message.step, message.encoding = 6, 8, 24, "bgr8"
            message.data = np.full(144, index, np.uint8)
            time_ns = (1000 + index) * 10**9 + 5
            writer.write(images, time_ns, STORE.serialize_cdr(message, kind))
    return path / f"{path.name}.db3"


def seen_in(path):
    """What is read of each image (time, stamp, frame_id, pixels or None), and the problems."""
    with BagImages(path, "/camera/image") as images:
        found = [
            (i.time_ns, i.stamp_ns, i.header.frame_id, i.view and i.view.pixels.tobytes())
            for i in images
        ]
        return found, images.problems


def flipped(data, pattern, bit=1, nth=0, byte=0):
    """Data with one bit changed in the n-th place where a pattern stands."""
    at = -1
    for _ in range(nth + 1):
        at = data.index(pattern, at + 1)
    changed = bytearray(data)
    changed[at + byte] ^= bit
    return bytes(changed)


def test_flipped_bits_of_a_database_are_never_silent(tmp_path):
    file = small_bag(tmp_path / "in")
    sound = file.read_bytes()
    expected, problems = seen_in(tmp_path / "in")
    assert len(expected) == 30
    assert not problems
    rng = random.Random(7)
    places = [at for at, value in enumerate(sound) if value]
    told = 0
    for _ in range(100):
        data = bytearray(sound)
        data[rng.choice(places)] ^= 1 << rng.randrange(8)
        file.write_bytes(data)
        try:
            found, problems = seen_in(tmp_path / "in")
        except BagError:
            told += 1
            continue
        told += bool(problems)
        # Of raw pixels nothing can tell.
        assert problems or [row[:3] for row in found] == [row[:3] for row in expected]
    assert told > 10
    time = (1000 + 8) * 10**9 + 5
    harms = {
        "missing from index": flipped(sound, time.to_bytes(6, "big"), byte=5),
        "frame_id is 'nptical', that of the first 'optical'": flipped(sound, b"optical\0", nth=8),
        "image 9: its stamp is 7.000 s before that": flipped(
            sound, (1008).to_bytes(4, "little") + bytes(4), bit=8
        ),
        "image 8 is no message (": flipped(sound, (1008).to_bytes(4, "little") + bytes(4), byte=8),
    }
    for words, data in harms.items():
        file.write_bytes(data)
        assert any(words in problem for problem in seen_in(tmp_path / "in")[1]), words


def test_what_a_killed_recorder_left_beside_its_database_is_told(tmp_path, capsys):
    bag = write_bag(tmp_path / "in", "sqlite3")
    file = bag / "in.db3"
    database = sqlite3.connect(file)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("INSERT INTO messages SELECT NULL, topic_id, timestamp+1, data FROM messages")
    database.commit()
    copy = tmp_path / "copy"
    shutil.copytree(bag, copy)
    database.close()
    assert (copy / "in.db3-wal").stat().st_size
    assert run(copy, tmp_path / "out", "--tracker", "opencv_kcf") == 1
    said = capsys.readouterr().err
    assert "in.db3 was not closed: in.db3-wal beside it holds what is not read; take it in" in said
    assert run(bag, tmp_path / "whole", "--tracker", "opencv_kcf") in (0, 1)
    assert "was not closed" not in capsys.readouterr().err


# --- odd folders ---------------------------------------------------------------------------------


def edited(path, change):
    """The bag with what ``change`` makes of its metadata."""
    file = path / "metadata.yaml"
    metadata = yaml.safe_load(file.read_text())
    change(metadata["rosbag2_bagfile_information"])
    file.write_text(yaml.safe_dump(metadata))
    return path


def stamps(path):
    with BagImages(path, "/camera/image") as bag:
        return [image.stamp_ns for image in bag], bag.problems


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_what_macos_keeps_beside_a_bag_is_not_looked_at(tmp_path, storage):
    write_bag(tmp_path / "bag", storage)
    (data,) = (file for file in (tmp_path / "bag").iterdir() if file.suffix != ".yaml")
    for name in (data.name, "metadata.yaml"):
        (data.parent / f"._{name}").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X" + bytes(4000))
    (data.parent / "loop").symlink_to(data.parent)
    found, problems = stamps(data.parent)
    assert (len(found), problems) == (8, [])
    with pytest.raises(BagError, match=f"what macOS keeps beside a file: give {data.name}"):
        stamps(data.parent / f"._{data.name}")


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_pipe_in_a_bag_is_not_waited_for(tmp_path, storage):
    write_bag(tmp_path / "bag", storage)
    (data,) = (file for file in (tmp_path / "bag").iterdir() if file.suffix != ".yaml")
    data.unlink()
    os.mkfifo(data)
    with pytest.raises(BagError, match=f"holds {data.name}, which is no file but a pipe"):
        stamps(tmp_path / "bag")


@pytest.mark.parametrize("count", [-5, math.nan, "eight", 1 << 63])
def test_impossible_counts_are_refused(tmp_path, count):
    write_bag(tmp_path / "bag")

    def change(metadata):
        for topic in metadata["topics_with_message_count"]:
            topic["message_count"] = count

    with pytest.raises(BagError, match=f"that it has '{count}' messages of a topic"):
        stamps(edited(tmp_path / "bag", change))


def test_images_that_the_metadata_does_not_count_are_read_and_told(tmp_path):
    write_bag(tmp_path / "bag")
    path = edited(
        tmp_path / "bag", lambda m: m.update(relative_file_paths=2 * m["relative_file_paths"])
    )
    found, problems = stamps(path)
    assert len(found) == 16
    assert "it has 16 images, though its metadata.yaml says 8" in problems[-1]


@pytest.mark.parametrize("claimed", [1000, (1 << 30) + 1])
def test_chunks_are_not_unpacked_beyond_what_they_claim(tmp_path, claimed):
    """A bomb claims little, or too much."""
    writer = Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        kind = "sensor_msgs/msg/Image"
        images = writer.add_connection("/camera/image", kind, typestore=STORE)
        writer.write(images, 1, STORE.serialize_cdr(image_message(0, raw=True), kind))
    assert len(stamps(tmp_path / "bag")[0]) == 1
    (file,) = (tmp_path / "bag").glob("*.mcap")
    data = file.read_bytes()
    at = data.index(b"\x04\0\0\0zstd") - 12
    size = data[at : at + 8]
    assert data.count(size) >= 1
    file.write_bytes(data.replace(size, struct.pack("<Q", claimed)))
    words = "unpacks to more than the 1000" if claimed == 1000 else "claims to unpack to 1073741825"
    with BagImages(tmp_path / "bag", "/camera/image") as bag:
        assert not list(bag)
        assert any(words in problem for problem in bag.problems), bag.problems
    with pytest.raises(ValueError, match="more than the 1000 it claims"):
        _lz4(lz4.frame.compress(bytes(1 << 20)), 1000)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("mode", [CompressionMode.MESSAGE, CompressionMode.FILE])
def test_packed_messages_and_files_are_unpacked_as_far_as_a_recording_goes(
    tmp_path, monkeypatch, storage, mode
):
    bag, room = tmp_path / "bag", tmp_path / "room"
    room.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(room))
    writer = Writer(bag, version=9, storage_plugin=StoragePlugin[storage.upper()])
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        kind = "sensor_msgs/msg/Image"
        images = writer.add_connection("/camera/image", kind, typestore=STORE)
        for index in range(2):
            message = STORE.serialize_cdr(image_message(index, raw=True), kind)
            writer.write(images, index, message)
    assert (len(stamps(bag)[0]), stamps(bag)[1]) == (2, [])
    if mode is CompressionMode.MESSAGE:
        monkeypatch.setattr(bag_chunks, "MOST_BYTES", 1000)
        found, problems = stamps(bag)
        assert not found
        assert "(a message unpacks to more than the 1000 that are read) after 0 of 2" in problems[0]
        return
    with monkeypatch.context() as patched:
        patched.setattr(bag_chunks, "LEFT_FREE", 1 << 62)
        with pytest.raises(BagError, match=f"than {room} has room for: name a larger folder in"):
            stamps(bag)
    (file,) = bag.glob("*.zstd")
    file.write_bytes(zstd.compress(bytes(1 << 27)))
    monkeypatch.setattr(bag_chunks, "MOST_BYTES", 1 << 16)
    words = (
        f"a file of {file.stat().st_size} bytes unpacks to more than the {file.stat().st_size}000 "
    )
    with pytest.raises(
        BagError, match=f"{re.escape(str(bag))} holds what is not unpacked .{words}"
    ):
        stamps(bag)
    assert not list(room.iterdir())


def test_several_packed_parts_are_one_message_and_a_part_of_one_is_none():
    whole = zstd.compress(b"one") + zstd.compress(b"two")
    assert _Bounded(zstd).decompress(whole) == b"onetwo"
    with pytest.raises(ValueError, match="cut off"):
        _Bounded(zstd).decompress(whole[:-1])
