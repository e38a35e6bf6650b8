"""The same tracker under changed settings, on the same clips: for searches and ablations."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..datasets import Dataset
from .measures import score
from .participants import TrackerSpec


@dataclass(frozen=True)
class VariantScores:
    """One variant: what was changed, mean scores, and the AUC of every sequence if there is one.

    The means have the keys of ``measures`` of the data set.
    """

    name: str
    settings: dict[str, Any]
    mean: dict[str, Any]
    auc: dict[str, float]

    def against(self, other: VariantScores, margin: float = 0.005) -> tuple[int, int]:
        """Sequences that are better and worse than in another outcome by more than ``margin``."""
        gains = [self.auc[name] - other.auc[name] for name in self.auc]
        return sum(g > margin for g in gains), sum(g < -margin for g in gains)


class Variants:
    """Evaluates variants of one tracker; what is finished under ``out`` is not run again."""

    def __init__(
        self,
        spec: TrackerSpec,
        clips: Dataset,
        out: Path,
        *,
        jobs: int = 1,
        threads: int | None = None,
        progress: bool = True,
    ) -> None:
        self.spec = spec
        self.clips = clips
        self.out = out
        self.options = {"jobs": jobs, "threads": threads, "progress": progress}

    def run(
        self, name: str, settings: Mapping[str, Any], weights: str | None = None
    ) -> VariantScores:
        """Scores under changed settings (dotted keys) and, if given, other weights.

        Raises DatasetError when a sequence could not be run: means would not compare.
        """
        changed = {**self.spec.overrides, **settings}
        spec = dataclasses.replace(
            self.spec, overrides=changed, weights=weights or self.spec.weights
        )
        mean, auc = score(spec, self.clips, self.out / slug(name), self.options)
        return VariantScores(name, dict(settings), mean, auc)


def coordinate_search(
    variants: Variants,
    tries: Mapping[str, Sequence[Any]],
    margin: float,
    report: Callable[[str, Any, VariantScores, bool], object],
    measure: str = "auc",
) -> dict[str, Any]:
    """Search settings one key at a time, each with what was found before.

    A value is taken when its mean ``measure`` exceeds the best so far by ``margin``: smaller
    differences are noise on a few clips. Returns the settings that were taken.

    Args:
        tries: values to try of each dotted key, in this order.
        report: called with key, value, outcome and whether it was taken.
    """
    taken: dict[str, Any] = {}
    best = variants.run("start", {})
    report("start", "", best, True)
    for key, values in tries.items():
        chosen = best
        for value in values:
            settings = {**taken, key: value}
            outcome = variants.run(" ".join(f"{k}={v}" for k, v in settings.items()), settings)
            bar = max(best.mean[measure] + margin, chosen.mean[measure])
            better = outcome.mean[measure] > bar
            if better:
                chosen = outcome
            report(key, value, outcome, better)
        best, taken = chosen, dict(chosen.settings)
    return taken


def slug(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9.+=-]+", "_", name)
    if len(plain) <= 80:
        return plain
    return f"{plain[:60]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
