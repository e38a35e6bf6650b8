"""`duml-tracker study`: the paper's comparisons on our weights and data."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..arguments import positive
from ..outputs import together, write_text
from . import common
from .common import CliError

if TYPE_CHECKING:
    from ..datasets import Dataset
    from ..evaluation.measures import Measure
    from ..evaluation.participants import TrackerSpec
    from ..evaluation.variants import VariantScores
    from ..training.study import Recipe

HELP = "repeat the paper's comparisons"
DESCRIPTION = """\
Repeat the comparisons of the DuML paper: the fusion weight mu (Fig. 4), score voting (Table 4) and
the update rule with the given weights; and with --train, which trains a network for each,
the six formulations alone (Tables 1, 2), the nine pairs (Table 3), the label assignments (Table 10)
and, given public data sets, the training data (Table 11). --grid runs each formulation in 140
settings and prints the means (Table 1). A data set's own measures are printed: A, R and EAO of VOT.
Prints Markdown tables; writes them and a plot of mu into --out. An interrupted study continues with
the same command. --rows lists every row of every table of the papers, and what makes it.
--branches prints another table in place of these: with every search around the true box and the
filter learning from true boxes, the share of frames in which the peak of each branch is on the
target, in the usual window and in the widest one of a lost target; so the most that fusing the two
can gain, and what learning does to it. Each clip is taken forth and back.
"""
EXAMPLES = """\
# what needs no training
duml-tracker study --root sequences
# everything, each network trained for 1500 steps
duml-tracker study --root sequences --train DATA --steps 1500
# how much one branch knows that the other does not
duml-tracker study --branches --root sequences
# the paper's network by the paper's rules on VOT2018
duml-tracker study --dataset vot2018 --root VOT2018 --size r50 --weights FILE --set preset=paper
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    common.add_clips(parser, needed=False)
    parser.add_argument(
        "--branches",
        action="store_true",
        help="where each branch has its peak beside the true box, and run nothing else",
    )
    parser.add_argument(
        "--train",
        nargs="?",
        const="",
        metavar="DATA",
        help="train and compare networks too; training data (data.root), or nothing where "
        "--train-set names public data sets: data.layouts={...}",
    )
    parser.add_argument(
        "--rows", action="store_true", help="list the rows of the papers' tables, and run nothing"
    )
    parser.add_argument(
        "--grid", action="store_true", help="with --train: 140 settings of each formulation"
    )
    parser.add_argument("--steps", type=positive, default=1500, help="training steps (1500)")
    parser.add_argument(
        "--config", default="duml_compact", help="training recipe (default: duml_compact)"
    )
    common.add_repeated(
        parser, "--train-set", "KEY=VALUE", "change a value of the recipe", "train_settings"
    )
    common.add_tracker_options(parser)
    parser.add_argument("--out", metavar="DIR", help=f"results and networks {common.OUT_HELP}")


def run(args: argparse.Namespace) -> int:
    from ..datasets import load_dataset
    from ..evaluation.measures import main_measure, measures
    from ..evaluation.participants import create_participant
    from ..evaluation.variants import Variants
    from ..training import study
    from .common import parse_settings, tracker_specs

    if args.rows:
        print(_paper_tables())
        return 0
    if args.root is None:
        raise CliError("--root is missing: give the folder of the clips, or --rows alone")
    if args.train and not Path(args.train).is_dir():
        raise CliError(f"--train {args.train}: no such folder")
    if args.grid and args.train is None:
        raise CliError("--grid runs networks of one branch, which --train makes: give it too")
    if args.branches and (args.train is not None or args.grid):
        raise CliError("--branches trains nothing: leave out --train and --grid")
    (spec,) = tracker_specs(args, ["duml"])
    create_participant(spec)
    clips = load_dataset(args.dataset, args.root, args.sequences)
    if args.branches:
        return _branches(args, spec, clips)
    shown = measures(clips)
    out = common.out_folder(args.out, "study", args.root)
    options = common.run_options(args)
    variants = Variants(spec, clips, out / "runs", **options)

    mu = study.sweep_mu(variants)
    sections = [
        ("Fusion weight (Fig. 4)", mu),
        ("Score voting (Table 4)", study.voting(variants)),
        ("Update rule", study.updates(variants)),
    ]
    if args.train is not None:
        settings = {**parse_settings(args.train_settings), "data.root": args.train}

        def network(recipe: Recipe) -> str:
            steps = args.steps
            return str(study.train_recipe(recipe, out / "networks", args.config, settings, steps))

        def trained(recipes: list[Recipe]) -> list[VariantScores]:
            return [variants.run(r.name, study.settings_of(r), network(r)) for r in recipes]

        alone, data = study.formulations(), study.training_data(settings.get("data.layouts", {}))
        sections += [
            ("One branch alone (Tables 1, 2)", trained(alone)),
            ("Pairs (Table 3)", trained(study.pairs())),
            ("Label assignment (Table 10)", trained(study.labels())),
        ]
        if data:
            sections.append(("Training data (Table 11)", trained(data)))
        if args.grid:
            rows = [study.grid_mean(variants, r, network(r), shown) for r in alone]
            title = f"One branch alone, mean over {len(study.grid())} settings (Table 1)"
            sections.append((title, rows))
    text = "\n\n".join(f"### {title}\n\n{_rows(rows, shown)}" for title, rows in sections)
    write(out, text, study.mu_chart(mu, main_measure(clips)))
    print(text)
    print(f"\nwritten: {out / 'study.md'}, {out / 'mu.svg'}")
    return 0


def _branches(args: argparse.Namespace, spec: TrackerSpec, clips: Dataset) -> int:
    """Print where each branch has its peak, and keep the table."""
    from ..evaluation.branches import study_branches
    from ..evaluation.starts import more_starts

    out = common.out_folder(args.out, "study", args.root)
    found = study_branches(
        spec, more_starts(clips, 2), threads=args.threads, progress=not args.quiet
    )
    header = ["update", "window", "offline", "online", "fused", "either"]
    header += ["online alone", "offline alone", "offline score", "online score", "box"]
    rows = []
    for (rule, side), shares in found.items():
        right = [shares.right[name] for name in ("offline", "online", "fused")]
        alone = [shares.either, shares.online_alone, shares.offline_alone]
        scores = [f"{at:.2f} / {off:.2f}" for at, off in shares.scores.values()]
        numbers = [f"{100 * share:.1f}%" for share in (*right, *alone)]
        rows.append([rule, f"{side:g}", *numbers, *scores, f"{shares.box:.3f}"])
    text = common.table(header, rows)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "branches.md", text + "\n")
    print(text)
    print(f"\nwritten: {out / 'branches.md'}")
    return 0


def write(out: Path, text: str, chart: str) -> None:
    """Write the tables and the plot that belongs to them."""
    out.mkdir(parents=True, exist_ok=True)
    with together():
        write_text(out / "mu.svg", chart + "\n")
        write_text(out / "study.md", text + "\n")


def _paper_tables() -> str:
    """Every row of every table of the papers, and what makes it."""
    from ..evaluation.paper_tables import paper_rows

    lines = [
        [f"{paper}, {title}: {row.name}", ", ".join(row.datasets), row.text()]
        for paper, tables in paper_rows().items()
        for title, rows in tables.items()
        for row in rows
    ]
    return common.table(["row", "data sets", "how"], lines)


def _rows(outcomes: list[VariantScores], shown: tuple[Measure, ...]) -> str:
    rows = [[outcome.name, *(m.cell(outcome.mean) for m in shown)] for outcome in outcomes]
    return common.table(["variant", *(m.title for m in shown)], rows)
