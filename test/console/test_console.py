"""The console without DDS: messages, who may connect, how scenes are joined and handed out."""

import asyncio
import dataclasses
import json
import time
import zlib
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="the console needs aiohttp")

from duml_tracker_ros.cli.console import ros_arguments
from duml_tracker_ros.cli.main import build_parser
from duml_tracker_ros.console import picture, protocol
from duml_tracker_ros.console.guard import Guard, find_token
from duml_tracker_ros.console.hub import Client, Hub
from duml_tracker_ros.console.protocol import Watch
from duml_tracker_ros.console.readings import DebugReading, TargetReading, read_target
from duml_tracker_ros.console.scenes import Joiner, Scene
from duml_tracker_ros.console.settings import TABLE, ConsoleError, ConsoleSettings
from duml_tracker_ros.messages.image_codec import CodecError, ImageView
from duml_tracker_ros.node.addresses import is_loopback
from duml_tracker_ros.node.frame_ring import CameraFrame

ROOT = Path(__file__).resolve().parents[2]
STOP = {"type": "stop", "request": 1, "target": 0}
SELECT = {"type": "select", "request": 1, "box": [1, 2.5, 30, 40], "stamp": "5", "replaces": 0}


# -- messages ---------------------------------------------------------------------------------


def test_messages_are_read():
    assert protocol.parse(json.dumps(STOP)) == protocol.Stop(1, 0)
    assert protocol.parse(json.dumps(SELECT)) == protocol.Select(1, (1, 2.5, 30, 40), 5, 0)
    point = {**SELECT, "box": None, "point": [3, 4], "stamp": "1700000000123456789"}
    wish = protocol.parse(json.dumps(point))
    assert wish == protocol.Select(1, (3, 4), 1_700_000_000_123_456_789, 0)
    assert protocol.parse('{"type":"watch","debug":true}') == protocol.Watch(True, False)
    wants = protocol.parse('{"type":"watch","debug":false,"mask":true}')
    assert wants == protocol.Watch(False, True)
    assert protocol.parse('{"type":"hello"}') == protocol.Hello("")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "JSON"),
        ("[" * 4000, "JSON"),
        ("[]", "object"),
        ('{"type":"exec"}', "exec"),
        ('{"type":["stop"]}', "none of"),
        ('{"type":"hello","token":7}', "token"),
        ('{"type":"watch","debug":1}', "debug"),
        ('{"type":"watch","mask":true}', "debug"),
        ('{"type":"watch","debug":true,"mask":null}', "mask"),
        ('{"type":"ack","seq":true}', "seq"),
        ('{"type":"ack","seq":-1}', "seq"),
        (json.dumps({**STOP, "target": 2**32}), "target"),
        (json.dumps({**STOP, "target": "../x"}), "target"),
        (json.dumps({**SELECT, "box": [1, 2, 3]}), "box"),
        (json.dumps({**SELECT, "box": [1, 2, 3, "4"]}), "box"),
        (json.dumps({**SELECT, "box": [1, 2, 3, True]}), "box"),
        (json.dumps({**SELECT, "box": [1, 2, 3, float("nan")]}), "JSON"),
        (json.dumps({**SELECT, "box": [1, 2, 3, 10**400]}), "finite"),
        (json.dumps(SELECT).replace("2.5", "1e999"), "finite"),
        (json.dumps({**SELECT, "box": None}), "box"),
        (json.dumps({**SELECT, "stamp": 5}), "stamp"),
        (json.dumps({**SELECT, "stamp": "-5"}), "stamp"),
        (json.dumps({**SELECT, "stamp": "9" * 19}), "stamp"),
        (json.dumps({**SELECT, "stamp": "\u0665"}), "stamp"),
        (json.dumps({**SELECT, "replaces": 1.0}), "replaces"),
    ],
)
def test_wrong_messages_are_refused_by_name(text, words):
    with pytest.raises(protocol.BadMessage, match=words):
        protocol.parse(text)


def test_packed_scenes_are_unpacked():
    header, rest = protocol.unpack(protocol.pack({"a": "\u00e4", "b": None}, (b"12", b"", b"3")))
    assert header == {"a": "\u00e4", "b": None}
    assert rest == b"123"


# -- who may connect --------------------------------------------------------------------------


def test_loopback_is_told_from_other_addresses():
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.5", "localhost.evil.example")))


def test_a_token_is_needed_beyond_loopback(tmp_path):
    assert find_token(ConsoleSettings()) == ""
    first, second = (find_token(ConsoleSettings(host="0.0.0.0")) for _ in range(2))
    assert len(first) >= 16
    assert first != second
    file = tmp_path / "token"
    file.write_text("correct horse battery\nanother line\n")
    token = find_token(ConsoleSettings(token_file=str(file)))
    assert token == "correct horse battery"
    guard = Guard(ConsoleSettings(), token)
    assert guard.needs_token
    assert guard.token_fits("correct horse battery")
    for wrong in ("", "correct", "correct horse battery ", "\u00e4" * 21, "\ud800"):
        assert not guard.token_fits(wrong)


def test_a_token_file_that_is_no_secret_is_refused(tmp_path):
    words = r"missing' cannot be read \(No such file or directory\); make one: .*secrets"
    with pytest.raises(ConsoleError, match=words):
        find_token(ConsoleSettings(token_file=str(tmp_path / "missing")))
    short = tmp_path / "short"
    short.write_text("1234\n")
    with pytest.raises(ConsoleError, match="at least 16"):
        find_token(ConsoleSettings(token_file=str(short)))
    for place in ("/dev/zero", str(tmp_path)):
        with pytest.raises(ConsoleError, match=r"it is no file"):
            find_token(ConsoleSettings(token_file=place))


@pytest.mark.parametrize(
    ("host", "header", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1:8090", True),
        ("127.0.0.1", "localhost:8090", True),
        ("127.0.0.1", "LOCALHOST", True),
        ("127.0.0.1", "[::1]:8090", True),
        # Names that somebody else lets point at this machine.
        ("127.0.0.1", "evil.example:8090", False),
        ("127.0.0.1", "localhost.evil.example", False),
        ("127.0.0.1", "192.168.1.5:8090", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "127.0.0.1:8090@evil.example", False),
        ("127.0.0.1", "robot.example", False),
        ("0.0.0.0", "192.168.1.5:8090", True),
        ("0.0.0.0", "evil.example", False),
        ("0.0.0.0", "robot.example:8090", True),
    ],
)
def test_only_own_names_are_answered(host, header, allowed):
    names = "robot.example" if host == "0.0.0.0" else ""
    guard = Guard(ConsoleSettings(host=host, allowed_hosts=names), "")
    assert (guard.host_refusal(header) == "") is allowed


def test_only_own_pages_may_open_a_websocket():
    guard = Guard(ConsoleSettings(), "")
    assert guard.origin_refusal("localhost:8090", "http://localhost:8090") == ""
    for origin in (
        "",
        "null",
        "http://evil.example",
        "http://localhost:8091",
        "http://localhost:8090.evil.example",
        "file://localhost:8090",
        "http://[",
    ):
        assert guard.origin_refusal("localhost:8090", origin), origin


def test_settings_are_judged_by_name():
    with pytest.raises(ConsoleError, match=r"port = 70000.*65535"):
        TABLE.read({"port": 70000})
    with pytest.raises(ConsoleError, match=r"tracker = 'a b'.*node's name"):
        TABLE.read({"tracker": "a b"})
    assert TABLE.read({"host": "0.0.0.0"}).host == "0.0.0.0"


def test_the_reference_lists_every_parameter_as_it_is():
    text = (ROOT / "docs" / "console.md").read_text(encoding="utf-8")
    assert TABLE.to_markdown() in text


# -- scenes -----------------------------------------------------------------------------------


def make_frame(stamp_ns, pixels=None, order="bgr", compressed=None):
    pixels = np.zeros((48, 64, 3), np.uint8) if pixels is None else pixels
    view = ImageView(pixels, order)
    return CameraFrame(
        stamp_ns, stamp_ns, "camera", time.monotonic(), 9216, None, lambda: view, compressed
    )


def target(target_id, followed, state="tracking", dropped=0):
    ended = state in ("idle", "error")
    header = {"id": target_id, "state": state}
    return TargetReading(followed, ended, dropped, 1.0, 1.0, header)


def debug(target_id):
    return DebugReading({"id": target_id, "maps": []}, ())


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def joiner():
    scenes, clock = [], Clock()
    joiner = Joiner(scenes.append, clock)
    # As with a tracker that has answered before.
    joiner.take_target(1, target(0, 0, "idle"))
    return SimpleNamespace(join=joiner, scenes=scenes, clock=clock)


def ids(scene):
    return [reading.header["id"] for reading in scene.targets]


def test_images_wait_for_their_answers_and_answers_for_their_images(joiner):
    joiner.join.take_frame(make_frame(10))
    joiner.join.take_frame(make_frame(20))
    assert not joiner.scenes
    joiner.join.take_target(20, target(3, 1, dropped=1))
    (scene,) = joiner.scenes
    assert (scene.frame.stamp_ns, ids(scene), scene.numbers["dropped"]) == (20, [3], 1)
    joiner.join.take_target(30, target(3, 1))
    assert len(joiner.scenes) == 1
    joiner.join.take_frame(make_frame(30))
    assert joiner.scenes[-1].frame.stamp_ns == 30


def test_all_targets_of_an_image_come_together(joiner):
    joiner.join.take_frame(make_frame(10))
    joiner.join.take_target(10, target(2, 2, "idle"))  # its end is told, two others are followed
    joiner.join.take_target(10, target(3, 2))
    assert not joiner.scenes
    joiner.join.take_target(10, target(4, 2))
    assert [ids(scene) for scene in joiner.scenes] == [[2, 3, 4]]


def test_what_was_looked_at_is_waited_for_but_not_for_ever(joiner):
    joiner.join.wants_debug = True
    for stamp in (10, 20):
        joiner.join.take_frame(make_frame(stamp))
    joiner.join.take_target(10, target(3, 1))
    assert not joiner.scenes
    joiner.join.take_debug(10, debug(3))
    assert [len(scene.debug) for scene in joiner.scenes] == [1]
    joiner.join.take_target(20, target(3, 1))
    joiner.join.take_target(30, target(3, 1))
    assert [scene.frame.stamp_ns for scene in joiner.scenes] == [10, 20]
    assert joiner.scenes[-1].debug == ()


def test_masks_are_waited_for_while_they_come(joiner):
    mask = ImageView(np.zeros((48, 64), np.uint8), "mono")
    for stamp in (10, 20, 30, 40, 50):
        joiner.join.take_frame(make_frame(stamp))
    joiner.join.wants_mask = True
    # A tracker that has none is not waited for.
    joiner.join.take_target(10, target(3, 1))
    assert joiner.scenes[-1].frame.stamp_ns == 10
    joiner.join.take_mask(10, mask)
    joiner.join.take_target(20, target(3, 1))
    assert len(joiner.scenes) == 1
    joiner.join.take_mask(20, mask)
    assert joiner.scenes[-1].frame.stamp_ns == 20
    assert joiner.scenes[-1].mask is mask
    # One that is lost holds up the scene until the next answer, and no longer.
    joiner.join.take_target(30, target(3, 1))
    assert len(joiner.scenes) == 2
    joiner.join.take_target(40, target(3, 1))
    assert (joiner.scenes[-1].frame.stamp_ns, joiner.scenes[-1].mask) == (30, None)
    joiner.join.take_mask(40, mask)
    joiner.clock.now += 5.0
    joiner.join.take_target(50, target(3, 1))
    assert [scene.frame.stamp_ns for scene in joiner.scenes] == [10, 20, 30, 40, 50]


def test_images_are_shown_without_a_tracker(joiner):
    joiner.clock.now += 5.0
    joiner.join.take_frame(make_frame(10))
    assert joiner.scenes[-1].targets is None
    joiner.join.tick()
    assert len(joiner.scenes) == 1
    joiner.clock.now += 5.0
    joiner.join.tick()
    assert joiner.scenes[-1].frame is None


def test_rates_are_those_of_the_last_seconds(joiner):
    for index in range(31):
        joiner.join.take_frame(make_frame(10 + index))
        joiner.clock.now += 0.1
    assert joiner.join.numbers()["images"] == pytest.approx(10.0, abs=0.2)
    joiner.clock.now += 60.0
    assert joiner.join.numbers()["images"] == 0.0


def test_numbers_that_are_none_do_not_reach_the_browser():
    nan = float("nan")
    message = SimpleNamespace(
        x=nan,
        y=1.0,
        width=2.0,
        height=3.0,
        state=3,
        target_id=5,
        targets=1,
        confidence=nan,
        frames_since_seen=2,
        frames_dropped=0,
        latency=0.012,
        processing_time=0.01,
    )
    reading = read_target(message)
    assert reading.header["box"] is None
    assert reading.header["state"] == "lost"
    assert reading.latency == 12.0
    assert "NaN" not in json.dumps(reading.header)


# -- images -----------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["bgr", "rgb", "bgra", "rgba", "mono"])
def test_images_keep_their_colours_and_coordinates(order):
    red = np.zeros((90, 200, 3), np.uint8)
    red[..., 2] = 200
    channels = {"bgr": [0, 1, 2], "rgb": [2, 1, 0], "bgra": [0, 1, 2, 2], "rgba": [2, 1, 0, 2]}
    pixels = red[..., 2] if order == "mono" else np.ascontiguousarray(red[..., channels[order]])
    data, width, height = picture.encode(make_frame(1, pixels, order), 100, 90)
    assert (width, height) == (200, 90)
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (45, 100, 3)
    wanted = [200, 200, 200] if order == "mono" else [0, 0, 200]
    assert shown.reshape(-1, 3).mean(0) == pytest.approx(wanted, abs=6)


def test_small_files_of_the_camera_are_passed_on():
    assert picture.encode(make_frame(1, compressed=b"jpeg"), 100, 90) == (b"jpeg", 0, 0)
    large = make_frame(1, compressed=bytes(picture.SMALL + 1))
    assert picture.encode(large, 100, 90)[1:] == (64, 48)


def test_masks_are_opaque_where_they_are_set_and_nowhere_else():
    mask = np.zeros((90, 200), np.uint8)
    mask[20:60, 50:130] = 255
    data = picture.encode_mask(ImageView(mask, "mono"), 100)
    # OpenCV reads the colour, which is white where the mask is set, but no transparency of grey.
    assert data[33:47] == b"\0\0\0\2tRNS\0\0" + zlib.crc32(b"tRNS\0\0").to_bytes(4, "big")
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert shown.shape == (45, 100)
    wanted = np.zeros((45, 100), np.uint8)
    wanted[10:30, 25:65] = 255
    assert np.array_equal(shown, wanted)
    assert len(data) < 400
    assert picture.encode_mask(ImageView(np.zeros((90, 200), np.uint8), "mono"), 100) == b""
    with pytest.raises(CodecError, match="mono8"):
        picture.encode_mask(ImageView(np.zeros((9, 20, 3), np.uint8), "bgr"), 100)


# -- handing out ------------------------------------------------------------------------------


class Reader:
    """A connection that takes what it is sent, at once or never."""

    def __init__(self, reads=True):
        self.got = []
        self.masks = []
        self._reads = reads
        self.client = Client(self.send)

    async def send(self, message):
        header, rest = protocol.unpack(message)
        self.got.append(header["seq"])
        self.masks.append(rest[len(rest) - header["mask"] :])
        if not self._reads:
            await asyncio.Event().wait()


async def settle():
    """Time for what must not happen to happen all the same."""
    await asyncio.sleep(0.05)


async def until(condition):
    end = time.monotonic() + 120.0
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.002)


def encode_mask(view):
    return picture.encode_mask(view, 100)


def handing_out(act, encode_mask=encode_mask, complain=pytest.fail):
    """Run `act(hub, offer)` beside a hub; what its audience was told."""
    audiences = []

    async def go():
        hub = Hub(
            lambda frame: picture.encode(frame, 100, 80),
            encode_mask,
            0.001,
            lambda *audience: audiences.append(audience),
            complain,
        )
        running = asyncio.create_task(hub.run())
        try:
            await act(hub, lambda seq, **more: hub.offer(Scene(seq, make_frame(seq), (), **more)))
        finally:
            running.cancel()

    asyncio.run(go())
    return audiences


def test_a_slow_browser_holds_one_scene_and_gets_the_newest_next():
    async def act(hub, offer):
        slow, deaf, quick = Reader(), Reader(reads=False), Reader()
        for reader in (slow, deaf, quick):
            hub.join(reader.client)
        for seq in range(1, 21):
            offer(seq)
            await until(lambda: quick.got[-1:] == [seq])  # noqa: B023
            hub.acknowledge(quick.client, seq)
        assert quick.got == list(range(1, 21))
        assert slow.got == deaf.got == [1]
        hub.acknowledge(slow.client, 7)  # a number it was not sent
        await settle()
        assert slow.got == [1]
        hub.acknowledge(slow.client, 1)
        await until(lambda: len(slow.got) > 1)
        assert slow.got == [1, 20]
        assert hub.encoded == 20

    handing_out(act)


def test_an_image_is_encoded_once_for_all_and_only_for_those_who_are_ready():
    async def act(hub, offer):
        readers = [Reader() for _ in range(5)]
        offer(1)
        await settle()
        assert hub.encoded == 0
        for reader in readers:
            hub.join(reader.client)
        offer(2)
        await until(lambda: all(reader.got for reader in readers))
        assert [reader.got for reader in readers] == [[2]] * 5
        assert hub.encoded == 1
        for seq in range(3, 9):
            offer(seq)
            await asyncio.sleep(0.01)
        await settle()
        assert hub.encoded == 1
        # One that comes later is shown the newest at once, and so is one that wakes up after it.
        late = Reader()
        hub.join(late.client)
        for reader in readers[:2]:
            hub.acknowledge(reader.client, 2)
            await until(lambda: len(reader.got) > 1)  # noqa: B023
        await until(lambda: late.got)
        assert late.got == [8]
        assert (readers[0].got, readers[1].got) == ([2, 8], [2, 8])
        assert hub.encoded == 2

    handing_out(act)


def test_the_audience_is_told_only_when_it_changes():
    async def act(hub, offer):
        first, second = Reader(), Reader()
        hub.join(first.client)
        hub.join(second.client)
        hub.want(second.client, Watch(debug=True))
        hub.want(first.client, Watch(debug=True))
        hub.want(first.client, Watch(mask=True))
        hub.leave(second.client)
        hub.leave(first.client)

    assert handing_out(act) == [
        (True, Watch()),
        (True, Watch(debug=True)),
        (True, Watch(debug=True, mask=True)),
        (True, Watch(mask=True)),
        (False, Watch()),
    ]


def test_a_mask_is_encoded_once_and_only_for_those_who_want_it_and_are_ready():
    made = []

    def count(view):
        made.append(view)
        return encode_mask(view)

    mask = ImageView(np.full((48, 64), 255, np.uint8), "mono")

    async def act(hub, offer):
        plain, busy, curious = Reader(), Reader(), Reader()
        for reader in (plain, busy, curious):
            hub.join(reader.client)
        hub.want(busy.client, Watch(mask=True))
        offer(1, mask=mask)
        await until(lambda: plain.got and busy.got and curious.got)
        assert (plain.masks, busy.masks, curious.masks) == ([b""], [encode_mask(mask)], [b""])
        # The only one that wants it has not drawn the last: no work, and nothing for the others.
        for reader in (plain, curious):
            hub.acknowledge(reader.client, 1)
        offer(2, mask=mask)
        await until(lambda: len(plain.got) == len(curious.got) == 2)
        assert plain.masks[-1] == b""
        assert len(made) == 1
        hub.want(curious.client, Watch(mask=True))
        hub.acknowledge(busy.client, 1)
        hub.acknowledge(curious.client, 2)
        await until(lambda: len(busy.got) == 2)
        offer(3, mask=mask)
        await until(lambda: len(curious.got) == 3)
        assert busy.got == [1, 2]
        assert busy.masks[-1] == curious.masks[-1] == encode_mask(mask)
        hub.acknowledge(busy.client, 2)
        await until(lambda: len(busy.got) == 3)
        assert len(made) == 3

    handing_out(act, count)


def test_an_unreadable_image_leaves_the_others_alone():
    complaints = []

    async def act(hub, offer):
        reader = Reader()
        hub.join(reader.client)
        broken = dataclasses.replace(make_frame(1), decode=lambda: 1 / 0)
        hub.offer(Scene(1, broken, ()))
        await until(lambda: reader.got)
        hub.acknowledge(reader.client, 1)
        offer(2)
        await until(lambda: len(reader.got) > 1)
        assert reader.got == [1, 2]

    handing_out(act, complain=complaints.append)
    assert len(complaints) == 1
    assert "ZeroDivisionError" in complaints[0]


# -- starting ---------------------------------------------------------------------------------


def test_options_become_parameters():
    args = build_parser().parse_args(
        ["console", "--port", "8091", "--image", "/a/image", "--compressed", "--tracker", "t1"]
    )
    assert ros_arguments(args) == [
        "--ros-args",
        *("-p", "port:=8091"),
        *("-p", 'tracker:="t1"'),
        *("-p", "image_transport:=compressed"),
        *("-r", "image:=/a/image"),
    ]
