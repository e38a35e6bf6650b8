"""Processes that run trackers, and what each of them is set up with."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing.connection import wait
from typing import Any, TypeVar

import numpy as np

from ..processors import usable_processors
from .participants import Participant, TrackerSpec, create_participant

T = TypeVar("T")


def seed_all() -> None:
    """Same random numbers for every sequence, whatever ran before it in this process."""
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


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


def spread(
    function: Callable[..., T], tasks: Iterable[tuple[Any, ...]], jobs: int, threads: int | None
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
