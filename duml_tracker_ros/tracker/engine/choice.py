"""Engines by name, and which one is taken where none is named."""

from __future__ import annotations

import importlib.util
from typing import Literal

import torch

from ...vector_units import vector_units
from ..errors import ConfigError
from .base import Engine

NEEDS = {
    "torch": (),
    "cuda_graph": (),
    "openvino": ("openvino",),
    "onnxruntime": ("onnxruntime", "onnx", "onnxscript"),
}
"""Packages of an engine."""


def usable_engines(device: torch.device) -> list[str]:
    """Names of the engines that are for a device and installed, torch first."""
    if device.type == "cuda":
        return ["torch", "cuda_graph"]
    return [name for name in NEEDS if name != "cuda_graph" and not _missing(name)]


EngineName = Literal["torch", "openvino", "onnxruntime"]


def fastest_engine(device: torch.device, quantised: bool) -> EngineName:
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
