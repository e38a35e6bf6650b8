"""The MAVLink bridge as a process, spoken to as ground stations, autopilots and strangers do."""

import math
import os
import random
import socket
import subprocess
import sys
import time

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("pymavlink", reason="the MAVLink bridge needs pymavlink")

from mavlink_harness import CAMERA, TRACKING, StandIn, Station, bridge
from node_harness import DOMAIN, NAMESPACE, WAIT
from pymavlink.dialects.v20 import common as dialect

from duml_tracker_ros.mavlink.codec import read_key

OWN = f"{NAMESPACE}_mavlink"
ACCEPTED, REJECTED, DENIED, UNSUPPORTED, IN_PROGRESS = 0, 1, 2, 3, 5
RECTANGLE = dialect.MAV_CMD_CAMERA_TRACK_RECTANGLE
POINT = dialect.MAV_CMD_CAMERA_TRACK_POINT
STOP = dialect.MAV_CMD_CAMERA_STOP_TRACKING
REQUEST = dialect.MAV_CMD_REQUEST_MESSAGE
INTERVAL = dialect.MAV_CMD_SET_MESSAGE_INTERVAL
STATUS = dialect.MAVLINK_MSG_ID_CAMERA_TRACKING_IMAGE_STATUS
BOX = (0.2, 0.3, 0.5, 0.7)


@pytest.fixture(scope="module")
def stand_in():
    with StandIn(OWN) as tracker:
        yield tracker


@pytest.fixture
def tracker(stand_in):
    """As it was at first, whatever the test before made of it."""
    stand_in.targets, stand_in.refusal, stand_in.silent = {}, "", False
    stand_in.error, stand_in.place = None, None
    stand_in.answering.set()
    return stand_in


@pytest.fixture(scope="module")
def port(stand_in):
    with bridge(namespace=OWN) as (port, _):
        yield port


@pytest.fixture
def station(port, tracker):
    with Station(port) as station:
        heard(station)
        status(station, lambda m: m.tracking_status == 0)
        tracker.asked.clear()
        station.got.clear()
        yield station
        station.command(INTERVAL, STATUS, 0)


def heard(station):
    """Be known to the bridge, which answers only then, and let it have found the tracker and
    seen its images."""
    end = time.monotonic() + WAIT
    while station.ask(STOP) != ACCEPTED:
        assert time.monotonic() < end, station.texts()
        time.sleep(0.1)
    while True:
        station.command(REQUEST, dialect.MAVLINK_MSG_ID_CAMERA_INFORMATION)
        if station.message("CAMERA_INFORMATION").resolution_h:
            return
        assert time.monotonic() < end, "no image size"
        time.sleep(0.05)


def digested(station):
    """Return once a command has been answered, and so all that was sent before has been read."""
    kind = dialect.MAV_CMD_GET_MESSAGE_INTERVAL
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        station.command(kind, STATUS)
        for message in station.read(0.2):
            if message.get_type() == "COMMAND_ACK" and message.command == kind:
                return
    raise AssertionError("no answer")


def status(station, fits=lambda message: True):
    """The tracking status, asked for until it fits."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        station.command(REQUEST, STATUS)
        found = station.message("CAMERA_TRACKING_IMAGE_STATUS")
        if fits(found):
            return found
        time.sleep(0.05)
    raise AssertionError(f"last: {found}")


def test_it_announces_itself_as_a_camera_that_tracks(station):
    heartbeat = station.message("HEARTBEAT")
    assert (heartbeat.get_srcSystem(), heartbeat.get_srcComponent()) == CAMERA
    assert (heartbeat.type, heartbeat.autopilot) == (dialect.MAV_TYPE_CAMERA, 8)
    # As QGroundControl asks, by turns.
    for ask in ((REQUEST, 259), (dialect.MAV_CMD_REQUEST_CAMERA_INFORMATION, 1)):
        assert station.ask(*ask) == ACCEPTED
        told = station.message("CAMERA_INFORMATION")
        tracks = (
            dialect.CAMERA_CAP_FLAGS_HAS_TRACKING_POINT
            | dialect.CAMERA_CAP_FLAGS_HAS_TRACKING_RECTANGLE
        )
        assert told.flags == tracks
        assert (told.resolution_h, told.resolution_v) == (640, 480)
        assert bytes(told.model_name).rstrip(b"\0") == b"DuML tracker"
    for other in (dialect.MAV_CMD_REQUEST_CAMERA_SETTINGS, dialect.MAV_CMD_VIDEO_START_CAPTURE):
        assert station.ask(other, 1) == UNSUPPORTED
    assert station.ask(REQUEST, dialect.MAVLINK_MSG_ID_STORAGE_INFORMATION) == UNSUPPORTED


def test_what_qgroundcontrol_does_with_a_box(station, tracker):
    """TRACK_RECTANGLE, the status twice a second, STOP_TRACKING, no status any more."""
    assert station.ask(RECTANGLE, *BOX) == ACCEPTED
    (request,) = tracker.asked
    assert (request.x, request.y, request.width, request.height) == pytest.approx(
        (0.2, 0.3, 0.3, 0.4)
    )
    assert request.normalized
    assert (request.stamp.sec, request.replaces) == (0, 0)
    assert station.ask(INTERVAL, STATUS, 500_000) == ACCEPTED
    station.command(dialect.MAV_CMD_GET_MESSAGE_INTERVAL, STATUS)
    assert station.message("MESSAGE_INTERVAL").interval_us == 500_000
    status(station, lambda m: m.tracking_status == 1)
    got = [station.message("CAMERA_TRACKING_IMAGE_STATUS") for _ in range(3)]
    assert [(m.tracking_status, m.tracking_mode, m.camera_device_id) for m in got] == [
        (1, 2, 0)
    ] * 3
    target = next(iter(tracker.targets))
    corners = (0.1 * target, 0.1, 0.1 * target + 0.1, 0.3)
    last = got[-1]
    told = (last.rec_top_x, last.rec_top_y, last.rec_bottom_x, last.rec_bottom_y)
    assert told == pytest.approx(corners, abs=1e-5)
    assert station.ask(STOP) == ACCEPTED
    assert tracker.asked[-1].target_id == 0
    assert station.ask(INTERVAL, STATUS, -1) == ACCEPTED
    station.command(dialect.MAV_CMD_GET_MESSAGE_INTERVAL, STATUS)
    assert station.message("MESSAGE_INTERVAL").interval_us == -1
    station.got.clear()
    station.message("HEARTBEAT")
    station.message("HEARTBEAT")
    assert not [m for m in station.got if m.get_msgId() == STATUS]


def test_what_is_asked_of_it_while_there_is_no_tracker():
    """The frames of QGroundControl and of ArduPilot's MAVLinkCamV2 when they meet a camera."""
    video, legacy = (
        dialect.MAVLINK_MSG_ID_VIDEO_STREAM_INFORMATION,
        {
            dialect.MAV_CMD_REQUEST_VIDEO_STREAM_INFORMATION: "VIDEO_STREAM_INFORMATION",
            dialect.MAV_CMD_REQUEST_VIDEO_STREAM_STATUS: "VIDEO_STREAM_STATUS",
        },
    )
    uri = "rtsp://127.0.0.1:8554/main"
    with (
        bridge(namespace=f"{OWN}_alone", video_uri=uri) as (port, _),
        Station(port) as ground,
        Station(port, ids=(1, 1)) as pilot,
    ):
        assert pilot.ask(REQUEST, dialect.MAVLINK_MSG_ID_CAMERA_INFORMATION) == ACCEPTED
        told = pilot.message("CAMERA_INFORMATION")
        assert told.flags & dialect.CAMERA_CAP_FLAGS_HAS_VIDEO_STREAM
        # Where it is not told which of them, all; then by number; QGroundControl the old way, too.
        for stream in (0, 1):
            assert pilot.ask(REQUEST, video, stream) == ACCEPTED
            told = pilot.message("VIDEO_STREAM_INFORMATION")
            assert (told.count, told.stream_id, told.uri) == (1, 1, uri)
            for kind, name in legacy.items():
                assert ground.ask(kind, stream) == ACCEPTED
                assert ground.message(name).stream_id == 1
        assert pilot.ask(REQUEST, video, 2) == DENIED
        assert pilot.texts()[-1] == "video stream 2: there is only 1"
        # Nothing is known of the tracker: no target is not what is told.
        assert ground.ask(INTERVAL, STATUS, 500_000) == ACCEPTED
        told = ground.message("CAMERA_TRACKING_IMAGE_STATUS")
        assert (told.tracking_status, told.tracking_mode, told.camera_device_id) == (2, 0, 0)
        assert math.isnan(told.point_x)
        # A click has a radius, which has no size without an image; ArduPilot sends none.
        assert ground.ask(POINT, 0.5, 0.25, 20 / 1280) == REJECTED
        assert ground.texts()[-1].startswith("no news of the tracker yet")
        assert pilot.ask(POINT, 0.5, 0.25) == REJECTED
        assert pilot.texts()[-1].startswith("there is no service")
        answers = [m for m in (*pilot.got, *ground.got) if m.get_type() == "COMMAND_ACK"]
        assert {(m.target_system, m.target_component) for m in answers} == {(1, 1), (255, 190)}


def test_points_and_what_the_tracker_refuses(station, tracker):
    assert station.ask(POINT, 0.5, 0.25, 0.05) == ACCEPTED
    request = tracker.asked[-1]
    assert (request.x, request.y, request.size) == pytest.approx((0.5, 0.25, 64 / 480))
    status(station, lambda m: m.tracking_status == 1)
    tracker.refusal = "the box is too small: draw it around the target, all of it"
    assert station.ask(RECTANGLE, *BOX) == DENIED
    assert station.texts()[-1] == tracker.refusal
    tracker.silent = True
    status(station, lambda m: m.tracking_status == 2)
    tracker.refusal = "no image yet"
    assert station.ask(RECTANGLE, *BOX) == REJECTED
    asked = len(tracker.asked)
    for wrong in (
        (RECTANGLE, 310, 150, 350, 178),
        (RECTANGLE, *BOX, 2.5),
        (RECTANGLE, *BOX, 101),
        (POINT, math.nan, 0.5),
        (INTERVAL, STATUS, math.nan),
        (STOP, -3),
    ):
        assert station.ask(*wrong) == DENIED, wrong
    assert len(tracker.asked) == asked


def test_several_targets_by_their_device_ids(station, tracker):
    assert station.ask(RECTANGLE, *BOX) == ACCEPTED
    assert station.ask(RECTANGLE, *BOX, 2) == ACCEPTED
    first, second = tracker.targets
    assert [request.replaces for request in tracker.asked] == [0, 0]
    status(station, lambda m: m.camera_device_id == 0 and m.tracking_status == 1)
    shown = {}
    while set(shown) != {0, 2}:
        found = status(station, lambda m: m.tracking_status == 1)
        shown[found.camera_device_id] = round(found.rec_top_x * 10)
        for message in station.read(0.2):
            if message.get_msgId() == STATUS:
                shown[message.camera_device_id] = round(message.rec_top_x * 10)
    assert shown == {0: first, 2: second}
    # Another one in their places.
    assert station.ask(RECTANGLE, *BOX, 2) == ACCEPTED
    assert station.ask(RECTANGLE, *BOX, 100) == ACCEPTED
    assert [request.replaces for request in tracker.asked[2:]] == [second, first]
    third, fourth = tracker.targets
    status(
        station, lambda m: m.camera_device_id == 0 and m.rec_top_x == pytest.approx(0.1 * fourth)
    )
    assert station.ask(STOP, 2) == ACCEPTED
    assert tracker.asked[-1].target_id == third
    assert station.ask(STOP, 5) == ACCEPTED  # there is none
    assert tracker.asked[-1].target_id == third
    assert station.ask(STOP) == ACCEPTED
    assert not tracker.targets


def test_a_command_that_comes_again_is_obeyed_once(station, tracker):
    assert station.ask(RECTANGLE, *BOX) == ACCEPTED
    for confirmation in (1, 2):
        assert station.ask(RECTANGLE, *BOX, confirmation=confirmation) == ACCEPTED
    assert len(tracker.asked) == 1
    assert station.ask(RECTANGLE, *BOX) == ACCEPTED
    assert len(tracker.asked) == 2


def test_a_lost_target_is_told_as_lost(station, tracker):
    assert station.ask(RECTANGLE, *BOX) == ACCEPTED
    assert station.ask(INTERVAL, STATUS, 100_000) == ACCEPTED
    station.message("CAMERA_TRACKING_IMAGE_STATUS", lambda m: m.tracking_status == 1)
    tracker.targets = dict.fromkeys(tracker.targets, 3)
    lost = station.message("CAMERA_TRACKING_IMAGE_STATUS", lambda m: m.tracking_status == 2)
    assert all(math.isnan(v) for v in (lost.point_x, lost.rec_top_x, lost.rec_bottom_y))
    tracker.targets = dict.fromkeys(tracker.targets, TRACKING)
    station.message("CAMERA_TRACKING_IMAGE_STATUS", lambda m: m.tracking_status == 1)
    # A tracker, or a camera, that is silent: nothing is known of the target either.
    tracker.silent = True
    station.message("CAMERA_TRACKING_IMAGE_STATUS", lambda m: m.tracking_status == 2)


def test_strangers_floods_garbage_and_pieces_change_nothing(station, port, tracker):
    assert station.ask(RECTANGLE, *BOX) == ACCEPTED
    before, asked = dict(tracker.targets), len(tracker.asked)
    chance = random.Random(1)
    stop = dialect.MAVLink_command_long_message(*CAMERA, STOP, 0, *(0.0,) * 7)
    with Station(port) as stranger:
        whole = stranger.pack(stop)
        for index in range(3000):
            kind = index % 5
            if kind == 0:
                stranger.write(chance.randbytes(chance.randrange(1, 1400)))
            elif kind == 1:
                stranger.write(whole[: chance.randrange(1, len(whole))])
            elif kind == 2:
                broken = bytearray(whole)
                broken[chance.randrange(1, len(whole))] ^= 1 << chance.randrange(8)
                stranger.write(bytes(broken))
            elif kind == 3:
                # To another system, to another component of this one, to an autopilot.
                stranger.command(STOP, to=((2, 100), (1, 101), (1, 1))[chance.randrange(3)])
            else:
                # To all cameras, but another one is meant.
                stranger.command(STOP, 101, to=(1, 0))
        # What came too fast for the bridge is lost: first let it have read all.
        digested(stranger)
        # Who sends as the bridge itself is not obeyed.
        with Station(port, ids=CAMERA) as twin:
            twin.write(twin.pack(stop))
        digested(station)
        assert status(station).tracking_status == 1
        assert tracker.targets == before
        assert len(tracker.asked) == asked
        # A whole frame behind a torn one is meant.
        stranger.write(bytes([0xFD, 255, 0, 0, 0, 255, 190, 3, 3, 3]) + whole)
        assert stranger.acknowledged(STOP).result == ACCEPTED
    assert not tracker.targets


def test_a_slow_answer_is_awaited_and_others_are_told_to_come_back(station, tracker):
    tracker.answering.clear()
    station.command(RECTANGLE, *BOX)
    first = station.message("COMMAND_ACK", lambda m: m.command == RECTANGLE)
    assert first.result == IN_PROGRESS
    station.command(RECTANGLE, *BOX, confirmation=1)
    again = station.message("COMMAND_ACK", lambda m: m.command == RECTANGLE)
    assert again.result == IN_PROGRESS
    assert station.ask(RECTANGLE, 0.1, 0.1, 0.2, 0.2) == REJECTED
    tracker.answering.set()
    assert station.acknowledged(RECTANGLE).result == ACCEPTED
    assert len(tracker.asked) == 1


def test_boxes_are_meant_for_the_image_that_was_seen(tracker):
    with bridge(namespace=OWN, video_latency=0.5) as (port, _), Station(port) as station:
        heard(station)
        end = time.monotonic() + WAIT
        while True:
            tracker.asked.clear()
            sent = time.monotonic()
            assert station.ask(RECTANGLE, *BOX) == ACCEPTED
            answered = time.monotonic()
            stamp = tracker.asked[0].stamp
            shown = {stamp_ns: moment for moment, stamp_ns in tracker.stamps}
            moment = shown.get(stamp.sec * 1_000_000_000 + stamp.nanosec, 0.0)
            # However long DDS took to carry images to the bridge, which has none of then at first.
            if sent - 0.5 - 2.0 < moment < answered - 0.5 + tracker.PERIOD:
                break
            assert time.monotonic() < end, "images of half a second before are not selected on"


def test_only_the_signed_are_heeded_and_answers_are_signed(tracker, tmp_path):
    file = tmp_path / "key"
    file.write_text("correct horse battery\n")
    key = read_key(str(file))
    with (
        bridge(namespace=OWN, signing_key_file=str(file)) as (port, _),
        Station(port, key=key) as station,
        Station(port) as stranger,
    ):
        heard(station)
        tracker.asked.clear()
        for _ in range(20):
            stranger.command(RECTANGLE, *BOX)
        assert station.ask(RECTANGLE, *BOX) == ACCEPTED
        assert len(tracker.asked) == 1
        assert station.got[-1].get_signed()
        assert stranger.read(0.2) == []


def test_the_target_is_told_by_its_place_on_earth(tracker):
    tracker.place = (0.0, 0.0, 100.0)
    with (
        bridge(namespace=OWN, geo=True) as (port, _),
        Station(port, ids=(1, 1)) as pilot,
        Station(port) as station,
    ):
        heard(station)
        assert station.ask(RECTANGLE, *BOX) == ACCEPTED
        assert station.ask(REQUEST, 276) == REJECTED  # nobody has told where the vehicle is
        end = time.monotonic() + WAIT
        result = REJECTED
        while result != ACCEPTED and time.monotonic() < end:
            pilot.send(
                dialect.MAVLink_global_position_int_message(
                    0, 473_977_420, 85_455_940, 500_000, 40_000, 0, 0, 0, 0
                )
            )
            pilot.send(dialect.MAVLink_attitude_message(0, 0, 0, math.pi / 2, 0, 0, 0))
            result = station.ask(REQUEST, 276)
        found = station.message("CAMERA_TRACKING_GEO_STATUS")
    # 100 m to the east.
    assert found.lat == pytest.approx(473_977_420, abs=3)
    assert found.lon == pytest.approx(85_455_940 + 13_250, abs=50)
    assert (found.alt, found.dist) == pytest.approx((500.0, 100.0))
    assert math.isnan(found.vel_n)


def test_a_gimbal_is_turned_to_the_target_held_and_given_up(tracker):
    tracker.error = 0.1, -0.05
    turn, configure = "GIMBAL_MANAGER_SET_PITCHYAW", dialect.MAV_CMD_DO_GIMBAL_MANAGER_CONFIGURE

    def configured(first):
        return lambda m: (
            m.get_type() == "COMMAND_LONG" and m.command == configure and m.param1 == first
        )

    with (
        bridge(namespace=OWN, gimbal=True, gimbal_lead=0.0, gimbal_coast=0.2) as (port, _),
        Station(port, ids=(1, 1)) as pilot,
    ):
        heard(pilot)
        pilot.command(RECTANGLE, *BOX)
        assert pilot.until(configured(1.0), "control is taken").param2 == 100
        rates = pilot.message(turn, lambda m: m.yaw_rate)
        assert (rates.target_system, rates.target_component) == (1, 1)
        assert math.isnan(rates.pitch)
        assert math.isnan(rates.yaw)
        assert rates.yaw_rate == pytest.approx(3.0 * math.atan(0.1), rel=1e-4)
        assert rates.pitch_rate == pytest.approx(3.0 * math.atan(0.05), rel=1e-4)
        still = (0.0, 0.0)
        tracker.targets = dict.fromkeys(tracker.targets, 3)
        pilot.message(turn, lambda m: (m.pitch_rate, m.yaw_rate) == still)
        tracker.targets = dict.fromkeys(tracker.targets, TRACKING)
        pilot.message(turn, lambda m: m.yaw_rate > 0.2)
        # Somebody takes the gimbal over: it is left alone.
        for system, component in ((1, 100), (255, 190)):
            message = dialect.MAVLink_gimbal_manager_status_message(
                0, 0, 1, system, component, 0, 0
            )
            pilot.send(message)
        digested(pilot)
        pilot.drain()
        pilot.got.clear()
        pilot.message("HEARTBEAT")
        assert not [m for m in pilot.got if m.get_type() == turn]
        # Until another target is selected.
        pilot.command(RECTANGLE, *BOX, confirmation=0)
        tracker.targets = {max(tracker.targets): TRACKING}
        pilot.message(turn, lambda m: m.yaw_rate > 0.2)
        tracker.targets = {}
        pilot.until(configured(-3.0), "control is given up")
        assert [(m.pitch_rate, m.yaw_rate) for m in pilot.got if m.get_type() == turn][-3:] == [
            still
        ] * 3


def test_it_speaks_first_and_again_to_who_was_not_there():
    with Station() as station:
        listening = station.socket.getsockname()[1]
        station.socket.close()
        with bridge(connection=f"udpout:127.0.0.1:{listening}", namespace=OWN):
            for _ in range(2):
                with Station(bound=listening) as station:
                    assert station.message("HEARTBEAT").get_srcComponent() == 100
                    station.command(REQUEST, 259)
                    station.message("CAMERA_INFORMATION")


def test_a_connection_that_breaks_is_made_again():
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    with bridge(connection=f"tcp:127.0.0.1:{port}", namespace=OWN):
        for _ in range(2):
            server.settimeout(WAIT)
            line, _ = server.accept()
            line.settimeout(WAIT)
            parser = dialect.MAVLink(None, 255, 190)
            parser.robust_parsing = True
            got = []
            command = dialect.MAVLink_command_long_message(*CAMERA, REQUEST, 0, 259, *(0.0,) * 6)
            whole = bytes(command.pack(parser))
            line.sendall(b"garbage" + whole[:9])
            line.sendall(whole[9:])
            while not any(m.get_type() == "CAMERA_INFORMATION" for m in got):
                got += parser.parse_buffer(line.recv(4096)) or []
            line.close()
    server.close()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"connection": "serial:/dev/ttyACM0"}, "connection = 'serial:/dev/ttyACM0'"),
        ({"connection": "udp:192.0.2.1:14560"}, "cannot be listened on"),
        ({"signing_key_file": "/nowhere"}, "signing_key_file = '/nowhere' cannot be read"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(settings, words):
    arguments = [part for item in settings.items() for part in ("-p", "{}:={}".format(*item))]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "duml_tracker_ros.mavlink", "--ros-args", *arguments],
        capture_output=True,
        text=True,
        timeout=WAIT,
        env=dict(os.environ, ROS_DOMAIN_ID=str(DOMAIN)),
    )
    assert done.returncode == 1
    assert done.stderr.startswith("duml_mavlink: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
