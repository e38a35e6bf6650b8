"""From score maps to one box: fusion, size penalty, window, voting (SiamRPN, DuML)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .config import PostprocessConfig
from .network.anchors import decode
from .network.heads import OfflineOutput
from .voting import Ballot


class Candidate(NamedTuple):
    """The best box of one search region. All tensors on the device.

    Attributes:
        box: (cx, cy, w, h) in crop pixels [4].
        penalty: size penalty of the chosen box, scalar in (0, 1].
        fused, robust, accurate: scores at the peak, scalars. A branch that does not exist has the
            scores of the other one.
        quality: predicted IoU of the chosen box.
        cell: index of the chosen cell in the flattened map.
        fused_map, robust_map, accurate_map: [H, W], highest over anchors.
        ballot: what the box was voted from; None without voting.
    """

    box: Tensor
    penalty: Tensor
    fused: Tensor
    robust: Tensor
    accurate: Tensor
    quality: Tensor
    cell: Tensor
    fused_map: Tensor
    robust_map: Tensor
    accurate_map: Tensor
    ballot: Ballot | None = None


def hann_window(cells: int, closed: bool = False) -> Tensor:
    """Cosine window [cells, cells]: 1 at the centre, at the border small, or 0 if ``closed``."""
    more = 0 if closed else 2
    axis = torch.hann_window(cells + more, periodic=False)[more // 2 : cells + more // 2]
    return torch.outer(axis, axis)


def size_change(width: Tensor, height: Tensor, last: Tensor) -> Tensor:
    """Penalised change of size and ratio against the last box (w, h), >= 1 (SiamRPN)."""

    def symmetric(r: Tensor) -> Tensor:
        return torch.maximum(r, 1 / r)

    def padded(w: Tensor, h: Tensor) -> Tensor:
        pad = (w + h) / 2
        return torch.sqrt((w + pad) * (h + pad))

    change = symmetric(padded(width, height) / padded(last[0], last[1]))
    ratio = symmetric((last[0] / last[1]) / (width / height))
    return change * ratio


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
    return robust, accurate, config.mu * robust.clamp(0, 1.2) + (1 - config.mu) * accurate


def select(
    out: OfflineOutput,
    robust: Tensor | None,
    anchors: Tensor,
    last_size: Tensor,
    window: Tensor,
    config: PostprocessConfig,
) -> Candidate:
    """Choose the target's box.

    Args:
        out: dense offline predictions of one search region (batch of 1).
        robust: online scores s_r [A, H, W], or [1, H, W] to broadcast over the anchors (DuML
            eq. 1); None without an online branch.
        anchors: (cx, cy, w, h) [A, H, W, 4] in crop pixels.
        last_size: (w, h) of the last box in crop pixels [2].
        window: cosine window [H, W].
    """
    quality = torch.sigmoid(out.iou[0].float())
    boxes = decode(out.deltas[0].float(), anchors)
    # Without another branch the offline score is all there is.
    penalise_offline = config.penalise == "offline" and robust is not None
    robust, accurate, fused = _fuse(out, robust, quality, config)
    fused = fused.expand(quality.shape)
    penalty = torch.exp(
        (1 - size_change(boxes[..., 2], boxes[..., 3], last_size)) * config.penalty_k
    )
    ranked = fused * penalty
    if penalise_offline:
        ranked = fused - (1 - config.mu) * accurate * (1 - penalty)
    influence = config.window_influence
    ranked = ranked * (1 - influence) + window * influence
    best = ranked.flatten().argmax()
    flat = boxes.flatten(0, 2)
    chosen = flat[best]
    ballot = None
    if config.voting:
        ballot = Ballot(
            flat,
            fused.flatten(),
            quality.flatten(),
            chosen,
            config.voting_epsilon,
            config.voting_sigma,
        )
        chosen = ballot.elect()
    cell = best % robust[0].numel()
    fused_map, robust_map, accurate_map = fused.amax(0), robust.amax(0), accurate.amax(0)
    return Candidate(
        chosen,
        penalty.flatten()[best],
        fused_map.flatten()[cell],
        robust_map.flatten()[cell],
        accurate_map.flatten()[cell],
        quality.flatten()[best],
        cell,
        fused_map,
        robust_map,
        accurate_map,
        ballot,
    )


def best_views(scores: Sequence[float], config: PostprocessConfig) -> list[int]:
    """Scores of every target at each of ``config.scales`` -> index of the best one a target."""
    scales = config.scales

    def ranked(index: int) -> float:
        return scores[index] * (1 if scales[index % len(scales)] == 1 else config.scale_penalty)

    starts = range(0, len(scores), len(scales))
    return [max(range(i, i + len(scales)), key=ranked) for i in starts]
