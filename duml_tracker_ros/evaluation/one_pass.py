"""One pass: start on the first true box, follow to the end, keep everything per frame.

Raw results lie under ``<out>/<tracker>/<sequence>/`` in the text formats of the public toolkits
(GOT-10k's boxes and times, VOT's confidence values):

- ``NAME_001.txt``: ``x,y,w,h`` per frame, the first row being the given box;
- ``NAME_time.txt``: seconds per frame (init, then each update), image decoding not included;
- ``NAME_001_confidence.value``: confidence per frame (1 for the first);
- ``NAME_001_state.txt``: ``init``, ``tracking``, ``uncertain`` or ``lost`` per frame;
- ``run.json``: what was run. It is written last: a sequence without it is run again.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets import Sequence, SequenceError
from ..pixels import Box
from ..whole_set import whole_set
from .metrics import Array
from .participants import Participant
from .workers import seed_all

FORMAT = 1
"""Version of the raw result files; older ones are run again."""


@dataclass(frozen=True)
class Run:
    """One tracker on one sequence.

    Attributes:
        boxes: ``[N, 4]``; row 0 is the box that was given.
        confidence: ``[N]``; NaN where the tracker gives none, 1 in row 0.
        states: ``N`` names; the first is ``init``.
        seconds: ``[N]``; entry 0 is the init.
        description: what the tracker says of itself.
        image_size: width and height of the first frame.
        resumed: True when the results were there already.
    """

    boxes: Array
    confidence: Array
    states: tuple[str, ...]
    seconds: Array
    description: dict[str, Any]
    image_size: tuple[int, int]
    resumed: bool = False

    @property
    def ms_median(self) -> float:
        """Median milliseconds per update; NaN for a sequence of one frame."""
        return float(np.median(self.seconds[1:]) * 1e3) if len(self.seconds) > 1 else math.nan


def run_sequence(
    tracker: Participant, sequence: Sequence, on_frame: Callable[[int], object] | None = None
) -> Run:
    """Follow one sequence from its first true box, or what was selected instead, to its end.

    Raises SequenceError when a frame cannot be read.
    """
    seed_all()
    count = len(sequence)
    boxes = np.full((count, 4), np.nan)
    confidence = np.full(count, np.nan)
    seconds = np.zeros(count)
    states: list[str] = []
    size = (0, 0)
    for index in range(count):
        image = sequence.image(index)
        if index > 0:
            check_size(sequence, index, image, size)
        if index == 0:
            size = (image.shape[1], image.shape[0])
            given = sequence.selection
            box = as_box(sequence.truth[0] if given is None else given)
            start = time.perf_counter()
            tracker.init(image, box)
            seconds[0] = time.perf_counter() - start
            boxes[0], confidence[0] = box, 1.0
            states.append("init")
        else:
            start = time.perf_counter()
            seen = tracker.update(image)
            seconds[index] = time.perf_counter() - start
            boxes[index], confidence[index] = seen.box, seen.confidence
            states.append(seen.state)
        if on_frame is not None:
            on_frame(1)
    # Rounded as the files round them: a resumed run gives the same scores as a fresh one.
    return Run(
        boxes.round(4),
        confidence.round(6),
        tuple(states),
        seconds.round(8),
        describe(tracker, sequence),
        size,
    )


def describe(tracker: Participant, sequence: Sequence) -> dict[str, Any]:
    """Return the tracker's description, and a note on how its frames were changed."""
    note = sequence.pictures.note()
    return {**tracker.describe(), **({"pictures": note} if note else {})}


def base_name(sequence: Sequence) -> str:
    """The last part of a sequence's name, which its result files begin with."""
    return sequence.name.rsplit("/", 1)[-1]


def check_size(
    sequence: Sequence, index: int, image: NDArray[np.uint8], size: tuple[int, int]
) -> None:
    """Raise SequenceError when an image is not of the first one's size (width, height)."""
    found = (image.shape[1], image.shape[0])
    if found != size:
        raise SequenceError(
            sequence.name,
            f"frame {index}: {sequence.frames[index].name} has {found[0]}x{found[1]} pixels, the "
            f"first one {size[0]}x{size[1]}",
        )


def as_box(row: NDArray[np.float64]) -> Box:
    """A row of a box array as a tuple of floats."""
    return (float(row[0]), float(row[1]), float(row[2]), float(row[3]))


def results_folder(out: Path, tracker: str, sequence: str) -> Path:
    """Where the raw results of one tracker on one sequence lie."""
    return out / tracker / sequence


def save_run(folder: Path, sequence: Sequence, run: Run, key: str) -> None:
    """Write the raw results, which count with their ``run.json``."""
    base = base_name(sequence)
    document = {
        "format": FORMAT,
        "key": key,
        "sequence": sequence.name,
        "frames": len(sequence),
        "image_size": run.image_size,
        "tracker": run.description,
    }
    with whole_set(folder, "run.json") as draft:
        np.savetxt(draft / f"{base}_001.txt", run.boxes, fmt="%.4f", delimiter=",")
        np.savetxt(draft / f"{base}_time.txt", run.seconds, fmt="%.8f")
        np.savetxt(draft / f"{base}_001_confidence.value", run.confidence, fmt="%.6f")
        (draft / f"{base}_001_state.txt").write_text("\n".join(run.states) + "\n")
        (draft / "run.json").write_text(json.dumps(document, indent=1, default=str) + "\n")


def load_run(folder: Path, sequence: Sequence, key: str | None = None) -> Run | None:
    """Read raw results back, or None when there are none, they are damaged, or of another key."""
    base = base_name(sequence)
    try:
        document = json.loads((folder / "run.json").read_text())
        if document["format"] != FORMAT or (key is not None and document["key"] != key):
            return None
        boxes = np.loadtxt(folder / f"{base}_001.txt", delimiter=",", ndmin=2)
        seconds = np.loadtxt(folder / f"{base}_time.txt", ndmin=1)
        confidence = np.loadtxt(folder / f"{base}_001_confidence.value", ndmin=1)
        states = tuple((folder / f"{base}_001_state.txt").read_text().split())
        size = (int(document["image_size"][0]), int(document["image_size"][1]))
        description = dict(document["tracker"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    count = len(sequence)
    if boxes.shape != (count, 4) or {len(seconds), len(confidence), len(states)} != {count}:
        return None
    return Run(boxes, confidence, states, seconds, description, size, resumed=True)
