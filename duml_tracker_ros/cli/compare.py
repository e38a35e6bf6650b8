"""`duml-tracker compare`: every tracker that has weights, and OpenCV's, on the same clips."""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..arguments import positive
from ..outputs import together, write_text
from . import common
from .common import CliError

if TYPE_CHECKING:
    from ..evaluation.comparison import Entry

HELP = "all trackers beside each other and beside OpenCV's"
DESCRIPTION = """\
Run all trackers of this package that have weights, in every size, and those of OpenCV that this
build has, over labelled clips: accuracy, targets and frames lost, then milliseconds per update
(median and 95 % quantile on frames in memory), init time and memory, each in a process of its own.
Trackers without weights are listed with the command that makes some.

Finished runs under --out are not made again: run once on a busy machine with --no-speed, then again
on a quiet one for the times. --docs writes tables, plots and the guide into a Markdown page.
"""
EXAMPLES = """\
# print the tables
duml-tracker compare --root sequences
# write the page of the documentation
duml-tracker compare --root sequences --docs docs/comparison.md
# with weights of your own
duml-tracker compare --root sequences --tracker drol_rpn opencv_csrt --weights \
drol_rpn:pysot=siamrpn.safetensors
"""
IMAGES = "images"
SECTIONS = ("compare", "guide")
CHANGING = "`duml-tracker compare` was cut off while it wrote this part: run it once more."
UNSEEN = "Nothing was chosen on these"
CHOSEN = "Settings and weights were chosen on these"


def add_options(parser: argparse.ArgumentParser) -> None:
    common.add_clips(parser)
    parser.add_argument(
        "--tracker", nargs="+", metavar="NAME", help="only these; `opencv` stands for all of OpenCV"
    )
    common.add_own_weights(parser)
    common.add_repeated(
        parser, "--model", "NAME=FILE[,FILE]", "model files of an OpenCV baseline", "models"
    )
    common.add_device(parser)
    parser.add_argument(
        "--validation",
        metavar="GLOB",
        help="clips that settings or weights were chosen on, e.g. 'davis/*,tinytlp/*': they have a "
        "table of their own, and plots and guide are of the others",
    )
    parser.add_argument("--no-speed", action="store_true", help="leave times and memory out")
    parser.add_argument("--frames", type=positive, default=100, metavar="N", help="timed (100)")
    parser.add_argument("--docs", metavar="PAGE", help="Markdown page to fill, plots beside it")
    parser.add_argument("--out", metavar="DIR", help=f"raw results, tables {common.OUT_HELP}")


def run(args: argparse.Namespace) -> int:
    from ..datasets import load_dataset
    from ..evaluation.baselines import BASELINES, baseline_models
    from ..evaluation.comparison import (
        baseline_contestants,
        compare,
        measure_speed,
        own_contestants,
    )
    from ..evaluation.sections import check_sections
    from ..tracker import TRACKERS

    wanted = args.tracker or [*TRACKERS, "opencv"]
    for name in wanted:
        if name not in (*TRACKERS, *BASELINES, "opencv"):
            known = ", ".join((*TRACKERS, "opencv", *BASELINES))
            raise CliError(f"--tracker {name!r} is not known; choose from {known}")
    if args.docs:
        check_sections(Path(args.docs).expanduser(), SECTIONS)
    clips = load_dataset(args.dataset, args.root, args.sequences)
    own, missing = own_contestants(
        [n for n in TRACKERS if n in wanted], common.parse_files(args.weights), args.device
    )
    baselines, absent = baseline_contestants(baseline_models(args.models))
    if "opencv" not in wanted:
        baselines = [p for p in baselines if p.label in wanted]
        absent = {n: reason for n, reason in absent.items() if n in wanted}
    if not own and not baselines:
        raise CliError("no tracker to compare: " + "; ".join((*missing.values(), *absent.values())))
    out = common.out_folder(args.out, "compare", args.root)
    options = common.run_options(args)
    entries, problems = compare([*own, *baselines], clips, out / "runs", **options)
    if not args.no_speed:

        def tell(entry: Entry) -> None:
            assert entry.speed is not None
            print(f"{entry.contestant.label}: {entry.speed.median:.2f} ms", file=sys.stderr)

        entries = measure_speed(entries, args.frames, args.threads, tell)
    for label, reason in problems.items():
        print(f"not compared: {label}: {reason}", file=sys.stderr)
    if not entries:
        return 1
    _write(args, out, entries, missing, absent)
    return 1 if problems else 0


def _write(
    args: argparse.Namespace,
    out: Path,
    entries: list[Entry],
    missing: dict[str, str],
    absent: dict[str, str],
) -> None:
    """Print the tables, and write them and the plots."""
    from ..evaluation.comparison import clip_table, comparison_plots, comparison_table, guide, split
    from ..evaluation.sections import fill_sections

    origin = _origin(args, entries)
    parts = [common.table(*comparison_table(entries))]
    unseen = entries
    if args.validation:
        chosen_on, unseen = split(entries, args.validation)
        tables = [
            (heading, len(part[0].scores.scores), common.table(*comparison_table(part)))
            for heading, part in ((UNSEEN, unseen), (CHOSEN, chosen_on))
        ]
        parts = [f"{heading}, {count} clips:\n\n{text}" for heading, count, text in tables]
    if missing:
        lacking = "\n".join(f"- {n}: `{command}`" for n, command in missing.items())
        parts.append(f"Without weights, and how to make some:\n\n{lacking}")
    if absent:
        parts.append("Not here:\n\n" + "\n".join(f"- {reason}" for reason in absent.values()))
    needs = (f"- {need}: `{label}` ({why})" for need, label, why in guide(unseen))
    chosen = "\n".join(needs)
    by_clip = common.table(*clip_table(entries))
    plots = comparison_plots(unseen)
    text = "\n\n".join([*parts, chosen, by_clip])
    out.mkdir(parents=True, exist_ok=True)
    page = Path(args.docs).expanduser() if args.docs else None
    folder = out if page is None else page.parent / IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    if page is not None:
        # The page is not only ours and cannot go while its plots change: it says so meanwhile.
        fill_sections(page, dict.fromkeys(SECTIONS, CHANGING))
    with together():
        for name, svg in plots.items():
            write_text(folder / f"compare_{name}.svg", svg + "\n")
        write_text(out / "compare.md", f"{origin}\n\n{text}\n")
    if page is not None:
        shown = [f"![{name}]({IMAGES}/compare_{name}.svg)" for name in plots]
        whole = [origin, *parts, *shown, "AUC on each clip:", by_clip]
        filled = ("\n\n".join(whole), f"{origin}\n\n{chosen}")
        fill_sections(page, dict(zip(SECTIONS, filled, strict=True)))
    print(text)
    print(f"\nwritten: {out / 'compare.md'}" + (f", {args.docs}" if args.docs else ""))


def _origin(args: argparse.Namespace, entries: list[Entry]) -> str:
    """Return a sentence on the command, the day, the machine, the clips and the weights."""
    from ..evaluation.environment import processor_name
    from ..processors import usable_processors

    command = "duml-tracker compare --root CLIPS"
    command += f" --validation '{args.validation}'" if args.validation else ""
    command += f" --threads {args.threads}" if args.threads else ""
    today = datetime.date.today().isoformat()
    clips = sorted(entries[0].scores.scores)
    digests = [(e.contestant.label, e.about.get("sha256")) for e in entries]
    weights = ", ".join(f"`{label}` {digest[:8]}" for label, digest in digests if digest)
    return (
        f"Printed by `{command}` on {today} with {usable_processors()} processors "
        f"({processor_name()}) on {len(clips)} clips: {', '.join(clips)}. "
        f"Weights, by the first digits of their checksum: {weights or 'none'}."
    )
