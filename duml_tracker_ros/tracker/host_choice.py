"""The choice of the box on a CPU: what ``postprocess.select`` does, with numpy.

There are some sixty steps on maps of a few thousand numbers, so the time goes to calls, and the
code that they touch has left the caches since the last frame. numpy's are a third of torch's.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .config import PostprocessConfig
from .frame.voting import Ballot
from .motion.target import Expectation
from .network.anchors import MAX_LOG_RATIO
from .network.heads import OfflineOutput

Array = NDArray[np.float32]
HostExpectation = tuple[tuple[float, float], float, tuple[float, float]]


class HostChoice(NamedTuple):
    """The best box of one search region; as ``postprocess.Candidate``, but numbers of the host.

    Attributes:
        box: (cx, cy, w, h) in crop pixels [4].
        second: highest robust score outside the neighbourhood of the chosen cell.
        cell: index of the chosen cell in the flattened map.
    """

    box: Array
    penalty: float
    fused: float
    robust: float
    accurate: float
    second: float
    cell: int
    fused_map: Array
    robust_map: Array
    accurate_map: Array
    ballot: Ballot | None


def choose(
    out: OfflineOutput,
    robust: Tensor | None,
    anchors: Tensor,
    window: Tensor,
    expected: Expectation,
    rule: PostprocessConfig,
) -> HostChoice:
    """Choose the target's box; all tensors are of the host, ``expected`` has its numbers.

    Args:
        out, robust, anchors, window, rule: as for ``postprocess.select``.
    """
    last, influence, near = cast(HostExpectation, expected)
    cosine, planes = window.numpy(), anchors.movedim(-1, 0).numpy().reshape(4, -1)
    side, cells = len(cosine), cosine.size
    # What overflows or has no number is a score like any other, as in torch.
    with np.errstate(all="ignore"):
        boxes = _decode(_array(out.deltas[0]), planes)
        quality = _sigmoid(_array(out.iou[0])).reshape(-1)
        online = None if robust is None else _array(robust).reshape(-1, cells)
        accurate = online if out.cls is None else _sigmoid(_array(out.cls[0])).reshape(-1, cells)
        first = accurate if online is None else online
        assert accurate is not None
        assert first is not None
        if rule.fusion == "product":
            accurate = quality.reshape(-1, cells)
            fused = first * accurate
        else:
            fused = _blend(accurate, np.minimum(np.maximum(first, 0), 1.2), rule.mu)
        penalty = _size_penalty(boxes[2], boxes[3], last, rule.penalty_k).reshape(-1, cells)
        if rule.penalise == "offline" and online is not None:
            ranked = fused - (1 - rule.mu) * accurate * (1 - penalty)
        else:
            ranked = fused * penalty
        ranked = _blend(ranked, cosine.reshape(1, cells), influence)
        best = int(ranked.argmax())
        start, ballot = boxes[:, best].copy(), None
        box = start
        if rule.voting:
            scores = np.tile(fused.reshape(-1), len(penalty) // len(fused))
            box = _vote(boxes, scores, quality, start, rule)
            ballot = Ballot(
                torch.from_numpy(boxes.T),
                torch.from_numpy(scores),
                torch.from_numpy(quality),
                torch.from_numpy(start),
                rule.voting_epsilon,
                rule.voting_sigma,
            )
        cell = best % cells
        flat = [_highest(scores) for scores in (fused, first, accurate)]
        fused_at, robust_at, accurate_at = (float(scores[cell]) for scores in flat)
        fused_map, robust_map, accurate_map = (scores.reshape(side, side) for scores in flat)
        return HostChoice(
            box,
            float(penalty.flat[best]),
            fused_at,
            robust_at,
            accurate_at,
            _second_peak(robust_map, cell, near),
            cell,
            fused_map,
            robust_map,
            accurate_map,
            ballot,
        )


def _array(values: Tensor) -> Array:
    found: Array = values.float().numpy()
    return found


def _sigmoid(logits: Array) -> Array:
    found = np.negative(logits)
    np.exp(found, out=found)
    found += 1
    return np.reciprocal(found, out=found)


def _blend(a: Array, b: Array, share: float) -> Array:
    """a + share (b - a)"""
    found = b - a
    found *= share
    found += a
    return found


def _decode(deltas: Array, anchors: Array) -> Array:
    """As ``anchors.decode``: deltas [A, H, W, 4] on planes of anchors -> of boxes [4, A H W]."""
    planes = deltas.reshape(-1, 4).T
    boxes = np.empty_like(anchors)
    centre, sides, unit = boxes[:2], boxes[2:], anchors[2:]
    np.multiply(planes[:2], unit, out=centre)
    centre += anchors[:2]
    np.maximum(planes[2:], -MAX_LOG_RATIO, out=sides)
    np.minimum(sides, MAX_LOG_RATIO, out=sides)
    np.exp(sides, out=sides)
    sides *= unit
    return boxes


def _size_penalty(width: Array, height: Array, last: tuple[float, float], k: float) -> Array:
    """As ``postprocess.size_penalty``."""
    w, h = last
    change = width + height
    change *= change
    change *= 0.75
    change += width * height
    change *= 1 / (w * h + 0.75 * (w + h) ** 2)
    np.maximum(change, np.reciprocal(change), out=change)
    np.sqrt(change, out=change)
    ratio = width / height
    ratio *= h / w
    change *= np.maximum(ratio, np.reciprocal(ratio), out=ratio)
    change *= -k
    change += k
    return np.exp(change, out=change)


def _vote(
    boxes: Array, scores: Array, quality: Array, start: Array, rule: PostprocessConfig
) -> Array:
    """As ``Ballot.elect``."""
    half, own = 0.5 * boxes[2:], 0.5 * start[2:]
    shared = boxes[:2] + half
    np.minimum(shared, (start[:2] + own)[:, None], out=shared)
    low = np.subtract(boxes[:2], half, out=half)
    shared -= np.maximum(low, (start[:2] - own)[:, None], out=low)
    np.maximum(shared, 0, out=shared)
    overlap = shared[0] * shared[1]
    union = boxes[2] * boxes[3]
    union += start[2] * start[3]
    union -= overlap
    overlap /= np.maximum(union, 1e-9, out=union)
    weight = overlap - 1
    weight *= weight
    weight *= -1 / rule.voting_sigma
    np.exp(weight, out=weight)
    weight *= quality
    weight *= np.maximum(scores, 0)
    weight *= overlap > rule.voting_epsilon
    total = float(weight.sum())
    return np.einsum("ij,j->i", boxes, weight) / np.float32(total) if total > 1e-12 else start


def _highest(scores: Array) -> Array:
    """Highest score over the anchors: [A or 1, cells] -> [cells]."""
    found: Array = scores[0] if len(scores) == 1 else scores.max(0)
    return found


def _second_peak(score: Array, cell: int, half: tuple[float, float]) -> float:
    """As ``localize.second_peak``."""
    row, column = divmod(cell, score.shape[1])
    rest = score.copy()
    top, left = (max(int(np.ceil(i - h)), 0) for i, h in ((row, half[0]), (column, half[1])))
    rest[top : int(row + half[0]) + 1, left : int(column + half[1]) + 1] = -1
    return float(rest.max())
