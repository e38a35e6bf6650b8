"""`duml-tracker eval`: run trackers over labelled sequences and score them."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arguments import Whole, line
from . import common
from .common import DEFAULT_TRACKER, CliError

if TYPE_CHECKING:
    from ..evaluation.participants import TrackerSpec
    from ..evaluation.runner import Evaluation
    from ..evaluation.vot_runs import VotEvaluation
from .scores import as_document, differences, summary, vot_summary

HELP = "score trackers on labelled sequences"
DESCRIPTION = """\
Run trackers over sequences with known boxes and score them as the field does.

Each tracker starts on the first true box and follows to the end of the sequence (one pass). Printed
are means over sequences: success AUC (21 thresholds), precision at 20 pixels, normalised precision
at 0.20, how many sequences ended with the target lost (no overlap on the last 10 frames), the share
of frames without any overlap, and milliseconds per frame without image decoding; then what the
tracker said of its target: false claims (TRACKING with an overlap below 0.1), false alarms (LOST
while it is there), what was told while it was absent, and how far the confidence is from the
overlap (expected calibration error). got10k-val adds AO and SR, vot2018-lt precision,
recall and F; vot2018 and vot2019 run supervised (new start after a failure), vot2020 to vot2022
from anchors, and give accuracy, robustness and EAO; got10k-test and trackingnet write the file for
their server. On nfs, uav123 and lasot duml in size r50 searches 321 pixels (319 in its paper),
unless --set network.search_size says otherwise; --set preset=paper leaves out what this package
adds to the papers.

What is finished is kept under --out and not run again: after an interruption, or with more trackers
or sequences, the same command continues. A sequence that cannot be used (missing or damaged frame,
wrong number of boxes) is named at the end, the others are still scored, and the exit status is 1.
"""
EXAMPLES = """\
# the default tracker on every <name>/img with <name>/groundtruth_rect.txt below
duml-tracker eval --root sequences
# beside OpenCV's trackers, two at a time, with a report to look at
duml-tracker eval --root sequences --tracker duml opencv_csrt opencv_kcf --jobs 2 --report report
# two sequences, a changed setting, numbers for a script
duml-tracker eval --root sequences --sequences 'Crossing,Tiger*' --set online.update=never \
--json scores.json
# the states that trackers report while the target is absent
duml-tracker eval --root sequences --absent --tracker duml drol_rpn
# a setting on beside off, for a camera that moves twice as fast
duml-tracker eval --root sequences --stride 2 --switch motion.active=true
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    data = parser.add_argument_group("data")
    data.add_argument(
        "--dataset",
        default="folder",
        metavar="KIND",
        help="layout of the data set (default: folder; an unknown one lists all)",
    )
    data.add_argument("--root", metavar="DIR", help="folder of the data set")
    data.add_argument(
        "--scenes",
        type=Whole(1, 10000),
        metavar="N",
        help="N generated clips of a minute in place of a data set: the camera looks away for 1 to "
        "20 s again and again, and the target comes back at another border and size",
    )
    data.add_argument(
        "--sequences",
        metavar="GLOB",
        help="only sequences whose name, or its last part, matches; commas between several",
    )
    common.add_starts(data)
    data.add_argument(
        "--jitter",
        type=Whole(1, 1000),
        default=0,
        metavar="N",
        help="runs of each sequence, each from a box as a hand draws it: the centre off by up to a "
        "tenth of the sides, the sides by up to 15 %%, the same ones every time",
    )
    data.add_argument(
        "--stride",
        type=Whole(1, 10000),
        default=1,
        metavar="N",
        help="play only every N-th frame, as of a camera that moves N times as fast (default: 1)",
    )
    common.add_levels(data)
    data.add_argument(
        "--absent",
        action="store_true",
        help="states reported of an absent target: every ordered pair of sequences, the first 50 "
        "frames of one, then 60 of the other, in which its target is not",
    )
    data.add_argument(
        "--pairs",
        type=Whole(1),
        metavar="N",
        help="with --absent: only N of the pairs, drawn at random and always the same",
    )
    data.add_argument(
        "--returns",
        action="store_true",
        help="is a target found again: each sequence with 60 frames of two others in its middle, "
        "after which its target is in another part of the image",
    )
    trackers = parser.add_argument_group("trackers")
    trackers.add_argument(
        "--tracker",
        nargs="+",
        default=[DEFAULT_TRACKER],
        metavar="NAME",
        help="this package's or OpenCV's: duml, opencv_csrt, opencv_kcf, opencv_mil, ... "
        "(default: duml)",
    )
    common.add_tracker_options(trackers)
    common.add_repeated(
        trackers,
        "--switch",
        "KEY=VALUE[ KEY=VALUE]",
        "run every tracker of this package once more with these settings changed, beside itself",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out",
        metavar="DIR",
        help=f"raw boxes, confidences, states and times per frame {common.OUT_HELP}",
    )
    output.add_argument("--fresh", action="store_true", help="run again what is finished already")
    output.add_argument("--json", metavar="FILE", help="scores per sequence and in the mean")
    output.add_argument(
        "--report", metavar="DIR", help="write DIR/index.html: plots, tables, worst frames"
    )
    output.add_argument(
        "--per-sequence", action="store_true", help="print every sequence's scores too"
    )
    run_group = parser.add_argument_group("running")
    run_group.add_argument(
        "--jobs",
        type=common.PROCESSES,
        default=1,
        metavar="N",
        help="sequences at the same time (default: 1; times are then truest)",
    )
    common.add_threads(run_group)
    run_group.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    from ..datasets import load_dataset
    from ..evaluation.drawn import drawn_boxes
    from ..evaluation.environment import describe_environment
    from ..evaluation.long_scenes import long_scenes
    from ..evaluation.participants import create_participant
    from ..evaluation.report import write_report
    from ..evaluation.runner import Evaluation, evaluate
    from ..evaluation.splices import absent_pairs, every, returns
    from ..evaluation.starts import more_starts
    from ..evaluation.variants import slug
    from ..evaluation.vot_runs import VotEvaluation, evaluate_vot
    from ..outputs import together, write_text

    if not args.root and not args.scenes:
        raise CliError("--root names the folder of the data set; or take --scenes N")
    if args.root and args.scenes:
        raise CliError("--scenes takes the place of a data set: leave out --root")
    if args.pairs and not args.absent:
        raise CliError("--pairs is of those of --absent: give both")
    source = args.root or "scenes"
    out = common.out_folder(args.out, "eval", source)
    json_file, say = common.json_and_report(args)
    specs = common.tracker_specs(args, args.tracker)
    if args.scenes:
        dataset = long_scenes(args.scenes)
    else:
        dataset = load_dataset(args.dataset, args.root, args.sequences)
    if args.levels:
        clips = [dataclasses.replace(clip, levels=args.levels) for clip in dataset]
        dataset = dataclasses.replace(dataset, sequences=clips)
    switches = [common.parse_settings(text.split()) for text in args.switch]
    if args.stride > 1:
        dataset = every(dataset, args.stride)
    if args.starts > 1:
        dataset = more_starts(dataset, args.starts)
    if args.jitter:
        dataset = drawn_boxes(dataset, args.jitter)
    if args.absent:
        dataset = absent_pairs(dataset, args.pairs or 0)
    if args.returns:
        dataset = returns(dataset)
    if args.report and dataset.protocol in ("supervised", "anchors"):
        raise CliError("--report shows one-pass results; leave it out for VOT protocols")
    if not dataset.sequences:
        raise CliError(f"no usable sequence: {dataset.problems[0]}")
    for spec in [*specs, *(s for changed in switches for s in switched(specs, changed))]:
        # Missing weights or files are told at once, not once per sequence.
        create_participant(spec)
    options: dict[str, Any] = {
        "out": out / dataset.name,
        "jobs": args.jobs,
        "threads": args.threads,
        "fresh": args.fresh,
        "progress": not args.quiet,
    }
    by_vot = dataset.protocol in ("supervised", "anchors")
    result: Evaluation | VotEvaluation
    try:
        result = (evaluate_vot if by_vot else evaluate)(specs, dataset, **options)
        for text, changed in zip(args.switch, switches, strict=True):
            folder = options["out"] / "switched" / slug(text)
            others = switched(specs, changed)
            other = (evaluate_vot if by_vot else evaluate)(
                others, dataset, **{**options, "out": folder}
            )
            result.problems |= {f"{n} ({text})": why for n, why in other.problems.items()}
            named = {f"{name} {text}": found for name, found in other.trackers.items()}
            result.trackers.update(named)  # type: ignore[arg-type]
    except KeyboardInterrupt:
        print(f"what is finished is in {out}; the same command continues", file=sys.stderr)
        raise
    environment = {
        **describe_environment(args.device),
        "jobs": args.jobs,
        "threads": args.threads,
        "resumed": sum(r.resumed for t in result.trackers.values() for r in t.runs.values()),
    }
    page, submitted = None, []
    with together():
        if isinstance(result, Evaluation):
            submitted = _submit(result, options["out"])
            page = write_report(Path(args.report), result, environment) if args.report else None
        if json_file is not None:
            document = as_document(result, environment)
            write_text(json_file, json.dumps(document, indent=1, allow_nan=False) + "\n")
    if isinstance(result, VotEvaluation):
        say(vot_summary(result, per_sequence=args.per_sequence))
    else:
        say(summary(result, per_sequence=args.per_sequence))
        if changes := differences(result, args.switch):
            say(f"\n{changes}")
    for name, reason in result.problems.items():
        print(line(f"not scored: {name}: {reason}"), file=sys.stderr)
    for file, doubts in submitted:
        if file is not None:
            say(f"to submit: {file}")
        if doubts:
            print(doubts, file=sys.stderr)
    if page is not None:
        say(f"report: {page}")
    return 1 if result.problems else 0


def _submit(result: Evaluation, folder: Path) -> list[tuple[Path | None, str]]:
    """Write the files for the data set's server, where it has one: each, and what speaks against
    it."""
    from ..evaluation.submission import entry_doubts, write_submission

    made: list[tuple[Path | None, str]] = []
    for name in result.trackers if result.dataset.submission is not None else ():
        try:
            file = write_submission(result, name, folder / f"{name}.zip")
        except ValueError as error:
            made.append((None, f"no file to submit for {name}: {error}"))
        else:
            doubts = entry_doubts(result, name)
            made.append((file, f"no valid entry: {doubts}" if doubts else ""))
    return made


def switched(specs: Sequence[TrackerSpec], changed: dict[str, Any]) -> list[TrackerSpec]:
    """This package's trackers with settings changed."""
    from ..evaluation.baselines import BASELINES

    own = [s for s in specs if s.name not in BASELINES]
    return [dataclasses.replace(s, overrides={**s.overrides, **changed}) for s in own]
