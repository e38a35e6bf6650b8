"""Photometric augmentation of whole batches on the training device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class PhotometricConfig:
    """Chance of each operation for an image, and how far it goes.

    gain, bias, contrast, gamma and colour are standard deviations (gamma of its logarithm), noise
    is the greatest standard deviation, all for intensities in [0, 1]; blur: the greatest sigma in
    pixels; coarse: the smallest share of the resolution that is kept.
    """

    tone_chance: float = 0.8
    gain: float = 0.15
    bias: float = 0.06
    contrast: float = 0.18
    colour_chance: float = 0.5
    colour: float = 0.08
    saturation: float = 0.2
    grey_chance: float = 0.03
    gamma_chance: float = 0.2
    gamma: float = 0.25
    blur_chance: float = 0.12
    blur: float = 1.6
    coarse_chance: float = 0.06
    coarse: float = 0.35
    noise_chance: float = 0.15
    noise: float = 0.05

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            limit = 1.0 if name.endswith("_chance") else 10.0
            if not 0.0 <= value <= limit:
                raise ValueError(f"photometric {name} = {value}: choose a value in [0, {limit:g}]")


class Photometric:
    """Changes light, colour and sharpness of every image independently of the others.

    Called with uint8 or float images [N, 3, H, W] in 0..255, it returns float32 [N, 3, H, W], still
    in 0..255 and clamped to it. Boxes stay valid: nothing moves. `generator` draws the parameters
    and lies on the CPU, so that they repeat on any device; only noise is drawn on the device.
    """

    def __init__(
        self, config: PhotometricConfig | None = None, generator: torch.Generator | None = None
    ) -> None:
        self.config = config or PhotometricConfig()
        self.generator = generator

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"images of shape {tuple(images.shape)}: expected [N, 3, H, W]")
        config = self.config
        out = self._colour(images.float())
        self._some(out, config.gamma_chance, self._gamma)
        self._some(out, config.coarse_chance, self._coarse)
        self._some(out, config.blur_chance, self._blur)
        self._some(out, config.noise_chance, self._noise)
        return out.clamp_(0, 255)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator).clamp_(-2.5, 2.5)

    def _some(self, images: Tensor, chance: float, change: Callable[[Tensor], Tensor]) -> None:
        """Applies `change` in place to a random subset of the images."""
        chosen = (self._uniform(len(images)) < chance).nonzero()[:, 0]
        if len(chosen):
            chosen = chosen.to(images.device)
            images[chosen] = change(images[chosen])

    def _colour(self, images: Tensor) -> Tensor:
        """Gain, bias, contrast, colour cast, saturation and grey: one 3 x 4 map per image."""
        config, n = self.config, len(images)
        luma = torch.tensor(_LUMA)
        grey = luma.expand(3, 3)
        saturation = 1 + self._normal(n, 1, 1) * config.saturation
        coloured = self._uniform(n, 1, 1) < config.colour_chance
        saturation = torch.where(coloured, saturation.clamp(0, 2), torch.ones(()))
        saturation = torch.where(
            self._uniform(n, 1, 1) < config.grey_chance, torch.zeros(()), saturation
        )
        matrix = saturation * torch.eye(3) + (1 - saturation) * grey
        cast = torch.where(coloured, 1 + self._normal(n, 3, 1) * config.colour, torch.ones(()))
        matrix = matrix * cast
        toned = self._uniform(n, 1, 1) < config.tone_chance
        contrast = torch.exp(self._normal(n, 1, 1) * config.contrast)
        gain = torch.exp(self._normal(n, 1, 1) * config.gain) * contrast
        bias = 255 * (0.45 * (1 - contrast) + self._normal(n, 1, 1) * config.bias)
        matrix = torch.where(toned, matrix * gain, matrix).to(images.device)
        offset = torch.where(toned, bias, torch.zeros(())).expand(n, 3, 1).to(images.device)
        return torch.baddbmm(offset, matrix, images.flatten(2)).view_as(images)

    def _gamma(self, images: Tensor) -> Tensor:
        power = torch.exp(self._normal(len(images), 1, 1, 1) * self.config.gamma)
        return (images / 255).clamp_(1e-4, 1).pow(power.to(images.device)).mul_(255)

    def _coarse(self, images: Tensor) -> Tensor:
        """Fewer pixels, one share for the subset: a loop over images would cost too much."""
        height, width = images.shape[-2:]
        share = self.config.coarse + (1 - self.config.coarse) * float(self._uniform(1))
        size = (max(4, round(height * share)), max(4, round(width * share)))
        small = F.interpolate(images, size, mode="bilinear", antialias=True)
        return F.interpolate(small, (height, width), mode="bilinear")

    def _blur(self, images: Tensor) -> Tensor:
        """Gaussian blur of its own width per image: two grouped convolutions."""
        n, _, height, width = images.shape
        radius = 3
        sigma = 0.4 + self._uniform(n, 1) * max(0.0, self.config.blur - 0.4)
        at = torch.arange(-radius, radius + 1, dtype=torch.float32)
        kernel = torch.exp(-0.5 * (at / sigma) ** 2)
        kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0).to(images.device)
        flat = F.pad(images.reshape(1, 3 * n, height, width), (radius,) * 4, mode="replicate")
        flat = F.conv2d(flat, kernel[:, None, None, :], groups=3 * n)
        flat = F.conv2d(flat, kernel[:, None, :, None], groups=3 * n)
        return flat.view_as(images)

    def _noise(self, images: Tensor) -> Tensor:
        level = self._uniform(len(images), 1, 1, 1) * (255 * self.config.noise)
        generator = self.generator if images.device.type == "cpu" else None
        noise = torch.randn(images.shape, generator=generator, device=images.device)
        return images + noise * level.to(images.device)
