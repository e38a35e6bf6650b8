"""Every tracker on every sequence of a data set: what is finished is taken, all else is run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from .. import progress as bars
from ..arguments import line
from ..datasets import Dataset, Sequence, SequenceError
from ..tracker.errors import TrackerError
from .baselines import BaselineError
from .paper_rules import by_benchmark
from .participants import Participant, TrackerSpec
from .run_key import run_key
from .workers import forget_participants, limit_threads, made_participant, spread

log = logging.getLogger(__name__)


class Finished(Protocol):
    """A tracker on a sequence."""

    @property
    def description(self) -> dict[str, Any]: ...

    @property
    def resumed(self) -> bool: ...


R = TypeVar("R", bound=Finished)


def run_or_resume(
    spec: TrackerSpec,
    sequence: Sequence,
    folder: Path | None,
    fresh: bool,
    run: Callable[[Participant, Sequence], R],
    load: Callable[[Path, Sequence, str], R | None],
    save: Callable[[Path, Sequence, R, str], None],
    **about: str,
) -> R | str:
    """Run a sequence, or take what is finished in a folder; a text says why it cannot be done.

    Args:
        folder: of the raw results; None keeps nothing.
        fresh: run again what is finished.
        about: what else the results depend on.
    """
    try:
        tracker = made_participant(spec)
        key = run_key({**about, **tracker.describe()}, spec, sequence)
        done = load(folder, sequence, key) if folder is not None and not fresh else None
        found = run(tracker, sequence) if done is None else done
        if note := found.description.get("pictures"):
            log.warning("%s: %s", sequence.name, note)
        if folder is not None and done is None:
            save(folder, sequence, found, key)
        return found
    except SequenceError as error:
        return error.reason
    except Exception as error:  # one sequence must not end the others
        forget_participants()
        if isinstance(error, OSError) and error.filename and error.strerror:
            return f"{error.filename}: {error.strerror}"
        told = isinstance(error, (BaselineError, TrackerError))
        return str(error) if told else f"{type(error).__name__}: {error}"


def run_all(
    task: Callable[..., R | str],
    specs: list[TrackerSpec],
    dataset: Dataset,
    problems: dict[str, str],
    *,
    out: Path | None = None,
    jobs: int = 1,
    threads: int | None = None,
    fresh: bool = False,
    progress: bool = True,
) -> dict[tuple[str, str], R]:
    """Run every tracker on every sequence; return what was found by their names.

    What a paper sets by benchmark is set here (`paper_rules`).

    Args:
        task: called with a spec, a sequence, ``out``, ``fresh`` and what counts frames.
        specs: the trackers; names must differ.
        problems: takes the reasons of sequences that fail, by name.
        out: folder of the raw results; finished sequences in it are not run again.
        jobs: worker processes; 1 runs in this process.
        threads: torch and OpenCV threads per process; by default the processors are shared out.
        fresh: run again what is already there.
        progress: show a bar with the time left.
    """
    names = [s.name for s in specs]
    if len(set(names)) != len(names):
        raise ValueError(f"a tracker is named twice: {names}")
    specs = [by_benchmark(spec, dataset) for spec in specs]
    tasks = [(spec, sequence, out, fresh) for sequence in dataset for spec in specs]
    total = sum(len(sequence) for _, sequence, *_ in tasks)
    what = names[0] if len(names) == 1 else f"{len(names)} trackers"
    done: dict[tuple[str, str], R] = {}
    with bars.progress(total=total, unit="frame", show=progress, desc=what) as bar:

        def note(spec: TrackerSpec, sequence: Sequence, found: R | str) -> None:
            bar.set_postfix_str(sequence.name, refresh=False)
            if isinstance(found, str):
                where = sequence.name if len(specs) == 1 else f"{sequence.name} ({spec.name})"
                problems[where] = found
                bar.write(line(f"{where}: {found}"))
            else:
                done[spec.name, sequence.name] = found

        if jobs <= 1:
            if threads is not None:
                limit_threads(threads)
            for spec, sequence, *_ in tasks:
                note(spec, sequence, task(spec, sequence, out, fresh, bar.update))
            forget_participants()
        else:
            tasks.sort(key=lambda t: -len(t[1]))
            for (spec, sequence, *_), found in spread(task, tasks, jobs, threads):
                note(spec, sequence, found)
                bar.update(len(sequence))
    return done
