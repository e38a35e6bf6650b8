"""What the objectives read of a batch (see ``objective.joint_loss``) in the same way."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..tracker.geometry import cxcywh_to_xyxy, xywh_to_xyxy
from ..tracker.network.heads import OfflineOutput
from ..tracker.network.siamese import SiameseNet


def truth_of(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (x, y, w, h) [..., 4], NaN where absent -> corner boxes [..., 4] and bool [...]."""
    boxes = boxes.float()
    present = torch.isfinite(boxes).all(-1)
    return xywh_to_xyxy(torch.where(present[..., None], boxes, 1.0)), present


def predict(net: SiameseNet, batch: Mapping[str, Tensor]) -> tuple[list[Tensor], OfflineOutput]:
    """Features of all search crops [B * S, ...], and what the network finds there."""
    kernels = net.template_kernels(net.extract(batch["template"]))
    features = net.extract(batch["search"].flatten(0, 1))
    repeat = batch["search"].shape[1]
    return features, net.predict([k.repeat_interleave(repeat, 0) for k in kernels], features)


def cell_corners(cells: Tensor) -> Tensor:
    """(row, column, height, width) -> corners (x, y, x, y)."""
    return cxcywh_to_xyxy(cells[..., [1, 0, 3, 2]])
