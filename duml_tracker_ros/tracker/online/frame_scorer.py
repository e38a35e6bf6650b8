"""Scores of one frame by a few filters, at the price of one."""

from __future__ import annotations

import torch
from torch import Tensor

from .filters import apply_filter
from .padded_samples import PaddedSamples, from_taps


class FrameScorer:
    """Correlates frames with filters of side ``kernel``.

    Args:
        size: channels, height and width of the usual features; others are taken, too.
    """

    def __init__(self, size: tuple[int, int, int], kernel: int, device: torch.device) -> None:
        self._size, self._kernel = size, kernel
        self._padded = PaddedSamples(size, 1, kernel, device)

    def __call__(self, features: Tensor, taps: Tensor) -> Tensor:
        """Features [1, C, H, W] and filters [A k^2, C] -> scores [A, H, W], float32.

        One more each way for filters of even side.
        """
        if features.shape[1:] != self._size:
            return apply_filter(features[:, None], from_taps(taps, self._kernel))[0, 0]
        self._padded.features.copy_(features)
        return self._padded.inner(self._padded.scores(taps, 1))[0, 0].contiguous()
