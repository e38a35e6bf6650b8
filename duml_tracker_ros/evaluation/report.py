"""One self-contained HTML page about an evaluation: curves, tables, worst sequences, speed."""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import datasets
from ..outputs import write_text
from .calibration import reliability_chart
from .honesty import FALSE, HONESTY_COLUMNS, honesty_cells, reliability_of
from .metrics import (
    LOST_FRAMES,
    NORM_PRECISION_THRESHOLDS,
    PRECISION_THRESHOLDS,
    SUCCESS_THRESHOLDS,
    iou,
    mean_score,
    present,
)
from .runner import Evaluation, TrackerScores
from .svg import Axis, Series, axis_for, colour, line_chart

WORST = 6
FRAMES_SHOWN = 5
TRUTH_COLOUR = "#ffd400"

STYLE = """
:root{color-scheme:light}
body{font:15px/1.5 system-ui,sans-serif;color:#222;background:#fff;margin:0 auto;max-width:1190px;
padding:24px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:34px 0 10px;border-bottom:1px solid #ddd;
padding-bottom:4px}h3{font-size:15px;margin:18px 0 6px}
p{margin:6px 0}.note{color:#666;font-size:13px;max-width:80ch}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:8px 0}
th,td{padding:4px 10px;text-align:right;border-bottom:1px solid #eee;white-space:nowrap}
th{background:#f6f6f6;font-weight:600}th:first-child,td:first-child{text-align:left}
td.best{font-weight:700}th.mid{text-align:center}
th.first:not(:first-child),td.first{border-left:3px solid #fff}
.plots{display:flex;flex-wrap:wrap;gap:12px}
.plots svg{max-width:100%;height:auto}.scroll{overflow-x:auto}
.strip{display:flex;flex-wrap:wrap;gap:6px}.strip figure{margin:0}.strip img{display:block;
height:124px;border:1px solid #ccc}figcaption{font-size:12px;color:#666}
.key{display:inline-block;width:12px;height:12px;border-radius:2px;margin:0 5px 0 12px;
vertical-align:-1px}.bad{color:#a40000}details{margin:6px 0}
pre{background:#f6f6f6;padding:10px;overflow-x:auto;font-size:12px}
"""


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
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width'>",
        f"<title>Tracking report: {html.escape(names)}</title><style>{STYLE}</style></head><body>",
        f"<h1>Tracking report</h1><p>{html.escape(names)} on {len(result.dataset)} sequences, "
        f"{sum(len(s) for s in result.dataset)} frames "
        f"({html.escape(result.dataset.name)} layout). One pass per sequence from the first true "
        "box.</p>",
    ]
    if result.problems:
        rows = [[html.escape(n), html.escape(r)] for n, r in result.problems.items()]
        parts += [
            "<h2 class='bad'>Not scored</h2><p class='note'>These are left out of all means.</p>",
            html_table(["sequence", "reason"], rows),
        ]
    if not scored:
        parts.append("<p class='bad'>No sequence was scored.</p></body></html>")
        return "\n".join(parts)
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
        _worst(result, scored, colours),
        "<h2>Environment</h2>",
        html_table(
            ["", ""], [[html.escape(str(k)), html.escape(str(v))] for k, v in environment.items()]
        ),
        *(_description(n, t) for n, t in scored.items()),
        "</body></html>",
    ]
    return "\n".join(parts)


def html_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table of cells that are HTML already; ``<td ...>`` cells keep their attributes."""
    head = "".join(f"<th>{h}</th>" for h in header) if any(header) else ""
    body = "".join(
        "<tr>" + "".join(c if c.startswith("<td") else f"<td>{c}</td>" for c in row) + "</tr>"
        for row in rows
    )
    return f"<div class='scroll'><table><tr>{head}</tr>{body}</table></div>"


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


def _worst(result: Evaluation, scored: dict[str, TrackerScores], colours: dict[str, str]) -> str:
    first = next(iter(scored.values()))
    order = sorted(first.scores, key=lambda n: first.scores[n].auc)[:WORST]
    by_name = {s.name: s for s in result.dataset}
    out = []
    for name in order:
        sequence = by_name[name]
        there = {n: t for n, t in scored.items() if name in t.runs}
        out.append(
            f"<h3>{html.escape(name)}: AUC "
            + ", ".join(f"{html.escape(n)} {t.scores[name].auc:.3f}" for n, t in there.items())
            + "</h3>"
        )
        figures = []
        for index in _frames_to_show(sequence, there[first.name].runs[name].boxes):
            try:
                image = sequence.image(index)
            except datasets.SequenceError:
                continue
            picture = _draw(image, sequence, there, colours, index)
            figures.append(
                f"<figure><img alt='frame {index}' src='{data_url(picture)}'>"
                f"<figcaption>frame {index}</figcaption></figure>"
            )
        out.append(f"<div class='strip'>{''.join(figures)}</div>")
        out.append(f"<div class='plots'>{_overlap_chart(sequence, there, colours)}</div>")
    return "".join(out)


def _frames_to_show(sequence: datasets.Sequence, boxes: NDArray[np.float64]) -> list[int]:
    """Start, evenly spaced frames, and the frame where the overlap is lost for good or longest."""
    shown = present(sequence.truth)
    overlap = np.where(shown, iou(boxes, sequence.truth), 1.0)
    picked = {int(i) for i in np.linspace(0, len(sequence) - 1, FRAMES_SHOWN)}
    misses = np.flatnonzero(overlap < 0.1)
    if misses.size:
        picked |= {int(misses[0]), max(0, int(misses[0]) - 5)}
    return sorted(picked)


def _draw(
    image: NDArray[np.uint8],
    sequence: datasets.Sequence,
    there: dict[str, TrackerScores],
    colours: dict[str, str],
    index: int,
) -> NDArray[np.uint8]:
    """The part of the frame that holds the true box and every tracker's, 300 pixels high."""
    boxes = [(sequence.truth[index], TRUTH_COLOUR)]
    boxes += [(t.runs[sequence.name].boxes[index], colours[n]) for n, t in there.items()]
    boxes = [(box, shade) for box, shade in boxes if np.isfinite(box).all()]
    left, top, width, height = picture_window(image, [box for box, _ in boxes])
    scale = 300 / height
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    part = image[top : top + height, left : left + width]
    out = cv2.resize(part, (round(width * scale), 300), interpolation=how)
    for box, shade in boxes:
        edges = np.array([box[0], box[1], box[0] + box[2], box[1] + box[3]])
        edges = np.clip((edges - [left, top, left, top]) * scale, -1e5, 1e5)
        x0, y0, x1, y1 = (round(float(v)) for v in edges)
        bgr = tuple(int(shade[i : i + 2], 16) for i in (5, 3, 1))
        cv2.rectangle(out, (x0, y0), (x1, y1), (0, 0, 0), 3)
        cv2.rectangle(out, (x0, y0), (x1, y1), bgr, 2)
    return np.asarray(out, dtype=np.uint8)


def picture_window(
    image: NDArray[np.uint8], boxes: list[NDArray[np.float64]]
) -> tuple[int, int, int, int]:
    """``left, top, width, height`` of a part with the image's shape that holds all boxes.

    Small targets are enlarged, but to no more than a sixth of the picture.
    """
    size = np.array([image.shape[1], image.shape[0]])
    if not boxes:
        return 0, 0, int(size[0]), int(size[1])
    low = np.clip(np.min([b[:2] for b in boxes], axis=0), 0, size)
    high = np.clip(np.max([b[:2] + b[2:] for b in boxes], axis=0), 0, size)
    share = max(((high - low) / size).max() * 1.2, (boxes[0][2:] / size).max() * 6)
    part = np.maximum(size * min(1.0, share), 1).astype(int)
    corner = np.clip((low + high - part) / 2, 0, size - part).astype(int)
    return int(corner[0]), int(corner[1]), int(part[0]), int(part[1])


def data_url(image: NDArray[np.uint8]) -> str:
    """A BGR image as the ``src`` of an ``<img>``, a JPEG within the page."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])
    if not done:
        raise RuntimeError("OpenCV could not encode a JPEG picture")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def _overlap_chart(
    sequence: datasets.Sequence, there: dict[str, TrackerScores], colours: dict[str, str]
) -> str:
    shown = present(sequence.truth)
    frames = list(range(len(sequence)))
    series = []
    for name, found in there.items():
        overlap = iou(found.runs[sequence.name].boxes, sequence.truth)
        series.append(Series(name, frames, np.where(shown, overlap, math.nan), colours[name]))
    return line_chart(
        "Overlap with the truth",
        series,
        Axis("frame", 0, max(1, len(sequence) - 1)),
        Axis("IoU", 0, 1),
        width=1100,
        height=170,
        legend=False,
    )


def _description(name: str, found: TrackerScores) -> str:
    runs = list(found.runs.values())
    text = json.dumps(runs[0].description if runs else {}, indent=1, default=str)
    return (
        f"<details><summary>Settings of {html.escape(name)}</summary>"
        f"<pre>{html.escape(text)}</pre></details>"
    )
