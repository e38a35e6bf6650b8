"""``crop.crop_array`` as work of fixed shape on a device, for images of any size and order."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...pixels import Pixels
from ..geometry import Window

FINE, COARSE = 1, 4
"""Samples along each side of a crop's pixel: one, or enough to average what shrinks."""

_CHANNELS = {
    "rgb": (0, 1, 2),
    "bgr": (2, 1, 0),
    "rgba": (0, 1, 2),
    "bgra": (2, 1, 0),
    "mono": (0, 0, 0),
}
NUMBERS = 12


class Patch(NamedTuple):
    """The pixels under a window and what the device must know to resample them.

    Attributes:
        pixels: a view of the image [h, w, C] or [h, w], which may be empty.
        numbers: step and place of the crop's pixels, size and channels of the patch, fill colour.
        samples: ``FINE`` or ``COARSE``.
    """

    pixels: np.ndarray
    numbers: tuple[float, ...]
    samples: int


def patch_under(
    image: Pixels, window: Window, fill: tuple[float, float, float], order: str
) -> Patch:
    """The part of an image that a window covers, with the numbers ``crop_on_device`` takes."""
    height, width = image.shape[:2]
    x0, y0, side, _ = window.region
    left, top = max(math.floor(x0) - 1, 0), max(math.floor(y0) - 1, 0)
    right, bottom = min(math.ceil(x0 + side) + 1, width), min(math.ceil(y0 + side) + 1, height)
    right, bottom = max(right, left), max(bottom, top)
    pixels = image[top:bottom, left:right]
    channels = image.shape[2] if image.ndim == 3 else 1
    place = 1 / window.scale, x0 - left, y0 - top, right - left, bottom - top, channels
    shrinks = int(1 / window.scale) >= 2
    numbers = (*place, *_CHANNELS[order], *fill)
    return Patch(pixels, numbers, COARSE if shrinks else FINE)


def crop_on_device(pixels: Tensor, numbers: Tensor, size: int, samples: int) -> Tensor:
    """Resample a patch to RGB uint8 [1, 3, size, size], channels last.

    Bilinear; the mean of ``samples``^2 points a pixel. Outside the patch is the fill colour.

    Args:
        pixels: dense bytes of the patch, and anything behind them [N].
        numbers: of ``patch_under`` [12], on the same device.
    """
    step, left, top, width, height, channels = numbers[:6].unbind()
    order, fill = numbers[6:9].long(), numbers[9:12]
    at = (torch.arange(size * samples, device=pixels.device) + 0.5) / samples * step - 0.5
    columns, across = _taps(at + left, width)
    rows, down = _taps(at + top, height)
    place = rows[:, None, :, None] * width.long() + columns[None, :, None, :]
    weight = (down[:, None, :, None] * across[None, :, None, :])[..., None]
    seen = pixels[(place * channels.long())[..., None] + order].float()
    mixed = (seen * weight).sum((0, 1)) + (1 - weight.sum((0, 1))) * fill
    if samples > 1:
        mixed = mixed.view(size, samples, size, samples, 3).mean((1, 3))
    return mixed.round().clamp(0, 255).to(torch.uint8).permute(2, 0, 1)[None]


def _taps(at: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Both neighbours of positions [N] among ``count`` pixels, and their shares, 0 outside."""
    low = at.floor()
    index = torch.stack((low, low + 1))
    share = torch.stack((low + 1 - at, at - low)) * ((index >= 0) & (index < count))
    return index.clamp_min(0).minimum((count - 1).clamp_min(0)).long(), share
