"""Engines by name, and the way back to torch for what an engine was not compiled for."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError
from ..network.graphs import Graph

NEEDS = {
    "torch": (),
    "cuda_graph": (),
    "openvino": ("openvino",),
    "onnxruntime": ("onnxruntime", "onnx", "onnxscript"),
}
"""Packages of an engine."""

Run = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


class Engine(Protocol):
    """Compiles graphs of plain, folded float32 networks for a CPU."""

    def load(self, graph: Graph, example: Sequence[Tensor]) -> Run:
        """Compile for the shapes of an example.

        The result takes the crops as [B, S, S, 3] and may reuse the memory of what it returns.
        """
        ...


def usable_engines(device: torch.device) -> list[str]:
    """Names of the engines that are for a device and installed, torch first."""
    if device.type == "cuda":
        return ["torch", "cuda_graph"]
    return [name for name in NEEDS if name != "cuda_graph" and not _missing(name)]


def _missing(name: str) -> list[str]:
    return [p for p in NEEDS[name] if importlib.util.find_spec(p) is None]


def make_engine(name: str, device: torch.device, half: bool) -> Engine | None:
    """The engine, or None for torch itself, plain or recorded.

    Args:
        half: may it compute in 16 bits?

    Raises:
        ConfigError: not for this device, or not installed; names the remedy.
    """
    if name == "cuda_graph" and device.type != "cuda":
        raise ConfigError(f"engine = {name!r} is for CUDA; on {device} take engine=torch")
    if name in ("torch", "cuda_graph"):
        return None
    if device.type != "cpu":
        raise ConfigError(f"engine = {name!r} is for CPUs; on {device} take engine=torch")
    if missing := _missing(name):
        raise ConfigError(
            f"engine = {name!r}: {' and '.join(missing)} missing; "
            f"pip install {' '.join(missing)}, or take engine=torch"
        )
    if name == "openvino":
        from .openvino import OpenVinoEngine

        return OpenVinoEngine(half)
    from .onnxruntime import OnnxRuntimeEngine

    return OnnxRuntimeEngine()


class Compiled:
    """A graph by an engine where the shapes are the compiled ones, else by torch.

    A lost target is searched in larger crops and several targets share a batch; compiling for
    them would take seconds in mid-flight.

    Args:
        plain: network in float32 to compile.
        graph: the same one as torch runs it.
    """

    def __init__(
        self, engine: Engine, plain: Graph, graph: Graph, example: Sequence[Tensor]
    ) -> None:
        self._graph = graph
        self._shapes = [x.shape for x in example]
        self._dtypes = [x.dtype for x in example]
        self._run = engine.load(plain, example)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        crops, *rest = inputs
        if [x.shape for x in inputs] != self._shapes:
            kernels = (x.to(self._graph.net.dtype) for x in rest)
            result: tuple[Tensor, ...] = self._graph(crops, *kernels)
            return result
        arrays = [crops.permute(0, 2, 3, 1).contiguous().numpy()]
        arrays += [
            x.to(kind).contiguous().numpy() for x, kind in zip(rest, self._dtypes[1:], strict=True)
        ]
        # Frames are remembered; the engine writes to the same memory on the next one.
        return tuple(torch.from_numpy(np.array(out)) for out in self._run(arrays))


def compile_graph(
    engine: Engine | None, plain: Graph | None, graph: Graph, example: Sequence[Tensor]
) -> Callable[..., tuple[Tensor, ...]]:
    """The graph by an engine; torch's own without one."""
    if engine is None or plain is None:
        return graph
    with torch.no_grad():
        return Compiled(engine, plain, graph, example)
