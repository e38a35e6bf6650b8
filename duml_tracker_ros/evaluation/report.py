"""One self-contained HTML page about an evaluation: curves, tables, worst sequences, speed."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..outputs import write_text
from .calibration import reliability_chart
from .honesty import FALSE, HONESTY_COLUMNS, honesty_cells, reliability_of
from .html_page import html_page, html_table, text_table
from .metrics import (
    LOST_FRAMES,
    NORM_PRECISION_THRESHOLDS,
    PRECISION_THRESHOLDS,
    SUCCESS_THRESHOLDS,
    mean_score,
)
from .runner import Evaluation, TrackerScores
from .svg import Axis, Series, axis_for, colour, line_chart
from .worst_frames import TRUTH_COLOUR, worst_frames


def write_report(folder: Path, result: Evaluation, environment: dict[str, Any]) -> Path:
    """Write ``folder/index.html`` and return its path.

    The page holds its plots and pictures itself and loads nothing. The first tracker is the one
    whose worst sequences are shown.
    """
    folder = folder.expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "index.html"
    write_text(path, render_report(result, environment))
    return path


def render_report(result: Evaluation, environment: dict[str, Any]) -> str:
    """The page as text."""
    scored = {n: t for n, t in result.trackers.items() if t.scores}
    colours = {name: colour(i) for i, name in enumerate(result.trackers)}
    names = ", ".join(result.trackers)
    title = f"Tracking report: {names}"
    parts = [
        f"<h1>Tracking report</h1><p>{html.escape(names)} on {len(result.dataset)} sequences, "
        f"{sum(len(s) for s in result.dataset)} frames "
        f"({html.escape(result.dataset.name)} layout). One pass per sequence from the first true "
        "box.</p>",
    ]
    if result.problems:
        parts += [
            "<h2 class='bad'>Not scored</h2><p class='note'>These are left out of all means.</p>",
            text_table(["sequence", "reason"], result.problems),
        ]
    if not scored:
        return html_page(title, [*parts, "<p class='bad'>No sequence was scored.</p>"])
    parts += [
        "<h2>Scores</h2>",
        _overall(scored),
        "<p class='note'>Means over sequences. AUC: area under the success curve over 21 overlap "
        "thresholds, 0.952 for a perfect tracker. P@20: share of frames with a centre error of at "
        "most 20 px. nP: centre error over the true width and height, value at 0.20 and mean over "
        f"0 to 0.5. Lost: sequences without any overlap on their last {LOST_FRAMES} frames; lost "
        "frames: share of frames without any overlap. Frames without a visible target are left "
        "out. Milliseconds are per update, image decoding not included.</p>",
        "<div class='plots'>",
        *_curves(scored, colours),
        "</div>",
        "<h2>Honesty</h2>",
        _honesty(result, scored),
        "<h2>Per sequence</h2>",
        _per_sequence(scored),
        _attributes(result, scored),
        "<h2>Speed</h2>",
        _speed(scored, colours),
        f"<h2>Worst sequences of {html.escape(next(iter(scored)))}</h2>",
        _keys(scored, colours),
        worst_frames(result, scored, colours),
        "<h2>Environment</h2>",
        text_table(["", ""], environment),
        *(_description(n, t) for n, t in scored.items()),
    ]
    return html_page(title, parts)


def _overall(scored: dict[str, TrackerScores]) -> str:
    keys = ("auc", "precision20", "norm_precision20", "norm_precision_mean")
    means = {n: t.mean() for n, t in scored.items()}
    best = {k: max(m[k] for m in means.values()) for k in keys}
    least = {k: min(m[k] for m in means.values()) for k in ("lost_sequences", "lost_frames")}
    many = len(means) > 1
    rows = []
    for name, mean in means.items():
        cells = [html.escape(name), str(mean["sequences"])]
        for key in keys:
            cells.append(_marked(f"{mean[key]:.3f}", many and mean[key] == best[key]))
        for key, form in (("lost_sequences", "d"), ("lost_frames", ".1%")):
            cells.append(_marked(format(mean[key], form), many and mean[key] == least[key]))
        rows.append([*cells, f"{mean['ms_median']:.1f}", f"{1e3 / mean['ms_median']:.0f}"])
    header = ["tracker", "sequences", "AUC", "P@20", "nP@0.20", "nP mean", "lost", "lost frames"]
    header += ["ms", "frames/s"]
    out = html_table(header, rows)
    groups = {n: t.groups() for n, t in scored.items()}
    labels = sorted({g for found in groups.values() for g in found})
    if labels:
        lines = [
            [
                html.escape(label),
                *(
                    f"{found[label]['auc']:.3f}" if label in found else "-"
                    for found in groups.values()
                ),
            ]
            for label in labels
        ]
        out += "<h3>AUC by group</h3>" + html_table(["group", *map(html.escape, groups)], lines)
    return out


def _marked(text: str, best: bool) -> str:
    return f"<td class='best'>{text}</td>" if best else f"<td>{text}</td>"


def _curves(scored: dict[str, TrackerScores], colours: dict[str, str]) -> list[str]:
    means = {n: mean_score(t.scores.values()) for n, t in scored.items()}

    def chart(title: str, what: str, xs: NDArray[np.float64], x: Axis, key: str) -> str:
        order = sorted(means, key=lambda n: -getattr(means[n], key))
        series = [
            Series(f"{n}  [{getattr(means[n], key):.3f}]", xs, getattr(means[n], what), colours[n])
            for n in order
        ]
        return line_chart(title, series, x, Axis("share of frames", 0, 1))

    return [
        chart("Success [AUC]", "success", SUCCESS_THRESHOLDS, Axis("overlap above", 0, 1), "auc"),
        chart(
            "Precision [at 20 px]",
            "precision",
            PRECISION_THRESHOLDS,
            Axis("centre error, pixels", 0, 50),
            "precision20",
        ),
        chart(
            "Normalised precision [at 0.20]",
            "norm_precision",
            NORM_PRECISION_THRESHOLDS,
            Axis("centre error / target size", 0, 0.5),
            "norm_precision20",
        ),
    ]


def _honesty(result: Evaluation, scored: dict[str, TrackerScores]) -> str:
    rows = [[html.escape(name), *honesty_cells(result, name)] for name in scored]
    found = {name: reliability_of(result, name) for name in scored}
    curves = {name: r for name, r in found.items() if r is not None}
    chart = f"<div class='plots'>{reliability_chart(curves)}</div>" if curves else ""
    return (
        html_table(["tracker", *HONESTY_COLUMNS], rows)
        + "<p class='note'>Shares of frames, means over sequences, without the given first frames. "
        f"False claims: TRACKING with an IoU below {FALSE}; false alarms: LOST while the target is "
        "there; then what was told while it was absent. Calibration error: mean distance between "
        "confidence and IoU, which is 0 where the target is absent, in ten bins.</p>" + chart
    )


def _shade(value: float) -> str:
    """Light red to white to light green, for a score between 0 and 1."""
    hue = 10 if value < 0.5 else 130
    return f"hsl({hue} 70% {100 - 26 * abs(2 * min(max(value, 0), 1) - 1):.0f}%)"


def _per_sequence(scored: dict[str, TrackerScores]) -> str:
    names = sorted({s for t in scored.values() for s in t.scores})
    columns = ["AUC", "P@20", "nP@0.20", "lost frames", "ms"]
    if len(scored) > 1:  # fewer and shorter, to fit beside each other
        columns = ["AUC", "nP", "lost", "ms"]
    above = "".join(
        f"<th colspan={len(columns)} class='first mid'>{html.escape(n)}</th>" for n in scored
    )
    body = []
    for name in names:
        frames = next(t.scores[name].frames for t in scored.values() if name in t.scores)
        row = f"<td>{html.escape(name)}</td><td>{frames}</td>"
        for found in scored.values():
            if name not in found.scores:
                row += "<td class='first'>-</td>" + "<td>-</td>" * (len(columns) - 1)
                continue
            score, run = found.scores[name], found.runs[name]
            lost = " class='bad'" if score.lost_sequences else ""
            row += f"<td class='first' style='background:{_shade(score.auc)}'>{score.auc:.3f}</td>"
            if "P@20" in columns:
                row += f"<td>{score.precision20:.3f}</td>"
            row += f"<td>{score.norm_precision20:.3f}</td><td{lost}>{score.lost_frames:.0%}</td>"
            row += f"<td>{run.ms_median:.1f}</td>"
        body.append(f"<tr>{row}</tr>")
    below = "".join(f"<th>{c}</th>" for c in columns)
    below = below.replace("<th>", "<th class='first'>", 1) * len(scored)
    return (
        f"<div class='scroll'><table><tr><th></th><th></th>{above}</tr>"
        f"<tr><th>sequence</th><th>frames</th>{below}</tr>{''.join(body)}</table></div>"
        "<p class='note'>nP: at 0.20. Lost: share of frames without any overlap, in red where the "
        "sequence ended so.</p>"
    )


def _attributes(result: Evaluation, scored: dict[str, TrackerScores]) -> str:
    tags: dict[str, list[str]] = {}
    for sequence in result.dataset:
        for tag in sequence.attributes:
            tags.setdefault(tag, []).append(sequence.name)
    if not tags:
        return ""
    rows = []
    for tag, names in sorted(tags.items()):
        row = [html.escape(tag), str(len(names))]
        for found in scored.values():
            mean = found.mean(names)
            row.append(f"{mean['auc']:.3f}" if mean else "-")
        rows.append(row)
    header = ["attribute", "sequences", *(f"{html.escape(n)} AUC" for n in scored)]
    return "<h2>Per attribute</h2>" + html_table(header, rows)


def _speed(scored: dict[str, TrackerScores], colours: dict[str, str]) -> str:
    rows, series = [], []
    shares = np.linspace(0, 1, 101)
    for name, found in scored.items():
        updates = np.concatenate([r.seconds[1:] for r in found.runs.values()]) * 1e3
        inits = np.array([r.seconds[0] for r in found.runs.values()]) * 1e3
        if not updates.size:
            continue
        low, middle, high = np.percentile(updates, [5, 50, 95])
        rows.append(
            [
                html.escape(name),
                f"{middle:.2f}",
                f"{low:.2f} to {high:.2f}",
                f"{updates.max():.1f}",
                f"{np.median(inits):.1f}",
            ]
        )
        values = np.maximum(np.quantile(updates, shares), 1e-3)
        series.append(Series(name, values, shares, colours[name]))
    if not rows:
        return ""
    longest = max(float(s.x[-1]) for s in series)
    shortest = min(float(s.x[0]) for s in series)
    log = longest / shortest > 30
    axis = (
        Axis("milliseconds per frame", shortest, longest * 1.05, log=True)
        if log
        else axis_for("milliseconds per frame", [longest])
    )
    chart = line_chart("Time per frame", series, axis, Axis("share of frames at most", 0, 1))
    header = ["tracker", "median ms", "5 to 95 %", "longest ms", "init ms"]
    return html_table(header, rows) + f"<div class='plots'>{chart}</div>"


def _keys(scored: dict[str, TrackerScores], colours: dict[str, str]) -> str:
    keys = [("truth", TRUTH_COLOUR), *((n, colours[n]) for n in scored)]
    marks = "".join(
        f"<span class='key' style='background:{c}'></span>{html.escape(n)}" for n, c in keys
    )
    return f"<p>{marks}</p>"


def _description(name: str, found: TrackerScores) -> str:
    runs = list(found.runs.values())
    text = json.dumps(runs[0].description if runs else {}, indent=1, default=str)
    return (
        f"<details><summary>Settings of {html.escape(name)}</summary>"
        f"<pre>{html.escape(text)}</pre></details>"
    )
