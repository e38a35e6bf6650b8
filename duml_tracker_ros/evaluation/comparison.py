"""All trackers that can run here on the same clips: accuracy, robustness, speed and size."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..datasets import Dataset, DatasetError, matches
from ..tracker.checkpoint import default_weights, usual_size
from ..tracker.checkpoint.store import how_to_make
from ..tracker.config import sizes
from ..tracker.errors import WeightsError
from .baselines import BASELINES, BaselineError, create_baseline
from .bench import BenchResult, run_case
from .bench_plan import BenchCase
from .metrics import SUCCESS_THRESHOLDS, mean_score
from .participants import TrackerSpec
from .runner import TrackerScores, evaluate
from .svg import Axis, Bar, Series, bar_chart, colour, line_chart
from .variants import slug

REPEATS = 3
"""Runs of a tracker that is timed, at most, while the host disturbs (`bench.run_case`)."""


@dataclass(frozen=True)
class Contestant:
    """A tracker that can run here, under the name it has in tables."""

    label: str
    spec: TrackerSpec

    @property
    def baseline(self) -> bool:
        return self.spec.name in BASELINES


@dataclass(frozen=True)
class Entry:
    """What was found of a contestant.

    ``about`` is what it says of itself: ``parameters`` and ``sha256`` of this package's trackers.
    """

    contestant: Contestant
    scores: TrackerScores
    mean: dict[str, Any]
    about: dict[str, Any]
    speed: BenchResult | None = None


def own_contestants(
    names: Sequence[str], files: Mapping[tuple[str, str], str], device: str = "auto"
) -> tuple[list[Contestant], dict[str, str]]:
    """This package's trackers with weights, in every size that has some.

    Args:
        names: trackers.
        files: weights of the user's own, by tracker and size.

    Returns:
        Those that can run, and for the others the command that makes weights.
    """
    found, missing = [], {}
    for name in names:
        for size in sizes(name):
            label = name if size == usual_size(name) else f"{name} ({size})"
            weights = files.get((name, size))
            try:
                weights = weights or str(default_weights(size, name))
            except WeightsError:
                missing[label] = how_to_make(size, name)
            else:
                spec = TrackerSpec(name, device=device, size=size, weights=weights)
                found.append(Contestant(label, spec))
    return found, missing


def baseline_contestants(
    models: Mapping[str, tuple[str, ...]],
) -> tuple[list[Contestant], dict[str, str]]:
    """OpenCV's trackers that can be made here, and why others cannot."""
    found, missing = [], {}
    for name in BASELINES:
        try:
            create_baseline(name, models.get(name, ()))
        except BaselineError as error:
            missing[name] = str(error)
        else:
            found.append(Contestant(name, TrackerSpec(name, models=models.get(name, ()))))
    return found, missing


def compare(
    contestants: Sequence[Contestant], clips: Dataset, out: Path, **options: Any
) -> tuple[list[Entry], dict[str, str]]:
    """Run every contestant on every clip; ``options`` are those of `evaluate`.

    A contestant that fails on a clip is left out, as its mean would not compare, and named in the
    second result with the reason.
    """
    entries, problems = [], {}
    for one in contestants:
        result = evaluate([one.spec], clips, out=out / slug(one.label), **options)
        if result.problems:
            clip, reason = next(iter(result.problems.items()))
            problems[one.label] = f"{clip}: {reason}"
            continue
        scores = result.trackers[one.spec.name]
        about = next(iter(scores.runs.values())).description
        entries.append(Entry(one, scores, scores.mean(), about))
    return entries, problems


def measure_speed(
    entries: Sequence[Entry],
    frames: int,
    threads: int | None = None,
    on_result: Callable[[Entry], object] = lambda _: None,
) -> list[Entry]:
    """The entries with their speed and memory, each measured in a process of its own."""
    out = []
    for entry in entries:
        one = entry.contestant
        case = BenchCase("compare", one.label, one.spec, frames=frames, threads=threads)
        out.append(dataclasses.replace(entry, speed=run_case(case, REPEATS)))
        on_result(out[-1])
    return out


def split(entries: Sequence[Entry], pattern: str) -> tuple[list[Entry], list[Entry]]:
    """The entries on the clips that settings and weights were chosen on, and on the others.

    pattern: globs of the first kind, as `datasets.matches` takes them. Raises DatasetError when one
    of the two is empty.
    """
    chosen, others = split_names(list(entries[0].scores.scores), pattern)
    return _on(entries, chosen), _on(entries, others)


def split_clips(clips: Dataset, pattern: str) -> tuple[Dataset, Dataset]:
    """The same of the clips themselves."""
    names = split_names([clip.name for clip in clips], pattern)
    chosen, others = (
        dataclasses.replace(clips, sequences=[c for c in clips if c.name in part]) for part in names
    )
    return chosen, others


def split_names(names: Sequence[str], pattern: str) -> tuple[list[str], list[str]]:
    """The same of names of clips."""
    chosen = [n for n in names if matches(n, pattern)]
    if not chosen or len(chosen) == len(names):
        raise DatasetError(
            f"--validation {pattern!r} matches {len(chosen)} of {len(names)} clips: some must "
            "match and some not"
        )
    return chosen, [n for n in names if n not in chosen]


def _on(entries: Sequence[Entry], names: Sequence[str]) -> list[Entry]:
    """Entries as they are on some of the clips."""
    found = []
    for entry in entries:
        scores = dataclasses.replace(
            entry.scores, scores={n: entry.scores.scores[n] for n in names}
        )
        found.append(dataclasses.replace(entry, scores=scores, mean=scores.mean()))
    return found


def comparison_table(entries: Sequence[Entry]) -> tuple[list[str], list[list[str]]]:
    """Header and rows, the best overlap first."""
    header = ["tracker", "AUC", "P@20", "nP@0.20", "lost", "lost frames"]
    header += ["ms median", "ms p95", "init ms", "MiB", "parameters"]
    rows = []
    for entry in sorted(entries, key=lambda e: -float(e.mean["auc"])):
        mean, speed = entry.mean, entry.speed
        row = [entry.contestant.label]
        row += [f"{mean[k]:.3f}" for k in ("auc", "precision20", "norm_precision20")]
        row += [str(mean["lost_sequences"]), f"{mean['lost_frames']:.1%}"]
        row += (
            ["-"] * 4
            if speed is None
            else [
                *(f"{v:.1f}" for v in (speed.median, speed.high, speed.init)),
                f"{speed.memory:.0f}",
            ]
        )
        parameters = entry.about.get("parameters")
        row.append("-" if parameters is None else f"{parameters / 1e6:.2f} M")
        rows.append(row)
    return header, rows


def clip_table(entries: Sequence[Entry]) -> tuple[list[str], list[list[str]]]:
    """AUC of every tracker on every clip."""
    labels = [e.contestant.label for e in entries]
    names = sorted(entries[0].scores.scores) if entries else []
    rows = [[n, *(f"{e.scores.scores[n].auc:.3f}" for e in entries)] for n in names]
    return ["clip", *labels], rows


FRAME_MS = 1000 / 30
"""Time between the images of a camera of 30 frames per second."""


def guide(entries: Sequence[Entry]) -> list[tuple[str, str, str]]:
    """Which of this package's trackers answers which need best: need, tracker and figures."""
    own = [e for e in entries if not e.contestant.baseline]
    rows: list[tuple[str, str, str]] = []

    def add(need: str, choice: Entry, why: str) -> None:
        rows.append((need, choice.contestant.label, why))

    if own:
        best = max(own, key=lambda e: float(e.mean["auc"]))
        add("the box has to fit", best, f"AUC {best.mean['auc']:.3f}")
        safe = min(own, key=lambda e: (e.mean["lost_sequences"], e.mean["lost_frames"]))
        count, share = safe.mean["lost_sequences"], safe.mean["lost_frames"]
        why = f"lost for good {count} times, out of the box in {share:.1%} of the frames"
        add("the target must not be lost", safe, why)
    timed = [(e, e.speed) for e in own if e.speed is not None]
    if timed:
        fast, speed = min(timed, key=lambda t: t[1].median)
        why = f"{speed.median:.1f} ms, {speed.high:.1f} ms at 95 %; AUC {fast.mean['auc']:.3f}"
        add("the processor is slow or has other work", fast, why)
        ready = [(e, s) for e, s in timed if s.high <= FRAME_MS]
        if ready:
            keeps, speed = max(ready, key=lambda t: float(t[0].mean["auc"]))
            why = f"{speed.high:.1f} ms at 95 %, AUC {keeps.mean['auc']:.3f}"
            add("30 images a second on this machine", keeps, why)
        quick, speed = min(timed, key=lambda t: t[1].init)
        add("a selection has to be answered at once", quick, f"{speed.init:.0f} ms")
        small, speed = min(timed, key=lambda t: t[1].memory)
        add("memory is short", small, f"{speed.memory:.0f} MiB")
    return rows


def comparison_plots(entries: Sequence[Entry]) -> dict[str, str]:
    """``<svg>`` elements by name: success curves, lost frames and, if measured, accuracy over time.

    OpenCV's trackers have dashed lines.
    """
    order = sorted(entries, key=lambda e: -float(e.mean["auc"]))
    curves = [
        Series(
            f"{e.contestant.label}  [{e.mean['auc']:.3f}]",
            SUCCESS_THRESHOLDS,
            mean_score(e.scores.scores.values()).success,
            colour(i),
            dashed=e.contestant.baseline,
        )
        for i, e in enumerate(order)
    ]
    x, y = Axis("overlap above", 0, 1), Axis("share of frames", 0, 1)
    plots = {"success": line_chart("Success [AUC]", curves, x, y, width=560, height=340)}
    lost = sorted(order, key=lambda e: float(e.mean["lost_frames"]))
    shares = [(e.contestant.label, 100 * float(e.mean["lost_frames"])) for e in lost]
    bars = [Bar(label, share, share, share) for label, share in shares]
    plots["lost"] = bar_chart("Frames without any overlap", bars, "% of frames")
    timed = [(i, e, e.speed.median) for i, e in enumerate(order) if e.speed is not None]
    points = [
        Series("", [ms], [float(e.mean["auc"])], colour(i), markers=True, note=e.contestant.label)
        for i, e, ms in timed
    ]
    if points:
        times = [float(p.x[0]) for p in points]
        x = Axis("ms per frame, median", min(times) / 1.3, max(times) * 1.3, log=True)
        highest = max(float(p.y[0]) for p in points)
        y = Axis("AUC", 0, math.ceil(10 * highest + 0.5) / 10)
        title = "Accuracy against time"
        plots["speed"] = line_chart(title, points, x, y, width=560, height=340, legend=False)
    return plots
