"""Correlation of many samples with filters, and its transpose, without folding.

A sample's map lies row after row. Each row is followed by k // 2 empty cells and the last by as
many empty rows, so a tap of a k x k filter is a shift of all maps at once: what it reaches beyond
an edge is empty. Scores are one matrix product a sample and a sum of k^2 shifted lines; the
gradient is k^2 shifted copies of the residual and one product.
"""

from __future__ import annotations

import torch
from torch import Tensor


class PaddedSamples:
    """Features of up to ``capacity`` samples and what the products need, allocated once.

    Maps that belong to samples (labels, scores, ...) have the same empty cells: [1, M, A, H', W']
    with H' = H + k // 2. A filter of even side has one score more each way, in the first of them.

    Args:
        kernel: side k of the filters.
        dtype: bfloat16 where the processor multiplies it; sums and scores are float32.
    """

    def __init__(
        self,
        size: tuple[int, int, int],
        capacity: int,
        kernel: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        channels, self._height, self._width = size
        self.kernel, self.capacity = kernel, capacity
        self._gap = kernel // 2
        self.height, self.width = self._height + self._gap, self._width + self._gap
        self._cells = self.height * self.width
        shape = capacity, channels, self.height, self.width
        self._block = torch.zeros(shape, device=device, dtype=dtype)
        self._scratch: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    @property
    def features(self) -> Tensor:
        """The samples without the empty cells: a view [capacity, C, H, W]."""
        return self._block[..., : self._height, : self._width]

    def zeros(self, channels: int) -> Tensor:
        """Maps of all samples, float32 [1, capacity, ``channels``, H', W']."""
        shape = 1, self.capacity, channels, self.height, self.width
        return torch.zeros(shape, device=self._block.device)

    def load(self, other: PaddedSamples) -> None:
        """Take over the samples of another of the same size."""
        self._block.copy_(other._block)

    def inner(self, maps: Tensor) -> Tensor:
        """Maps [..., H', W'] without the empty cells: a view of what a filter's scores have."""
        more = (self.kernel + 1) % 2
        return maps[..., : self._height + more, : self._width + more]

    def scores(self, taps: Tensor, used: int) -> Tensor:
        """Scores of the first ``used`` samples [1, used, A, H', W'].

        taps: filters [A k^2, C] as ``to_taps`` makes them.
        """
        k, cells, rows = self.kernel, self._cells, len(taps)
        count = rows // k**2
        columns, _, terms = self._buffers(count)
        block = self._block[:used].flatten(2)
        filters = taps.to(block.dtype).expand(used, -1, -1)
        torch.bmm(filters, block, out=self._inside(columns, used, rows))
        # Tap (i, j) of a cell lies i rows of the filter and of the map further, less the margin.
        steps = k * cells + self.width, cells + 1, rows * cells, k**2 * cells, 1
        shifted = columns.as_strided((k, k, used, count, cells), steps)
        # A sum of another type than its terms converts all of them to a tensor of its own first.
        terms = terms[: k * k * used * count * cells].view(shifted.shape)
        total = terms.copy_(shifted).sum((0, 1))
        return total.view(1, used, count, self.height, self.width)

    def adjoint(self, residual: Tensor) -> Tensor:
        """Transpose of ``scores``: [1, used, A, H', W'] -> [A k^2, C].

        The residual must be zero in the empty cells.
        """
        _, used, count, _, _ = residual.shape
        k, cells = self.kernel, self._cells
        columns, line, _ = self._buffers(count)
        self._inside(line, used, count).copy_(residual[0].flatten(2))
        start = line.storage_offset() + self._margin - (k - 1 - self._gap) * (self.width + 1)
        steps = count * cells, cells, self.width, 1, 1
        shifted = line.as_strided((used, count, k, k, cells), steps, start)
        copies = self._inside(columns, used, count * k**2)
        copies.view(used, count, k, k, cells).copy_(shifted)
        block = self._block[:used].flatten(2)
        taps = torch.bmm(copies, block.transpose(1, 2)).sum(0, dtype=torch.float32)
        # The copies are in the order of shifts, which is the reverse of that of taps.
        return taps.view(count, k**2, -1).flip(1).flatten(0, 1)

    @property
    def _margin(self) -> int:
        return self._gap * (self.width + 1)

    def _inside(self, buffer: Tensor, used: int, rows: int) -> Tensor:
        """The part of a buffer between its margins [used, rows, cells]."""
        length = used * rows * self._cells
        return buffer[self._margin : self._margin + length].view(used, rows, self._cells)

    def _buffers(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of ``count`` filters: lines of all taps and of one map, and float32 terms of scores.

        The lines lie between empty margins. Memories only grow, so what follows the last sample is
        empty, too.
        """
        if count not in self._scratch:
            length = self.capacity * count * self._cells
            terms = length * self.kernel**2
            self._scratch[count] = (
                self._block.new_zeros(terms + 2 * self._margin),
                self._block.new_zeros(length + 2 * self._margin),
                self._block.new_empty(terms, dtype=torch.float32),
            )
        return self._scratch[count]


def to_taps(weight: Tensor) -> Tensor:
    """Filters [1, A, C, k, k] -> [A k^2, C]."""
    return weight[0].permute(0, 2, 3, 1).flatten(0, 2)


def from_taps(taps: Tensor, kernel: int) -> Tensor:
    """Inverse of ``to_taps``: a view."""
    return taps.view(-1, kernel, kernel, taps.shape[-1]).permute(0, 3, 1, 2)[None]
