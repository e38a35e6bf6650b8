"""Average the weights of several trainings into one file.

    python tools/average_weights.py FIRST.safetensors SECOND.safetensors ... --out NAME.safetensors

Trainings that start from each other lie in one valley of the loss: the mean of their weights is
there, too, and has learned less by heart than any of them (Wortsman et al., "Model soups:
averaging weights of multiple fine-tuned models improves accuracy without increasing inference
time", ICML 2022: the uniform soup). All files need the same network; notes are those of the last.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import torch
from torch import Tensor

from duml_tracker_ros.tracker.checkpoint.store import Checkpoint, load_checkpoint, save_state
from duml_tracker_ros.tracker.errors import WeightsError


def average(checkpoints: Sequence[Checkpoint]) -> dict[str, Tensor]:
    """The mean of each tensor, computed in float64.

    Raises:
        WeightsError: the files are of different networks, or one is alone.
    """
    first = checkpoints[0]
    if len(checkpoints) < 2:
        raise WeightsError(f"{first.path} is alone: name two files or more")
    for other in checkpoints[1:]:
        if other.network != first.network or other.state.keys() != first.state.keys():
            raise WeightsError(f"{other.path} holds another network than {first.path}")
    return {
        name: torch.stack([c.state[name].double() for c in checkpoints]).mean(0).to(tensor.dtype)
        for name, tensor in first.state.items()
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="weights, .safetensors")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="the new file")
    arguments = parser.parse_args(argv)
    try:
        if arguments.out.exists():
            raise WeightsError(f"--out {arguments.out} is there already: name a new file")
        checkpoints = [load_checkpoint(path) for path in arguments.files]
        last = checkpoints[-1]
        notes = {
            **last.notes,
            "date": datetime.now(timezone.utc).date().isoformat(),
            "average_of": " ".join(c.sha256 for c in checkpoints),
        }
        digest = save_state(arguments.out, average(checkpoints), last.network, notes, torch.float16)
    except WeightsError as error:
        print(f"average_weights: error: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.out}: mean of {len(checkpoints)} files, sha256 {digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
