"""One-pass evaluation of trackers over a data set: runs, their scores and means."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import Dataset, Sequence
from .metrics import Got10kScore, PassScore, got10k_overlaps, got10k_score, mean_score, score_pass
from .one_pass import Run, load_run, results_folder, run_sequence, save_run
from .participants import TrackerSpec
from .tasks import run_all, run_or_resume


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
                    runs[s.name].boxes, s.truth, cover=s.cover, image_size=runs[s.name].image_size
                )
                for s in self.dataset
                if s.name in runs and s.truth_given
            ]
        )


def _one_pass(
    spec: TrackerSpec,
    sequence: Sequence,
    out: Path | None,
    fresh: bool,
    on_frame: Callable[[int], object] = lambda _: None,
) -> Run | str:
    folder = results_folder(out, spec.name, sequence.name) if out is not None else None
    run = functools.partial(run_sequence, on_frame=on_frame)
    found = run_or_resume(spec, sequence, folder, fresh, run, load_run, save_run)
    if isinstance(found, Run) and found.resumed:
        on_frame(len(sequence))
    return found


def evaluate(specs: list[TrackerSpec], dataset: Dataset, **options: Any) -> Evaluation:
    """Run every tracker on every sequence and score the results.

    A sequence that fails is named in ``problems`` and left out of that tracker's mean.

    Args:
        options: those of `tasks.run_all`.
    """
    result = Evaluation(dataset, problems={p.name: p.reason for p in dataset.problems})
    done = run_all(_one_pass, specs, dataset, result.problems, **options)
    for spec in specs:
        runs = {s.name: done[spec.name, s.name] for s in dataset if (spec.name, s.name) in done}
        scores = {
            s.name: score_pass(runs[s.name].boxes, s.truth)
            for s in dataset
            if s.name in runs and s.truth_given
        }
        result.trackers[spec.name] = TrackerScores(spec.name, runs, scores)
    return result
