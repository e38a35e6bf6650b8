"""Compares the times of two checkouts in one run: this one against a commit or another folder.

    .venv/bin/python tools/paired_bench.py --against main
    .venv/bin/python tools/paired_bench.py --against v0.2.0 --tracker fcot --rounds 40

Two processes follow the same target through the same frames by turns, so that whatever else the
machine does meets both alike. A round is the selection and all updates; the ratio of its times is
taken round by round. Processor time counts all threads of a process and nothing of others: on a
busy machine it is the one to look at.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SIZE = (640, 480)
CLOCKS = {"processor": time.process_time, "wall": time.perf_counter}


class BenchError(Exception):
    """What stops the comparison, in one line with the remedy."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison; exit status 1 where it cannot be made or this checkout is slower."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--against", metavar="REV|DIR", help="commit, or folder of a checkout")
    parser.add_argument("--tracker", default="duml", help="(duml)")
    parser.add_argument("--frames", type=int, default=40, help="updates of a round (40)")
    parser.add_argument("--rounds", type=int, default=30, help="(30)")
    parser.add_argument("--threads", type=int, default=1, help="of each process (1)")
    parser.add_argument("--targets", type=int, default=1, help="followed at a time (1)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="tracker setting"
    )
    parser.add_argument(
        "--at-most", type=float, metavar="RATIO", help="exit 1 where the median is above that"
    )
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        work(json.loads(options.work))
        return 0
    if not options.against:
        parser.error("give --against: a commit, or the folder of a checkout")
    try:
        with checkout(options.against) as other:
            return compare(options, other)
    except BenchError as error:
        print(f"paired_bench: {error}", file=sys.stderr)
        return 1


@contextlib.contextmanager
def checkout(name: str) -> Iterator[Path]:
    """The folder of a checkout; that of a commit is made and removed again. Raises BenchError."""
    if Path(name).is_dir():
        yield Path(name).resolve()
        return
    with tempfile.TemporaryDirectory(prefix="paired_bench_") as scratch:
        folder = Path(scratch) / "checkout"
        added = git("worktree", "add", "--detach", str(folder), name)
        if added.returncode:
            raise BenchError(
                f"--against {name!r}: {added.stderr.strip()}; name a commit of this repository, "
                "or the folder of a checkout"
            )
        try:
            yield folder
        finally:
            git("worktree", "remove", "--force", str(folder))


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)


def compare(options: argparse.Namespace, other: Path) -> int:
    """Run both by turns and print what came of it; the exit status."""
    from duml_tracker_ros.scene import AerialScene

    scene = AerialScene(7, *SIZE, max(options.frames + 1, 2))
    rendered = [scene.render(index) for index in range(options.frames + 1)]
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as ends:
        film = Path(scratch) / "frames.npy"
        np.save(film, np.stack([frame.image for frame in rendered]))
        task = {
            "film": str(film),
            "box": rendered[0].box,
            "tracker": options.tracker,
            "threads": options.threads,
            "targets": options.targets,
            "settings": dict(pair.split("=", 1) for pair in options.set),
        }
        pair = [ends.enter_context(worker(root, task)) for root in (ROOT, other)]
        times: list[list[dict[str, Any]]] = [[], []]
        for number in range(options.rounds + 1):
            # Who goes first has the caches of the other; so they take turns in that, too.
            for side in (0, 1) if number % 2 else (1, 0):
                found = ask(pair[side])
                if number:  # the first round warms up
                    times[side].append(found)
    same = times[0][0]["boxes"] == times[1][0]["boxes"]
    count = f"{options.rounds} rounds of {options.frames} updates"
    count += f" of {options.targets} targets" if options.targets > 1 else ""
    print(f"{options.tracker}, {times[0][0]['engine']}, threads {options.threads}: {count}")
    print(f"boxes of both: {'the same to the last bit' if same else 'different'}")
    for clock in CLOCKS:
        own, theirs = (np.array([t[clock] for t in side]) / options.frames for side in times)
        print(f"{clock:<9} {summary(own, theirs)}")
        if clock == "processor":
            ratio = float(np.median(own / theirs))
    return int(options.at_most is not None and ratio > options.at_most)


def summary(own: np.ndarray, theirs: np.ndarray) -> str:
    """Times of both in seconds an update, round by round, in words."""
    low, middle, high = np.percentile(own / theirs, [25, 50, 75])
    # Of a median: 1.25 standard errors of a mean, and a quartile is 0.674 deviations off.
    error = 1.25 * (high - low) / 1.349 / len(own) ** 0.5
    return (
        f"{1e3 * np.median(own):7.2f} ms against {1e3 * np.median(theirs):7.2f} ms an update: "
        f"ratio {middle:.4f} +- {error:.4f}, quartiles {low:.4f} to {high:.4f}"
    )


@contextlib.contextmanager
def worker(root: Path, task: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """A process that works with the package of a checkout."""
    if not (root / "duml_tracker_ros" / "tracker").is_dir():
        raise BenchError(f"{root} is no checkout of this repository: name one, or a commit")
    command = [sys.executable, __file__, "--work", json.dumps({**task, "root": str(root)})]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    variables = {**os.environ, "PYTHONPATH": str(root)}
    process = subprocess.Popen(command, text=True, env=variables, **pipes)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ask(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Let a worker make one round. Raises BenchError where it has ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write("\n")
        process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise BenchError("a process ended; what it said stands above")
    found: dict[str, Any] = json.loads(line)
    return found


def work(task: dict[str, Any]) -> None:
    """Make a round for every line that comes, and tell its times."""
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import cv2
    import torch

    import duml_tracker_ros
    from duml_tracker_ros.tracker import create_tracker

    if not Path(duml_tracker_ros.__file__).is_relative_to(task["root"]):
        raise SystemExit(f"{duml_tracker_ros.__file__} is not of {task['root']}")
    torch.set_num_threads(task["threads"])
    cv2.setNumThreads(task["threads"])
    film = np.load(task["film"])
    tracker = create_tracker(task["tracker"], device="cpu", **task["settings"])
    tracker.warm_up(task["targets"])
    info = tracker.info()
    for _ in sys.stdin:
        seen = hashlib.sha256()
        began = {name: clock() for name, clock in CLOCKS.items()}
        targets = [tracker.start(film[0], tuple(task["box"])) for _ in range(task["targets"])]
        for image in film[1:]:
            seen.update(repr([found.box for found in tracker.track(image, targets)]).encode())
        times = {name: clock() - began[name] for name, clock in CLOCKS.items()}
        engine = f"{info['engine']} {info['precision']}"
        print(json.dumps({**times, "boxes": seen.hexdigest(), "engine": engine}), file=answers)
        answers.flush()


if __name__ == "__main__":
    sys.exit(main())
