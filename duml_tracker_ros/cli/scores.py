"""Scores of `duml-tracker eval` as text tables and as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .common import table

if TYPE_CHECKING:
    from ..evaluation.returns import Returns
    from ..evaluation.runner import Evaluation
    from ..evaluation.vot_runs import VotEvaluation


def as_document(result: Evaluation | VotEvaluation, environment: dict[str, Any]) -> dict[str, Any]:
    """The ``--json`` output: one tracker's scores at the top level, several under ``trackers``."""
    shared = {
        "dataset": result.dataset.name,
        "problems": result.problems,
        "environment": environment,
    }
    parts = {name: _describe(result, name) for name in result.trackers}
    if len(parts) == 1:
        ((name, part),) = parts.items()
        return _plain({"tracker": name, **part, **shared})
    return _plain({"trackers": parts, **shared})


def _describe(result: Evaluation | VotEvaluation, name: str) -> dict[str, Any]:
    from ..evaluation.honesty import honesty_of, reliability_of
    from ..evaluation.measures import own_measures
    from ..evaluation.vot_runs import VotEvaluation

    tracker = result.trackers[name]
    runs: list[Any] = list(tracker.runs.values())
    out = {**tracker.as_dict(), "description": runs[0].description if runs else {}}
    if isinstance(result, VotEvaluation):
        return out
    out["mean"] |= own_measures(result, name)
    again = returns_in(result, name)
    out["returns"] = {**dataclasses.asdict(again), **again.rates()}
    reliable = reliability_of(result, name)
    error = math.nan if reliable is None else reliable.error
    out["honesty"] = {**honesty_of(result, name).as_dict(), "calibration_error": error}
    return out


def returns_in(result: Evaluation, name: str) -> Returns:
    """Returns of targets over the sequences that a tracker was scored on."""
    from ..evaluation.returns import add_returns, returns_of

    runs, scores = result.trackers[name].runs, result.trackers[name].scores
    return add_returns(returns_of(runs[s.name], s) for s in result.dataset if s.name in scores)


def _plain(value: Any) -> Any:
    """JSON has no NaN: unknown numbers become null."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def summary(result: Evaluation, *, per_sequence: bool = False) -> str:
    """The scores as text tables."""
    from ..evaluation.honesty import HONESTY_COLUMNS, honesty_cells
    from ..evaluation.measures import measures, own_measures
    from ..evaluation.returns import RETURN_COLUMNS, return_cells

    header = ["tracker", "sequences", "AUC", "P@20", "nP@0.20", "lost", "lost frames"]
    header += ["ms median", "ms p95"]
    rows, groups = [], []
    for name, tracker in result.trackers.items():
        mean = tracker.mean()
        if mean:
            rows.append([name, *_mean_cells(mean)])
            groups += [[f"{g}  {name}", *_mean_cells(m)] for g, m in tracker.groups().items()]
    if not rows:
        public = any(s.truth_given for s in result.dataset)
        return "no sequence was scored" if public else "nothing to score: the truth is not public"
    told = [[name, *honesty_cells(result, name)] for name, *_ in rows]
    parts = [table(header, rows), table(["tracker", *HONESTY_COLUMNS], told)]
    if groups:
        parts.append(table(["group", *header[1:]], sorted(groups)))
    if result.dataset.protocol in ("got10k", "longterm"):
        shown = measures(result.dataset)
        lines = [[n, *(m.cell(own_measures(result, n)) for m in shown)] for n, *_ in rows]
        parts.append(table(["tracker", *(m.title for m in shown)], lines))
    again = {name: returns_in(result, name) for name, *_ in rows}
    if any(found.without_target for found in again.values()):
        lines = [[name, *return_cells(found)] for name, found in again.items()]
        parts.append(table(["tracker", *RETURN_COLUMNS], lines))
    if per_sequence:
        lines = [
            [f"{sequence}  {name}", str(score["frames"]), *_cells(score)]
            for name, tracker in result.trackers.items()
            for sequence, score in tracker.as_dict()["sequences"].items()
        ]
        parts.append(table(["sequence", "frames", *header[2:-1]], sorted(lines)))
    return "\n\n".join(parts)


def vot_summary(result: VotEvaluation, *, per_sequence: bool = False) -> str:
    """Accuracy, robustness and EAO as text; robustness in the form of the protocol."""
    supervised = result.dataset.protocol == "supervised"
    robustness = "R (100 failures / frames)" if supervised else "R"
    header = ["tracker", "sequences", "A", robustness, "EAO"]
    rows = []
    for name, tracker in result.trackers.items():
        if tracker.score is not None:
            s = tracker.score
            row = [name, str(len(tracker.sequences)), f"{s.accuracy:.3f}", f"{s.robustness:.3f}"]
            # Undefined where no run is as long as the shortest length it averages over.
            eao = f"{s.eao:.3f}" if math.isfinite(s.eao) else "-"
            rows.append([*row, eao, f"{tracker.ms_median():.1f}"])
    parts = [table([*header, "ms median"], rows)] if rows else ["no sequence was scored"]
    if per_sequence:
        lines = [
            [f"{video}  {name}", f"{s.accuracy:.3f}", f"{s.robustness:.3f}"]
            + ([f"{s.failures:.0f}"] if s.failures is not None else [])
            for name, tracker in result.trackers.items()
            for video, s in tracker.sequences.items()
        ]
        head = ["sequence", "A", "R", *(["failures"] if supervised else [])]
        parts.append(table(head, sorted(lines)))
    return "\n\n".join(parts)


def _mean_cells(mean: dict[str, Any]) -> list[str]:
    return [str(mean["sequences"]), *_cells(mean), f"{mean['ms_p95']:.1f}"]


def _cells(score: dict[str, Any]) -> list[str]:
    numbers = [f"{score[k]:.3f}" for k in ("auc", "precision20", "norm_precision20")]
    lost = [str(score["lost_sequences"]), f"{score['lost_frames']:.1%}"]
    return [*numbers, *lost, f"{score['ms_median']:.1f}"]


def differences(result: Evaluation, switches: Sequence[str]) -> str:
    """A table of what each switch changes, in pairs of runs; nothing where nothing was scored."""
    from ..evaluation.paired import clips_of, difference

    clips, rows = clips_of(result.dataset), []
    auc = {
        name: {sequence: score.auc for sequence, score in found.scores.items()}
        for name, found in result.trackers.items()
    }
    pairs = [(name, f"{name} {text}") for name in auc for text in switches]
    for name, changed in pairs:
        if not set(auc[name]) & set(auc.get(changed, ())):
            continue
        found = difference(auc[changed], auc[name], clips)
        numbers = (found.mean, found.low, found.high, found.median)
        mean, low, high, median = (f"{value:+.3f}" for value in numbers)
        clip_counts = f"{found.better}, {found.worse}"
        rows.append([changed, f"{mean} ({low} to {high})", median, clip_counts])
    header = ["against the same without it", "AUC (95 %)", "of medians", "clips better, worse"]
    return table(header, rows) if rows else ""
