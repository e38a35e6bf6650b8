"""What all networks share: crops in, backbone levels out, and which parts may compute in bf16."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format

from ..network_config import NetworkConfig
from .backbone import build_backbone
from .blocks import fold_batch_norms
from .packed import pack_convolutions

NORMALISATIONS = {
    # Mean and deviation of R, G and B in 0..255.
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "unit": ((127.0,) * 3, (128.0,) * 3),
    "bgr": ((0.0,) * 3, (1.0,) * 3),
}

Net = TypeVar("Net", bound="CropNet")


class CropNet(nn.Module):
    """A backbone behind the one normalisation of crops.

    Trackers and training call the parts that a subclass puts on top.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.dtype = self.memory_dtype = torch.float32
        self.learned = 0
        self.backbone = build_backbone(config.backbone)
        for name, values in zip(("mean", "std"), NORMALISATIONS[config.pixels], strict=True):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    @abstractmethod
    def extract(self, crops: Tensor) -> list[Tensor]:
        """RGB crops 0..255 [B, 3, S, S] -> the features that everything else is computed from."""

    @abstractmethod
    def half_parts(self) -> list[nn.Module]:
        """What may compute in bf16 besides the backbone."""

    def half(self: Net) -> Net:
        """Compute in bf16: backbone, necks and head towers.

        The last layers of the heads stay in fp32, for the sake of sub-pixel boxes, as does all
        that is learned online.
        """
        for part in (self.backbone, *self.half_parts()):
            part.to(torch.bfloat16)
        self.dtype = self.memory_dtype = torch.bfloat16
        return self

    def freeze(self: Net) -> Net:
        """Take the form for inference: batch norms folded, sums of levels merged."""
        if not self.learned:
            self.learned = sum(p.numel() for p in self.parameters())
        self.eval().requires_grad_(False)
        fold_batch_norms(self)
        return self

    def deploy(self: Net, device: torch.device, half: bool, half_memory: bool = False) -> Net:
        """Make a frozen network ready to track on a device, for good: it cannot be saved any more.

        ``half`` computes in bf16, ``half_memory`` only the products of what is learned online with
        its samples; on a CPU weights are laid out as the processor wants them.
        """
        if half_memory:
            self.memory_dtype = torch.bfloat16
        if half:
            self.half()
        self.to(device)
        convert_conv2d_weight_memory_format(self, torch.channels_last)
        if device.type == "cpu":
            pack_convolutions(self)
        return self

    def cells(self, size: int) -> int:
        """Cells a side of the score map for a crop of ``size`` pixels."""
        return (size - 1 - 2 * self.config.border) // self.config.stride + 1

    def pixels(self, cells: int) -> int:
        """Inverse of ``cells``: the size of the crop."""
        return (cells - 1) * self.config.stride + 1 + 2 * self.config.border

    def normalise(self, crops: Tensor) -> Tensor:
        """RGB crops 0..255 [B, 3, S, S] of any dtype -> network input, channels last."""
        if self.config.pixels == "bgr":
            # Of the network's type: only an exact copy of a public network is ever in fp64.
            x = crops.to(self.mean.dtype).flip(1)
            return x.contiguous(memory_format=torch.channels_last)
        b, c, h, w = crops.shape
        # Rows of pixels, so that the innermost axis is as long as a row, not the three channels.
        rows = crops.permute(0, 2, 3, 1).reshape(b, h, w * c)
        x = (rows.float() - self.mean.view(c).repeat(w)).div_(self.std.view(c).repeat(w))
        return x.view(b, h, w, c).permute(0, 3, 1, 2)

    def levels(self, crops: Tensor) -> list[Tensor]:
        """RGB crops 0..255 [B, 3, S, S] -> backbone levels, finest first."""
        levels: list[Tensor] = self.backbone(self.normalise(crops).to(self.dtype))
        return levels
