"""Pictures and plots of the sequences that went worst, for the report."""

from __future__ import annotations

import html
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import datasets
from .html_page import data_url
from .metrics import iou, present
from .runner import Evaluation, TrackerScores
from .svg import Axis, Series, line_chart

WORST = 6
FRAMES_SHOWN = 5
TRUTH_COLOUR = "#ffd400"


def worst_frames(
    result: Evaluation, scored: dict[str, TrackerScores], colours: dict[str, str]
) -> str:
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
