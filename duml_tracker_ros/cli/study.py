"""`duml-tracker study`: the paper's comparisons on our weights and data."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..outputs import write_text
from .common import (
    OUT_HELP,
    CliError,
    add_clips,
    add_tracker_options,
    epilog,
    outcome_cells,
    positive,
    run_options,
    runs_folder,
    table,
)

if TYPE_CHECKING:
    from ..evaluation.variants import Outcome
    from ..training.study import Recipe

DESCRIPTION = """\
Repeat the comparisons of the DuML paper: the fusion weight mu (Fig. 4), score voting (Table 4) and
the update rule with the given weights; and with --train, which trains a network for each,
the six formulations alone (Tables 1, 2), the nine pairs (Table 3) and the label assignments
(Table 10). Prints Markdown tables; writes them and a plot of mu into --out. An interrupted study
continues with the same command.
"""


def add_parser(subparsers: Any, parents: list[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "study",
        parents=parents,
        help="repeat the paper's comparisons",
        description=DESCRIPTION,
        epilog=epilog(
            ("what needs no training", "duml-tracker study --root sequences"),
            (
                "everything, each network trained for 1500 steps",
                "duml-tracker study --root sequences --train DATA --steps 1500",
            ),
        ),
    )
    add_clips(parser)
    parser.add_argument(
        "--train", metavar="DATA", help="training data (data.root): train and compare networks too"
    )
    parser.add_argument("--steps", type=positive, default=1500, help="training steps (1500)")
    parser.add_argument(
        "--config", default="duml_compact", help="training recipe (default: duml_compact)"
    )
    parser.add_argument(
        "--train-set",
        dest="train_settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a value of the recipe; may be repeated",
    )
    add_tracker_options(parser)
    parser.add_argument("--out", metavar="DIR", help=f"results and networks {OUT_HELP}")
    return parser


def run(args: argparse.Namespace) -> int:
    from ..datasets import load_dataset
    from ..evaluation.participants import create_participant
    from ..evaluation.variants import Variants
    from ..training import study
    from .common import parse_settings, tracker_specs

    if args.train and not Path(args.train).is_dir():
        raise CliError(f"--train {args.train}: no such folder")
    (spec,) = tracker_specs(args, ["duml"])
    create_participant(spec)
    clips = load_dataset("folder", args.root, args.sequences)
    out = Path(args.out).expanduser() if args.out else runs_folder("study", args.root)
    options = run_options(args)
    variants = Variants(spec, clips, out / "runs", **options)

    mu = study.sweep_mu(variants)
    sections = [
        ("Fusion weight (Fig. 4)", mu),
        ("Score voting (Table 4)", study.voting(variants)),
        ("Update rule", study.updates(variants)),
    ]
    if args.train:
        settings = {**parse_settings(args.train_settings), "data.root": args.train}

        def trained(recipes: list[Recipe]) -> list[Outcome]:
            rows = []
            for recipe in recipes:
                weights = study.train_recipe(
                    recipe, out / "networks", args.config, settings, args.steps
                )
                rows.append(variants.run(recipe.name, study.settings_of(recipe), str(weights)))
            return rows

        sections += [
            ("One branch alone (Tables 1, 2)", trained(study.formulations())),
            ("Pairs (Table 3)", trained(study.pairs())),
            ("Label assignment (Table 10)", trained(study.labels())),
        ]
    text = "\n\n".join(f"### {title}\n\n{_rows(rows)}" for title, rows in sections)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "study.md", text + "\n")
    write_text(out / "mu.svg", study.mu_chart(mu) + "\n")
    print(text)
    print(f"\nwritten: {out / 'study.md'}, {out / 'mu.svg'}")
    return 0


def _rows(outcomes: list[Outcome]) -> str:
    header = ["variant", "AUC", "P@20", "nP@0.20", "lost", "lost frames"]
    rows = [[outcome.name, *outcome_cells(outcome)] for outcome in outcomes]
    return table(header, rows)
