"""What an engine does, and a graph that one runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..network.graphs import Graph

Run = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


class Engine(Protocol):
    """Compiles graphs of plain, folded float32 networks for a CPU.

    Attributes:
        precision: ``fp32``, ``fp16`` or ``bf16``: of what is not quantised.
    """

    precision: str

    def load(self, graph: Graph, example: Sequence[Tensor], quantised: bytes | None = None) -> Run:
        """Compile for the shapes of an example, and for other crop sizes if the graph takes them.

        The result takes one crop as [1, S, S, 3] and may reuse the memory of what it returns.

        Args:
            quantised: ONNX with these inputs and outputs, and maybe more, to be run instead.
        """
        ...


class Compiled:
    """A graph by an engine, one crop after the other: a batch saves nothing on a few threads."""

    def __init__(
        self,
        engine: Engine,
        plain: Graph,
        example: Sequence[Tensor],
        quantised: bytes | None = None,
    ) -> None:
        self._dtypes = [x.dtype for x in example]
        self._run = engine.load(plain, example, quantised)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        crops, *rest = inputs
        arrays = [crops.permute(0, 2, 3, 1).contiguous().numpy()]
        arrays += [
            x.to(kind).contiguous().numpy() for x, kind in zip(rest, self._dtypes[1:], strict=True)
        ]
        if len(crops) == 1:
            # Frames are remembered; the engine writes to the same memory on the next one.
            return tuple(torch.from_numpy(np.array(out)) for out in self._run(arrays))
        batch: list[np.ndarray] = []
        for i in range(len(crops)):
            one = self._run([a[i : i + 1] for a in arrays])
            batch = batch or [np.empty((len(crops), *out.shape[1:]), out.dtype) for out in one]
            for place, out in zip(batch, one, strict=True):
                place[i] = out[0]
        return tuple(map(torch.from_numpy, batch))


def compile_graph(
    engine: Engine | None,
    plain: Graph | None,
    graph: Graph,
    example: Sequence[Tensor],
    quantised: bytes | None = None,
) -> Callable[..., tuple[Tensor, ...]]:
    """The graph by an engine; torch's own without one."""
    if engine is None or plain is None:
        return graph
    with torch.no_grad():
        return Compiled(engine, plain, example, quantised)
