"""Engines by name, and which one is taken where none is named."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from ...vector_units import vector_units
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


def usable_engines(device: torch.device) -> list[str]:
    """Names of the engines that are for a device and installed, torch first."""
    if device.type == "cuda":
        return ["torch", "cuda_graph"]
    return [name for name in NEEDS if name != "cuda_graph" and not _missing(name)]


Name = Literal["torch", "openvino", "onnxruntime"]


def fastest_engine(device: torch.device, quantised: bool) -> Name:
    """The engine for ``auto``: the first that fits of the order in docs/performance.md.

    Args:
        quantised: is there an int8 graph of the network?
    """
    usable, units = usable_engines(device), vector_units()
    if device.type == "cuda":
        return "torch"
    if "NEON" in units and quantised and "onnxruntime" in usable:
        return "onnxruntime"
    if "openvino" in usable:
        return "openvino"
    # In fp32 it is no match for torch in bf16 on matrix units.
    if "onnxruntime" in usable and (quantised or "AMX" not in units):
        return "onnxruntime"
    return "torch"


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
        found: list[list[np.ndarray]] = []
        for i in range(len(crops)):
            one = self._run([a[i : i + 1] for a in arrays])
            found.append([np.array(out) for out in one])
        return tuple(torch.from_numpy(np.concatenate(out)) for out in zip(*found, strict=True))


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
