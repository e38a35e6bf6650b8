"""`duml-tracker bag`: follow one target through a recorded bag and write a bag of results."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import line, positive, shown
from . import common
from .common import DEFAULT_TRACKER, CliError

if TYPE_CHECKING:
    from ..messages.bag_images import BagImage

LAST = Decimal(2**32 * 1_000_000_000)
"""Nanoseconds beyond all stamps."""
TOLD = 5
"""Problems that are told one by one."""
HELP = "follow a target through a recorded bag"
DESCRIPTION = """\
Follow one target through the images of a ROS 2 bag (mcap or sqlite3, raw or compressed images) and
write what the node would publish into a new bag: /duml_tracker/target (duml_tracker_ros/Target) and
/duml_tracker/detections (vision_msgs/Detection2DArray). No ROS is needed, only the library rosbags.

Every image is taken, none is dropped, and two runs write the same messages. Images that cannot be
read are told and passed over, and the exit status is then 1. Headers are those of the images; the
times in the bag are those at which the images were recorded.
"""
EXAMPLES = """\
# from the first image on
duml-tracker bag flight.mcap --topic /camera/image --box 310,150,40,28 --out results
# from the image with this stamp on, the box drawn on that image
duml-tracker bag flight/ --topic /camera/image/compressed --start 1763712000.25 --box \
310,150,40,28 --out results
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bag", metavar="BAG", help="folder of a bag, or a .mcap or .db3 file")
    parser.add_argument("--topic", required=True, help="of the images (Image or CompressedImage)")
    target = parser.add_argument_group("target")
    target.add_argument(
        "--box", type=common.parse_box, required=True, metavar="X,Y,W,H", help="target in pixels"
    )
    target.add_argument(
        "--start",
        type=parse_stamp,
        metavar="STAMP",
        help="header stamp of the image with the box, in seconds; the first image at or after it "
        "is taken (default: the first image)",
    )
    target.add_argument("--frames", type=positive, metavar="N", help="stop after that many images")
    common.add_levels(target, "they follow the images slowly, as in the node")
    output = parser.add_argument_group("output")
    output.add_argument("--out", required=True, metavar="FOLDER", help="bag to make")
    output.add_argument("--storage", choices=("mcap", "sqlite3"), default="mcap")
    output.add_argument(
        "--prefix", default="/duml_tracker", help="of the topics (default: /duml_tracker)"
    )
    output.add_argument("--quiet", action="store_true", help="no progress bar")
    trackers = parser.add_argument_group("tracker")
    trackers.add_argument(
        "--tracker", default=DEFAULT_TRACKER, metavar="NAME", help="default: duml; also opencv_csrt"
    )
    common.add_tracker_options(trackers)
    common.add_threads(trackers, common.HALF)


def parse_stamp(text: str) -> int:
    """argparse type: seconds with up to nine decimals, as nanoseconds."""
    try:
        value = Decimal(text) * 1_000_000_000
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or not 0 <= value < LAST or value != value.to_integral_value():
        raise argparse.ArgumentTypeError(
            f"{shown(text)} is not a stamp in seconds, for example 1763712000.25"
        )
    return int(value)


def run(args: argparse.Namespace) -> int:
    from ..evaluation.participants import create_participant
    from ..evaluation.workers import limit_threads, seed_all
    from ..messages.bag_images import BagImages
    from ..messages.result_bag import ResultBag
    from ..messages.scaling import DEFAULT, ScalingRule
    from ..processors import tracker_threads
    from ..progress import progress

    limit_threads(args.threads or tracker_threads())
    (spec,) = common.tracker_specs(args, [args.tracker])
    states: Counter[str] = Counter()
    rule = DEFAULT
    if args.levels:
        rule = ScalingRule("fixed", black=args.levels.low, white=args.levels.high)
    with BagImages(args.bag, args.topic, rule) as images:
        chosen = from_start(images, args.start)
        first = next(chosen, None)
        if first is None or first.view is None:
            told = "; ".join(images.problems) or "it has no image there"
            raise CliError(f"{images.path}: the first image cannot be used: {told}")
        tracker = create_participant(spec)
        seed_all()
        common.check_box(args.box, first.view.width, first.view.height)
        tracker.init(to_bgr(first), args.box)
        with ResultBag(args.out, args.storage, args.prefix) as results:
            size = first.view.width, first.view.height
            results.write(first.time_ns, first.header, size, "tracking", args.box, 1.0)
            with progress(total=images.total, unit="image", show=not args.quiet) as bar:
                bar.update()
                for index, image in enumerate(chosen, start=1):
                    if index == args.frames:
                        break
                    if image.view is None or not same_size(first, image, index, images.problems):
                        continue
                    seen = tracker.update(to_bgr(image))
                    results.write(
                        image.time_ns, image.header, size, seen.state, seen.box, seen.confidence
                    )
                    states[seen.state] += 1
                    bar.update()
    found = ", ".join(f"{count} {state}" for state, count in states.items())
    print(f"{1 + states.total()} images from stamp {seconds(first.stamp_ns)} on")
    print(f"found: {found or 'first image only'}")
    print(f"bag: {results.path} ({results.prefix}/target, {results.prefix}/detections)")
    for problem in images.problems[:TOLD]:
        print(line(f"{images.path}: {problem}"), file=sys.stderr)
    if (more := len(images.problems) - TOLD) > 0:
        print(f"{images.path}: and {more} more such images", file=sys.stderr)
    return 1 if images.problems else 0


def from_start(images: Any, start: int | None) -> Iterator[BagImage]:
    """The images from the first one at or after a stamp on. Raises CliError when there is none."""
    stamps: list[int] = []
    begun = start is None
    for image in images:
        stamps.append(image.stamp_ns)
        begun = begun or image.stamp_ns >= (start or 0)
        if begun:
            yield image
    if not begun:
        raise CliError(
            f"--start {seconds(start or 0)}: the stamps of {images.topic} go from "
            f"{seconds(min(stamps))} to {seconds(max(stamps))}"
        )


def same_size(first: BagImage, image: BagImage, index: int, problems: list[str]) -> bool:
    """Whether an image has the size of the first: the target's pixels mean nothing in another."""
    assert first.view is not None
    assert image.view is not None
    before, now = ((view.width, view.height) for view in (first.view, image.view))
    if before != now:
        problems.append(
            f"image {index} has {now[0]}x{now[1]} pixels, the first {before[0]}x{before[1]}; "
            "follow such images by a run of their own, with --start"
        )
    return before == now


def seconds(nanoseconds: int) -> str:
    """A stamp as text in seconds, all nine decimals."""
    return f"{nanoseconds // 1_000_000_000}.{nanoseconds % 1_000_000_000:09d}"


def to_bgr(image: BagImage) -> NDArray[np.uint8]:
    """Pixels uint8 [H, W, 3] in BGR order; a view where they are so already."""
    import cv2

    from ..messages.image_codec import to_rgb

    assert image.view is not None
    if image.view.order == "bgr":
        return image.view.pixels[:, :]
    return np.asarray(cv2.cvtColor(to_rgb(image.view), cv2.COLOR_RGB2BGR), dtype=np.uint8)
