"""`duml-tracker mavlink`: the tracker node as a MAVLink camera. Needs ROS 2, as the node does."""

from __future__ import annotations

import argparse

from ..arguments import Number, Whole
from .common import ros_package, ros_parameters

HELP = "make the tracker node a MAVLink camera for ground stations and gimbals"
DESCRIPTION = """\
Make the tracker node a MAVLink camera: QGroundControl and others select targets on it by a
rectangle or a point, are told where the target is, and stop it. --gimbal keeps the target in the
middle by rates to a gimbal manager. Needs ROS 2 and pymavlink.
"""
EXAMPLES = """\
# for a router or MAVProxy on this machine
duml-tracker mavlink
# for the router on the vehicle's computer
duml-tracker mavlink --connection udpout:10.0.0.2:14550
# with a gimbal
duml-tracker mavlink --gimbal
"""
# Options that are parameters of the node of the same name.
PARAMETERS = (
    "connection",
    "system_id",
    "component_id",
    "tracker",
    "signing_key_file",
    "status_rate",
    "video_latency",
    "video_uri",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--connection", metavar="KIND:ADDR:PORT", help="udp:, udpout: or tcp: (udp:127.0.0.1:14560)"
    )
    parser.add_argument(
        "--system-id", type=Whole(1, 255), metavar="N", help="that of the vehicle (1)"
    )
    parser.add_argument("--component-id", type=Whole(1, 255), metavar="N", help="100 to 105 (100)")
    parser.add_argument("--tracker", metavar="NODE", help="name of the node (duml_tracker)")
    parser.add_argument(
        "--signing-key-file", metavar="FILE", help="file whose first line is the passphrase"
    )
    parser.add_argument(
        "--status-rate", type=Number(0, 50), metavar="HZ", help="of the tracking status (5)"
    )
    parser.add_argument(
        "--video-latency", type=Number(0, 10), metavar="S", help="age of the image that is seen (0)"
    )
    parser.add_argument("--video-uri", metavar="URI", help="of the video, for ground stations")
    parser.add_argument("--gimbal", action="store_true", help="keep the target in the middle")
    parser.add_argument("--geo", action="store_true", help="tell where on earth the target is")


def run(args: argparse.Namespace) -> int:
    with ros_package("the MAVLink bridge"):
        from ..mavlink.main import main
    return main(ros_arguments(args))


def ros_arguments(args: argparse.Namespace) -> list[str]:
    """The options as ROS arguments of the bridge's node."""
    settings = {name: getattr(args, name) for name in PARAMETERS}
    settings.update({name: True for name in ("gimbal", "geo") if getattr(args, name)})
    return ros_parameters(settings)
