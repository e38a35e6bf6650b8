"""Measured times as a table, as charts, and as a page."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .bench import BenchResult
from .html_page import html_page, html_table, text_table
from .svg import Axis, Bar, Series, axis_for, bar_chart, colour, line_chart


def render_bench(
    results: Sequence[BenchResult], problems: dict[str, str], environment: dict[str, Any]
) -> str:
    """One self-contained page: a table and a chart per sweep."""
    groups: dict[str, list[BenchResult]] = {}
    for result in results:
        groups.setdefault(result.case.group, []).append(result)
    bases = groups.get("base", [])
    parts = [
        "<h1>Tracking speed</h1>",
        "<p class='note'>Milliseconds per update on frames in memory: median, and 5 to 95 %. Every "
        "case ran in a process of its own. The target's side is an eighth of the image's shorter "
        "side. Parts come from a second run with profiling on.</p>",
    ]
    for group, found in groups.items():
        parts.append(f"<h2>{html.escape(group)}</h2>")
        parts.append(html_table(*bench_table(found, results)))
        shown = (
            [*bases, *found] if group in ("update", "engine", "backbone", "baselines") else found
        )
        parts.append(f"<div class='plots'>{_chart(group, shown)}</div>")
    if problems:
        parts += ["<h2 class='bad'>Not measured</h2>", text_table(["case", "reason"], problems)]
    parts += ["<h2>Environment</h2>", text_table(["", ""], environment)]
    return html_page("Tracking speed", parts)


REFERENCES = {"of csrt": "opencv_csrt", "of nano": "opencv_nano"}
"""Columns of times relative to a baseline's."""


def bench_table(
    results: Sequence[BenchResult], measured: Sequence[BenchResult] = ()
) -> tuple[list[str], list[list[str]]]:
    """Header and rows for printing.

    Times are set against others of the same instruction set among ``measured``: ``ratio`` against
    the plain configuration, ``of csrt`` and ``of nano`` against these baselines.
    """
    parts = list(dict.fromkeys(p for r in results for p in r.parts))
    against = {n: p for n, p in REFERENCES.items() if any(r.case.spec.name == p for r in measured)}
    devices = ["GPU MiB"] if any(r.device_memory is not None for r in results) else []
    header = ["case", "engine", "vectors", "median ms", "5-95 %", "99 %", "ratio", *against, *parts]
    header += ["cpu ms", "lost, 99 %", "init ms", "MiB", *devices, "stolen", "seen"]
    rows = []
    for r in results:
        row = [f"{r.case.group} {r.case.label}", r.engine, r.units]
        row += [f"{r.median:.2f}", f"{r.low:.2f}-{r.high:.2f}", f"{r.late:.2f}"]
        row.append(_ratio(r, [m for m in measured if m.case.group == "base"]))
        row += [_ratio(r, [m for m in measured if m.case.spec.name == p]) for p in against.values()]
        row += [f"{r.parts[n]:.2f}" if n in r.parts else "" for n in parts]
        row += [f"{r.cpu:.2f}", _while_lost(r.lost), f"{r.init:.1f}", f"{r.memory:.0f}"]
        if devices:
            row.append("" if r.device_memory is None else f"{r.device_memory:.0f}")
        row.append("" if math.isnan(r.stolen) else f"{r.stolen:.1%}")
        rows.append([*row, f"{r.seen:.0%}"])
    return header, rows


def _while_lost(costs: tuple[float, float]) -> str:
    """Median and 99 % quantile relative to a usual update; empty where nothing was lost."""
    middle, late = costs
    return "" if math.isnan(middle) else f"{middle:.2f}, {late:.2f}"


def _ratio(result: BenchResult, references: Sequence[BenchResult]) -> str:
    """Time against the reference of the same instruction set; empty without one."""
    same = [r.median for r in references if r.case.isa == result.case.isa]
    return f"{result.median / same[0]:.2f}" if same else ""


def further_targets(results: Sequence[BenchResult]) -> str:
    """Return the cost of each target beyond the first, in words; empty without such a sweep."""
    isas = [r.case.isa for r in results]
    found = [r for r in results if r.case.group == "targets" and r.case.isa == isas[0]]
    found.sort(key=lambda r: r.case.targets)
    if len(found) < 2:
        return ""
    first = found[0].mean
    costs = [(r.mean - first) / (r.case.targets - 1) for r in found[1:]]
    texts = [
        f"{cost:.2f} ms ({cost / first:.0%} of the first) with {r.case.targets}"
        for r, cost in zip(found[1:], costs, strict=True)
    ]
    return f"each further target, on average: {', '.join(texts)}"


def _chart(group: str, results: Sequence[BenchResult]) -> str:
    """Time against the sweep's value, where the value is a number; over time for a long run."""
    if group == "long":
        longest = results[0]
        steps = np.linspace(0, longest.case.frames, len(longest.curve))
        return line_chart(
            "Time per frame over a long run",
            [Series("median of each slice", steps, longest.curve, colour(0))],
            Axis("frame", 0, longest.case.frames),
            axis_for("ms per frame", longest.curve),
            width=760,
        )
    values = [_value(r) for r in results]
    if any(v is None for v in values):
        bars = [Bar(r.case.name, r.median, r.low, r.high) for r in results]
        return bar_chart("Median time and 5 to 95 %", bars, "ms per frame")
    points = sorted(zip(values, results, strict=True), key=lambda p: p[0] or 0.0)
    xs = [v or 0.0 for v, _ in points]
    found = [r for _, r in points]
    names = list(dict.fromkeys(p for r in found for p in r.parts))
    series = [
        Series(
            "whole update",
            xs,
            [r.median for r in found],
            colour(0),
            markers=True,
            low=[r.low for r in found],
            high=[r.high for r in found],
        )
    ]
    series += [
        Series(name, xs, [r.parts.get(name, float("nan")) for r in found], colour(i + 1))
        for i, name in enumerate(names)
    ]
    label = {
        "image": "megapixels",
        "targets": "targets",
        "search": "search size, pixels",
        "memory": "samples in memory",
    }
    return line_chart(
        f"Time against {group}",
        series,
        Axis(label.get(group, group), 0, max(xs) * 1.04),
        axis_for("ms per frame", [r.high for r in found]),
        width=560,
        height=320,
    )


def _value(result: BenchResult) -> float | None:
    """The number that a case stands for in its sweep."""
    if result.case.group == "image":
        return result.case.width * result.case.height / 1e6
    try:
        return float(result.case.label)
    except ValueError:
        return None
