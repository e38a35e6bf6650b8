"""Draws docs/images/node_graph.svg from the tables of docs/node.md.

python tools/node_graph.py
"""

from __future__ import annotations

import html
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "docs" / "node.md"
TARGET = ROOT / "docs" / "images" / "node_graph.svg"
STEP, TOP, SIDE, BOX = 24, 46, 400, 210
Entry = tuple[str, str, str]
"""Name, type and colour."""
INPUT, OUTPUT, SERVICE = "#0072b2", "#009e73", "#d55e00"


def rows(title: str) -> list[list[str]]:
    """Cells of the table below a heading of the document."""
    text = SOURCE.read_text(encoding="utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if re.match(r"\| [`*]", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def entries() -> tuple[list[Entry], list[Entry]]:
    """What goes in and what comes out."""
    into: list[Entry] = []
    out: list[Entry] = []
    for name, kind, *_ in rows("Topics"):
        if not kind.startswith("`"):
            continue
        plain = kind.replace("`", "").rpartition("/")[2]
        for topic in re.findall(r"`([^`]+)`", name):
            (into if "(in)" in name else out).append(
                (topic, plain, INPUT if "(in)" in name else OUTPUT)
            )
    into += [
        (n.strip("`"), k.strip("`").rpartition("/")[2], SERVICE) for n, k, *_ in rows("Services")
    ]
    return into, out


def draw() -> str:
    """The picture as SVG text."""
    into, out = entries()
    count = max(len(into), len(out))
    width, height = 2 * SIDE + BOX, TOP + STEP * count + 26
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="topics and services of the node" '
        'font-family="system-ui, sans-serif" font-size="13" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<rect x="{SIDE}" y="{TOP - 16}" width="{BOX}" height="{STEP * count + 14}" rx="8" '
        'fill="#f6f6f6" stroke="#888"/>',
        f'<text x="{width / 2}" y="{TOP + STEP * count / 2}" text-anchor="middle" font-size="18" '
        'font-weight="600">duml_tracker</text>',
    ]
    for entry, start, colour in (("topics in", 20, INPUT), ("services", 110, SERVICE)):
        parts.append(f'<text x="{start}" y="20" fill="{colour}" font-weight="600">{entry}</text>')
    parts.append(
        f'<text x="{width - 20}" y="20" text-anchor="end" fill="{OUTPUT}" font-weight="600">'
        "topics out</text>"
    )
    for column, found in ((0, into), (1, out)):
        shift = (count - len(found)) * STEP / 2
        for index, (name, kind, colour) in enumerate(found):
            y = TOP + shift + STEP * index + 6
            begin = SIDE - 34 if column == 0 else SIDE + BOX + 2
            tip = begin + 30
            parts.append(
                f'<path d="M{begin} {y}H{tip - 6}" stroke="{colour}" stroke-width="2"/>'
                f'<path d="M{tip} {y}l-8 -4v8z" fill="{colour}"/>'
            )
            at, anchor = (begin - 8, "end") if column == 0 else (tip + 8, "start")
            parts.append(
                f'<text x="{at}" y="{y + 4}" text-anchor="{anchor}">{html.escape(name)}'
                f'<tspan fill="#777" font-size="11">  {html.escape(kind)}</tspan></text>'
            )
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    TARGET.write_text(draw(), encoding="utf-8")
