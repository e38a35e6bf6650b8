"""Files of pictures as one clip: the same size, and the same stretch to 8 bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .levels import SAMPLES, Levels, choose_levels
from .picture import PictureError, Pixels, as_bgr, read


class Pictures:
    """Frames read by their index.

    Args:
        files: in order.
        levels: what becomes black and white of more than 8 bits; None chooses it for the clip when
            it is needed first.
    """

    def __init__(self, files: Sequence[Path], levels: Levels | None = None) -> None:
        self.files = tuple(files)
        self.levels = levels
        self._deep: bool | None = None

    def __len__(self) -> int:
        return len(self.files)

    def frame(self, index: int) -> NDArray[np.uint8]:
        """A frame as uint8 ``[H, W, 3]`` BGR.

        Raises PictureError naming the file: it cannot be read, or has 8 bits where others have
        more, so that no stretch fits all.
        """
        pixels = read(self.files[index])
        deep = pixels.dtype != np.uint8
        if deep != (deep if self._deep is None else self._deep):
            kinds = "more than 8 bits, those before 8" if deep else "8 bits, those before more"
            raise PictureError(f"image {self.files[index]} has {kinds}")
        self._deep = deep
        if deep:
            if self.levels is None:
                self.levels = choose_levels(self._samples())
            pixels = self.levels.apply(pixels)
        return as_bgr(pixels)

    def _samples(self) -> Iterator[Pixels]:
        # By name: the same for parts of a clip that go backwards.
        files = sorted(self.files)
        for at in sorted(set(np.linspace(0, len(files) - 1, SAMPLES).round().astype(int).tolist())):
            with suppress(PictureError):
                pixels = read(files[at])
                if pixels.dtype != np.uint8:
                    yield pixels

    def note(self) -> str:
        """What was done to pictures of more than 8 bits, for people; empty when there are none."""
        return f"more than 8 bits: {self.levels}, over the whole clip" if self.levels else ""
