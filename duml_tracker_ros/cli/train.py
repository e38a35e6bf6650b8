"""`duml-tracker train`: train a network from one configuration file."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from .common import CliError, add_repeated, add_threads, parse_settings

HELP = "train a network"
DESCRIPTION = """\
Train a tracker's network from one YAML file that names the data, the network and the schedule.
An interrupted training continues with --resume; the weights are written as .safetensors. Started by
torchrun, several processes train together, each on a GPU of its own.
"""
EXAMPLES = """\
# train into a folder
duml-tracker train my_training.yaml --out runs/first
# go on after an interruption
duml-tracker train my_training.yaml --out runs/first --resume
# how long will it take on this machine?
duml-tracker train my_training.yaml --estimate
# on four GPUs of this machine
torchrun --nproc-per-node 4 -m duml_tracker_ros.cli train my_training.yaml
# change values of the file
duml-tracker train my_training.yaml --set steps=2000
"""
GIB = 2**30


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config", metavar="CONFIG", help="YAML file, or the name of one in the package"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="folder of checkpoints and logs (default: the file's)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="continue from the last checkpoint in --out"
    )
    add_repeated(parser, "--set", "KEY=VALUE", "change a value of the file", "settings")
    parser.add_argument(
        "--estimate",
        action="store_true",
        help="make a few steps only, keep nothing, and tell how long the whole would take here and "
        "what memory it needs",
    )
    add_threads(parser)


def run(args: argparse.Namespace) -> int:
    from ..training.loop import train_from_config

    overrides = parse_settings(args.settings)
    if args.threads is not None:
        overrides["threads"] = args.threads
    if args.estimate:
        return _estimate(args.config, overrides)
    out = Path(args.out).expanduser() if args.out else None
    if out is not None and out.is_file():
        raise CliError(f"--out {out} is a file; name a folder")
    weights = train_from_config(args.config, resume=args.resume, out=out, overrides=overrides)
    if os.environ.get("RANK", "0") == "0":
        print(f"weights: {weights}")
    return 0


def _estimate(config: str, overrides: dict[str, Any]) -> int:
    from ..training.estimate import estimate, memory
    from ..training.recipes import load_train_config

    recipe = load_train_config(config, overrides)
    need = memory(recipe)
    print(
        f"memory of each device: {need.total / GIB:.1f} GiB, for {need.samples} samples at a time "
        f"{need.samples * need.sample / GIB:.1f} (batch {recipe.batch}, accumulate "
        f"{recipe.accumulate}), for weights, gradients and moments {need.weights / GIB:.1f}"
    )
    if not recipe.data.root and not recipe.data.layouts:
        print("for the time give data, e.g. --set data.root=DIR")
        return 0
    found = estimate(recipe)
    print(
        f"a step on {found.device}: {found.seconds:.2f} s, {found.calls} calls of operators, "
        f"{found.flops / 1e9:.0f} GFLOP\n"
        f"{found.steps} steps: {found.hours:.1f} h, and what the start and validation take"
    )
    return 0
