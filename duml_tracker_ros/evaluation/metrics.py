"""Single-object tracking scores, defined as the public toolkits define them.

Boxes are float64 ``(x, y, w, h)`` in pixels, 0-based and continuous: the far corner is
``x + w, y + h``. A truth row that is not finite or has no area means *target absent*: such frames
are left out of every score. A predicted row that is not finite counts as a miss.

Scores of one pass (OTB, LaSOT, NFS, UAV123, TrackingNet), over all frames, the given first one
included:

- **success** at ``t``: share of frames with IoU > t (strict), t = 0, 0.05, ..., 1; the AUC is the
  mean of these 21 values, so a perfect tracker scores 20/21;
- **precision** at ``e``: share of frames with a centre error <= e pixels, e = 0, 1, ..., 50;
- **normalised precision** at ``e``: the error in x divided by the true width, in y by the true
  height, e = 0, 0.01, ..., 0.5. ``norm_precision20`` is the value at 0.20 (PySOT, pytracking),
  ``norm_precision_mean`` the mean over 0..0.5 (got10k's main branch);
- **lost frames**: share of frames with IoU 0. A sequence is **lost** when its last `LOST_FRAMES`
  scored frames are: the target was not found again.

GOT-10k (`got10k_score`): frame 0 and frames with cover 0 left out, boxes clipped to the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..datasets.boxes import Array, as_boxes, present

SUCCESS_THRESHOLDS: Array = np.linspace(0.0, 1.0, 21)
PRECISION_THRESHOLDS: Array = np.arange(51, dtype=np.float64)
NORM_PRECISION_THRESHOLDS: Array = np.arange(51) / 100.0
LOST_FRAMES = 10


def clip_boxes(boxes: ArrayLike, width: float, height: float) -> Array:
    """Boxes ``[N, 4]`` bounded by a ``width`` x ``height`` image as the GOT-10k toolkit does it.

    The near corner is moved into the image *keeping the box's size*, then the size is cut at the
    far edges. (A true intersection would shorten a box that hangs out on the left; the published
    numbers are made with this rule.)
    """
    out = as_boxes(boxes).copy()
    limit = np.array([width, height], dtype=np.float64)
    out[:, :2] = np.clip(out[:, :2], 0.0, limit)
    out[:, 2:] = np.clip(out[:, 2:], 0.0, limit - out[:, :2])
    return out


def iou(first: ArrayLike, second: ArrayLike) -> Array:
    """Row-wise intersection over union ``[N]`` of two ``[N, 4]`` box arrays; NaN counts as 0.

    >>> iou([[0, 0, 10, 10]], [[5, 0, 10, 10]]).round(3)
    array([0.333])
    """
    a, b = as_boxes(first, "first"), as_boxes(second, "second")
    if a.shape != b.shape:
        raise ValueError(f"cannot compare {len(a)} boxes with {len(b)}")
    low = np.maximum(a[:, :2], b[:, :2])
    high = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    inter = np.prod(np.clip(high - low, 0.0, None), axis=1)
    union = np.prod(np.clip(a[:, 2:], 0, None), axis=1)
    union = union + np.prod(np.clip(b[:, 2:], 0, None), axis=1) - inter
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(union > 0, inter / union, 0.0)
    return np.asarray(np.clip(np.nan_to_num(value, nan=0.0), 0.0, 1.0))


def center_error(boxes: ArrayLike, truth: ArrayLike, *, normalized: bool = False) -> Array:
    """Distance ``[N]`` between box centres, in pixels or in units of the true width and height.

    A box that is not finite is infinitely far away.

    >>> center_error([[0, 0, 10, 10]], [[3, 4, 10, 10]])
    array([5.])
    """
    a, b = as_boxes(boxes), as_boxes(truth, "truth")
    if a.shape != b.shape:
        raise ValueError(f"cannot compare {len(a)} boxes with {len(b)}")
    delta = (a[:, :2] + a[:, 2:] / 2) - (b[:, :2] + b[:, 2:] / 2)
    if normalized:
        with np.errstate(divide="ignore", invalid="ignore"):
            delta = delta / b[:, 2:]
    error = np.hypot(delta[:, 0], delta[:, 1])
    return np.asarray(np.where(np.isfinite(error), error, np.inf))


@dataclass(frozen=True)
class PassScore:
    """Scores of one tracker on one sequence, or their mean over sequences.

    Attributes:
        success: ``[21]`` shares over `SUCCESS_THRESHOLDS`.
        precision: ``[51]`` shares over `PRECISION_THRESHOLDS` (pixels).
        norm_precision: ``[51]`` shares over `NORM_PRECISION_THRESHOLDS`.
        average_overlap: mean IoU.
        lost_frames: share of frames with IoU 0.
        lost_sequences: how many ended lost; 0 or 1 for one sequence.
        frames: frames scored; ``absent`` frames without a target were left out.
    """

    success: Array
    precision: Array
    norm_precision: Array
    average_overlap: float
    lost_frames: float
    lost_sequences: int
    frames: int
    absent: int

    @property
    def auc(self) -> float:
        return float(self.success.mean())

    @property
    def precision20(self) -> float:
        return float(self.precision[20])

    @property
    def norm_precision20(self) -> float:
        return float(self.norm_precision[20])

    @property
    def norm_precision_mean(self) -> float:
        return float(self.norm_precision.mean())

    def as_dict(self) -> dict[str, Any]:
        """The named single numbers, without the curves."""
        names = ("auc", "precision20", "norm_precision20", "norm_precision_mean")
        rest = ("average_overlap", "lost_frames", "lost_sequences", "frames", "absent")
        return {name: getattr(self, name) for name in names + rest}


def score_pass(boxes: ArrayLike, truth: ArrayLike) -> PassScore:
    """Score one pass: ``boxes`` and ``truth`` are ``[N, 4]``, one row per frame.

    Raises ValueError when the lengths differ or the target is absent in every frame.

    >>> score = score_pass([[0, 0, 10, 10], [5, 0, 10, 10]], [[0, 0, 10, 10], [0, 0, 10, 10]])
    >>> round(score.average_overlap, 3), score.lost_frames
    (0.667, 0.0)
    """
    predicted, true = as_boxes(boxes), as_boxes(truth, "truth")
    if len(predicted) != len(true):
        raise ValueError(f"{len(predicted)} predicted boxes for {len(true)} true ones")
    keep = present(true)
    if not keep.any():
        raise ValueError("no frame with a true box: nothing to score")
    overlap = iou(predicted[keep], true[keep])
    error = center_error(predicted[keep], true[keep])
    norm_error = center_error(predicted[keep], true[keep], normalized=True)
    return PassScore(
        success=(overlap[:, None] > SUCCESS_THRESHOLDS).mean(axis=0),
        precision=(error[:, None] <= PRECISION_THRESHOLDS).mean(axis=0),
        norm_precision=(norm_error[:, None] <= NORM_PRECISION_THRESHOLDS).mean(axis=0),
        average_overlap=float(overlap.mean()),
        lost_frames=float((overlap == 0).mean()),
        lost_sequences=int((overlap[-LOST_FRAMES:] == 0).all()),
        frames=int(keep.sum()),
        absent=int((~keep).sum()),
    )


def mean_score(scores: Iterable[PassScore]) -> PassScore:
    """Mean over sequences, each sequence with the same weight; counts are added up."""
    items = list(scores)
    if not items:
        raise ValueError("no sequence to average over")
    return PassScore(
        success=np.mean([s.success for s in items], axis=0),
        precision=np.mean([s.precision for s in items], axis=0),
        norm_precision=np.mean([s.norm_precision for s in items], axis=0),
        average_overlap=float(np.mean([s.average_overlap for s in items])),
        lost_frames=float(np.mean([s.lost_frames for s in items])),
        lost_sequences=sum(s.lost_sequences for s in items),
        frames=sum(s.frames for s in items),
        absent=sum(s.absent for s in items),
    )


@dataclass(frozen=True)
class Got10kScore:
    """GOT-10k's scores over the frames of all sequences pooled."""

    ao: float
    sr50: float
    sr75: float
    frames: int


def got10k_overlaps(
    boxes: ArrayLike,
    truth: ArrayLike,
    *,
    cover: ArrayLike | None = None,
    image_size: tuple[float, float] | None = None,
) -> Array:
    """IoU of the frames GOT-10k counts, in order: not frame 0, not cover 0.

    Args:
        boxes, truth: ``[N, 4]``.
        cover: ``[N]`` visible share per frame (0..8 in the data set); without it a frame counts
            when its true box is present.
        image_size: ``(width, height)``; boxes are clipped to it as the toolkit does.
    """
    predicted, true = as_boxes(boxes), as_boxes(truth, "truth")
    if len(predicted) != len(true):
        raise ValueError(f"{len(predicted)} predicted boxes for {len(true)} true ones")
    keep = present(true)
    if cover is not None:
        shown = np.asarray(cover, dtype=np.float64).reshape(-1)
        if len(shown) != len(true):
            raise ValueError(f"{len(shown)} cover values for {len(true)} frames")
        keep = keep & (shown > 0)
    keep[:1] = False
    if image_size is not None:
        predicted = clip_boxes(predicted, *image_size)
        true = clip_boxes(true, *image_size)
    return iou(predicted[keep], true[keep])


def got10k_score(overlaps: Sequence[ArrayLike]) -> Got10kScore:
    """AO and success rates from the per-sequence results of `got10k_overlaps`."""
    parts = [np.asarray(o, dtype=np.float64).reshape(-1) for o in overlaps]
    pooled = np.concatenate(parts) if parts else np.zeros(0)
    if pooled.size == 0:
        raise ValueError("no frame to score: GOT-10k leaves out frame 0 and hidden frames")
    return Got10kScore(
        ao=float(pooled.mean()),
        sr50=float((pooled > 0.5).mean()),
        sr75=float((pooled > 0.75).mean()),
        frames=int(pooled.size),
    )
