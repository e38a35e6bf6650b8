"""`duml-tracker ablation`: the papers' comparisons within each tracker, one table a tracker."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..outputs import write_text
from . import common
from .common import CliError

if TYPE_CHECKING:
    from ..evaluation.ablations import Row
    from ..evaluation.measures import Measure
    from ..evaluation.variants import VariantScores

HELP = "the papers' comparisons within each tracker"
DESCRIPTION = """\
Run the rows of the papers' own comparisons with the weights at hand: settings while tracking, one
table a tracker. `plug_on` is DROL's claim: each Siamese tracker of this package alone, with DROL's
online classifier, and with classifier and short-term template, none of them trained again. Rows
that need another network are listed with the command that makes it. A data set's own measures are
printed: A, R and EAO of VOT, AO and SR of GOT-10k. With --validation the clips that settings were
chosen on are told apart from the others.

Finished rows under --out are not run again. --docs writes the tables into a Markdown page.
"""
EXAMPLES = """\
# one tracker
duml-tracker ablation --root sequences --tracker fcot
# all, into the documentation
duml-tracker ablation --root sequences --docs docs/comparison.md
# over four runs of each clip, those that settings were chosen on in columns of their own
duml-tracker ablation --root sequences --starts 4 --validation 'davis/*,tinytlp/*'
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    common.add_clips(parser)
    common.add_starts(parser)
    parser.add_argument(
        "--validation",
        metavar="GLOB",
        help="clips that settings or weights were chosen on, e.g. 'davis/*,tinytlp/*': they have "
        "columns of their own, beside those of the others",
    )
    parser.add_argument(
        "--tracker", nargs="+", metavar="NAME", help="trackers, or plug_on (default: all of it)"
    )
    common.add_own_weights(parser)
    common.add_repeated(
        parser,
        "--network",
        "NAME=FILE",
        "a network trained for some rows, e.g. siamrcr_unlinked=runs/siamrcr_unlinked/"
        "siamrcr_compact.safetensors",
    )
    parser.add_argument(
        "--size", metavar="NAME", help="network size (default: as shipped for duml)"
    )
    common.add_device(parser)
    parser.add_argument("--docs", metavar="PAGE", help="Markdown page to fill")
    parser.add_argument("--out", metavar="DIR", help=f"raw results, tables {common.OUT_HELP}")


def run(args: argparse.Namespace) -> int:
    from ..datasets import load_dataset
    from ..evaluation.ablations import ablation_names, ablation_rows, run_row, variants_of
    from ..evaluation.comparison import own_contestants, split_clips
    from ..evaluation.measures import CORRELATION, measures
    from ..evaluation.participants import TrackerSpec
    from ..evaluation.sections import check_sections, fill_sections
    from ..evaluation.starts import more_starts
    from ..tracker import TRACKERS
    from ..tracker.checkpoint import usual_size

    names = args.tracker or list(ablation_names())
    for name in names:
        if name not in ablation_names():
            known = ", ".join(ablation_names())
            raise CliError(f"--tracker {name!r} has no ablation; choose from {known}")
    if args.docs:
        check_sections(Path(args.docs).expanduser(), [f"ablation {n}" for n in names])
    clips = load_dataset(args.dataset, args.root, args.sequences)
    shown = measures(clips)
    if args.starts > 1:
        clips = more_starts(clips, args.starts)
    parts = {"": clips}
    if args.validation:
        chosen, others = split_clips(clips, args.validation)
        parts = {"": others, "validation": chosen}
    size = args.size or usual_size()
    there, _ = own_contestants(TRACKERS, common.parse_files(args.weights, size), args.device)
    files = {c.spec.name: c.spec.weights for c in there if c.spec.size == size}
    files |= _networks(args.network)
    out = common.out_folder(args.out, "ablation", args.root)
    options = common.run_options(args)
    spec = TrackerSpec("", device=args.device, size=size)
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        rows = ablation_rows(name, size)
        columns = shown
        if name == "siamrcr" and clips.protocol not in ("supervised", "anchors"):
            columns = (*shown, CORRELATION)
        variants = {
            part: variants_of(rows, spec, clips=some, out=out / name, **options)
            for part, some in parts.items()
        }
        done: list[tuple[Row, dict[str, VariantScores]]] = []
        lacking: dict[str, str] = {}
        for row in rows:
            found = {part: run_row(row, some, files, size) for part, some in variants.items()}
            scores = {part: one for part, one in found.items() if not isinstance(one, str)}
            if scores:
                done.append((row, scores))
            else:
                lacking[row.name] = str(found[""])
        text = _table(done, lacking, columns)
        write_text(out / f"{name}.md", text + "\n")
        if args.docs:
            fill_sections(Path(args.docs).expanduser(), {f"ablation {name}": text})
        print(f"### {name}\n\n{text}\n")
    return 0


def _networks(pairs: list[str]) -> dict[str, str]:
    """``NAME=FILE`` arguments by name."""
    from ..evaluation.ablations import network_names

    files = {}
    for pair in pairs:
        name, _, file = pair.partition("=")
        if not file or name not in network_names():
            known = ", ".join(network_names())
            raise CliError(f"--network {pair!r} is not NAME=FILE with a name among {known}")
        files[name] = file
    return files


def _table(
    done: list[tuple[Row, dict[str, VariantScores]]],
    lacking: dict[str, str],
    shown: tuple[Measure, ...],
) -> str:
    """Scores of the rows; better and worse count clips against the first row of the group.

    Of all clips but those that nothing was chosen on, the main measure alone is told.
    """
    tables = []
    if done:
        first: dict[str, dict[str, VariantScores]] = {}
        lines: list[list[str]] = []
        for row, outcomes in done:
            name = f"{row.name} ({row.paper})" if row.paper else row.name
            line, header = [name], ["row"]
            for part, outcome in outcomes.items():
                columns = shown[:1] if part else shown
                line += [m.cell(outcome.mean) for m in columns]
                header += [f"{part}: {m.title}" if part else m.title for m in columns]
                if outcome.auc:
                    better, worse = outcome.against(first.setdefault(row.group, outcomes)[part])
                    line.append(f"{better}, {worse}")
                    header.append("better, worse")
            lines.append(line)
        tables.append(common.table(header, lines))
    if lacking:
        lines = [[name, f"`{command}`"] for name, command in lacking.items()]
        tables.append(common.table(["needs a network first", "how to make it"], lines))
    return "\n\n".join(tables)
