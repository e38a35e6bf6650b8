"""From the host to the device without making the host wait for it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on the device.

    CUDA copies pageable memory only once all earlier work is done, and lets the host wait for it;
    pinned memory is copied in the order of the stream.
    """
    if device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def numbers(values: Sequence[float], device: torch.device) -> Tensor:
    """Numbers of the host on the device, float32 [N]."""
    return to_device(torch.tensor(values, dtype=torch.float32), device)
