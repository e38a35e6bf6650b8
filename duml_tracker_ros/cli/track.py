"""`duml-tracker track`: follow one target through a video, a camera or a folder of images."""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import Number
from ..outputs import open_text, together, unused, write_text
from . import common
from .common import DEFAULT_TRACKER, CliError

if TYPE_CHECKING:
    from ..media.source import Frame, FrameSource

HELP = "follow a target through a video, camera or image folder"
DESCRIPTION = """\
Follow one target and write what was found: an annotated video, boxes as CSV or JSON, or a window.

The target is given in the first frame, as --box x,y,w,h in pixels or drawn with --select. Without
an output option the annotated video is written to <source>_tracked.mp4 in this folder, or to the
next free name. Files take their place when they are whole, and never that of an input.
"""
EXAMPLES = """\
# a video, target given as a box; writes in_tracked.mp4
duml-tracker track in.mp4 --box 310,150,40,28
# draw the box with the mouse and watch
duml-tracker track in.mp4 --select --show
# the first camera, until q or Ctrl-C
duml-tracker track 0 --select --show
# a folder of images to a table of boxes
duml-tracker track images/ --box 204,150,17,50 --csv boxes.csv
# with the score map laid over the picture
duml-tracker track in.mp4 --box 310,150,40,28 --video out.mp4 --heatmap
"""
UNREADABLE = "unreadable"
"""State of a frame that could not be used."""
CSV_HEADER = ("frame", "x", "y", "w", "h", "confidence", "state", "ms")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="video file, folder of images, camera number or address",
    )
    target = parser.add_argument_group("target")
    target.add_argument("--box", type=common.parse_box, metavar="X,Y,W,H", help="target in pixels")
    target.add_argument("--select", action="store_true", help="draw the target in a window")
    common.add_span(target)
    output = parser.add_argument_group("output")
    output.add_argument("--video", metavar="FILE", help="annotated video (.mp4 or .avi)")
    output.add_argument(
        "--csv", metavar="FILE", help=f"one line per frame: {','.join(CSV_HEADER)}; - prints them"
    )
    output.add_argument(
        "--json", metavar="FILE", help="frames, summary and settings; - prints them"
    )
    output.add_argument("--show", action="store_true", help="watch in a window; q ends")
    output.add_argument("--heatmap", action="store_true", help="lay the score map over it")
    output.add_argument(
        "--fps", type=Number(0.01, 1000), metavar="N", help="of the video (default: as the source)"
    )
    common.add_levels(output)
    output.add_argument("--quiet", action="store_true", help="no progress bar")
    trackers = parser.add_argument_group("tracker")
    trackers.add_argument(
        "--tracker", default=DEFAULT_TRACKER, metavar="NAME", help="default: duml; also opencv_csrt"
    )
    common.add_tracker_options(trackers)
    common.add_threads(trackers, common.HALF)


@dataclass
class _Record:
    """What was found so far."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    init_ms: float = math.nan

    def summary(self) -> dict[str, Any]:
        times = np.array([row[7] for row in self.rows[1:]], dtype=float)
        times = times[np.isfinite(times)]
        states = Counter(row[6] for row in self.rows[1:])
        return {
            "frames": len(self.rows),
            "states": dict(states),
            "init_ms": round(self.init_ms, 3),
            "ms_median": round(float(np.median(times)), 3) if times.size else None,
            "ms_p95": round(float(np.percentile(times, 95)), 3) if times.size else None,
        }


def run(args: argparse.Namespace) -> int:
    from ..evaluation.participants import create_participant
    from ..evaluation.workers import limit_threads
    from ..media.addresses import without_password
    from ..media.opening import open_source
    from ..processors import tracker_threads
    from .window import PictureWindow

    if (args.box is None) == (not args.select):
        raise CliError("give the target either as --box x,y,w,h or with --select")
    source = open_source(args.source, args.levels)
    if not (args.video or args.csv or args.json or args.show):
        args.video = str(unused(f"{source.stem}_tracked", ".mp4"))
    outputs = common.open_outputs(args)
    outputs.reads("SOURCE", args.source)
    files = {
        option: outputs.file(f"--{option}", given, stream=option != "video")
        for option in ("video", "csv", "json")
        if (given := getattr(args, option))
    }
    say = common.printer(*files.values())
    limit_threads(args.threads or tracker_threads())
    (spec,) = common.tracker_specs(args, [args.tracker])
    tracker = create_participant(spec)
    if args.heatmap and not hasattr(tracker, "score_map"):
        raise CliError(f"--heatmap: {args.tracker} has no score map; use a tracker of this package")
    frames = source.frames(args.start)
    first = next(frames, None)
    if first is None:
        raise CliError(f"{source.name} has no frame that can be read")
    if first.image is None:
        raise CliError(f"{source.name}: frame {args.start} cannot be used: {first.problem}")
    record = _Record()
    with ExitStack() as stack:
        stack.enter_context(together())
        window = None
        if args.select or args.show:
            window = PictureWindow(f"duml-tracker: {source.name}", "give --box and --video instead")
            stack.callback(window.close)
        box = args.box
        if args.select:
            assert window is not None
            box = window.select(_rgb(first.image))
            if box is None:
                raise CliError("no box was drawn")
            say("--box " + ",".join(f"{v:g}" for v in box))
        if not args.show and window is not None:
            window.close()
            window = None
        common.check_box(box, first.image.shape[1], first.image.shape[0])
        begin = time.perf_counter()
        tracker.init(first.image, box)
        record.init_ms = (time.perf_counter() - begin) * 1e3
        with _Sinks(args, files, source.rate, window) as sinks, suppress(KeyboardInterrupt):
            # Ctrl-C is the usual way to end a camera; what was found is kept.
            _follow(args, source, frames, first, box, tracker, record, sinks)
        summary = record.summary()
        if "json" in files:
            document = {
                "source": without_password(args.source),
                "start": args.start,
                "box": list(box),
                "tracker": tracker.describe(),
                "summary": summary,
                "notes": source.notes,
                "problems": source.problems,
                "frames": [_as_dict(row) for row in record.rows],
            }
            write_text(files["json"], json.dumps(document, indent=1, default=str) + "\n")
    states = ", ".join(f"{n} {s}" for s, n in summary["states"].items())
    speed = f"{summary['ms_median']:.1f} ms per frame" if summary["ms_median"] else "no update"
    say(f"{summary['frames']} frames ({states or 'first only'}), {speed}")
    for option, path in files.items():
        say(f"{option}: {path}")
    return common.tell_source(source)


def _as_dict(row: tuple[Any, ...]) -> dict[str, Any]:
    out: dict[str, Any] = dict(zip(CSV_HEADER, row, strict=True))
    return {k: None if isinstance(v, float) and v != v else v for k, v in out.items()}


def _follow(
    args: argparse.Namespace,
    source: FrameSource,
    frames: Iterator[Frame],
    first: Frame,
    box: tuple[float, float, float, float],
    tracker: Any,
    record: _Record,
    sinks: _Sinks,
) -> None:
    from ..evaluation.baselines import FrameAnswer
    from ..progress import progress

    total = source.total - args.start if source.total is not None else None
    if args.frames is not None:
        total = args.frames if total is None else min(total, args.frames)
    seen = FrameAnswer(box, 1.0, "tracking")
    ms = record.init_ms
    images = itertools.islice(itertools.chain([first], frames), args.frames)
    with progress(total=total, unit="frame", show=not args.quiet) as bar:
        for index, image in ((frame.index, frame.image) for frame in images):
            score_map = mask = None
            if image is None:
                # As if the camera had dropped it: the target is looked for in the next one.
                seen, ms = FrameAnswer((math.nan,) * 4, math.nan, UNREADABLE), math.nan
            elif index > args.start:
                begin = time.perf_counter()
                seen = tracker.update(image)
                ms = (time.perf_counter() - begin) * 1e3
                score_map = tracker.score_map(image) if args.heatmap else None
                if sinks.draws and hasattr(tracker, "mask"):
                    mask = tracker.mask(image)
            row = (
                index,
                *(round(v, 3) for v in seen.box),
                round(seen.confidence, 5),
                seen.state,
                round(ms, 3),
            )
            record.rows.append(row)
            bar.update()
            if not sinks.put(image, seen, row, score_map, mask):
                return


def _rgb(bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


class _Sinks:
    """Annotated video, CSV and window, whichever were asked for."""

    def __init__(
        self, args: argparse.Namespace, files: dict[str, Path], rate: float | None, window: Any
    ) -> None:
        self._args = args
        self._files = files
        self._rate = args.fps or rate or 30.0
        self._window = window
        self._stack = ExitStack()
        self._shape: tuple[int, ...] = ()
        self._video: Any = None
        self._csv: Any = None

    def __enter__(self) -> _Sinks:
        if "csv" in self._files:
            file = self._stack.enter_context(open_text(self._files["csv"]))
            self._csv = csv.writer(file)
            self._csv.writerow(CSV_HEADER)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)
        if self._video is not None:
            self._files["video"] = self._video.path

    @property
    def draws(self) -> bool:
        """Whether frames are drawn."""
        return "video" in self._files or self._window is not None

    def put(
        self,
        image: NDArray[np.uint8] | None,
        seen: Any,
        row: tuple[Any, ...],
        score_map: NDArray[np.float32] | None,
        mask: NDArray[np.bool_] | None,
    ) -> bool:
        """Write one frame; False when the person closed the window."""
        if self._csv is not None:
            self._csv.writerow(row)
        if not self.draws:
            return True
        from ..viz import draw_target, heatmap_overlay, put_text

        if image is None:
            picture = np.zeros(self._shape, np.uint8)
            put_text(picture, f"{row[0]}: not readable", (2.0, 2.0))
            return self._show(picture)
        rgb = _rgb(image)
        self._shape = rgb.shape
        if score_map is not None:
            rgb = heatmap_overlay(rgb, score_map)
        picture = draw_target(
            rgb,
            seen.box,
            seen.state,
            seen.confidence,
            label=self._args.tracker,
            region=seen.region,
            mask=mask,
        )
        return self._show(picture)

    def _show(self, picture: NDArray[np.uint8]) -> bool:
        from ..viz import VideoSink

        if "video" in self._files:
            if self._video is None:
                sink = VideoSink(self._files["video"], self._rate)
                self._video = self._stack.enter_context(sink)
            self._video.write(picture)
        if self._window is not None:
            self._window.show(picture)
            return bool(self._window.open)
        return True
