"""What an engine does, and a graph that one runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..compute.background import BackgroundUpdates
from ..network.graphs import Graph


class GraphRunner(Protocol):
    """A graph on one crop; may reuse the memory of what it returns."""

    def __call__(self, arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]: ...

    def twin(self) -> GraphRunner:
        """The same graph for another thread, at the same time."""
        ...


class Engine(Protocol):
    """Compiles graphs of plain, folded float32 networks for a CPU.

    Attributes:
        precision: ``fp32``, ``fp16`` or ``bf16``: of what is not quantised.
    """

    precision: str

    def load(
        self, graph: Graph, example: Sequence[Tensor], quantised: bytes | None = None
    ) -> GraphRunner:
        """Compile for the shapes of an example.

        The result takes one crop of that size as [1, S, S, 3].

        Args:
            quantised: ONNX with these inputs and outputs, and maybe more, to be run instead.
        """
        ...


class Compiled:
    """A graph by an engine, one crop after the other: a batch saves nothing on a few threads.

    Args:
        helper: its thread takes crops of a batch, too, as soon as it has nothing to learn.
    """

    def __init__(
        self,
        engine: Engine,
        plain: Graph,
        example: Sequence[Tensor],
        quantised: bytes | None = None,
        helper: BackgroundUpdates | None = None,
    ) -> None:
        self._dtypes = [x.dtype for x in example]
        self._run = engine.load(plain, example, quantised)
        self._helper = helper
        self._twin: GraphRunner | None = None

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        crops, *rest = inputs
        arrays = [crops.permute(0, 2, 3, 1).contiguous().numpy()]
        arrays += [
            x.to(kind).contiguous().numpy() for x, kind in zip(rest, self._dtypes[1:], strict=True)
        ]
        if len(crops) == 1:
            # Frames are remembered; the engine writes to the same memory on the next one.
            return tuple(torch.from_numpy(np.array(out)) for out in self._run(arrays))
        found = self._each(arrays, len(crops))
        return tuple(torch.from_numpy(np.concatenate(out)) for out in zip(*found, strict=True))

    def _each(self, arrays: Sequence[np.ndarray], count: int) -> list[list[np.ndarray]]:
        """What the graph gives for each crop of a batch."""
        left, found = deque(range(count)), [list[np.ndarray]() for _ in range(count)]

        def work(run: GraphRunner, take: Callable[[], int]) -> None:
            while left:
                try:
                    i = take()
                except IndexError:  # the other thread took it
                    return
                found[i] = [np.array(out) for out in run([a[i : i + 1] for a in arrays])]

        help_ = None
        if self._helper is not None and self._helper.active:
            self._twin = self._twin or self._run.twin()
            help_ = self._helper.run(work, self._twin, left.pop)
        try:
            work(self._run, left.popleft)
        finally:
            # Where it learned all the while it has not begun.
            if help_ is not None and not help_.cancel():
                help_.result()
        return found


def compile_graph(
    engine: Engine | None,
    plain: Graph | None,
    graph: Graph,
    example: Sequence[Tensor],
    quantised: bytes | None = None,
    helper: BackgroundUpdates | None = None,
) -> Callable[..., tuple[Tensor, ...]]:
    """The graph by an engine; torch's own without one. ``helper`` as for ``Compiled``."""
    if engine is None or plain is None:
        return graph
    with torch.no_grad():
        return Compiled(engine, plain, example, quantised, helper)
