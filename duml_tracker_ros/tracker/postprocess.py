"""From score maps to one box: fusion, size penalty, window, voting (SiamRPN, DuML)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .config import PostprocessConfig
from .frame.voting import Ballot
from .geometry import Sides
from .network.anchors import decode
from .network.heads import OfflineOutput


class Candidate(NamedTuple):
    """The best box of one search region. All tensors on the device.

    Attributes:
        box: (cx, cy, w, h) in crop pixels [4].
        penalty: size penalty of the chosen box, scalar in (0, 1].
        fused, robust, accurate: scores at the peak, scalars. A branch that does not exist has the
            scores of the other one.
        cell: index of the chosen cell in the flattened map [1].
        fused_map, robust_map, accurate_map: [H, W], highest over anchors.
        ballot: what the box was voted from; None without voting.
        others: the highest peaks of the fused map, this one among them: box, penalty, fused, robust
            and accurate score of each [P, 8]; None unless asked for.
    """

    box: Tensor
    penalty: Tensor
    fused: Tensor
    robust: Tensor
    accurate: Tensor
    cell: Tensor
    fused_map: Tensor
    robust_map: Tensor
    accurate_map: Tensor
    ballot: Ballot | None = None
    others: Tensor | None = None


def hann_window(cells: int, closed: bool = False) -> Tensor:
    """Cosine window [cells, cells]: 1 at the centre, at the border small, or 0 if ``closed``."""
    more = 0 if closed else 2
    axis = torch.hann_window(cells + more, periodic=False)[more // 2 : cells + more // 2]
    return torch.outer(axis, axis)


def size_change(width: Tensor, height: Tensor, last: Sides) -> Tensor:
    """Penalised change of size and ratio against the last box (w, h), >= 1 (SiamRPN).

    The size is ``sqrt((w + p) (h + p))`` with ``p = (w + h) / 2``, whose square is
    ``w h + 3/4 (w + h)^2``.
    """
    w, h = last
    total = width + height
    area = torch.addcmul(width * height, total, total, value=0.75)
    change = area.mul_(1 / (w * h + 0.75 * (w + h) ** 2))
    ratio = (width / height).mul_(h / w)
    change = torch.maximum(change, change.reciprocal()).sqrt_()
    return change.mul_(torch.maximum(ratio, ratio.reciprocal()))


def size_penalty(width: Tensor, height: Tensor, last: Sides, config: PostprocessConfig) -> Tensor:
    """Factor on the score of boxes that change size or ratio, in (0, 1]."""
    k = config.penalty_k
    return size_change(width, height, last).mul_(-k).add_(k).exp_()


def _fuse(
    out: OfflineOutput, robust: Tensor | None, quality: Tensor, config: PostprocessConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Robust, accurate and fused scores, each [A or 1, H, W].

    ``product`` ranks by class times predicted localisation (SiamRCR, Fig. 3); there the class is
    the robust and the localisation the accurate score.
    """
    accurate = robust if out.cls is None else torch.sigmoid(out.cls[0].float())
    robust = accurate if robust is None else robust
    assert robust is not None
    assert accurate is not None
    if config.fusion == "product":
        return robust, quality, robust * quality
    return robust, accurate, torch.lerp(accurate, robust.clamp(0, 1.2), config.mu)


def select(
    out: OfflineOutput,
    robust: Tensor | None,
    anchors: Tensor,
    last: Sides,
    window: Tensor,
    config: PostprocessConfig,
    influence: float | Tensor | None = None,
    peaks: int = 0,
    radius: int = 1,
) -> Candidate:
    """Choose the target's box.

    Args:
        out: dense offline predictions of one search region (batch of 1).
        robust: online scores s_r [A, H, W], or [1, H, W] to broadcast over the anchors (DuML
            eq. 1); None without an online branch.
        anchors: (cx, cy, w, h) [A, H, W, 4] in crop pixels.
        last: (w, h) of the last box in crop pixels.
        window: cosine window [H, W].
        influence: its share of the ranking, if not that of the configuration.
        peaks: how many peaks of the fused map are wanted beside that,
        radius: cells within which there is but one.
    """
    quality = torch.sigmoid(out.iou[0].float())
    boxes = decode(out.deltas[0].float(), anchors)
    # Without another branch the offline score is all there is.
    penalise_offline = config.penalise == "offline" and robust is not None
    robust, accurate, fused = _fuse(out, robust, quality, config)
    penalty = size_penalty(boxes[..., 2], boxes[..., 3], last, config)
    ranked = fused * penalty
    if penalise_offline:
        ranked = fused - (1 - config.mu) * accurate * (1 - penalty)
    share = config.window_influence if influence is None else influence
    ranked = torch.lerp(ranked, window, share)
    # Indices stay tensors of one element: a scalar one would be fetched by the host.
    best = ranked.flatten().argmax(0, keepdim=True)
    flat = boxes.flatten(0, 2)
    chosen = flat.index_select(0, best)[0]
    ballot = None
    if config.voting:
        scores = fused.expand(quality.shape).flatten()
        rule = config.voting_epsilon, config.voting_sigma
        ballot = Ballot(flat, scores, quality.flatten(), chosen, *rule)
        chosen = ballot.elect()
    cell = best % window.numel()
    fused_map, robust_map, accurate_map = (highest(scores) for scores in (fused, robust, accurate))
    others = None
    if peaks:
        scores, anchor = fused.expand(quality.shape).max(0)
        cells = highest_peaks(scores, peaks, radius)
        index = anchor.flatten()[cells] * window.numel() + cells
        maps = (penalty, fused_map, robust_map, accurate_map)
        at = (index, cells, cells, cells)
        told = [m.flatten()[i][:, None] for m, i in zip(maps, at, strict=True)]
        others = torch.cat((flat[index], *told), 1)
    return Candidate(
        chosen,
        pick(penalty, best),
        pick(fused_map, cell),
        pick(robust_map, cell),
        pick(accurate_map, cell),
        cell,
        fused_map,
        robust_map,
        accurate_map,
        ballot,
        others,
    )


def highest_peaks(scores: Tensor, count: int, radius: int) -> Tensor:
    """Cells of the highest local maxima of a map [H, W], indices of the flattened map [count].

    Where there are fewer, the rest are cells that are no maxima.

    Args:
        radius: cells within which there is but one.
    """
    around = torch.nn.functional.max_pool2d(scores[None, None], 2 * radius + 1, 1, radius)[0, 0]
    return torch.where(scores >= around, scores, scores - 2).flatten().topk(count).indices


def between_cells(scores: Tensor, cell: Tensor) -> Tensor:
    """Where between cells the maximum of a map [H, W] is: the top of a parabola along each axis.

    Args:
        cell: index of the highest cell of the flattened map [1].

    Returns:
        Distance (x, y) from the cell's centre in cells, at most half of one, and none across the
        map's border [2].
    """
    width = scores.shape[1] + 2
    padded = torch.nn.functional.pad(scores[None, None], (1, 1, 1, 1), mode="reflect").flatten()
    middle = torch.div(cell, width - 2, rounding_mode="floor") * width + cell % (width - 2)
    middle = middle + width + 1
    before, after = (
        padded[torch.cat((middle - 1, middle - width))],
        padded[torch.cat((middle + 1, middle + width))],
    )
    bend = (2 * padded[middle] - before - after).clamp_min(1e-6)
    return ((after - before) / (2 * bend)).clamp(-0.5, 0.5)


def pick(values: Tensor, index: Tensor) -> Tensor:
    """The scalar at an index [1] of the flattened values."""
    return values.flatten().index_select(0, index)[0]


def highest(scores: Tensor) -> Tensor:
    """Highest score over the anchors: [A or 1, H, W] -> [H, W]."""
    return scores[0] if len(scores) == 1 else scores.amax(0)


def best_views(scores: Sequence[float], config: PostprocessConfig) -> list[int]:
    """Scores of every target at each of ``config.scales`` -> index of the best one a target."""
    scales = config.scales

    def ranked(index: int) -> float:
        return scores[index] * (1 if scales[index % len(scales)] == 1 else config.scale_penalty)

    starts = range(0, len(scores), len(scales))
    return [max(range(i, i + len(scales)), key=ranked) for i in starts]
