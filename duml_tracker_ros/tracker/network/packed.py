"""Convolutions for CPUs: weights laid out once, ReLU and sum in the same pass (oneDNN)."""

from __future__ import annotations

from typing import cast

import torch
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

    def forward(self, x: Tensor, relu: bool = False, add: Tensor | None = None) -> Tensor:
        """x [B, C, H, W] -> convolution, plus ``add`` (which is overwritten), then the ReLU."""
        where = self.weight, self._bias, *self._where
        last = "relu" if relu else "none"
        if add is None:
            out = _OPS._convolution_pointwise(x, *where, last, [], "")
        else:
            last_or_none = last if relu else None
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


def convolve(
    conv: nn.Module, norm: nn.Module, x: Tensor, relu: bool, add: Tensor | None = None
) -> Tensor:
    """Convolution, batch norm, sum and ReLU, of a packed convolution in one pass.

    ``add`` may be overwritten: it must be nobody else's when the convolution is packed.
    """
    if isinstance(conv, PackedConv):
        packed: Tensor = conv(x, relu, add)
        return packed
    x = norm(conv(x))
    if add is not None:
        x = x + add
    return torch.relu_(x) if relu else x
