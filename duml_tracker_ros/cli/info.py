"""`duml-tracker info`: what is installed, which device and weights are used."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from .common import DEFAULT_TRACKER, add_tracker_options, tracker_specs

HELP = "versions, devices, trackers, weights and their checksum"
DESCRIPTION = """\
Print versions, processor, devices, the trackers that can be used here, and the chosen tracker with
its weights, their checksum and its settings. Add it to a bug report.
"""
EXAMPLES = """\
# everything
duml-tracker info
# a weights file made by training
duml-tracker info --weights last.safetensors
# as data
duml-tracker info --json
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tracker", default=DEFAULT_TRACKER, metavar="NAME", help="default: duml")
    add_tracker_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    from ..evaluation.environment import describe_environment
    from ..evaluation.participants import create_participant
    from ..tracker.errors import WeightsError

    (spec,) = tracker_specs(args, [args.tracker])
    document: dict[str, Any] = {
        "environment": describe_environment(),
        "trackers": availability(),
        "tracker": {},
    }
    try:
        document["tracker"] = create_participant(spec).describe()
    except WeightsError as error:
        # Before the first training there are none; the rest is still worth telling.
        document["tracker"] = {"name": spec.name, "problem": str(error)}
    if args.json:
        print(json.dumps(document, indent=1, default=str))
        return 0
    for title, part in document.items():
        print(f"{title}:")
        for line in _lines(part, 1):
            print(line)
    return 0


def availability() -> dict[str, str]:
    """Each known tracker, and whether it can be used here."""
    from ..evaluation.baselines import BASELINES, BaselineError, baseline_files, create_baseline
    from ..evaluation.participants import known_trackers

    found: dict[str, str] = {}
    for name in known_trackers():
        if name not in BASELINES:
            found[name] = "this package"
        elif baseline_files(name):
            found[name] = f"OpenCV, with --model {name}=" + ",".join(
                f"{f.upper()}.onnx" for f in baseline_files(name)
            )
        else:
            try:
                create_baseline(name)
                found[name] = "OpenCV"
            except BaselineError as error:
                found[name] = "not here: " + str(error).partition("; ")[2]
    return found


def _lines(value: dict[str, Any], depth: int) -> Iterator[str]:
    pad = "  " * depth
    for key, item in value.items():
        if isinstance(item, dict) and item:
            yield f"{pad}{key}:"
            yield from _lines(item, depth + 1)
        else:
            yield f"{pad}{key}: {'-' if item is None else item}"
