"""The MAVLink bridge's parts: frames and signatures, commands, targets, geometry, the gimbal."""

from __future__ import annotations

import asyncio
import math
import random
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pymavlink", reason="the MAVLink bridge needs pymavlink")
pytest.importorskip("rclpy", reason="needs ROS 2")

from pymavlink import mavextra, quaternion
from pymavlink.dialects.v20 import common as dialect

from duml_tracker_ros.cli.main import build_parser
from duml_tracker_ros.cli.mavlink import ros_arguments
from duml_tracker_ros.demo.steered_camera import Gimbal
from duml_tracker_ros.mavlink import commands, geo
from duml_tracker_ros.mavlink.camera import CameraComponent
from duml_tracker_ros.mavlink.codec import Codec, read_key
from duml_tracker_ros.mavlink.commands import Denied, Later, NotMeant
from duml_tracker_ros.mavlink.gimbal import GimbalPointer
from duml_tracker_ros.mavlink.peers import MOST_PEERS, OFF, SILENT_FOR, Peer, Peers
from duml_tracker_ros.mavlink.settings import TABLE, MavlinkError, MavlinkSettings
from duml_tracker_ros.mavlink.tracking import IDLE, LOST, TRACKING, TargetReport, Tracking

ROOT = Path(__file__).resolve().parents[2]
KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
ACTIVE, ERROR = 1, 2


def frame(number=1, key=None, version1=False):
    """A heartbeat as pymavlink packs it, `number` in its custom mode."""
    mav = dialect.MAVLink(None, 255, 190)
    if key is not None:
        mav.signing.secret_key, mav.signing.sign_outgoing = key, True
        mav.signing.timestamp = 10**15 + number
    message = dialect.MAVLink_heartbeat_message(6, 8, 0, number, 4, 3)
    return bytes(message.pack(mav, force_mavlink1=version1))


def numbers(messages):
    return [message.custom_mode for message in messages]


# -- frames -----------------------------------------------------------------------------------


def test_frames_of_both_versions_are_found_between_anything():
    codec, chance = Codec(1, 100), random.Random(3)
    data, sent = b"", []
    for number in range(200):
        data += bytes(chance.choices((0xFD, 0xFE, 0, 1, 30, 255), k=chance.randrange(40)))
        whole = frame(number, version1=number % 3 == 0)
        # One in four is cut off: it must cost no other.
        cut = chance.randrange(1, len(whole)) if number % 4 == 0 else len(whole)
        data += whole[:cut]
        sent += [number] if cut == len(whole) else []
    found, rest = codec.decode(data)
    assert numbers(found) == sent
    assert rest == b""


def test_a_stream_in_pieces_gives_the_same_as_whole():
    codec, chance = Codec(1, 100), random.Random(4)
    data = b"\xfd\xff\x00" + b"".join(frame(number) for number in range(60))
    found, rest = [], b""
    while data:
        size = chance.randrange(1, 30)
        more, rest = codec.decode(rest + data[:size], stream=True)
        data, found = data[size:], found + more
    assert numbers(found) == list(range(60))
    assert len(rest) < 280


def test_every_truncation_and_every_flipped_bit_is_no_message():
    codec, whole = Codec(1, 100), frame(7)
    for length in range(len(whole)):
        assert codec.decode(whole[:length]) == ([], b""), length
    for place in range(8 * len(whole)):
        broken = bytearray(whole)
        broken[place // 8] ^= 1 << place % 8
        found, _ = codec.decode(bytes(broken))
        assert not any(m.get_type() == "HEARTBEAT" and m.custom_mode == 7 for m in found), place


def test_only_what_is_signed_with_the_key_is_read():
    codec = Codec(1, 100, KEY)
    assert codec.decode(frame(1))[0] == []
    assert codec.decode(frame(2, OTHER_KEY))[0] == []
    assert numbers(codec.decode(frame(3, KEY))[0]) == [3]
    # The same again is a replay.
    assert codec.decode(frame(3, KEY))[0] == []
    # A forged one from later on must not shut the right sender out.
    assert codec.decode(frame(900, OTHER_KEY))[0] == []
    assert numbers(codec.decode(frame(4, KEY))[0]) == [4]


def test_what_is_sent_is_read_and_verified_by_pymavlink():
    sender = Codec(1, 100, KEY)
    reader = dialect.MAVLink(None, 255, 190)
    reader.signing.secret_key = KEY
    for sequence in (254, 255, 0):
        data = sender.encode(dialect.MAVLink_heartbeat_message(30, 8, 0, 0, 4, 3), sequence)
        message = reader.decode(bytearray(data))
        assert (message.get_srcSystem(), message.get_srcComponent()) == (1, 100)
        assert message.get_seq() == sequence
        assert message.get_signed()


def test_a_key_is_made_of_a_passphrase_as_ground_stations_do(tmp_path):
    import hashlib

    file = tmp_path / "key"
    file.write_text("correct horse\nsecond line\n")
    assert read_key(str(file)) == hashlib.sha256(b"correct horse").digest()
    assert read_key("") is None
    file.write_text("short\n")
    with pytest.raises(MavlinkError, match=r"signing_key_file.*5 characters; use at least 8"):
        read_key(str(file))
    with pytest.raises(MavlinkError, match=r"'/dev/zero' cannot be read: it is no file"):
        read_key("/dev/zero")
    with pytest.raises(MavlinkError, match=r"signing_key_file = .*nowhere.*No such file"):
        read_key(str(tmp_path / "nowhere"))


# -- peers ------------------------------------------------------------------------------------


def test_no_more_than_so_many_are_answered_and_the_silent_are_forgotten():
    said = []
    peers = Peers(said.append)
    for number in range(3 * MOST_PEERS):
        peers.heard(number, f"peer {number}", lambda data: None, 0.0)
    assert len(peers) == MOST_PEERS
    assert len(said) == MOST_PEERS
    peers.heard(0, "peer 0", lambda data: None, SILENT_FOR)
    assert peers.heard(99, "late", lambda data: None, SILENT_FOR + 1) is not None
    assert {peer.name for peer in peers} == {"peer 0", "late"}


def test_a_stream_keeps_its_interval_and_makes_nothing_up():
    peer = Peer("one", lambda data: None)
    sent = [tick for tick in range(1000) if peer.take_due(275, 0.5, 0.01 * tick)]
    assert sent == list(range(0, 1000, 50))
    assert peer.take_due(275, 0.5, 60.0)
    assert not peer.take_due(275, 0.5, 60.4)


# -- commands ---------------------------------------------------------------------------------


def test_rectangles():
    assert commands.read_rectangle((0.2, 0.3, 0.5, 0.7)) == pytest.approx((0.2, 0.3, 0.3, 0.4))
    # Drawn from the lower right corner, and over the edge.
    assert commands.read_rectangle((0.5, 0.7, -0.1, 0.3)) == pytest.approx((0.0, 0.3, 0.5, 0.4))
    for wrong in (
        (0.2, 0.2, 0.2, 0.6),
        (310, 150, 350, 178),
        (math.nan, 0, 1, 1),
        (0, 0, math.inf, 1),
    ):
        with pytest.raises(Denied, match="rectangle"):
            commands.read_rectangle(wrong)


def test_points():
    assert commands.read_point((0.5, 0.25, 0.05), (640, 480)) == pytest.approx(
        (0.5, 0.25, 64 / 480)
    )
    for radius in (0.0, 0.001, math.nan):
        assert commands.read_point((0.5, 0.25, radius), (640, 480))[2] == 0.0
    # The click of QGroundControl: 20 pixels of the video as it is shown.
    click = commands.read_point((0.5, 0.25, 20 / 1280), (640, 480))
    assert click == pytest.approx((0.5, 0.25, 20 / 480))
    assert commands.read_point((0.5, 0.25, 0.0), (0, 0)) == (0.5, 0.25, 0.0)
    with pytest.raises(Later, match="how many pixels the radius has is not known"):
        commands.read_point((0.5, 0.25, 0.05), (0, 0))
    for wrong in ((1.2, 0.5, 0), (0.5, math.nan, 0), (0.5, 0.5, -1), (0.5, 0.5, math.inf)):
        with pytest.raises(Denied):
            commands.read_point(wrong, (640, 480))


def test_target_camera_ids():
    assert commands.read_slot(0.0, 100) is None
    assert commands.read_slot(math.nan, 100) is None
    assert commands.read_slot(100.0, 100) == 0
    assert commands.read_slot(3.0, 100) == 3
    with pytest.raises(NotMeant):
        commands.read_slot(101.0, 100)
    for wrong in (2.5, -1.0, 300.0, math.inf):
        with pytest.raises(Denied):
            commands.read_slot(wrong, 100)


def test_intervals():
    assert commands.read_interval(500_000.0) == 0.5
    assert commands.read_interval(0.0) is None
    assert commands.read_interval(-1.0) == OFF
    assert commands.read_interval(1.0) == commands.FASTEST
    for wrong in (-2.0, math.nan, math.inf, 1e12):
        with pytest.raises(Denied, match="interval"):
            commands.read_interval(wrong)


# -- targets ----------------------------------------------------------------------------------


def sight(stamp, target, followed=1, state=TRACKING):
    box = (0.25, 0.5, 0.1, 0.2) if state == TRACKING else None
    return TargetReport(stamp, 1e-9 * stamp, target, followed, state, (640, 480), box)


def test_a_target_is_told_where_it_is_and_only_while_it_is_seen():
    tracking = Tracking(timeout=1.0)
    # Of a tracker that was not heard of nobody can say that it follows nothing.
    unknown = tracking.status(0, 0.0)
    assert (unknown.tracking_status, unknown.tracking_mode) == (ERROR, 0)
    tracking.take(sight(0, 0, 0, IDLE), 9.0)
    assert tracking.status(0, 9.5).tracking_status == IDLE
    tracking.take(sight(1, 5), 10.0)
    status = tracking.status(0, 10.5)
    assert (status.tracking_status, status.tracking_mode, status.target_data) == (ACTIVE, 2, 4)
    corners = (status.rec_top_x, status.rec_top_y, status.rec_bottom_x, status.rec_bottom_y)
    assert corners == pytest.approx((0.25, 0.5, 0.35, 0.7))
    assert (status.point_x, status.point_y, status.radius) == pytest.approx((0.3, 0.6, 0.05))
    # The tracker, or its camera, is silent: the box of then is not that of now.
    assert tracking.status(0, 11.5).tracking_status == ERROR
    assert math.isnan(tracking.status(0, 11.5).rec_top_x)
    tracking.take(sight(2, 5, state=LOST), 12.0)
    lost = tracking.status(0, 12.0)
    assert (lost.tracking_status, lost.target_data) == (ERROR, 0)
    assert math.isnan(lost.point_x)
    assert math.isnan(lost.rec_bottom_y)
    tracking.take(sight(3, 0, 0, IDLE), 12.1)
    assert tracking.status(0, 12.1).tracking_status == IDLE


def test_a_target_that_was_stopped_is_idle_though_no_image_comes_any_more():
    tracking = Tracking(timeout=1.0)
    for target in (1, 2):
        tracking.take(sight(1, target, 2), 0.0)
    tracking.drop(2)
    assert tracking.target(0) == 1
    tracking.drop(0)
    assert tracking.status(0, 60.0).tracking_status == IDLE


def test_slots_keep_their_targets_and_0_is_its_own_or_the_newest():
    tracking = Tracking(timeout=1.0)
    for target in (1, 2, 3):
        tracking.take(sight(1, target, 3), 0.0)
    assert tracking.target(0) == 3
    tracking.assign(4, 3)
    assert (tracking.target(0), tracking.target(4)) == (2, 3)
    tracking.assign(0, 1)
    assert tracking.target(0) == tracking.own(0) == 1
    assert tracking.used_slots() == [0, 4]
    # One that ends is told; one whose place is taken is not.
    tracking.take(sight(2, 3, 2, IDLE), 0.1)
    assert tracking.used_slots() == [0]
    tracking.take(sight(3, 9, 1), 0.2)
    assert tracking.target(0) == 9
    assert tracking.own(0) == 0


def test_the_image_that_was_seen_then_is_found():
    tracking = Tracking(timeout=1.0)
    assert tracking.stamp_at(1.0) == 0
    for index in range(20):
        tracking.take(sight(index * 100_000_000, 0, 0, IDLE), 0.1 * index + 0.05)
    assert tracking.stamp_at(1.9 - 0.72) == 1_200_000_000
    assert tracking.stamp_at(-5.0) == 0
    assert tracking.arrival_of(700_000_000, 9.0) == pytest.approx(0.7)
    assert tracking.arrival_of(1, 9.0) == 9.0


# -- where on earth ---------------------------------------------------------------------------


DOWN = quaternion.Quaternion([0.0, -math.pi / 2, 0.0]).q


def vehicle(attitude=(0.0, 0.0, 0.0), mount_pitch=0.0, gimbal=None, flags=0):
    made = geo.Vehicle(mount_pitch)
    made.take(dialect.MAVLink_attitude_message(0, *attitude, 0, 0, 0), 0.0)
    made.take(
        dialect.MAVLink_global_position_int_message(
            0, 473_977_420, 85_455_940, 500_000, 40_000, 0, 0, 0, 0
        ),
        0.0,
    )
    if gimbal is not None:
        made.take(
            dialect.MAVLink_gimbal_device_attitude_status_message(
                0, 0, 0, flags, list(gimbal), 0, 0, 0, 0
            ),
            0.0,
        )
    return made


def offset(found):
    """North, east, up in metres from the vehicle, by pymavlink's ball of an earth."""
    lat, lon, alt = found[0] * 1e-7, found[1] * 1e-7, found[2]
    home = 47.397742, 8.545594
    north = math.copysign(mavextra.distance_lat_lon(*home, lat, home[1]), lat - home[0])
    east = math.copysign(mavextra.distance_lat_lon(*home, home[0], lon), lon - home[1])
    return north, east, alt - 500.0


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        # Straight ahead, to the north, and to the east.
        (vehicle(), (300.0, 20.0, -10.0)),
        (vehicle((0.0, 0.0, math.pi / 2)), (-20.0, 300.0, -10.0)),
        # A camera that looks straight down: what is ahead of it is below.
        (vehicle(mount_pitch=-90.0), (-10.0, 20.0, -300.0)),
        # A gimbal that looks down by itself, its yaw against the nose, or against north.
        (vehicle((0.1, 0.2, math.pi / 2), 0.0, DOWN, 32), (-20.0, -10.0, -300.0)),
        (vehicle((0.1, 0.2, 1.0), 0.0, DOWN, 64), (-10.0, 20.0, -300.0)),
        (vehicle((0.1, 0.2, 1.0), 0.0, DOWN, 16), (-10.0, 20.0, -300.0)),
    ],
)
def test_the_target_is_located(made, expected):
    # 20 m to the right, 10 m below, 300 m ahead of the camera.
    found = made.locate((20.0, 10.0, 300.0), 0.5)
    # pymavlink takes the earth for a ball: a share of its flattening is the difference.
    assert offset(found) == pytest.approx(expected, abs=1.5)


def test_old_news_locate_nothing():
    assert vehicle().locate((0.0, 0.0, 10.0), 3.0) is None
    assert geo.Vehicle(0.0).locate((0.0, 0.0, 10.0), 0.0) is None
    assert vehicle(gimbal=(0.0, 0.0, 0.0, 0.0)).locate((0.0, 0.0, 10.0), 0.0) is None


# -- the gimbal -------------------------------------------------------------------------------


def test_a_target_that_moves_steadily_is_kept_in_the_middle():
    """The law against motors with a lag, with images that are known a moment late."""
    pointer, gimbal = GimbalPointer(MavlinkSettings(gimbal=True)), Gimbal(np.array([3.0, 3.0]))
    speed, seen = np.array([0.05, 0.2]), []
    errors = []
    for index in range(200):
        now = 0.05 * index
        angle = speed * now - gimbal.angles
        errors.append(np.abs(angle).max())
        seen.append((now, math.tan(angle[1]), -math.tan(angle[0])))
        if index >= 2:
            taken, x, y = seen[index - 2]
            gimbal.command(*pointer.see(x, y, taken, now), now)
        gimbal.move(0.05, now)
    assert max(errors[100:]) < 0.005
    assert max(errors) > 0.02


def test_a_lost_target_is_looked_for_a_moment_then_the_gimbal_is_held():
    pointer = GimbalPointer(MavlinkSettings(gimbal=True, gimbal_coast=1.0))
    for index in range(40):
        pointer.see(0.1 + 0.01 * index, 0.0, 0.05 * index, 0.05 * index)
    at_once, later, held = (pointer.lose(2.0 + since) for since in (0.0, 0.5, 1.1))
    assert at_once[1] > 2 * later[1] > 0.0
    assert held == (0.0, 0.0)


def test_rates_are_limited_and_a_gimbal_that_looks_down_turns_more():
    pointer = GimbalPointer(MavlinkSettings(gimbal=True, gimbal_max_rate=0.5))
    assert pointer.see(1.0, -1.0, 0.0, 0.0) == (0.5, 0.5)
    pointer.pitch = math.radians(-60.0)
    assert pointer.see(0.1, 0.0, 0.0, 0.0)[1] == pytest.approx(2 * 3.0 * math.atan(0.1))


# -- settings and the command line ------------------------------------------------------------


def test_settings_are_judged_by_name():
    for value in ("udp", "udp:127.0.0.1", "serial:/dev/ttyACM0:57600", "udp:127.0.0.1:123456"):
        with pytest.raises(MavlinkError, match=r"connection = .*use udp:127\.0\.0\.1:14560"):
            TABLE.read({"connection": value})
    with pytest.raises(MavlinkError, match=r"system_id = 0.*255"):
        TABLE.read({"system_id": 0})
    assert TABLE.read({"connection": "udpout:robot.local:14550"}).system_id == 1


def test_the_reference_lists_every_parameter_as_it_is():
    text = (ROOT / "docs" / "mavlink.md").read_text(encoding="utf-8")
    assert TABLE.to_markdown() in text


def test_options_become_parameters():
    line = ["mavlink", "--connection", "tcp:10.0.0.1:5760", "--tracker", "t1", "--gimbal"]
    assert ros_arguments(build_parser().parse_args([*line, "--video-latency", "0.2"])) == [
        "--ros-args",
        *("-p", 'connection:="tcp:10.0.0.1:5760"'),
        *("-p", 'tracker:="t1"'),
        *("-p", "video_latency:=0.2"),
        *("-p", "gimbal:=true"),
    ]


def test_messages_of_the_tracker_become_shares_of_the_image():
    from duml_tracker_ros.mavlink.tracking import read_sight
    from duml_tracker_ros.msg import Target

    message = Target(state=Target.STATE_TRACKING, target_id=3, targets=1, latency=0.25)
    message.x, message.y, message.width, message.height = 64.0, 48.0, 32.0, 24.0
    assert read_sight(message, 1.0).box is None  # of an image of unknown size
    message.image_width, message.image_height = 640, 480
    got = read_sight(message, 1.0)
    assert got.box == pytest.approx((0.1, 0.1, 0.05, 0.05))
    assert got.arrival == 0.75
    message.state = Target.STATE_LOST
    assert read_sight(message, 1.0).box is None


# -- the end ----------------------------------------------------------------------------------


@pytest.mark.parametrize("turns", range(5))
def test_a_command_that_comes_at_the_very_end_does_not_keep_it(turns):
    """So many turns of the event loop before it is asked to end a stream is asked for, which wakes
    what sends."""
    to = 1, 100
    asked = dialect.MAVLink_command_long_message(
        *to,
        dialect.MAV_CMD_SET_MESSAGE_INTERVAL,
        0,
        dialect.MAVLINK_MSG_ID_CAMERA_TRACKING_IMAGE_STATUS,
        *(0.0,) * 6,
    )
    data, sent = bytes(asked.pack(dialect.MAVLink(None, 255, 190))), []

    async def end():
        camera = CameraComponent(MavlinkSettings(), Codec(*to), Peers(print), None, print)
        sending = asyncio.create_task(camera.run())
        await asyncio.sleep(0)
        camera.receive("ground", "ground", sent.append, data)
        for _ in range(turns):
            await asyncio.sleep(0)
        sending.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        return sending.cancelled()

    assert asyncio.run(end())
    assert sent
