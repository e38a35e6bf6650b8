"""What the online filter should answer around a target: DuML's regression and classification."""

from __future__ import annotations

import torch
from torch import Tensor

from ..frame.sampling import cell_points
from ..geometry import cxcywh_to_xyxy, iou


def score_grid(targets: Tensor, height: int, width: int, kernel: int) -> tuple[Tensor, int, int]:
    """Targets [..., 4] and size of a map of features, on the grid of a filter's scores.

    Those of a filter of even side lie half a cell before the cells and are one more each way.
    """
    if kernel % 2:
        return targets, height, width
    shifted = torch.cat((targets[..., :2] + 0.5, targets[..., 2:]), -1)
    return shifted, height + 1, width + 1


def centre_distance(targets: Tensor, height: int, width: int) -> Tensor:
    """Distance in cells of every cell to the target's centre.

    targets (row, column, height, width) in cells [..., 4] -> [..., height, width].
    """
    rows = torch.arange(height, device=targets.device, dtype=torch.float32)
    cols = torch.arange(width, device=targets.device, dtype=torch.float32)
    dy = (rows - targets[..., 0:1]).square()[..., :, None]
    dx = (cols - targets[..., 1:2]).square()[..., None, :]
    return torch.sqrt(dy + dx + 1e-12)


def bernoulli_label(
    targets: Tensor,
    shapes: Tensor,
    height: int,
    width: int,
    positive: float = 0.8,
    negative: float = 0.3,
) -> tuple[Tensor, Tensor]:
    """Labels of online classification (DuML, section 4, Online Approaches).

    Anchors whose IoU with the target exceeds ``positive`` and the one with the highest IoU are 1,
    those below ``negative`` are 0, the others are ignored.

    Args:
        targets: (row, column, height, width) in cells [..., 4].
        shapes: (w, h) of the anchors in cells [A, 2].

    Returns:
        Label and care (0 where ignored), each [..., A, height, width].
    """
    rows = torch.arange(height, device=targets.device, dtype=torch.float32)
    cols = torch.arange(width, device=targets.device, dtype=torch.float32)
    anchors = torch.empty(len(shapes), height, width, 4, device=targets.device)
    anchors[..., 0] = cols
    anchors[..., 1] = rows[:, None]
    anchors[..., 2:] = shapes[:, None, None]
    truth = cxcywh_to_xyxy(targets.unflatten(-1, (2, 2)).flip(-1).flatten(-2).float())
    overlap = iou(cxcywh_to_xyxy(anchors), truth[..., None, None, None, :])
    best = overlap.flatten(-3).amax(-1)[..., None, None, None]
    hit = (overlap > positive) | (overlap == best)
    care = hit | (overlap < negative)
    return hit.to(overlap.dtype), care.to(overlap.dtype)


def region_label(targets: Tensor, height: int, width: int, shrink: float) -> tuple[Tensor, Tensor]:
    """Label of target localisation: 1 in the centre region of a box, 0 outside the box.

    The cells between are ignored; the text both ignores and smooths them.

    Args:
        targets: (row, column, height, width) in cells [..., 4].
        shrink: sigma_c, the centre region's share of the box's sides.

    Returns:
        Label and care (0 where ignored), each [..., height, width].
    """
    at = cell_points(height, width, targets.device)
    apart = (at - targets[..., None, None, :2]).abs()
    half = 0.5 * targets[..., None, None, 2:]
    # However small the target, one cell is its own.
    inner = (apart <= (shrink * half).clamp_min(0.5)).all(-1)
    outer = (apart <= half).all(-1)
    return inner.float(), (inner | ~outer).float()
