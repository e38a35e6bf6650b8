"""`duml-tracker explain`: where a track went wrong, and how, as one page of pictures and plots."""

from __future__ import annotations

import argparse
import itertools
import os
import re
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import positive
from ..outputs import together, unused, whole
from ..whole_set import new_folder
from . import common
from .common import DEFAULT_TRACKER, CliError

if TYPE_CHECKING:
    from ..explain.story import Story
    from ..explain.trace import Trace
    from .clips import Clip

HELP = "show where a track went wrong, and how"
DESCRIPTION = """\
Follow a target through a clip, or read the trace that the node wrote (parameter record_debug),
and show what the tracker saw: pictures around the first failure, scores, states, sizes, what was
learned.

With true boxes (groundtruth_rect.txt beside the images, or --truth) the first failure is found
and its kind named: lost, distractor, drift or scale.
"""
EXAMPLES = """\
# a folder with img/ and groundtruth_rect.txt
duml-tracker explain Diving/
# a video
duml-tracker explain in.mp4 --box 310,150,40,28 --out why
# a trace that the node wrote
duml-tracker explain traces/target_3
# the generated scene, its strip of pictures too
duml-tracker explain scene --picture strip.jpg
"""
LIMIT_MIB = 1024


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "clip",
        metavar="CLIP",
        help="folder of images, video, trace of the node, or scene[:SEED], the generated scene",
    )
    target = parser.add_argument_group("target")
    target.add_argument(
        "--box",
        type=common.parse_box,
        metavar="X,Y,W,H",
        help="target in the first frame, in pixels (default: its true box)",
    )
    target.add_argument("--truth", metavar="FILE", help="true boxes, x,y,w,h from 0 in each line")
    common.add_span(target)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out",
        metavar="FOLDER",
        help="of the page index.html (default: explain_<clip>, or the next free name)",
    )
    output.add_argument("--picture", metavar="FILE", help="write a strip of pictures, too")
    output.add_argument(
        "--failure",
        type=positive,
        default=1,
        metavar="N",
        help="which failure the picture shows (default: the first)",
    )
    output.add_argument("--trace", metavar="FOLDER", help="keep the trace in this new folder")
    common.add_levels(output)
    output.add_argument("--quiet", action="store_true", help="no progress bar")
    trackers = parser.add_argument_group("tracker")
    trackers.add_argument(
        "--tracker", default=DEFAULT_TRACKER, metavar="NAME", help="default: duml"
    )
    common.add_own_tracker(trackers)
    common.add_threads(trackers)


def run(args: argparse.Namespace) -> int:
    from ..datasets import read_labels
    from ..evaluation.workers import limit_threads
    from ..explain.page import write_page
    from ..explain.story import tell, verdict
    from ..explain.trace import is_trace, read_trace
    from ..media.source import FrameSource
    from .clips import open_clip, truth_beside

    outputs = common.open_outputs(args)
    outputs.reads("CLIP", args.clip)
    picture = outputs.file("--picture", args.picture) if args.picture else None
    if args.out:
        outputs.file("--out", Path(args.out, "index.html"))
    if args.threads is not None:
        limit_threads(args.threads)
    path, status = Path(args.clip).expanduser(), 0
    if is_trace(path):
        trace, name = read_trace(path), path.resolve().name
        file = Path(args.truth).expanduser() if args.truth else truth_beside(path)
        truth = read_labels(file, name) if file is not None else None
    else:
        clip = open_clip(args.clip, args.truth, args.levels)
        trace, name, truth = follow(args, clip), clip.name, clip.truth
        if isinstance(clip.source, FrameSource):
            status = common.tell_source(clip.source)
    try:
        story = tell(name, trace, truth, args.start)
    except ValueError as error:
        raise CliError(f"--truth: {error}") from None
    stem = re.sub(r"[^\w.+-]+", "_", f"explain_{name}")
    out = Path(args.out).expanduser() if args.out else unused(stem)
    with together():
        if picture is not None:
            write_picture(picture, story, args.failure)
        page = write_page(out, story)
    print(verdict(story))
    print(f"page: {page}")
    if picture is not None:
        print(f"picture: {picture}")
    return status


def follow(args: argparse.Namespace, clip: Clip) -> Trace:
    """Track the clip."""
    box = args.box
    if box is None:
        if clip.truth is None:
            raise CliError(f"{clip.name} has no true boxes: give the target with --box x,y,w,h")
        if args.start >= len(clip.truth) or not clip.truth[args.start].min() > float("-inf"):
            raise CliError(f"--start {args.start}: there is no true box in that frame; give --box")
        box = tuple(clip.truth[args.start].tolist())
    with ExitStack() as stack:
        if args.trace:
            folder = Path(args.trace).expanduser()
            if os.path.lexists(folder):
                raise CliError(f"--trace {folder} exists already: name another folder")
            common.usable_folder("--trace", args.trace)
            folder = stack.enter_context(new_folder(folder))
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        return track(args, clip, box, folder)


def track(args: argparse.Namespace, clip: Clip, box: Any, folder: Path) -> Trace:
    """Follow the target and write its trace."""
    from ..evaluation.workers import seed_all
    from ..explain.trace import Budget, TraceWriter, is_trace, read_trace
    from ..media.source import FrameSource
    from ..progress import progress
    from ..tracker import create_tracker
    from .clips import TRUTH_FILE

    tracker = create_tracker(
        args.tracker,
        weights=args.weights,
        device=args.device,
        size=args.size or "auto",
        **common.parse_settings(args.settings),
    )
    seed_all()
    frames = itertools.islice(clip.frames(args.start), args.frames)
    first = next(frames, None)
    if first is None:
        raise CliError(f"{clip.name} has no frame that can be read")
    if first.image is None:
        raise CliError(f"{clip.name}: frame {args.start} cannot be used: {first.problem}")
    if args.box is not None:
        common.check_box(box, first.image.shape[1], first.image.shape[0])
    tracker.init(first.image, box, "bgr")
    about = {"clip": clip.name, "start": args.start, "box": box, "tracker": tracker.info()}
    writer = TraceWriter(folder, Budget(LIMIT_MIB << 20), about)
    total = args.frames or (clip.total - args.start if clip.total is not None else None)
    read = first.index + 1
    with progress(total=total, unit="frame", show=not args.quiet) as bar:
        bar.update()
        for frame in frames:
            read = frame.index + 1
            if frame.image is None:
                writer.skip()
            else:
                writer.add(0, frame.image, "bgr", tracker.update(frame.image, "bgr"))
            bar.update()
    writer.flush()
    if not is_trace(folder):
        raise CliError(f"{clip.name} has one frame only: there is nothing to explain")
    if clip.truth is not None:
        np.savetxt(folder / TRUTH_FILE, clip.truth, fmt="%.6g", delimiter=",")
    trace = read_trace(folder)
    if isinstance(clip.source, FrameSource):
        if args.frames is None and clip.truth is not None and read < len(clip.truth):
            clip.source.problems.append(f"{read} frames, but {len(clip.truth)} rows of true boxes")
        trace.about["problems"] = clip.source.told()
    return trace


def write_picture(path: Path, story: Story, number: int) -> None:
    """Write the strip of a failure, from 1, or of the whole track where there is none."""
    import cv2

    from ..explain.strip import strip

    if story.failures and number > len(story.failures):
        raise CliError(f"--failure {number}: there are {len(story.failures)}")
    failure = story.failures[number - 1] if story.failures else None
    image = cv2.cvtColor(strip(story, failure), cv2.COLOR_RGB2BGR)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 82] if path.suffix.lower() in (".jpg", ".jpeg") else []
    try:
        done, data = cv2.imencode(path.suffix, image, quality)
    except cv2.error:
        done = False
    if not done:
        raise CliError(f"--picture {path}: OpenCV cannot write it; use .jpg or .png")
    with whole(path) as partial:
        partial.write_bytes(data.tobytes())
