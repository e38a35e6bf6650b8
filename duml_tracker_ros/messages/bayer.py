"""Images as the sensor sees them, one colour a pixel; what is looked at becomes BGR."""

from __future__ import annotations

import cv2
import numpy as np

from ..pixels import LazyImage, Pixels

# OpenCV names a pattern by the second and third pixel of its second row.
CODES = {
    "rggb": cv2.COLOR_BayerBG2BGR,
    "bggr": cv2.COLOR_BayerRG2BGR,
    "gbrg": cv2.COLOR_BayerGR2BGR,
    "grbg": cv2.COLOR_BayerGB2BGR,
}
# Pixels around a rectangle that its colours are interpolated from.
MARGIN = 2


class BayerImage(LazyImage):
    """A colour filter's mosaic as BGR; a rectangle of it is the same as of the whole image.

    Args:
        mosaic: uint8 [H, W], which may be lazy itself; at least 2x2.
        pattern: colours of the first two pixels of the first row and of the second.
    """

    def __init__(self, mosaic: Pixels, pattern: str) -> None:
        super().__init__((*mosaic.shape, 3))
        self._mosaic, self._pattern = mosaic, pattern

    def dense(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        # From an even pixel on the pattern is the same.
        y, x = (max(start - MARGIN, 0) & ~1 for start in (top, left))
        mosaic = self._mosaic[y : bottom + MARGIN, x : right + MARGIN]
        bgr = cv2.cvtColor(np.ascontiguousarray(mosaic), CODES[self._pattern])
        return bgr[top - y : bottom - y, left - x : right - x]

    def sparse(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        height, width = self.shape[:2]
        rows, columns = (
            np.minimum(at, size - 2) & ~1 for at, size in ((rows, height), (columns, width))
        )
        cell = [self._at(rows + k // 2, columns + k % 2) for k in range(4)]
        red, blue = cell[self._pattern.index("r")], cell[self._pattern.index("b")]
        one, two = (cell[k] for k, colour in enumerate(self._pattern) if colour == "g")
        return np.stack([blue, ((one.astype(np.uint16) + two) // 2).astype(np.uint8), red], -1)

    def _at(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        if isinstance(self._mosaic, LazyImage):
            return self._mosaic.sparse(rows, columns)
        return self._mosaic[np.ix_(rows, columns)]
