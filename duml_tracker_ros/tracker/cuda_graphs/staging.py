"""Numbers and pixels of the host on their way to fixed addresses of a device, and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class UploadBuffer:
    """Float32 numbers and bytes that reach the device in one copy.

    The host may fill it again only when the device has done the work that reads it: after
    ``DownloadBuffer.wait`` of the same frame, or of the next one.

    Args:
        numbers: how many; multiples of 4 keep what follows aligned.
        capacity: bytes behind them.
    """

    def __init__(self, numbers: int, capacity: int, device: torch.device) -> None:
        head = 4 * numbers
        self.capacity = capacity
        pinned = device.type == "cuda"
        self._host = torch.zeros(head + capacity, dtype=torch.uint8, pin_memory=pinned)
        self._device = torch.zeros(head + capacity, dtype=torch.uint8, device=device)
        self._head = self._host.numpy()[:head].view(np.float32)
        self._body = self._host.numpy()[head:]
        self.numbers: Tensor = self._device[:head].view(torch.float32)
        self.bytes: Tensor = self._device[head:]

    def send(self, numbers: Sequence[float], pixels: np.ndarray | None = None) -> None:
        """Send all numbers, and uint8 pixels of any strides as one dense block."""
        self._head[:] = numbers
        end = self._head.nbytes
        if pixels is not None and pixels.size:
            np.copyto(self._body[: pixels.size].reshape(pixels.shape), pixels)
            end += pixels.size
        self._device[:end].copy_(self._host[:end], non_blocking=True)


class DownloadBuffer:
    """A few numbers of the device; waiting for them is the one time a frame the host waits."""

    def __init__(self, numbers: int, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._host = torch.zeros(numbers, pin_memory=self._cuda)
        self._done = torch.cuda.Event() if self._cuda else None

    def fetch(self, numbers: Tensor) -> None:
        """Start copying them."""
        self._host.copy_(numbers, non_blocking=True)
        if self._done is not None:
            self._done.record()

    def wait(self) -> list[float]:
        if self._done is not None:
            self._done.synchronize()
        values: list[float] = self._host.tolist()
        return values
