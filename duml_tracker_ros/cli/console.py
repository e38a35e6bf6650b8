"""`duml-tracker console`: the tracker node's web console. Needs ROS 2, as the node does."""

from __future__ import annotations

import argparse

from ..arguments import Number, Whole
from .common import ros_package, ros_parameters

HELP = "serve a page to watch the tracker node and select targets"
DESCRIPTION = """\
Serve a page on which a person watches the tracker node and selects its targets: live image, boxes,
confidence, score maps. Open the address that it prints. Needs ROS 2; on another address than
loopback browsers need the token in the printed address.
"""
EXAMPLES = """\
# for a browser on this machine
duml-tracker console --image /camera/image_raw
# for a phone in the same network
duml-tracker console --host 0.0.0.0
# for a tracker in a namespace
duml-tracker console --tracker /drone/duml_tracker --image /drone/image
"""
# Options that are parameters of the node of the same name.
PARAMETERS = ("host", "port", "token_file", "tracker", "rate", "max_width", "quality")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image", metavar="TOPIC", help="image topic of the camera (image)")
    parser.add_argument(
        "--compressed", action="store_true", help="take TOPIC/compressed instead of TOPIC"
    )
    parser.add_argument("--tracker", metavar="NODE", help="name of the node (duml_tracker)")
    parser.add_argument("--host", metavar="ADDR", help="address to serve on (127.0.0.1)")
    parser.add_argument("--port", type=Whole(0, 65535), metavar="N", help="port to serve on (8090)")
    parser.add_argument(
        "--token-file", metavar="FILE", help="file whose first line browsers must know"
    )
    parser.add_argument(
        "--rate", type=Number(0.2, 120), metavar="HZ", help="most images a second (30)"
    )
    parser.add_argument(
        "--max-width", type=Whole(64, 8192), metavar="PX", help="of the images (1280)"
    )
    parser.add_argument(
        "--quality", type=Whole(10, 100), metavar="Q", help="JPEG quality, 10 to 100 (80)"
    )


def run(args: argparse.Namespace) -> int:
    with ros_package("the console"):
        from ..console.main import main
    return main(ros_arguments(args))


def ros_arguments(args: argparse.Namespace) -> list[str]:
    """The options as ROS arguments of the console's node."""
    arguments = ros_parameters({name: getattr(args, name) for name in PARAMETERS})
    if args.compressed:
        arguments += ["-p", "image_transport:=compressed"]
    if args.image:
        arguments += ["-r", f"image:={args.image}"]
    return arguments
