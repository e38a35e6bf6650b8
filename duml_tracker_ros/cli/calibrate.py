"""`duml-tracker calibrate`: make the confidence say how good the box is."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..outputs import write_text
from .common import (
    DEFAULT_TRACKER,
    OUT_HELP,
    add_clips,
    add_tracker_options,
    epilog,
    run_options,
    runs_folder,
    table,
)

if TYPE_CHECKING:
    from ..evaluation.calibration import Reliability

DESCRIPTION = """\
Compare the tracker's confidence with the overlap of its boxes on validation clips, and fit the
curve that turns its raw score into an expected overlap. Prints the reliability before and after and
what to set; writes a plot into --out.
"""


def add_parser(subparsers: Any, parents: list[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "calibrate",
        parents=parents,
        help="fit the confidence to the overlap on validation clips",
        description=DESCRIPTION,
        epilog=epilog(
            ("on clips nothing is judged on", "duml-tracker calibrate --root validation")
        ),
    )
    add_clips(parser)
    parser.add_argument("--tracker", default=DEFAULT_TRACKER, metavar="NAME", help="default: duml")
    add_tracker_options(parser)
    parser.add_argument("--out", metavar="DIR", help=f"plot, raw results {OUT_HELP}")
    return parser


def run(args: argparse.Namespace) -> int:
    from ..datasets import DatasetError, load_dataset
    from ..evaluation import calibration
    from ..evaluation.participants import create_participant
    from ..evaluation.runner import evaluate
    from .common import tracker_specs

    (spec,) = tracker_specs(args, [args.tracker])
    create_participant(spec)
    clips = load_dataset(args.dataset, args.root, args.sequences)
    if clips.protocol in ("supervised", "anchors") or clips.submission is not None:
        raise DatasetError(f"{clips.name}: calibration needs a data set of one pass with its truth")
    out = Path(args.out).expanduser() if args.out else runs_folder("calibrate", args.root)
    found = {}
    for name, slope in (("raw", 0.0), ("present", None)):
        changed = dict(spec.overrides)
        if slope is not None:
            changed["localize.confidence_slope"] = slope
        result = evaluate(
            [dataclasses.replace(spec, overrides=changed)],
            clips,
            out=out / name,
            **run_options(args),
        )
        for sequence, reason in result.problems.items():
            raise DatasetError(f"{sequence}: {reason}")
        found[name] = calibration.confidence_and_overlap(clips, result.trackers[spec.name].runs)
    raw, overlap, weight = found["raw"]
    curve = calibration.fit(raw, overlap, weight)
    curves = {
        "raw score": calibration.reliability(raw, overlap, weight),
        "present setting": calibration.reliability(*found["present"]),
        "fitted": calibration.reliability(curve(raw), overlap, weight),
    }
    out.mkdir(parents=True, exist_ok=True)
    plot = out / "reliability.svg"
    write_text(plot, calibration.reliability_chart(curves) + "\n")
    print(table(["confidence", "expected calibration error"], _errors(curves)))
    print()
    fitted = curves["fitted"]
    rows = [
        [f"{c:.2f}", f"{o:.2f}", str(n)]
        for c, o, n in zip(fitted.confidence, fitted.overlap, fitted.frames, strict=True)
    ]
    print(table(["fitted confidence", "mean IoU", "frames"], rows))
    print(
        f"\n--set localize.confidence_slope={curve.slope:.2f} "
        f"--set localize.confidence_middle={curve.middle:.2f}\nplot: {plot}"
    )
    return 0


def _errors(curves: dict[str, Reliability]) -> list[list[str]]:
    return [[name, f"{r.error:.3f}"] for name, r in curves.items()]
