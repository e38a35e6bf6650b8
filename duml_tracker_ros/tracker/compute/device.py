"""Which device is meant, and what it computes fast."""

from __future__ import annotations

import torch

from ...vector_units import vector_units
from ..errors import ConfigError


def resolve_device(name: str) -> torch.device:
    """``auto``: CUDA where there is some, else the CPU. Raises ConfigError if it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device = {name!r}: auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device = {name!r}: no CUDA device is usable here; take device='cpu'")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device = {name!r}: there are {torch.cuda.device_count()} CUDA devices")
    return device


def has_fast_bf16(device: torch.device, vectors: bool = False) -> bool:
    """Does the device multiply bf16 matrices in hardware (tensor cores, AMX)?

    Args:
        vectors: a CPU that multiplies bf16 vectors counts as well (AVX512-BF16): they pay in large
            batches, in engines and in the online step, not in torch's network for one crop.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    units = vector_units()
    return "AMX" in units or (vectors and "AVX512-BF16" in units)


def explicit_tf32(device: torch.device, precision: str) -> None:
    """Say for the process what fp32 means on CUDA.

    The online step and the last layers are exact; convolutions may use TF32 unless fp32 is asked
    for.
    """
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = precision != "fp32"
