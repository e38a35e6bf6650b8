"""`duml-tracker tune`: search settings of the tracker on validation clips."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..arguments import Number
from . import common
from .common import DEFAULT_TRACKER, CliError

if TYPE_CHECKING:
    from ..evaluation.variants import VariantScores

HELP = "search settings on validation clips"
DESCRIPTION = """\
Search settings of post-processing, localisation and update on validation clips, one key at a time.

Use clips that nothing is judged on later. A value is taken only if the mean AUC grows by more than
--margin; a few clips cannot tell smaller differences from noise, so the table also says on how many
clips a value is better and worse than the start. Finished runs are kept under --out.
"""
EXAMPLES = """\
# the usual keys
duml-tracker tune --root validation
# two keys on two clips
duml-tracker tune --root validation --sequences 'goat,Drone1' --try postprocess.mu=0.6,0.8 --try \
localize.found_above=0.3,0.4,0.5
"""

DEFAULT_TRIES = (
    "postprocess.mu=0.5,0.6,0.7,0.8,0.9,1.0",
    "postprocess.window_influence=0.2,0.3,0.4,0.45",
    "postprocess.penalty_k=0.02,0.05,0.1,0.15",
    "postprocess.size_rate=0.25,0.3,0.5,0.6",
    "online.learn_above=0.4,0.5,0.6",
    "online.update=paper,every_frame",
    "localize.lost_below=0.2,0.25,0.3",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    common.add_clips(parser)
    common.add_repeated(
        parser,
        "--try",
        "KEY=V1,V2,...",
        f"values of a key (default: {' '.join(DEFAULT_TRIES)})",
        "tries",
    )
    parser.add_argument(
        "--margin",
        type=Number(0, 1),
        default=0.005,
        metavar="AUC",
        help="gain that a value must bring to be taken (default: 0.005)",
    )
    parser.add_argument("--tracker", default=DEFAULT_TRACKER, metavar="NAME", help="default: duml")
    common.add_tracker_options(parser)
    parser.add_argument("--out", metavar="DIR", help=f"raw results {common.OUT_HELP}")


def run(args: argparse.Namespace) -> int:
    from ..datasets import load_dataset
    from ..evaluation.measures import main_measure
    from ..evaluation.participants import create_participant
    from ..evaluation.variants import Variants, coordinate_search
    from .common import tracker_specs

    tries = parse_tries(args.tries or DEFAULT_TRIES)
    (spec,) = tracker_specs(args, [args.tracker])
    create_participant(spec)
    clips = load_dataset(args.dataset, args.root, args.sequences)
    variants = Variants(
        spec, clips, common.out_folder(args.out, "tune", args.root), **common.run_options(args)
    )
    rows: list[list[str]] = []
    first: list[VariantScores] = []

    def report(key: str, value: Any, outcome: VariantScores, taken: bool) -> None:
        first.append(outcome)
        better, worse = outcome.against(first[0])
        mean, lost = f"{outcome.mean[ranks.key]:.4f}", outcome.mean.get("lost_frames")
        share = "-" if lost is None else f"{lost:.1%}"
        rows.append([key, str(value), mean, share, f"{better} / {worse}", "yes" if taken else ""])

    ranks = main_measure(clips)
    taken = coordinate_search(variants, tries, args.margin, report, ranks.key)
    header = ["key", "value", ranks.title, "lost frames", "better / worse", "taken"]
    print(common.table(header, rows))
    if taken:
        print("\n" + " ".join(f"--set {k}={v}" for k, v in taken.items()))
    else:
        print("\nno value beats the present settings by the margin")
    return 0


def parse_tries(texts: list[str] | tuple[str, ...]) -> dict[str, list[Any]]:
    """``key=v1,v2`` arguments; values are read as YAML. Raises CliError."""
    import yaml

    tries: dict[str, list[Any]] = {}
    for text in texts:
        key, sign, values = text.partition("=")
        if not sign or not key.strip() or not values.strip():
            raise CliError(f"--try {text!r} is not key=v1,v2, for example postprocess.mu=0.6,0.8")
        tries[key.strip()] = [yaml.safe_load(v) for v in values.split(",")]
    return tries
