"""What a run depends on: finished ones of the same key are not made again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import Sequence, SequenceError
from ..digest import code_digest, file_digest, value_digest
from .baselines import BASELINES
from .environment import processor_name
from .participants import TrackerSpec

CODE = (
    *(
        f"evaluation/{name}.py"
        for name in ("participants", "baselines", "one_pass", "splices", "vot", "vot_runs")
    ),
    "datasets/base.py",
    "datasets/region.py",
    "media",
)
"""Parts of the package that a run depends on beside the tracker's own code."""


def run_key(description: dict[str, Any], spec: TrackerSpec, sequence: Sequence) -> str:
    """Identity of a run: all that changes its boxes or its times.

    That is the tracker (settings, weights by their checksum, code), its model files, the content of
    every frame, the truth, what else makes the sequence's images, and what computes: the
    libraries, the processor and its threads.

    Raises SequenceError when a frame cannot be read.
    """
    parts = {f.name: getattr(sequence, f.name) for f in dataclasses.fields(sequence) if f.compare}
    # Neither name nor tags nor the folders' places change what is seen.
    frames = parts.pop("frames")
    for name in ("name", "attributes", "label"):
        parts.pop(name)
    content = []
    for index, path in enumerate(frames):
        try:
            content.append(file_digest(path))
        except OSError as error:
            reason = f"frame {index}: image {path}: {error.strerror}"
            raise SequenceError(sequence.name, reason) from error
    # What is made of weights of another place is the same.
    tracker = {key: value for key, value in description.items() if key != "weights"}
    return value_digest(
        json.loads(json.dumps(tracker, sort_keys=True, default=str)),
        json.loads(json.dumps(spec.overrides, sort_keys=True, default=str)),
        [file_digest(Path(model).expanduser()) for model in spec.models],
        type(sequence).__qualname__,
        content,
        parts,
        code_digest(*CODE),
        _computer(spec.name not in BASELINES),
    )


def _computer(by_torch: bool) -> list[str | int]:
    """Return the libraries, processor and threads of this process."""
    import cv2

    found = [np.__version__, cv2.__version__, cv2.getNumThreads(), processor_name()]
    if by_torch:
        import torch

        found += [torch.__version__, torch.get_num_threads()]
        found += [torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"]
    return found
