"""Kill a command of `duml-tracker` at each of its writes, in copies of one process.

Prints what was found after each kill: the documents that are the old ones, and those that are new.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import sys
from pathlib import Path

import torch
from kill_harness import kills, put, tree

from duml_tracker_ros.cli.main import main
from duml_tracker_ros.evaluation import bench as measuring

RUNS = itertools.count(1)


def unmeasured(*_: object) -> tuple[list[object], dict[str, str]]:
    """Stands for the measuring of `bench`: what is written of it counts."""
    return [], {f"a case of run {next(RUNS)}": "it failed"}


def command(argv: list[str]) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = main(argv)
    assert status == (argv[0] == "bench"), said.getvalue()


def found(folder: Path, before: dict[str, bytes]) -> dict[str, list[str]]:
    """Names of the documents that are there; drafts are hidden and are none."""
    now = {name: data for name, data in tree(folder).items() if not Path(name).name.startswith(".")}
    return {
        "old": sorted(name for name, data in now.items() if before.get(name) == data),
        "new": sorted(name for name, data in now.items() if before.get(name) != data),
    }


if __name__ == "__main__":
    measuring.bench = unmeasured  # type: ignore[assignment]
    folder, first, second = Path(sys.argv[1]), *map(json.loads, sys.argv[2:4])
    # Loads what the copies need, on one thread: others would not be in them.
    torch.set_num_threads(1)
    command(first)
    before = tree(folder)
    steps = []
    for _ in kills(lambda: command(second), folder):
        steps.append(found(folder, before))
        put(folder, before)
    left = sorted(set(tree(folder)) - set(before))
    print(json.dumps({"steps": steps, "end": found(folder, before), "left": left}))
