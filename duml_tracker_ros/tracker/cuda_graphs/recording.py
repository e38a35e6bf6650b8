"""A function of tensors at fixed addresses, as one launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch

T = TypeVar("T")

WARM_UP = 3
"""Calls before the recording: libraries choose their algorithms and take their workspaces."""


class Recording(Generic[T]):
    """Runs a function; on CUDA the device replays what it did when it was recorded.

    Args:
        function: takes nothing, reads and writes tensors that stay where they are, decides nothing
            on the host. It is called a few times to begin with: what it wrote then must not matter.
        pool: memory of CUDA that recordings share. What a function returned is then overwritten by
            the next call of any of them.
    """

    def __init__(self, function: Callable[[], T], device: torch.device, pool: Any = None) -> None:
        self._function = function
        self._graph: torch.cuda.CUDAGraph | None = None
        if device.type == "cuda":
            self._record(device, pool)

    def _record(self, device: torch.device, pool: Any) -> None:
        main, side = torch.cuda.current_stream(device), torch.cuda.Stream(device)
        side.wait_stream(main)
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self._function()
        main.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the device meanwhile.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            self._out = self._function()
        self._graph = graph

    def __call__(self) -> T:
        if self._graph is None:
            return self._function()
        self._graph.replay()
        return self._out
