"""Small line charts as SVG text, so that a page needs nothing from outside."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Values = Sequence[float] | NDArray[Any]

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d31")
"""Colours that people with colour-blindness can tell apart; chosen by position."""


def colour(index: int) -> str:
    """The colour of the ``index``-th series, as ``#rrggbb``."""
    return PALETTE[index % len(PALETTE)]


@dataclass(frozen=True)
class Series:
    """One line: points in data units; a NaN breaks the line. ``note`` stands at its first point."""

    label: str
    x: Values
    y: Values
    colour: str
    dashed: bool = False
    markers: bool = False
    note: str = ""
    low: Values | None = None
    high: Values | None = None


@dataclass(frozen=True)
class Axis:
    """Name and range of an axis; ``log`` spaces decades evenly."""

    label: str
    low: float
    high: float
    log: bool = False

    def share(self, value: float) -> float:
        """Position of a value between 0 (low) and 1 (high)."""
        if self.log:
            return (math.log(value) - math.log(self.low)) / (
                math.log(self.high) - math.log(self.low)
            )
        return (value - self.low) / (self.high - self.low)

    def ticks(self, wanted: int = 5) -> list[float]:
        """Round values within the range."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            steps = (1,) if last - first > 3 else (1, 2, 5)
            values = [s * 10.0**e for e in range(first, last + 1) for s in steps]
            return [v for v in values if self.low <= v <= self.high]
        span = self.high - self.low
        raw = span / max(1, wanted)
        scale = 10.0 ** math.floor(math.log10(raw))
        step = next(s * scale for s in (1, 2, 2.5, 5, 10) if s * scale >= raw * 0.999)
        first_tick = math.ceil(self.low / step - 1e-9)
        count = math.floor(self.high / step + 1e-9) - first_tick + 1
        return [(first_tick + i) * step for i in range(count)]


def axis_for(label: str, values: Sequence[float], *, zero: bool = True) -> Axis:
    """An axis that holds all finite values with some air above them."""
    finite = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
    low = 0.0 if zero else min(finite)
    high = max(finite)
    if high <= low:
        high = low + 1.0
    return Axis(label, low, high + 0.06 * (high - low) if zero else high)


def number(value: float) -> str:
    """A tick label without needless digits."""
    if value == 0:
        return "0"
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"


def opening(title: str, width: int, height: int, x: int) -> str:
    """The ``<svg>`` tag of a picture, and its title, which begins at ``x``."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="{html.escape(title)}" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#333">'
        f'<text x="{x}" y="18" font-size="14" font-weight="600">{html.escape(title)}</text>'
    )


def line_chart(
    title: str,
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    *,
    width: int = 380,
    height: int = 290,
    legend: bool = True,
) -> str:
    """An ``<svg>`` element with axes, grid, lines, optional spread bands and a legend below."""
    left, right, top = 54, 22, 30
    rows = len(series) if legend else 0
    bottom = 44
    plot_w, plot_h = width - left - right, height - top - bottom
    total = height + 17 * rows + (6 if rows else 0)

    def px(value: float) -> float:
        return left + plot_w * x.share(value)

    def py(value: float) -> float:
        return top + plot_h * (1 - y.share(value))

    out = [opening(title, width, total, left)]
    for value in x.ticks():
        at = px(value)
        out.append(
            f'<path d="M{at:.1f} {top}V{top + plot_h}" stroke="#e4e4e4"/>'
            f'<text x="{at:.1f}" y="{top + plot_h + 16}" text-anchor="middle">'
            f"{number(value)}</text>"
        )
    for value in y.ticks():
        at = py(value)
        out.append(
            f'<path d="M{left} {at:.1f}H{left + plot_w}" stroke="#e4e4e4"/>'
            f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{number(value)}</text>'
        )
    out.append(
        f'<rect x="{left}" y="{top}" width="{plot_w}" height="{plot_h}" fill="none" stroke="#999"/>'
    )
    middle_x, middle_y = left + plot_w / 2, top + plot_h / 2
    out.append(
        f'<text x="{middle_x:.1f}" y="{top + plot_h + 35}" text-anchor="middle">'
        f"{html.escape(x.label)}</text>"
        f'<text transform="translate(14 {middle_y:.1f}) rotate(-90)" text-anchor="middle">'
        f"{html.escape(y.label)}</text>"
    )
    for index, line in enumerate(series):
        if line.low is not None and line.high is not None:
            edge = [
                *zip(line.x, line.high, strict=True),
                *reversed(list(zip(line.x, line.low, strict=True))),
            ]
            points = " ".join(f"{px(a):.1f},{py(b):.1f}" for a, b in edge)
            out.append(f'<polygon points="{points}" fill="{line.colour}" opacity="0.15"/>')
        commands: list[str] = []
        pen_up = True
        for a, b in zip(line.x, line.y, strict=True):
            if not (math.isfinite(a) and math.isfinite(b)):
                pen_up = True
                continue
            commands.append(f"{'M' if pen_up else 'L'}{px(a):.1f} {py(b):.1f}")
            pen_up = False
            if line.markers:
                out.append(
                    f'<circle cx="{px(a):.1f}" cy="{py(b):.1f}" r="3" fill="{line.colour}"/>'
                )
        dash = ' stroke-dasharray="6 4"' if line.dashed else ""
        out.append(
            f'<path d="{"".join(commands)}" fill="none" stroke="{line.colour}" '
            f'stroke-width="2" stroke-linejoin="round"{dash}/>'
        )
        if line.note:
            # To the left of points at the right edge, so that the text stays inside.
            x0, end = px(line.x[0]), x.share(line.x[0]) > 0.7
            out.append(
                f'<text x="{x0 + (-7 if end else 7):.1f}" y="{py(line.y[0]) + 4:.1f}" '
                f'text-anchor="{"end" if end else "start"}">{html.escape(line.note)}</text>'
            )
        if legend:
            at = height + 17 * index + 4
            out.append(
                f'<path d="M{left} {at}h24" stroke="{line.colour}" stroke-width="3"{dash}/>'
                f'<text x="{left + 32}" y="{at + 4}">{html.escape(line.label)}</text>'
            )
    out.append("</svg>")
    return "".join(out)


@dataclass(frozen=True)
class Bar:
    """One horizontal bar with its spread."""

    label: str
    value: float
    low: float
    high: float


def bar_chart(title: str, bars: Sequence[Bar], label: str, *, width: int = 560) -> str:
    """An ``<svg>`` element with a horizontal bar for each value, its spread as a line."""
    left, right, top, step = 170, 60, 30, 26
    x = axis_for(label, [b.high for b in bars])
    bottom = top + step * len(bars)
    plot_w = width - left - right

    def px(value: float) -> float:
        return left + plot_w * x.share(value)

    out = [opening(title, width, bottom + 44, 8)]
    for value in x.ticks():
        out.append(
            f'<path d="M{px(value):.1f} {top}V{bottom}" stroke="#e4e4e4"/>'
            f'<text x="{px(value):.1f}" y="{bottom + 16}" text-anchor="middle">'
            f"{number(value)}</text>"
        )
    for index, bar in enumerate(bars):
        middle = top + step * index + step / 2
        out.append(
            f'<text x="{left - 8}" y="{middle + 4}" text-anchor="end">'
            f"{html.escape(bar.label)}</text>"
            f'<rect x="{left}" y="{middle - 8}" width="{px(bar.value) - left:.1f}" height="16" '
            f'fill="{PALETTE[0]}" opacity="0.75"/>'
            f'<path d="M{px(bar.low):.1f} {middle}H{px(bar.high):.1f}" stroke="#333" '
            f'stroke-width="1.5"/><text x="{px(bar.high) + 6:.1f}" y="{middle + 4}">'
            f"{number(bar.value)}</text>"
        )
    out.append(
        f'<text x="{left + plot_w / 2:.1f}" y="{bottom + 35}" text-anchor="middle">'
        f"{html.escape(label)}</text></svg>"
    )
    return "".join(out)
