"""One-pass evaluation: start on the first true box, follow to the end, keep everything per frame.

Raw results lie under ``<out>/<tracker>/<sequence>/`` in the text formats of the public toolkits
(GOT-10k's boxes and times, VOT's confidence values):

- ``NAME_001.txt``: ``x,y,w,h`` per frame, the first row being the given box;
- ``NAME_time.txt``: seconds per frame (init, then each update), image decoding not included;
- ``NAME_001_confidence.value``: confidence per frame (1 for the first);
- ``NAME_001_state.txt``: ``init``, ``tracking``, ``uncertain`` or ``lost`` per frame;
- ``run.json``: what was run. It is written last: a sequence without it is run again.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import logging
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import progress as bars
from ..datasets import Dataset, Sequence, SequenceError
from ..digest import code_digest, file_digest, value_digest
from ..processors import usable_processors
from ..whole_set import whole_set
from .environment import processor_name
from .metrics import (
    Array,
    Got10kScore,
    PassScore,
    got10k_overlaps,
    got10k_score,
    mean_score,
    score_pass,
)
from .paper_rules import by_benchmark
from .participants import Participant, TrackerSpec, create_participant
from .peers import PEERS, Box

T = TypeVar("T")

log = logging.getLogger(__name__)

FORMAT = 1
"""Version of the raw result files; older ones are run again."""

CODE = (
    *(
        f"evaluation/{name}.py"
        for name in ("participants", "peers", "runner", "splices", "vot", "vot_runs")
    ),
    "datasets/base.py",
    "datasets/region.py",
    "media",
)
"""Parts of the package that a run depends on beside the tracker's own code."""


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


@dataclass(frozen=True)
class TrackerScores:
    """One tracker on a data set: runs and scores by sequence name."""

    name: str
    runs: dict[str, Run]
    scores: dict[str, PassScore]

    def mean(self, names: Iterable[str] | None = None) -> dict[str, Any]:
        """Mean over sequences (all, or the named ones); times are pooled over all updates."""
        chosen = [n for n in self.scores if names is None or n in set(names)]
        if not chosen:
            return {}
        pooled = np.concatenate([self.runs[n].seconds[1:] for n in chosen]) * 1e3
        return {
            **mean_score(self.scores[n] for n in chosen).as_dict(),
            "ms_median": float(np.median(pooled)) if pooled.size else math.nan,
            "ms_p95": float(np.percentile(pooled, 95)) if pooled.size else math.nan,
            "sequences": len(chosen),
        }

    def as_dict(self) -> dict[str, Any]:
        """The shape of the JSON output for one tracker, without the environment."""
        sequences: dict[str, Any] = {}
        for name, score in self.scores.items():
            run = self.runs[name]
            sequences[name] = {
                **score.as_dict(),
                "ms_median": run.ms_median,
                "init_ms": float(run.seconds[0] * 1e3),
                "reported_lost": sum(s == "lost" for s in run.states),
            }
        return {"mean": self.mean(), "groups": self.groups(), "sequences": sequences}

    def groups(self) -> dict[str, Any]:
        """Means by the part of the names before the last slash, where there are several."""
        parts: dict[str, list[str]] = {}
        for name in self.scores:
            parts.setdefault(name.rpartition("/")[0], []).append(name)
        if len(parts) < 2:
            return {}
        return {group or ".": self.mean(names) for group, names in sorted(parts.items())}


@dataclass
class Evaluation:
    """All trackers on a data set, and what went wrong, by name."""

    dataset: Dataset
    trackers: dict[str, TrackerScores] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def got10k(self, tracker: str) -> Got10kScore:
        """AO and success rates of a tracker over all finished sequences, GOT-10k's way."""
        runs = self.trackers[tracker].runs
        return got10k_score(
            [
                got10k_overlaps(
                    runs[s.name].boxes,
                    s.truth,
                    cover=s.cover,
                    image_size=runs[s.name].image_size,
                )
                for s in self.dataset
                if s.name in runs and s.truth_given
            ]
        )


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
        {**tracker.describe(), **about_pictures(sequence)},
        size,
    )


def about_pictures(sequence: Sequence) -> dict[str, str]:
    """What was done to the frames that were read, under ``pictures``; nothing for most clips."""
    note = sequence.pictures.note()
    return {"pictures": note} if note else {}


def tell_pictures(sequence: Sequence, description: dict[str, Any]) -> None:
    """Log what was done to the frames of a run."""
    if note := description.get("pictures"):
        log.warning("%s: %s", sequence.name, note)


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


def seed_all() -> None:
    """Same random numbers for every sequence, whatever ran before it in this process."""
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def results_folder(out: Path, tracker: str, sequence: str) -> Path:
    """Where the raw results of one tracker on one sequence lie."""
    return out / tracker / sequence


def save_run(folder: Path, sequence: Sequence, run: Run, key: str) -> None:
    """Write the raw results, which count with their ``run.json``."""
    base = sequence.name.rsplit("/", 1)[-1]
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
    base = sequence.name.rsplit("/", 1)[-1]
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
        _computer(spec.name not in PEERS),
    )


def _computer(by_torch: bool) -> list[str | int]:
    """What computes in this process: libraries, processor, threads."""
    import cv2

    found = [np.__version__, cv2.__version__, cv2.getNumThreads(), processor_name()]
    if by_torch:
        import torch

        found += [torch.__version__, torch.get_num_threads()]
        found += [torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"]
    return found


# One tracker per process and spec: weights are loaded once, not once per sequence.
_made: dict[str, Participant] = {}


def made_participant(spec: TrackerSpec) -> Participant:
    """The tracker of a spec, made once in this process."""
    name = repr(spec)
    if name not in _made:
        # Times of a run are of whole updates: those in the background would be counted for nothing.
        overrides = {"online.asynchronous": "never", **spec.overrides}
        _made[name] = create_participant(replace(spec, overrides=overrides))
    return _made[name]


def forget_participants() -> None:
    """Free the trackers of this process; the next task makes its own again."""
    _made.clear()


def limit_threads(threads: int) -> None:
    """Let torch and OpenCV use that many threads in this process."""
    import cv2

    cv2.setNumThreads(threads)
    # Workers that run OpenCV's trackers never load torch; one that does reads this.
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def end_with_parent() -> None:
    """Let this worker process end when its parent is killed; it would wait for ever otherwise."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        ended = [parent.sentinel]
        threading.Thread(target=lambda: (wait(ended), os._exit(1)), daemon=True).start()


def _start_worker(threads: int) -> None:
    # The parent answers Ctrl-C for all.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    limit_threads(threads)


def _run_task(
    spec: TrackerSpec,
    sequence: Sequence,
    out: Path | None,
    fresh: bool,
    on_frame: Callable[[int], object] | None = None,
) -> Run | str:
    """Run or resume one sequence; a text says why it could not be done."""
    try:
        tracker = made_participant(spec)
        key = run_key(tracker.describe(), spec, sequence)
        folder = results_folder(out, spec.name, sequence.name) if out is not None else None
        if folder is not None and not fresh:
            done = load_run(folder, sequence, key)
            if done is not None:
                if on_frame is not None:
                    on_frame(len(sequence))
                tell_pictures(sequence, done.description)
                return done
        run = run_sequence(tracker, sequence, on_frame)
        tell_pictures(sequence, run.description)
        if folder is not None:
            save_run(folder, sequence, run, key)
        return run
    except SequenceError as error:
        return error.reason
    except Exception as error:  # one sequence must not end the others
        forget_participants()
        return f"{type(error).__name__}: {error}"


def evaluate(
    specs: list[TrackerSpec],
    dataset: Dataset,
    *,
    out: Path | None = None,
    jobs: int = 1,
    threads: int | None = None,
    fresh: bool = False,
    progress: bool = True,
) -> Evaluation:
    """Run every tracker on every sequence and score the results.

    Args:
        specs: the trackers; names must differ.
        dataset: sequences with their truth.
        out: folder of the raw results; finished sequences in it are not run again.
        jobs: worker processes; 1 runs in this process.
        threads: torch and OpenCV threads per process; by default the processors are shared out.
        fresh: run again what is already there.
        progress: show a bar with the time left.

    A sequence that fails is named in ``problems`` and left out of that tracker's mean. What a paper
    sets by benchmark is set here (`paper_rules`).
    """
    specs = [by_benchmark(spec, dataset) for spec in specs]
    names = [s.name for s in specs]
    if len(set(names)) != len(names):
        raise ValueError(f"a tracker is named twice: {names}")
    result = Evaluation(dataset, problems={p.name: p.reason for p in dataset.problems})
    done: dict[tuple[str, str], Run] = {}
    tasks = [(spec, sequence) for sequence in dataset for spec in specs]
    bar = bars.progress(
        total=sum(len(s) for _, s in tasks),
        unit="frame",
        show=progress,
        desc=names[0] if len(names) == 1 else f"{len(names)} trackers",
    )

    def note(spec: TrackerSpec, sequence: Sequence, outcome: Run | str) -> None:
        if isinstance(outcome, Run):
            done[spec.name, sequence.name] = outcome
        else:
            where = sequence.name if len(specs) == 1 else f"{sequence.name} ({spec.name})"
            result.problems[where] = outcome
            bar.write(f"{where}: {outcome}")

    with bar:
        if jobs <= 1:
            if threads is not None:
                limit_threads(threads)
            for spec, sequence in tasks:
                bar.set_postfix_str(sequence.name, refresh=False)
                note(spec, sequence, _run_task(spec, sequence, out, fresh, bar.update))
            forget_participants()
        else:
            ordered = sorted(tasks, key=lambda t: -len(t[1]))
            arguments = [(spec, sequence, out, fresh) for spec, sequence in ordered]
            for (spec, sequence, *_), outcome in spread(_run_task, arguments, jobs, threads):
                note(spec, sequence, outcome)
                bar.set_postfix_str(sequence.name, refresh=False)
                bar.update(len(sequence))
    for spec in specs:
        runs = {s.name: done[spec.name, s.name] for s in dataset if (spec.name, s.name) in done}
        scores = {
            s.name: score_pass(runs[s.name].boxes, s.truth)
            for s in dataset
            if s.name in runs and s.truth_given
        }
        result.trackers[spec.name] = TrackerScores(spec.name, runs, scores)
    return result


def spread(
    function: Callable[..., T],
    tasks: Iterable[tuple[Any, ...]],
    jobs: int,
    threads: int | None,
) -> Iterator[tuple[tuple[Any, ...], T | str]]:
    """Call ``function(*task)`` in worker processes and give ``(task, result)`` as they end.

    Long tasks should come first. Where a worker died the result is a text that says so. Leaving the
    loop early, Ctrl-C included, ends the workers.
    """
    share = threads or max(1, usable_processors() // jobs)
    pool = concurrent.futures.ProcessPoolExecutor(
        max_workers=jobs,
        # A forked process cannot use the torch threads or the GPU of its parent.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(share,),
    )
    others = set(multiprocessing.active_children())
    futures = {pool.submit(function, *task): task for task in tasks}
    try:
        for future in concurrent.futures.as_completed(futures):
            outcome: T | str
            try:
                outcome = future.result()
            except BrokenProcessPool:
                outcome = "the worker process died (out of memory?); run again to continue"
            yield futures[future], outcome
    except BaseException:
        # Without this the process would stay until the sequences in work have ended.
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            if child not in others:
                child.terminate()
        raise
    pool.shutdown()
