"""`duml-tracker eval`: run trackers over labelled sequences and score them.

One file above 400 lines: most of them are the words of its options.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arguments import Whole
from .common import (
    DEFAULT_TRACKER,
    OUT_HELP,
    PROCESSES,
    CliError,
    add_levels,
    add_repeated,
    add_threads,
    add_tracker_options,
    json_and_report,
    out_folder,
    parse_settings,
    table,
    tracker_specs,
)

if TYPE_CHECKING:
    from ..evaluation.participants import TrackerSpec
    from ..evaluation.returns import Returns
    from ..evaluation.runner import Evaluation
    from ..evaluation.vot_runs import VotEvaluation

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
# what is told of targets that are not there
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
    data.add_argument(
        "--starts",
        type=Whole(1, 1000),
        default=1,
        metavar="N",
        help="runs of each sequence, from different frames, every other one backwards: one pass "
        "from the first frame is a small sample (default: 1)",
    )
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
    add_levels(data)
    data.add_argument(
        "--absent",
        action="store_true",
        help="what is told of an absent target: every ordered pair of sequences, the first 50 "
        "frames of one, then 60 of the other, in which its target is not",
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
    add_tracker_options(trackers)
    add_repeated(
        trackers,
        "--switch",
        "KEY=VALUE[ KEY=VALUE]",
        "run every tracker of this package once more with these settings changed, beside itself",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out",
        metavar="DIR",
        help=f"raw boxes, confidences, states and times per frame {OUT_HELP}",
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
        type=PROCESSES,
        default=1,
        metavar="N",
        help="sequences at the same time (default: 1; times are then truest)",
    )
    add_threads(run_group)
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
    source = args.root or "scenes"
    out = out_folder(args.out, "eval", source)
    json_file, say = json_and_report(args)
    specs = tracker_specs(args, args.tracker)
    if args.scenes:
        dataset = long_scenes(args.scenes)
    else:
        dataset = load_dataset(args.dataset, args.root, args.sequences)
    if args.levels:
        clips = [dataclasses.replace(clip, levels=args.levels) for clip in dataset]
        dataset = dataclasses.replace(dataset, sequences=clips)
    switches = [parse_settings(text.split()) for text in args.switch]
    if args.stride > 1:
        dataset = every(dataset, args.stride)
    if args.starts > 1:
        dataset = more_starts(dataset, args.starts)
    if args.jitter:
        dataset = drawn_boxes(dataset, args.jitter)
    if args.absent:
        dataset = absent_pairs(dataset)
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
    for name, reason in result.problems.items():
        print(f"not scored: {name}: {reason}", file=sys.stderr)
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
    from ..evaluation.peers import PEERS

    own = [s for s in specs if s.name not in PEERS]
    return [dataclasses.replace(s, overrides={**s.overrides, **changed}) for s in own]


def as_document(result: Evaluation | VotEvaluation, environment: dict[str, Any]) -> dict[str, Any]:
    """The ``--json`` output: one tracker's scores at the top level, several under ``trackers``."""
    shared = {
        "dataset": result.dataset.name,
        "problems": result.problems,
        "environment": environment,
    }
    parts = {name: _describe(result, name) for name in result.trackers}
    if len(parts) == 1:
        ((name, part),) = parts.items()
        return _plain({"tracker": name, **part, **shared})
    return _plain({"trackers": parts, **shared})


def _describe(result: Evaluation | VotEvaluation, name: str) -> dict[str, Any]:
    from ..evaluation.honesty import honesty_of, reliability_of
    from ..evaluation.longterm import longterm_score
    from ..evaluation.vot_runs import VotEvaluation

    tracker = result.trackers[name]
    runs: list[Any] = list(tracker.runs.values())
    out = {**tracker.as_dict(), "description": runs[0].description if runs else {}}
    if isinstance(result, VotEvaluation):
        return out
    if result.dataset.protocol == "got10k" and out["mean"]:
        found = result.got10k(name)
        out["mean"] |= {"ao": found.ao, "sr50": found.sr50, "sr75": found.sr75}
    if result.dataset.protocol == "longterm" and out["mean"]:
        long = longterm_score(result.dataset, result.trackers[name].runs)
        out["mean"] |= dataclasses.asdict(long)
    out["returns"] = returns_document(result, name)
    reliable = reliability_of(result, name)
    error = math.nan if reliable is None else reliable.error
    out["honesty"] = {**honesty_of(result, name).as_dict(), "calibration_error": error}
    return out


def returns_document(result: Evaluation, name: str) -> dict[str, Any]:
    """Returns of targets, where there are some."""
    found = returns_in(result, name)
    rates = {
        "true_positive_rate": found.true_positive_rate,
        "true_negative_rate": found.true_negative_rate,
        "geometric_mean": found.geometric_mean,
    }
    return {**dataclasses.asdict(found), **rates}


def returns_in(result: Evaluation, name: str) -> Returns:
    """Returns of targets over the sequences that a tracker was scored on."""
    from ..evaluation.returns import add_returns, returns_of

    runs, scores = result.trackers[name].runs, result.trackers[name].scores
    return add_returns(returns_of(runs[s.name], s) for s in result.dataset if s.name in scores)


def _plain(value: Any) -> Any:
    """JSON has no NaN: unknown numbers become null."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def summary(result: Evaluation, *, per_sequence: bool = False) -> str:
    """The scores as text tables."""
    from ..evaluation.longterm import longterm_score
    from ..evaluation.returns import RETURN_COLUMNS, return_cells

    header = ["tracker", "sequences", "AUC", "P@20", "nP@0.20", "lost", "lost frames"]
    header += ["ms median", "ms p95"]
    rows, groups = [], []
    for name, tracker in result.trackers.items():
        mean = tracker.mean()
        if mean:
            rows.append([name, *_mean_cells(mean)])
            groups += [[f"{g}  {name}", *_mean_cells(m)] for g, m in tracker.groups().items()]
    if not rows:
        public = any(s.truth_given for s in result.dataset)
        return "no sequence was scored" if public else "nothing to score: the truth is not public"
    parts = [table(header, rows), honesty_table(result, [name for name, *_ in rows])]
    if groups:
        parts.append(table(["group", *header[1:]], sorted(groups)))
    if result.dataset.protocol == "got10k":
        lines = []
        for name, *_ in rows:
            found = result.got10k(name)
            lines.append([name, f"{found.ao:.3f}", f"{found.sr50:.3f}", f"{found.sr75:.3f}"])
        parts.append(table(["tracker", "AO", "SR0.5", "SR0.75"], lines))
    again = {name: returns_in(result, name) for name, *_ in rows}
    if any(found.without_target for found in again.values()):
        lines = [[name, *return_cells(found)] for name, found in again.items()]
        parts.append(table(["tracker", *RETURN_COLUMNS], lines))
    if result.dataset.protocol == "longterm":
        lines = []
        for name, *_ in rows:
            long = longterm_score(result.dataset, result.trackers[name].runs)
            lines.append([name, *(f"{v:.3f}" for v in (long.precision, long.recall, long.f_score))])
        parts.append(table(["tracker", "Pr", "Re", "F"], lines))
    if per_sequence:
        lines = [
            [f"{sequence}  {name}", str(score["frames"]), *_cells(score)]
            for name, tracker in result.trackers.items()
            for sequence, score in tracker.as_dict()["sequences"].items()
        ]
        parts.append(table(["sequence", "frames", *header[2:-1]], sorted(lines)))
    return "\n\n".join(parts)


def honesty_table(result: Evaluation, names: Sequence[str]) -> str:
    """What each tracker said of its target, against where it was."""
    from ..evaluation.honesty import HONESTY_COLUMNS, honesty_cells

    return table(["tracker", *HONESTY_COLUMNS], [[n, *honesty_cells(result, n)] for n in names])


def vot_summary(result: VotEvaluation, *, per_sequence: bool = False) -> str:
    """Accuracy, robustness and EAO as text; robustness in the form of the protocol."""
    supervised = result.dataset.protocol == "supervised"
    robustness = "R (100 failures / frames)" if supervised else "R"
    header = ["tracker", "sequences", "A", robustness, "EAO"]
    rows = []
    for name, tracker in result.trackers.items():
        if tracker.score is not None:
            s = tracker.score
            row = [name, str(len(tracker.sequences)), f"{s.accuracy:.3f}", f"{s.robustness:.3f}"]
            # Undefined where no run is as long as the shortest length it averages over.
            eao = f"{s.eao:.3f}" if math.isfinite(s.eao) else "-"
            rows.append([*row, eao, f"{tracker.ms_median():.1f}"])
    parts = [table([*header, "ms median"], rows)] if rows else ["no sequence was scored"]
    if per_sequence:
        lines = [
            [f"{video}  {name}", f"{s.accuracy:.3f}", f"{s.robustness:.3f}"]
            + ([f"{s.failures:.0f}"] if s.failures is not None else [])
            for name, tracker in result.trackers.items()
            for video, s in tracker.sequences.items()
        ]
        head = ["sequence", "A", "R", *(["failures"] if supervised else [])]
        parts.append(table(head, sorted(lines)))
    return "\n\n".join(parts)


def _mean_cells(mean: dict[str, Any]) -> list[str]:
    return [str(mean["sequences"]), *_cells(mean), f"{mean['ms_p95']:.1f}"]


def _cells(score: dict[str, Any]) -> list[str]:
    numbers = [f"{score[k]:.3f}" for k in ("auc", "precision20", "norm_precision20")]
    lost = [str(score["lost_sequences"]), f"{score['lost_frames']:.1%}"]
    return [*numbers, *lost, f"{score['ms_median']:.1f}"]
