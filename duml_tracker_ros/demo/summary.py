"""What a run of the demo amounts to: numbers from the headers sent and the targets received."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..evaluation.metrics import iou
from ..pixels import Box

STATES = ("IDLE", "TRACKING", "UNCERTAIN", "LOST", "ERROR")
MIN_MEAN_IOU = 0.3
IOU_DEFINITION = (
    "mean over all frames after the first in which the target is truly visible (generated scene: "
    "at least 30 % of it seen; folder: has a true box); a frame without a box counts 0"
)


@dataclass(frozen=True)
class Received:
    """One target message. stamp_ns and frame_id are its header's; times in seconds.

    box: None unless the state says that the target is seen. age: from the image's stamp to the
    arrival of this message.
    """

    stamp_ns: int
    frame_id: str
    state: str
    box: Box | None
    confidence: float
    target_id: int
    dropped: int
    age: float
    latency: float
    processing: float
    arrival: float


@dataclass(frozen=True)
class Truth:
    """True box of a frame, None when absent or unknown; whether it can be seen."""

    box: Box | None
    visible: bool


def match(sent: Sequence[tuple[int, int]], received: Sequence[Received]) -> dict[int, Received]:
    """Target messages by frame index, found by their stamp; the first frame is left out."""
    index_of = {stamp: index for index, stamp in sent}
    found: dict[int, Received] = {}
    for message in received:
        index = index_of.get(message.stamp_ns)
        if index is not None and index > 0:
            found[index] = message
    return found


def overlaps(found: dict[int, Received], truth: Sequence[Truth]) -> dict[int, float]:
    """IoU of every frame that counts, see IOU_DEFINITION."""
    counted = [k for k in range(1, len(truth)) if truth[k].visible and truth[k].box is not None]
    if not counted:
        return {}
    nothing = (math.nan,) * 4
    boxes = [found[k].box or nothing if k in found else nothing for k in counted]
    values = iou(np.array(boxes, float), np.array([truth[k].box for k in counted], float))
    return {k: float(v) for k, v in zip(counted, values, strict=True)}


def summarize(
    sent: Sequence[tuple[int, int]],
    frame_id: str,
    received: Sequence[Received],
    truth: Sequence[Truth] | None,
) -> dict[str, Any]:
    """The numbers of summary.json.

    sent: (frame index, stamp in ns) of every published image; index 0 is the still on which the
    target was selected. truth: one entry per frame, or None when there is none.
    """
    stamps = {stamp for _, stamp in sent}
    wrong = sum(m.stamp_ns not in stamps or m.frame_id != frame_id for m in received)
    repeated = len(received) - len({m.stamp_ns for m in received})
    found = match(sent, received)
    messages = [found[k] for k in sorted(found)]
    playing = len({index for index, _ in sent if index > 0})
    out: dict[str, Any] = {
        "frames_sent": playing,
        "frames_received": len(messages),
        "frames_tracked": sum(m.box is not None for m in messages),
        "frames_missing": playing - len(messages),
        "frames_dropped": _dropped(found),
        "stills_sent": len(sent) - playing,
        "headers_ok": wrong == 0 and repeated == 0 and bool(received),
        "headers_wrong": wrong + repeated,
        "states": dict(Counter(m.state for m in messages)),
        "mean_confidence": _mean([m.confidence for m in messages]),
        "fps": _rate([m.arrival for m in messages]),
        "latency_ms": _spread([1e3 * m.age for m in messages]),
        "node_latency_ms": _spread([1e3 * m.latency for m in messages]),
        "processing_ms": _spread([1e3 * m.processing for m in messages if m.processing > 0]),
        "latency_growth_ms": _growth([1e3 * m.age for m in messages]),
    }
    if truth is not None:
        shares = overlaps(found, truth)
        values = np.array(list(shares.values()))
        absent = [k for k in range(1, len(truth)) if truth[k].box is None]
        out.update(
            mean_iou=float(values.mean()) if len(values) else None,
            success_50=float((values > 0.5).mean()) if len(values) else None,
            frames_with_truth=len(values),
            frames_tracked_while_absent=sum(
                k in found and found[k].box is not None for k in absent
            ),
            iou_definition=IOU_DEFINITION,
        )
    return out


def failures(summary: dict[str, Any]) -> list[str]:
    """Reasons why the target counts as not tracked; empty when it was."""
    reasons = []
    if not summary["frames_received"]:
        return ["no target message came back"]
    if not summary["states"].get("TRACKING"):
        reasons.append("the tracker never said TRACKING")
    mean = summary.get("mean_iou")
    if mean is not None and mean < MIN_MEAN_IOU:
        reasons.append(f"mean IoU {mean:.2f} is below {MIN_MEAN_IOU}")
    if mean is None and summary["frames_tracked"] < MIN_MEAN_IOU * summary["frames_sent"]:
        reasons.append(
            f"the target was seen in only {summary['frames_tracked']} of"
            f" {summary['frames_sent']} frames"
        )
    if not summary["headers_ok"]:
        reasons.append(f"{summary['headers_wrong']} target headers are not an image's")
    return reasons


def table(summary: dict[str, Any]) -> str:
    """The summary for people, one line per figure."""
    latency, node, work = (summary[k] for k in ("latency_ms", "node_latency_ms", "processing_ms"))
    rows = [
        ("source", f"{summary['source']}, {summary['image_size']} at {summary['rate']:g} Hz"),
        ("tracker", f"{summary['tracker']} on {summary['device']}"),
        (
            "frames",
            f"{summary['frames_sent']} sent, {summary['frames_received']} answered,"
            f" {summary['frames_tracked']} tracked, {summary['frames_dropped']} dropped",
        ),
        ("states", ", ".join(f"{s} {n}" for s, n in sorted(summary["states"].items())) or "none"),
        ("rate", f"{summary['fps']:.1f} fps" if summary["fps"] else "-"),
        ("latency", f"{_ms(latency)} from image stamp to target message"),
        ("", f"{_ms(node)} in the node, {_ms(work)} in the tracker"),
        ("headers", "all equal an image's" if summary["headers_ok"] else "WRONG"),
    ]
    if summary.get("mean_iou") is not None:
        rows.append(
            (
                "overlap",
                f"mean IoU {summary['mean_iou']:.3f}, IoU > 0.5 in"
                f" {100 * summary['success_50']:.0f} % of {summary['frames_with_truth']} frames",
            )
        )
    return "\n".join(f"  {name:<9} {text}" for name, text in rows)


def _dropped(found: dict[int, Received]) -> int:
    """Frames the node skipped; the first answer also counts skipped stills, which are none."""
    first = min(found, default=1)
    return sum(m.dropped if k > first else min(m.dropped, k - 1) for k, m in found.items())


def _ms(spread: dict[str, float] | None) -> str:
    return f"p50 {spread['p50']:.1f} p95 {spread['p95']:.1f} ms" if spread else "-"


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _rate(arrivals: Sequence[float]) -> float | None:
    if len(arrivals) < 2 or arrivals[-1] <= arrivals[0]:
        return None
    return (len(arrivals) - 1) / (arrivals[-1] - arrivals[0])


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    p50, p95 = np.percentile(values, [50, 95])
    return {"p50": float(p50), "p95": float(p95), "max": float(max(values))}


def _growth(values: Sequence[float]) -> float | None:
    """Median of the last fifth less that of the first: a backlog would make it grow."""
    fifth = len(values) // 5
    if fifth < 1:
        return None
    return float(np.median(values[-fifth:]) - np.median(values[:fifth]))
