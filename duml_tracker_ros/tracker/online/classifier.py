"""DROL's online classifier: compression and dual attention of the first frame, then a filter."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import ClassifierConfig, OnlineConfig
from .frame_scorer import FrameScorer
from .gauss_newton import Vectors, conjugate_gradient, gauss_newton
from .labels import centre_distance, score_grid
from .memory import SampleMemory
from .padded_samples import from_taps, to_taps
from .policy import Decision


def attend(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Dual attention (DROL, Fig. 3) of [N, C, H, W].

    Channels are weighted by two fully connected layers after global average pooling, cells by a
    softmax after channel averaging, scaled to a mean of 1.
    """
    pooled = x.mean((2, 3))
    channels = torch.sigmoid(F.linear(F.relu(F.linear(pooled, first)), second))
    n, _, h, w = x.shape
    cells = x.mean(1).flatten(1).softmax(1).view(n, 1, h, w) * (h * w)
    return x * channels[..., None, None] * cells


class OnlineClassifier:
    """Compression (1x1, ReLU), dual attention, filter; learned from one target alone.

    All are trained on the first frame by Gauss-Newton with conjugate gradients; later only the
    filter learns, a linear least-squares problem (DROL, sections 3.2 and 3.3):
    sum_j gamma_j |f(x_j) - y_j|^2 + lambda |w|^2, y a Gaussian around the target.

    Args:
        features: first-frame samples [N, C, H, W].
        targets: (row, column, height, width) in cells of each [N, 4].
    """

    def __init__(
        self, config: ClassifierConfig, online: OnlineConfig, features: Tensor, targets: Tensor
    ) -> None:
        self.config = config
        count, channels, height, width = features.shape
        self._size = height, width
        generator = torch.Generator().manual_seed(0)

        def random(*shape: int) -> Tensor:
            fan = shape[1] * (shape[2] * shape[3] if len(shape) == 4 else 1)
            return (torch.randn(*shape, generator=generator) / fan**0.5).to(features.device)

        c, k = config.channels, config.kernel
        # One unit of input power, so that one regularisation suits all networks.
        self._scale = features.square().mean().sqrt().clamp_min(1e-6).reciprocal()
        self.compression = random(c, channels, 1, 1)
        self.attention: tuple[Tensor, ...] = ()
        if config.attention:
            seen = channels if config.attention_first else c
            self.attention = random(seen // 4, seen), random(seen, seen // 4)
        self._taps = torch.zeros(k * k, c, device=features.device)
        self._learn_first(features * self._scale, targets)
        self.memory = SampleMemory((c, height, width), online.memory, features.device, k)
        self.memory.start(self._extract(features), targets)
        padded = self.memory.padded
        self._labels, self._inside = padded.zeros(1), padded.zeros(1)[:, :1]
        padded.inner(self._labels)[0, :count] = self._label(targets)
        padded.inner(self._inside).fill_(1)
        self._score = FrameScorer((c, height, width), k, features.device)
        self._first = self._taps

    @property
    def filter(self) -> Tensor:
        """The latest filter [1, 1, c, k, k]."""
        return from_taps(self._taps, self.config.kernel)

    @property
    def first_filter(self) -> Tensor:
        """That of the first frame."""
        return from_taps(self._first, self.config.kernel)

    def scores(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Scores [1, H, W] of a frame's features [1, C, H, W], now and as of the first frame."""
        raw = self._score(self._extract(features), torch.cat((self._taps, self._first)))
        if raw.shape[-1] == features.shape[-1]:
            return raw[:1], raw[1:]
        # An even filter answers between the cells: cubic interpolation to half cells, every other
        # of which is a cell.
        size = (2 * raw.shape[-2] - 1, 2 * raw.shape[-1] - 1)
        fine = F.interpolate(raw[None], size, mode="bicubic", align_corners=True)
        fine = fine[0, :, 1::2, 1::2]
        return fine[:1], fine[1:]

    def learn(self, features: Tensor, target: Tensor, scores: Tensor, decision: Decision) -> None:
        """Remember a frame [C, H, W] with its target [4] and improve the filter."""
        if not decision.insert:
            return
        slot = self.memory.insert(self._extract(features[None])[0], target, decision.rate)
        if slot is not None:
            self.memory.padded.inner(self._labels)[0, slot] = self._label(target)
        if decision.iterations:
            self._optimise(decision.iterations)

    def _extract(self, features: Tensor) -> Tensor:
        """Target-specific features [N, c, H, W]."""
        return self._specific(features * self._scale, self.compression, self.attention)

    def _specific(self, x: Tensor, compression: Tensor, attention: Sequence[Tensor]) -> Tensor:
        """Compression with attention behind or before it."""
        if attention and self.config.attention_first:
            x = attend(x, attention[0], attention[1])
        x = F.relu(F.conv2d(x, compression))
        if attention and not self.config.attention_first:
            x = attend(x, attention[0], attention[1])
        return x

    def _label(self, targets: Tensor) -> Tensor:
        """Gaussian around each target on the filter's own grid: [..., 1, H', W']."""
        shifted, height, width = score_grid(targets, *self._size, self.config.kernel)
        distance = centre_distance(shifted, height, width)
        sides = targets[..., 2:].prod(-1).clamp_min(1e-6).sqrt()
        sigma = (self.config.label_width * sides).clamp_min(0.7)[..., None, None]
        return torch.exp(-0.5 * (distance / sigma).square())[..., None, :, :]

    def _learn_first(self, features: Tensor, targets: Tensor) -> None:
        """Compression, attention and filter together, on the first frame."""
        gamma = 1 / len(features) ** 0.5
        config, root = self.config, self.config.regularisation**0.5
        # Normal tensors: those of inference mode cannot be differentiated.
        with torch.inference_mode(False):
            x, label = features.clone(), self._label(targets).clone()

        def residual(weight: Tensor, compression: Tensor, *attention: Tensor) -> Tensor:
            inner = self._specific(x, compression, attention)
            pad = config.kernel // 2
            error = gamma * (F.conv2d(inner, weight[0], padding=pad) - label)
            parts = [error, root * weight, root * compression, *(root * a for a in attention)]
            return torch.cat([p.flatten() for p in parts])

        start = (self.filter, self.compression, *self.attention)
        found = gauss_newton(residual, start, config.first_steps, config.first_iterations)
        weight, self.compression, *rest = found
        self._taps, self.attention = to_taps(weight), tuple(rest)

    def _optimise(self, iterations: int) -> None:
        """The filter's linear problem on the samples in the memory."""
        padded, n = self.memory.padded, self.memory.used
        share = self.memory.weights[:, :, None, None, None] * self._inside

        def product(w: Vectors) -> Vectors:
            gradient = padded.adjoint(share * padded.scores(w[0], n))
            return (torch.add(gradient, w[0], alpha=self.config.regularisation),)

        right = padded.adjoint(share * self._labels[:, :n])
        (self._taps,) = conjugate_gradient(product, (right,), (self._taps,), iterations)
