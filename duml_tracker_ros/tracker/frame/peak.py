"""What the host needs to know of a frame, in one copy from the device."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Peak(NamedTuple):
    """The candidate (cx, cy, w, h) in crop pixels, and the scores there.

    Attributes:
        penalty: size penalty of the candidate, in (0, 1].
        fused, robust, accurate: scores at the peak.
        second: highest robust score elsewhere.
        first: robust score by what was learned of the first frame.
    """

    cx: float
    cy: float
    w: float
    h: float
    penalty: float
    fused: float
    robust: float
    accurate: float
    second: float
    first: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        return self[:4]

    @staticmethod
    def pack(
        box: Tensor,
        penalty: Tensor,
        fused: Tensor,
        robust: Tensor,
        accurate: Tensor,
        second: Tensor,
        first: Tensor,
    ) -> Tensor:
        """The numbers of a peak on the device [10]: a box [4] and scalars."""
        scores = torch.stack((penalty, fused, robust, accurate, second, first))
        return torch.cat((box, scores))

    @staticmethod
    def pack_others(chosen: Tensor, rows: Tensor) -> Tensor:
        """Further peaks beside a packed one [N, 10].

        Args:
            rows: box, penalty, fused, robust and accurate score of each [N, 8].
        """
        # Beside another one the chosen one is the second peak.
        second = chosen[6].expand(len(rows), 1)
        return torch.cat((rows, second, rows[:, 6:7]), 1)

    @staticmethod
    def unpack(rows: Tensor) -> list[Peak]:
        """Packed peaks [N, 10] on the host; waits for the device."""
        return [Peak(*row) for row in rows.tolist()]
