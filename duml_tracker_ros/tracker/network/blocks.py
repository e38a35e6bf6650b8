"""Small building blocks: convolution with batch norm, and its folding for inference."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .packed import convolve


class ConvBn(nn.Module):
    """Convolution, batch norm and an optional ReLU. Odd kernels, symmetric padding or none."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        relu: bool = True,
        padded: bool = True,
    ) -> None:
        super().__init__()
        padding = kernel // 2 if padded else 0
        self.conv: nn.Module = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(outputs)
        self.relu = relu

    def forward(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """``add`` comes before the ReLU; packed convolutions overwrite it."""
        return convolve(self.conv, self.bn, x, self.relu, add)

    def fold(self) -> None:
        """Fold the batch norm into the convolution (inference only)."""
        if isinstance(self.bn, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(cast(nn.Conv2d, self.conv), self.bn)
            self.bn = nn.Identity()


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
