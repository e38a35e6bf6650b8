"""One self-contained HTML page about a track: the verdict, a strip of pictures, and its numbers."""

from __future__ import annotations

import html
import json
import math
from pathlib import Path

import cv2
import numpy as np

from ..evaluation.html_page import data_url, html_page, html_table
from ..evaluation.svg import PALETTE, Axis, Series, axis_for, line_chart, opening
from ..outputs import write_text
from ..viz import state_colour
from .failure import BEFORE, CENTRED, FAILED, HEALTHY, LASTING, RESIZED, SUDDEN, Failure
from .story import Story, describe, verdict
from .strip import strip

WIDTH = 1140
# Margins of `line_chart`, so that what is drawn here lies below its lines.
LEFT, RIGHT = 54, 22
FAILURE = "#a40000"
STRIPS = 4


def write_page(folder: Path, story: Story) -> Path:
    """Write ``folder/index.html`` and return its path. Raises TraceError, OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "index.html"
    write_text(path, render(story))
    return path


def render(story: Story) -> str:
    """The page as text. Raises TraceError when a picture of the trace is damaged."""
    trace = story.trace
    title = f"Track of {story.name}"
    failed = " class='bad'" if story.failures else ""
    counts = {state: trace.states.count(state) for state in dict.fromkeys(trace.states)}
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    parts = [
        f"<h1>{html.escape(title)}</h1><p{failed}><b>{html.escape(verdict(story))}</b></p>",
        f"<p>{len(trace)} frames: {html.escape(told)}.</p>",
        "<p class='note'>Above: what was searched, the box in the colour of its state (dashed "
        "while lost), the truth in white. Below: the fused scores over it, with the highest "
        "score and the second peak.</p>",
        *_strips(story),
        "<div class='plots'>",
        *_charts(story),
        "</div>",
        _learning(story),
        _failure_table(story),
        _rules() if story.truth is not None else "",
        "<details><summary>About this track</summary>"
        f"<pre>{html.escape(json.dumps(trace.about, indent=1, default=str))}</pre></details>",
    ]
    return html_page(title, parts)


def _strips(story: Story) -> list[str]:
    out = []
    shown: list[Failure | None] = [*story.failures[:STRIPS]]
    for failure in shown or [None]:
        if failure is not None and len(story.failures) > 1:
            text = describe(story, failure)
            out.append(f"<h3>{html.escape(text[0].upper() + text[1:])}</h3>")
        image = strip(story, failure)[..., ::-1]
        out.append(f"<img alt='pictures' style='max-width:100%' src='{data_url(image)}'>")
    if len(story.failures) > STRIPS:
        out.append(f"<p class='note'>Pictures of the first {STRIPS} failures only.</p>")
    return out


def _charts(story: Story) -> list[str]:
    trace = story.trace
    frames = [story.number(i) for i in range(len(trace))]
    x = Axis("frame", frames[0], max(frames[-1], frames[0] + 1))

    def chart(title: str, y: Axis, series: list[Series]) -> str:
        if story.failures:
            # One line with gaps, so that the legend names it once.
            at = [story.number(f.index) for f in story.failures for _ in range(3)]
            ends = [y.low, y.high, math.nan] * len(story.failures)
            series = [*series, Series("failure", at, ends, FAILURE, dashed=True)]
        return line_chart(title, series, x, y, width=WIDTH, height=190)

    out = []
    overlap = story.overlap()
    if overlap is not None:
        lines = [Series("overlap with the truth (IoU)", frames, overlap, PALETTE[0])]
        out.append(chart("Overlap", Axis("IoU", 0, 1), lines))
    out.append(_bar(story))
    peak = trace["peak"]
    if np.isfinite(peak).any():
        names = {1: "robust (online)", 2: "accurate (offline)", 3: "second peak (robust)"}
        lines = [
            Series(name, frames, np.maximum(peak[:, column], 0), PALETTE[i], dashed=column == 3)
            for i, (column, name) in enumerate(names.items())
        ]
        lines.append(Series("usual score of this target", frames, trace["usual"], "#999"))
        top = float(np.nanmax(peak[:, 1:4]))
        axis = axis_for("score", [1.0, top])
        out.append(chart("Scores at the chosen place", axis, lines))
    size = np.sqrt(trace["box"][:, 2:].prod(1))
    lines = [Series("box", frames, size, PALETTE[0])]
    values = size.tolist()
    if np.isfinite(trace["candidate"]).any():
        candidate = np.sqrt(np.maximum(trace["candidate"][:, 2:].prod(1), 0))
        lines.insert(0, Series("candidate of each frame", frames, candidate, "#bbb"))
        values += candidate.tolist()
    if story.truth is not None:
        true = np.sqrt(story.truth[:, 2:].prod(1))
        lines.append(Series("truth", frames, true, PALETTE[1], dashed=True))
        values += true.tolist()
    out.append(chart("Size, square root of the area", axis_for("pixels", values), lines))
    return out


def _bar(story: Story) -> str:
    """The states as a coloured bar, and below it what was learned, over the same axis."""
    trace = story.trace
    width, high = WIDTH - LEFT - RIGHT, 18
    step = width / max(1, len(trace))
    out = [opening("State, and what was learned", WIDTH, 84, LEFT)]
    states, start = trace.states, 0
    for index in range(1, len(states) + 1):
        if index < len(states) and states[index] == states[start]:
            continue
        shade = "rgb({},{},{})".format(*state_colour(states[start]))
        out.append(
            f'<rect x="{LEFT + start * step:.1f}" y="22" width="{(index - start) * step:.1f}" '
            f'height="{high}" fill="{shade}"/>'
        )
        start = index
    for index in np.flatnonzero(trace["inserted"]).tolist():
        shade = PALETTE[0] if trace["iterations"][index] else "#ccc"
        at = LEFT + (index + 0.5) * step
        out.append(
            f'<path d="M{at:.1f} 46v12" stroke="{shade}" stroke-width="{max(step, 1):.1f}"/>'
        )
    for index in np.flatnonzero(trace["distractor"]).tolist():
        at = LEFT + (index + 0.5) * step
        out.append(f'<circle cx="{at:.1f}" cy="43" r="2" fill="{PALETTE[1]}"/>')
    left = LEFT
    keys = [(name, "rgb({},{},{})".format(*state_colour(name))) for name in dict.fromkeys(states)]
    keys += [("remembered", "#ccc"), ("learned from", PALETTE[0]), ("second peak", PALETTE[1])]
    for name, shade in keys:
        out.append(
            f'<rect x="{left}" y="66" width="11" height="11" fill="{shade}"/>'
            f'<text x="{left + 16}" y="76">{name}</text>'
        )
        left += 34 + 7 * len(name)
    return "".join([*out, "</svg>"])


def _learning(story: Story) -> str:
    """The weights of the online memory: one column a frame, first-frame samples at the bottom."""
    memory = story.trace.memory
    slots = max(len(weights) for weights in memory)
    if not slots:
        return ""
    image = np.zeros((slots, len(memory)), np.float32)
    for column, weights in enumerate(memory):
        image[slots - len(weights) :, column] = weights[::-1]
    shown = np.sqrt(image / max(float(image.max()), 1e-6))
    grey = np.round(255 * shown).astype(np.uint8)
    high = int(max(60, min(160, 3 * slots)))
    picture = cv2.resize(grey, (WIDTH - LEFT - RIGHT, high), interpolation=cv2.INTER_NEAREST)
    coloured = cv2.applyColorMap(picture, cv2.COLORMAP_VIRIDIS)
    first = int(story.trace["protected"][-1])
    share = float(memory[-1][:first].astype(np.float32).sum()) if first else math.nan
    note = (
        "One column a frame, one line a sample: bright ones weigh more. The samples of the first "
        f"frame are the lowest {first} lines; at the end their share is {share:.0%}."
    )
    return (
        f"<h2>Weights of the online memory</h2><p class='note'>{note}</p>"
        f"<img alt='weights' style='margin-left:{LEFT}px' src='{data_url(np.asarray(coloured))}'>"
    )


def _failure_table(story: Story) -> str:
    if not story.failures:
        return ""
    header = ["failure", "kind", "told by", "last healthy", "found again", "doubted"]
    header += [
        "centre error",
        "area ratio",
        "outside",
        "robust",
        "accurate",
        "second peak",
        "hidden before",
    ]

    def frame(index: int | None) -> str:
        return "-" if index is None else str(story.number(index))

    rows = []
    for failure in story.failures:
        peak = story.trace["peak"][failure.judged]
        rows.append(
            [
                f"frame {story.number(failure.index)}",
                failure.kind.value,
                frame(failure.judged),
                frame(failure.healthy),
                frame(failure.again),
                f"{failure.doubted:.0%}",
                f"{failure.centre_error:.2f}",
                f"{failure.area_ratio:.2f}",
                "yes" if failure.outside else "no",
                *(f"{peak[column]:.2f}" for column in (1, 2, 3)),
                str(failure.absent_before),
            ]
        )
    return (
        "<h2>Failures</h2>" + html_table(header, rows) + "<p class='note'>Healthy: an overlap of "
        f"{HEALTHY:g} or more. Doubted: share of its frames that are LOST or weak. What follows is "
        "of the frames that told the kind: medians of the centre error over the larger size and "
        f"of the area over the true one, scores of the first. Hidden: of the {BEFORE} frames "
        "before the failure.</p>"
    )


def _rules() -> str:
    return (
        "<details><summary>How this is judged</summary><p class='note'>A track fails at the first "
        f"frame from which on the overlap stays below {FAILED:g} for {LASTING} frames, until it "
        f"reaches {HEALTHY:g} again. <b>Lost</b>: never are {LASTING} frames in a row neither LOST "
        "nor weak. Else the first such frames are judged. <b>Scale</b>: the centres are closer "
        f"than {CENTRED:g} of the larger size, the areas differ by more than {RESIZED:g}. "
        "<b>Distractor</b>: the centre is outside the true box, and came there within "
        f"{SUDDEN} frames of an overlap of {HEALTHY:g} or after being LOST. <b>Drift</b>: "
        "everything else.</p></details>"
    )
