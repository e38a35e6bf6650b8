"""`duml-tracker calibrate`: make the confidence say how good the box is."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from ..outputs import write_text
from . import common
from .common import DEFAULT_TRACKER, CliError

if TYPE_CHECKING:
    from ..datasets import Dataset
    from ..evaluation.calibration import Reliability
    from ..evaluation.metrics import Array
    from ..evaluation.participants import TrackerSpec

HELP = "fit the confidence to the overlap on validation clips"
DESCRIPTION = """\
Compare the tracker's confidence with the overlap of its boxes on validation clips, and fit the
curve that turns its raw score into an expected overlap. Prints the reliability before and after and
what to set; writes a plot into --out. Of several trackers a table is printed, for their model
cards; what to set goes into their configurations.
"""
EXAMPLES = """\
# on clips nothing is judged on
duml-tracker calibrate --root validation
# all trackers that have new weights, over six runs of each clip
duml-tracker calibrate --root validation --starts 6 --tracker duml drol_rpn siamrcr
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    common.add_clips(parser)
    common.add_starts(parser)
    parser.add_argument(
        "--tracker",
        nargs="+",
        default=[DEFAULT_TRACKER],
        metavar="NAME",
        help="of this package (default: duml)",
    )
    common.add_tracker_options(parser)
    parser.add_argument("--out", metavar="DIR", help=f"plot, raw results {common.OUT_HELP}")


def run(args: argparse.Namespace) -> int:
    from ..datasets import DatasetError, load_dataset
    from ..evaluation import calibration
    from ..evaluation.baselines import BASELINES
    from ..evaluation.participants import OwnTracker
    from ..evaluation.starts import more_starts

    specs = common.tracker_specs(args, args.tracker)
    for spec in specs:
        if spec.name in BASELINES:
            raise CliError(f"--tracker {spec.name}: OpenCV's trackers tell no confidence")
    # Missing weights are told at once.
    present = [OwnTracker(spec).tracker.info()["config"]["localize"] for spec in specs]
    clips = load_dataset(args.dataset, args.root, args.sequences)
    if clips.protocol in ("supervised", "anchors") or clips.submission is not None:
        raise DatasetError(f"{clips.name}: calibration needs a data set of one pass with its truth")
    if args.starts > 1:
        clips = more_starts(clips, args.starts)
    out = common.out_folder(args.out, "calibrate", args.root)
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for spec, rule in zip(specs, present, strict=True):
        raw, overlap, weight, sha = _raw_scores(spec, clips, out, args)
        curve = calibration.fit(raw, overlap, weight)
        # The confidence is told, and nothing is decided by it.
        old = calibration.Calibration(rule["confidence_slope"], rule["confidence_middle"])
        values = {
            "raw score": raw,
            "present setting": old(raw) if rule["confidence_slope"] else raw,
            "fitted": curve(raw),
        }
        curves = {k: calibration.reliability(v, overlap, weight) for k, v in values.items()}
        plot = out / ("reliability.svg" if len(specs) == 1 else f"reliability_{spec.name}.svg")
        write_text(plot, calibration.reliability_chart(curves) + "\n")
        settings = {"confidence_slope": curve.slope, "confidence_middle": curve.middle}
        if len(specs) == 1:
            _print_one(curves, settings, plot)
        errors = [f"{r.error:.3f}" for r in curves.values()]
        rows.append([spec.name, sha[:8], *errors, *(f"{v:.2f}" for v in settings.values())])
    if len(specs) > 1:
        titles = [f"error, {name}" for name in curves]
        print(common.table(["tracker", "sha256", *titles, *settings], rows))
        print(f"plots: {out}")
    return 0


def _raw_scores(
    spec: TrackerSpec, clips: Dataset, out: Path, args: argparse.Namespace
) -> tuple[Array, Array, Array, str]:
    """Raw score, overlap and weight of every frame, and the checksum of the weights."""
    from ..datasets import DatasetError
    from ..evaluation import calibration
    from ..evaluation.runner import evaluate

    changed = {**spec.overrides, "localize.confidence_slope": 0.0}
    raw = dataclasses.replace(spec, overrides=changed)
    result = evaluate([raw], clips, out=out / "raw", **common.run_options(args))
    for sequence, reason in result.problems.items():
        raise DatasetError(f"{sequence}: {reason}")
    runs = result.trackers[spec.name].runs
    sha = next(iter(runs.values())).description["sha256"]
    return *calibration.confidence_and_overlap(clips, runs), sha


def _print_one(curves: dict[str, Reliability], settings: dict[str, float], plot: Path) -> None:
    rows = [[name, f"{r.error:.3f}"] for name, r in curves.items()]
    print(common.table(["confidence", "expected calibration error"], rows))
    print()
    fitted = curves["fitted"]
    rows = [
        [f"{c:.2f}", f"{o:.2f}", str(n)]
        for c, o, n in zip(fitted.confidence, fitted.overlap, fitted.frames, strict=True)
    ]
    print(common.table(["fitted confidence", "mean IoU", "frames"], rows))
    options = " ".join(f"--set localize.{key}={value:.2f}" for key, value in settings.items())
    print(f"\n{options}\nplot: {plot}")
