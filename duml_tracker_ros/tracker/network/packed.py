"""Convolutions for CPUs: weights laid out once, ReLU and sum in the same pass (oneDNN)."""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_OPS = torch.ops.mkldnn


def can_pack(dtype: torch.dtype) -> bool:
    """Has this build of torch the operators, and has the processor the type?

    They are not part of torch's public interface; where they are missing plain ones do.
    """
    if not torch.backends.mkldnn.is_available():
        return False
    if not (
        hasattr(_OPS, "_convolution_pointwise") and hasattr(_OPS, "_reorder_convolution_weight")
    ):
        return False
    if dtype is torch.bfloat16:
        return bool(_OPS._is_mkldnn_bf16_supported())
    return dtype is torch.float32


class PackedConv(nn.Module):
    """A convolution for inference whose weight has the layout the processor wants.

    A plain one lays out its weight on every call, and needs passes of its own for ReLU and sum.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        padding = conv.padding
        assert not isinstance(padding, str)
        self._where = list(padding), list(conv.stride), list(conv.dilation), conv.groups
        # No parameters: they have no plain layout any more that could be moved or saved.
        self.weight = _OPS._reorder_convolution_weight(conv.weight.detach(), *self._where)
        self._bias = None if conv.bias is None else conv.bias.detach()

    def forward(
        self, x: Tensor, relu: bool = False, add: Tensor | None = None, cap: float = math.inf
    ) -> Tensor:
        """x [B, C, H, W] -> convolution, plus ``add`` (which is overwritten), then the ReLU.

        ``cap`` is the ReLU's greatest output; there is none where something is added.
        """
        where = self.weight, self._bias, *self._where
        if add is None:
            if relu and cap < math.inf:
                out = _OPS._convolution_pointwise(x, *where, "hardtanh", [0.0, cap], "")
            else:
                out = _OPS._convolution_pointwise(x, *where, "relu" if relu else "none", [], "")
        else:
            assert cap == math.inf
            last_or_none = "relu" if relu else None
            out = _OPS._convolution_pointwise_.binary(
                add, x, *where, "add", 1.0, last_or_none, [], ""
            )
        return cast(Tensor, out)


def pack_convolutions(module: nn.Module) -> None:
    """Replace every convolution below ``module`` by a packed one, where that is possible."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            if can_pack(child.weight.dtype):
                setattr(module, name, PackedConv(child))
        else:
            pack_convolutions(child)


def _plain(conv: nn.Module, x: Tensor) -> Tensor:
    """A convolution as it is, but depth-wise ones in fp32 where training computes in bf16.

    oneDNN's gradients of those take several times as long in bf16.
    """
    wide = getattr(conv, "groups", 1) > 1 and x.device.type == "cpu"
    if not (wide and torch.is_grad_enabled() and torch.is_autocast_enabled("cpu")):
        out: Tensor = conv(x)
        return out
    with torch.autocast("cpu", enabled=False):
        out = conv(x.float())
    return out.to(torch.get_autocast_dtype("cpu"))


def convolve(
    conv: nn.Module,
    norm: nn.Module,
    x: Tensor,
    relu: bool,
    add: Tensor | None = None,
    cap: float = math.inf,
) -> Tensor:
    """Convolution, batch norm, sum and ReLU, of a packed convolution in one pass.

    ``add`` may be overwritten: it must be nobody else's when the convolution is packed. ``cap`` is
    the ReLU's greatest output.
    """
    if isinstance(conv, PackedConv):
        packed: Tensor = conv(x, relu, add, cap)
        return packed
    x = norm(_plain(conv, x))
    if add is not None:
        x = x + add
    if not relu:
        return x
    return torch.relu_(x) if cap == math.inf else F.hardtanh_(x, 0.0, cap)
