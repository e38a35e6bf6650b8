"""What is measured on a data set: the scores its papers print, by the names they have there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import Dataset, DatasetError
from ..datasets.boxes import present
from .longterm import longterm_score
from .metrics import iou
from .one_pass import Run
from .participants import TrackerSpec
from .runner import Evaluation, evaluate
from .vot_runs import evaluate_vot


@dataclass(frozen=True)
class Measure:
    """A mean score: its title in tables, and its key among the means."""

    title: str
    key: str
    form: str = "{:.3f}"

    def cell(self, mean: Mapping[str, Any]) -> str:
        """The score as a table shows it; ``-`` where it is not defined."""
        value = mean[self.key]
        return self.form.format(value) if math.isfinite(value) else "-"


_AUC, _P20 = Measure("AUC", "auc"), Measure("P@20", "precision20")
_PASS = (
    _AUC,
    _P20,
    Measure("nP@0.20", "norm_precision20"),
    Measure("lost", "lost_sequences", "{:.0f}"),
    Measure("lost frames", "lost_frames", "{:.1%}"),
)
_BY_NAME = {
    "lasot": (
        Measure("success", "auc"),
        Measure("precision", "precision20"),
        Measure("norm. precision", "norm_precision20"),
    ),
    **dict.fromkeys(("otb", "nfs", "uav123", "uav20l", "uav123_10fps"), (_AUC, _P20)),
}
_VOT = (Measure("A", "accuracy"), Measure("R", "robustness"), Measure("EAO", "eao"))
_BY_PROTOCOL = {
    "got10k": (Measure("AO", "ao"), Measure("SR0.5", "sr50"), Measure("SR0.75", "sr75")),
    "supervised": _VOT,
    "anchors": _VOT,
    "longterm": (Measure("Pr", "precision"), Measure("Re", "recall"), Measure("F", "f_score")),
}


CORRELATION = Measure("R(confidence, overlap)", "correlation")


def measures(dataset: Dataset) -> tuple[Measure, ...]:
    """The measures of a data set. Raises DatasetError where its truth is kept by a server."""
    if dataset.submission is not None:
        raise DatasetError(
            f"{dataset.name}: its truth is kept by a server, so variants cannot be compared here; "
            "'duml-tracker eval' writes the file to submit"
        )
    return _BY_PROTOCOL.get(dataset.protocol) or _BY_NAME.get(dataset.name) or _PASS


def main_measure(dataset: Dataset) -> Measure:
    """The one that ranks: EAO, AO, F or the area under the success curve."""
    found = measures(dataset)
    return found[-1] if found is _VOT or dataset.protocol == "longterm" else found[0]


def score(
    spec: TrackerSpec, dataset: Dataset, out: Path, options: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, float]]:
    """Run a tracker by the data set's protocol.

    Returns its mean scores, and the AUC of every sequence where there is such a thing. Raises
    DatasetError when a sequence could not be run: means would not compare.
    """
    if dataset.protocol in ("supervised", "anchors"):
        by_vot = evaluate_vot([spec], dataset, out=out, **options)
        _complete(by_vot.problems)
        return dict(by_vot.trackers[spec.name].as_dict()["mean"]), {}
    result = evaluate([spec], dataset, out=out, **options)
    _complete(result.problems)
    found = result.trackers[spec.name]
    mean = found.mean()
    mean["correlation"] = correlation(dataset, found.runs)
    mean |= own_measures(result, spec.name)
    return mean, {name: one.auc for name, one in found.scores.items()}


def own_measures(result: Evaluation, tracker: str) -> dict[str, float]:
    """The measures of one-pass protocols of their own, GOT-10k's and VOT's long-term ones."""
    dataset, found = result.dataset, result.trackers[tracker]
    if dataset.protocol not in ("got10k", "longterm") or not found.scores:
        return {}
    got10k = dataset.protocol == "got10k"
    score = result.got10k(tracker) if got10k else longterm_score(dataset, found.runs)
    return {m.key: getattr(score, m.key) for m in _BY_PROTOCOL[dataset.protocol]}


def correlation(dataset: Dataset, runs: Mapping[str, Run]) -> float:
    """Pearson's R of confidence and overlap over all frames with a target (SiamRCR, Fig. 4)."""
    sure, overlap = [np.zeros(0)], [np.zeros(0)]
    for sequence in dataset:
        if sequence.name in runs:
            run = runs[sequence.name]
            keep = present(sequence.truth) & np.isfinite(run.confidence)
            keep[:1] = False
            sure.append(run.confidence[keep])
            overlap.append(iou(run.boxes[keep], sequence.truth[keep]))
    x, y = np.concatenate(sure), np.concatenate(overlap)
    if len(x) < 2 or not x.std() or not y.std():
        return math.nan
    return float(np.corrcoef(x, y)[0, 1])


def _complete(problems: Mapping[str, str]) -> None:
    for sequence, reason in problems.items():
        raise DatasetError(f"{sequence}: {reason}")
