"""Small building blocks: convolution with batch norm, and its folding for inference."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .packed import convolve


class ConvBn(nn.Module):
    """Convolution, batch norm and an optional ReLU. Odd kernels, symmetric padding or none.

    ``cap`` is the ReLU's greatest output (6 for ReLU6), ``eps`` the batch norm's.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        relu: bool = True,
        padded: bool = True,
        *,
        groups: int = 1,
        cap: float = math.inf,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        padding = kernel // 2 if padded else 0
        self.conv: nn.Module = nn.Conv2d(
            inputs, outputs, kernel, stride, padding, groups=groups, bias=False
        )
        self.bn: nn.Module = nn.BatchNorm2d(outputs, eps)
        self.relu = relu
        self.cap = cap

    def forward(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """``add`` comes before the ReLU; packed convolutions overwrite it."""
        return convolve(self.conv, self.bn, x, self.relu, add, self.cap)

    def fold(self) -> None:
        """Fold the batch norm into the convolution (inference only)."""
        if isinstance(self.bn, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(cast(nn.Conv2d, self.conv), self.bn)
            self.bn = nn.Identity()


class SeparableConv(nn.Module):
    """A depth-wise convolution, then one of single cells: a k x k convolution's reach for about
    1 / k^2 of its work."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, relu: bool = True) -> None:
        super().__init__()
        self.depthwise = ConvBn(inputs, inputs, kernel, groups=inputs)
        self.pointwise = ConvBn(inputs, outputs, 1, relu=relu)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pointwise(self.depthwise(x))
        return out


def head_conv(
    kind: str, inputs: int, outputs: int, kernel: int = 3, relu: bool = True
) -> ConvBn | SeparableConv:
    """A convolution of a head: ``dense`` or ``separable``. Of single cells it is always dense."""
    if kind == "separable" and kernel > 1:
        return SeparableConv(inputs, outputs, kernel, relu)
    return ConvBn(inputs, outputs, kernel, relu=relu)


def unit_power(x: Tensor, scale: float) -> Tensor:
    """Scale features [B, C, H, W] so that a cell's mean squared norm is ``scale``^2."""
    power = x.square().sum((1, 2, 3), keepdim=True) / (x.shape[2] * x.shape[3])
    return x * (scale * torch.rsqrt(power + 1e-6))


def fold_batch_norms(module: nn.Module) -> nn.Module:
    """Fold every batch norm below ``module``, which must be in eval mode; returns it."""
    if module.training:
        raise ValueError("fold_batch_norms needs a module in eval mode")
    for child in list(module.modules()):
        fold = getattr(child, "fold", None)
        if callable(fold):
            fold()
    return module
