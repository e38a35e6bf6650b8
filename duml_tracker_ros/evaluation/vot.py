"""VOT's measures: rasterised overlap, supervised accuracy / robustness / EAO, and anchor runs.

Everything here stays in the coordinates of VOT's own files, whose pixels are counted from 1: the
overlap rounds coordinates to whole pixels, so a shift before rounding would change it. The
reference implementation is vot-toolkit 0.7.4; agreement with it is tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..datasets.region import Region
from .metrics import Array

INITIALIZED, FAILED = 1, 2
"""Codes of special regions in trajectory files, beside ``UNKNOWN``."""

BURN_IN = 10
SKIP_AFTER_FAILURE = 5
ANCHOR_THRESHOLD = 0.1
ANCHOR_GRACE = 10


Bounds = tuple[int, int, int, int]


def _bounds(region: Region) -> Bounds:
    """First and last pixel in x and y, after rounding: left, top, right, bottom."""
    if region.kind == "rectangle":
        x, y, w, h = (int(v) for v in np.round(region.values))
        return (x, y, x + w - 1, y + h - 1)
    if region.kind == "polygon":
        points = np.round(region.values)
        low, high = points.min(axis=0), points.max(axis=0)
        return (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
    if region.kind == "mask" and not region.empty:
        box = region.bounding_box()
        return (int(box[0]), int(box[1]), int(box[0] + box[2] - 1), int(box[1] + box[3] - 1))
    return (0, 0, 0, 0)


def _raster(region: Region, bounds: Bounds) -> NDArray[np.bool_]:
    """Pixels of a region within bounds, both ends included."""
    left, top, right, bottom = bounds
    out = np.zeros((bottom - top + 1, right - left + 1), dtype=bool)
    if region.kind == "rectangle":
        x0, y0, x1, y1 = _bounds(region)
        out[max(0, y0 - top) : max(0, y1 - top + 1), max(0, x0 - left) : max(0, x1 - left + 1)] = 1
    elif region.kind == "polygon":
        _fill_polygon(out, np.round(region.values).astype(np.float64) - [left, top])
    elif region.kind == "mask":
        x, y = region.offset
        height, width = region.values.shape
        x0, x1 = max(x, left), min(x + width - 1, right)
        y0, y1 = max(y, top), min(y + height - 1, bottom)
        if x0 <= x1 and y0 <= y1:
            part = region.values[y0 - y : y1 - y + 1, x0 - x : x1 - x + 1]
            out[y0 - top : y1 - top + 1, x0 - left : x1 - left + 1] = part != 0
    return out


def _fill_polygon(out: NDArray[np.bool_], points: Array) -> None:
    """Fill rows between pairs of edge crossings, the crossings included.

    An edge counts on every row it touches, ends included; crossings are cut to whole pixels towards
    zero. Where two edges meet the crossing appears twice and the first is passed over.
    """
    height, width = out.shape
    ends = np.roll(points, 1, axis=0)
    for row in range(height):
        touched = (np.minimum(points[:, 1], ends[:, 1]) <= row) & (
            row <= np.maximum(points[:, 1], ends[:, 1])
        )
        crossings: list[int] = []
        for (x0, y0), (x1, y1) in zip(points[touched], ends[touched], strict=True):
            crossings.append(int(x0 + (row - y0) / (y1 - y0) * (x1 - x0) if y1 != y0 else x0))
        crossings.sort()
        at, last = 0, len(crossings) - 1
        while at < last and crossings[at] < width:
            start, end = crossings[at], crossings[at + 1]
            if start == end and at < last - 1:
                at += 1
                continue
            if end >= 0:
                out[row, max(0, start) : min(width - 1, end) + 1] = True
            at += 2


def raster_overlap(first: Region, second: Region, image_size: tuple[int, int] | None) -> float:
    """Overlap of two regions on the pixel grid, within the image.

    Args:
        image_size: ``(width, height)``; None does not clip.

    Two regions of at most one pixel's extent are equal by definition (1); regions outside the image
    have no overlap.
    """
    a, b = _bounds(first), _bounds(second)
    left, top = min(a[0], b[0]), min(a[1], b[1])
    right, bottom = max(a[2], b[2]), max(a[3], b[3])
    if left >= right or top >= bottom:
        return 1.0
    if image_size is not None:
        left, top = max(0, left), max(0, top)
        right, bottom = min(image_size[0] - 1, right), min(image_size[1] - 1, bottom)
        if left >= right or top >= bottom:
            return 0.0
    bounds = (left, top, right, bottom)
    one, two = _raster(first, bounds), _raster(second, bounds)
    union = int(np.count_nonzero(one | two))
    return int(np.count_nonzero(one & two)) / union if union else 0.0


def raster_overlaps(
    first: Sequence[Region], second: Sequence[Region], image_size: tuple[int, int] | None
) -> Array:
    """`raster_overlap` pair by pair: ``[N]``."""
    if len(first) != len(second):
        raise ValueError(f"cannot compare {len(first)} regions with {len(second)}")
    return np.array([raster_overlap(a, b, image_size) for a, b in zip(first, second, strict=True)])


@dataclass(frozen=True)
class SupervisedRun:
    """One repetition on one sequence.

    Attributes:
        overlaps: ``[N]`` with the truth.
        codes: ``[N]``; `INITIALIZED`, `FAILED`, `UNKNOWN` (skipped), or -1 for a tracked frame.
    """

    overlaps: Array
    codes: NDArray[np.int64]


def supervised_run(
    trajectory: Sequence[Region], truth: Sequence[Region], image_size: tuple[int, int] | None
) -> SupervisedRun:
    """Overlaps and codes of a trajectory."""
    codes = [r.code if r.kind == "special" else -1 for r in trajectory]
    return SupervisedRun(
        raster_overlaps(trajectory, truth, image_size), np.array(codes, dtype=np.int64)
    )


@dataclass(frozen=True)
class VotScore:
    """Accuracy, robustness and expected average overlap.

    Attributes:
        accuracy: mean overlap while tracking.
        robustness: supervised: 100 x failures / frames, as the papers' tables give it; anchors:
            share of the way tracked before failing.
        failures: failures per sequence, weighted by sequence length as the toolkit reports them;
            None for anchor runs.
        eao: expected average overlap; ``eao_curve`` is the whole curve by length.
    """

    accuracy: float
    robustness: float
    failures: float | None
    eao: float
    eao_curve: Array

    def as_dict(self) -> dict[str, float | None]:
        """The numbers without the curve."""
        return {name: value for name, value in vars(self).items() if name != "eao_curve"}


def supervised_accuracy(run: SupervisedRun, burn_in: int = BURN_IN) -> float:
    """Mean overlap of tracked frames, without ``burn_in`` frames from each start; 0 if none."""
    keep = run.codes == -1
    for start in np.flatnonzero(run.codes == INITIALIZED):
        keep[start : start + burn_in] = False
    return float(run.overlaps[keep].mean()) if keep.any() else 0.0


def supervised_score(
    sequences: Sequence[Sequence[SupervisedRun]], eao_range: tuple[int, int]
) -> VotScore:
    """Scores over sequences, each with its repetitions (VOT2018, VOT2019).

    Accuracy and failures are averaged over repetitions and then over sequences by their length.
    """
    if not sequences or not all(sequences):
        raise ValueError("every sequence needs at least one repetition")
    lengths = np.array([len(runs[0].overlaps) for runs in sequences], dtype=np.float64)
    accuracy = np.array([np.mean([supervised_accuracy(r) for r in runs]) for runs in sequences])
    failures = np.array(
        [np.mean([np.count_nonzero(r.codes == FAILED) for r in runs]) for runs in sequences]
    )
    curve = _supervised_curve([r for runs in sequences for r in runs])
    return VotScore(
        accuracy=float((accuracy * lengths).sum() / lengths.sum()),
        robustness=float(100 * failures.sum() / lengths.sum()),
        failures=float((failures * lengths).sum() / lengths.sum()),
        eao=_eao(curve, eao_range),
        eao_curve=curve,
    )


def _eao(curve: Array, eao_range: tuple[int, int]) -> float:
    part = curve[eao_range[0] : eao_range[1] + 1]
    return float(part.mean()) if part.size else float("nan")


def _supervised_curve(runs: Sequence[SupervisedRun]) -> Array:
    """Expected overlap by length; a failed piece goes on with zeros, an ended one stops."""
    pieces: list[tuple[Array, bool]] = []
    for run in runs:
        failures = np.flatnonzero(run.codes == FAILED)
        starts = np.flatnonzero(run.codes == INITIALIZED)
        if not failures.size:
            pieces.append((run.overlaps, True))
            continue
        pieces += [
            (run.overlaps[start:end], False) for start, end in zip(starts, failures, strict=False)
        ]
        if starts.size > failures.size:
            pieces.append((run.overlaps[starts[-1] :], True))
    longest = max(len(p) for p, _ in pieces)
    total, weight = np.zeros(longest), np.zeros(longest)
    for overlaps, success in pieces:
        padded = np.zeros(longest)
        padded[: len(overlaps)] = overlaps
        # Entry j is the mean over frames 1..j: the frame of the start is given, not tracked.
        mean = padded.copy()
        mean[1:] = np.cumsum(padded[1:]) / np.arange(1, longest)
        counted = len(overlaps) if success else longest
        total[:counted] += mean[:counted]
        weight[:counted] += 1
    return np.asarray(np.divide(total, weight, out=np.zeros(longest), where=weight > 0))


@dataclass(frozen=True)
class AnchorRun:
    """One run from one anchor.

    Attributes:
        overlaps: ``[L]`` along the run, beginning with the anchor's frame.
        present: ``[L]`` whether the truth is not empty.
    """

    overlaps: Array
    present: NDArray[np.bool_]

    @property
    def progress(self) -> int:
        """Frames before the failure: overlap <= 0.1 for 10 frames on end with a target."""
        misses = 0
        for index, (overlap, there) in enumerate(zip(self.overlaps, self.present, strict=True)):
            misses = misses + 1 if overlap <= ANCHOR_THRESHOLD and there else 0
            if misses == ANCHOR_GRACE:
                return index + 1 - ANCHOR_GRACE
        return len(self.overlaps)


def anchor_score(
    sequences: Sequence[tuple[int, Sequence[AnchorRun]]], eao_range: tuple[int, int]
) -> VotScore:
    """Scores over sequences given as ``(length, runs)`` (VOT2020 to VOT2022)."""
    overlap_sum = progress_sum = robustness = length_sum = 0.0
    high = eao_range[1]
    total, weight = np.zeros(high), np.zeros(high)
    for length, runs in sequences:
        if not runs:
            raise ValueError("every sequence needs at least one anchor")
        progress = [r.progress for r in runs]
        overlap_sum += sum(float(r.overlaps[:p].sum()) for r, p in zip(runs, progress, strict=True))
        progress_sum += sum(progress)
        robustness += sum(progress) / sum(len(r.overlaps) for r in runs) * length
        length_sum += length
        for run, end in zip(runs, progress, strict=True):
            part, counted = _anchor_curve(run, end, high)
            total += part
            weight += counted
    curve = np.divide(total, weight, out=np.zeros(high), where=weight > 0)
    return VotScore(
        accuracy=overlap_sum / progress_sum if progress_sum else 0.0,
        robustness=robustness / length_sum,
        failures=None,
        eao=_eao(curve, eao_range),
        eao_curve=curve,
    )


def _anchor_curve(run: AnchorRun, progress: int, high: int) -> tuple[Array, Array]:
    """Mean overlap of frames 1..j for each j below ``high``, and which j count."""
    count = len(run.overlaps)
    failed = progress < count
    overlaps = run.overlaps.copy()
    overlaps[progress:] = 0
    sums = np.concatenate([[0.0], np.cumsum(overlaps[1:])])
    lengths = np.arange(high)
    inside = (lengths >= 1) & (lengths < count)
    # Past the end of a failed run the toolkit divides by j - 1; a run that ended well stops.
    after = (lengths >= max(2, count)) & failed
    curve = np.zeros(high)
    curve[inside] = sums[lengths[inside]] / lengths[inside]
    curve[after] = sums[-1] / (lengths[after] - 1)
    return curve, (inside | after).astype(np.float64)
