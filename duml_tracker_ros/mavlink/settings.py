"""The parameters of the MAVLink bridge, declared once."""

from __future__ import annotations

import dataclasses

from ..node.beside import BesideError
from ..node.parameter_table import Span, Table, parameter


class MavlinkError(BesideError):
    """The bridge cannot start; one line with the remedy."""


@dataclasses.dataclass(frozen=True)
class MavlinkSettings:
    """Values of all parameters of the bridge; all are read at start."""

    connection: str = parameter(
        "udp:127.0.0.1:14560",
        "udp:ADDRESS:PORT listens there and answers whoever speaks; udpout:HOST:PORT speaks to "
        "one; tcp:HOST:PORT connects, again and again",
        pattern=r"(udp|udpin|udpout|tcp):[A-Za-z0-9._-]+:\d{1,5}",
        remedy="use udp:127.0.0.1:14560, udpout:HOST:PORT or tcp:HOST:PORT",
    )
    system_id: int = parameter(1, "system id; that of the vehicle", Span(1, 255))
    component_id: int = parameter(
        100, "component id; ground stations take 100 to 105 for cameras", Span(1, 255)
    )
    tracker: str = parameter(
        "duml_tracker",
        "name of the tracker node, with its namespace if that is another",
        pattern=r"/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*",
        remedy="use a node's name, for example 'duml_tracker' or '/drone/duml_tracker'",
    )
    signing_key_file: str = parameter(
        "",
        "file whose first line is the passphrase that messages are signed with; then unsigned "
        "ones are not heeded",
    )
    status_rate: float = parameter(
        5.0,
        "rate of the tracking status while a target is followed, for those who have not asked "
        "for an interval; 0 = only for those who have",
        Span(0.0, 50.0, "Hz"),
    )
    video_latency: float = parameter(
        0.0,
        "age of the image that the operator sees; targets are selected on the image of that "
        "time, which the tracker's ring_seconds must hold",
        Span(0.0, 10.0, "s"),
    )
    video_uri: str = parameter(
        "", "address of the video, such as rtsp://10.0.0.2:8554/main, told to ground stations"
    )
    timeout: float = parameter(
        1.0,
        "time without news of the tracker after which the target counts as lost",
        Span(0.1, 60.0, "s"),
    )
    geo: bool = parameter(
        False,
        "tell where on earth the target is, from ~/position and the vehicle's position and "
        "attitude, which must come over the same connection",
    )
    mount_pitch: float = parameter(
        0.0,
        "for geo without a gimbal: pitch of the camera against the vehicle, negative downwards",
        Span(-180.0, 180.0, "deg"),
    )
    gimbal: bool = parameter(
        False, "keep the target in the middle by rates to a gimbal manager, from ~/bearing"
    )
    gimbal_component: int = parameter(
        1, "component id of the gimbal manager; 1 is the autopilot", Span(1, 255)
    )
    gimbal_device: int = parameter(
        0, "gimbal device id, 0 = all; told to ground stations, too", Span(0, 255)
    )
    gimbal_gain: float = parameter(3.0, "rate for an angle off the middle", Span(0.0, 20.0, "1/s"))
    gimbal_lead: float = parameter(
        1.0,
        "share of the target's own rate that is added, so that it is not lagged behind",
        Span(0.0, 1.0),
    )
    gimbal_max_rate: float = parameter(0.7, "most that is asked for", Span(0.01, 10.0, "rad/s"))
    gimbal_coast: float = parameter(
        1.0,
        "time in which turning on after a lost target fades; then the gimbal is held",
        Span(0.0, 10.0, "s"),
    )


TABLE = Table(MavlinkSettings, MavlinkError)
