"""Images in YUV, of any subsampling and arrangement; what is looked at becomes BGR."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..pixels import LazyImage
from .errors import CodecError


def _matrix(red: float, blue: float, full: bool) -> np.ndarray:
    """YUV to BGR [3, 4] by the shares of red and blue in the brightness."""
    green = 1.0 - red - blue
    y, c = (1.0, 1.0) if full else (255 / 219, 255 / 224)
    to_blue, to_red = 2 * (1 - blue) * c, 2 * (1 - red) * c
    linear = np.array(
        [[y, to_blue, 0.0], [y, -to_blue * blue / green, -to_red * red / green], [y, 0.0, to_red]]
    )
    origin = np.array([0.0 if full else 16.0, 128.0, 128.0])
    return np.column_stack([linear, -linear @ origin])


BT601, BT709, BT601_FULL, BT709_FULL = (
    _matrix(red, blue, full)
    for full in (False, True)
    for red, blue in ((0.299, 0.114), (0.2126, 0.0722))
)


class YuvImage(LazyImage):
    """Three planes as BGR. Chroma is taken from the nearest sample, as OpenCV and cameras do.

    Args:
        y: [H, W], a view of any strides, uint8 or, with `shift`, more bits.
        u, v: [ceil(H / sy), ceil(W / sx)], likewise.
        sub: (sy, sx), rows and columns of the image that share a chroma sample.
        matrix: one of `BT601` and the others.
        shift: bits above 8.
    """

    def __init__(
        self,
        y: np.ndarray,
        u: np.ndarray,
        v: np.ndarray,
        sub: tuple[int, int],
        matrix: np.ndarray = BT601,
        shift: int = 0,
    ) -> None:
        super().__init__((*y.shape, 3))
        self._y, self._chroma, self._sub = y, (u, v), sub
        self._matrix, self._shift = matrix, shift

    def dense(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        sy, sx = self._sub
        rows, columns = slice(top // sy, (bottom - 1) // sy + 1), slice(left // sx, -(-right // sx))
        y = self._eight(self._y[top:bottom, left:right])
        planes = [y]
        for plane in self._chroma:
            small = self._eight(plane[rows, columns])
            size = (small.shape[1] * sx, small.shape[0] * sy)
            large = (
                cv2.resize(small, size, interpolation=cv2.INTER_NEAREST)
                if max(sy, sx) > 1
                else small
            )
            down, across = top % sy, left % sx
            planes.append(large[down : down + y.shape[0], across : across + y.shape[1]])
        return self._bgr(planes)

    def sparse(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        sy, sx = self._sub
        at = np.ix_(rows // sy, columns // sx)
        return self._bgr(
            [
                self._eight(p)
                for p in (self._y[np.ix_(rows, columns)], *(c[at] for c in self._chroma))
            ]
        )

    def _eight(self, plane: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(plane >> self._shift if self._shift else plane, np.uint8)

    def _bgr(self, planes: list[np.ndarray]) -> np.ndarray:
        return cv2.transform(cv2.merge([np.ascontiguousarray(p) for p in planes]), self._matrix)


@dataclass(frozen=True)
class Layout:
    """How bytes hold Y, U and V.

    Attributes:
        planes: of `packed` the bytes of one pair of pixels, such as `yuyv`; of `semi` and `planar`
            the order of chroma, `uv` or `vu`.
        sub: (sy, sx), rows and columns of the image that share a chroma sample.
    """

    kind: str
    planes: str
    sub: tuple[int, int]


LAYOUTS: dict[str, Layout] = {
    "uyvy": Layout("packed", "uyvy", (1, 2)),
    "vyuy": Layout("packed", "vyuy", (1, 2)),
    "yuyv": Layout("packed", "yuyv", (1, 2)),
    "yvyu": Layout("packed", "yvyu", (1, 2)),
    "nv12": Layout("semi", "uv", (2, 2)),
    "nv21": Layout("semi", "vu", (2, 2)),
    "nv16": Layout("semi", "uv", (1, 2)),
    "nv61": Layout("semi", "vu", (1, 2)),
    "nv24": Layout("semi", "uv", (1, 1)),
    "nv42": Layout("semi", "vu", (1, 1)),
    "i420": Layout("planar", "uv", (2, 2)),
    "yv12": Layout("planar", "vu", (2, 2)),
}


def yuv_image(
    data: np.ndarray, name: str, encoding: str, width: int, height: int, step: int
) -> YuvImage:
    """View of a message's bytes uint8 [N].

    Drivers disagree on `step` and `height` of images in several planes: `step` may be that of the
    brightness, or the bytes of all planes over a row; `height` may count the rows of all planes.

    Args:
        name: one of `LAYOUTS`.
        encoding: as the message calls it, for the reason.

    Raises:
        CodecError: size, step and data do not fit together.
    """
    layout = LAYOUTS[name]
    if layout.kind == "packed":
        return _packed(data, layout, encoding, width, height, step)
    heights = [height]
    if layout.sub == (2, 2) and height % 3 == 0:
        heights.append(height * 2 // 3)
    steps = dict.fromkeys((step, width + width % layout.sub[1], width)) if step >= width else {}
    for rows in heights:
        for stride in steps:
            found = _planes(data, layout, width, rows, stride)
            if found is not None:
                return found
    c_rows, c_columns = -(-height // layout.sub[0]), -(-width // layout.sub[1])
    raise CodecError(
        f"data is {data.size} bytes, but {width}x{height} {encoding} takes "
        f"{width * height + 2 * c_rows * c_columns} and the padding of step {step}, at least "
        f"{width}: the message is truncated or its size fields are wrong"
    )


def _packed(
    data: np.ndarray, layout: Layout, encoding: str, width: int, height: int, step: int
) -> YuvImage:
    pairs = -(-width // 2)
    row = 4 * pairs
    # Some drivers tell the pixels of a row as its bytes.
    stride = row if step == width and data.size == row * height else step
    # A row of odd width may end in the middle of a pair, whose other half is never looked at.
    least = stride * (height - 1) + 2 * width
    if stride < 2 * width or not least <= data.size <= max(stride, row) * height:
        raise CodecError(
            f"data is {data.size} bytes, but {width}x{height} {encoding} with step {step} takes "
            f"{2 * width} a row: the message is truncated or its size fields are wrong"
        )
    if width % 2:
        # The last pair may reach beyond the data; of its chroma the pixel before is as good.
        pairs -= 1
    bytes_at = {letter: layout.planes.index(letter) for letter in "uv"}
    first = layout.planes.index("y")
    y = _plane(data[first:], height, width, stride, 2)
    u, v = (_plane(data[at:], height, max(pairs, 1), stride, 4) for at in bytes_at.values())
    if width % 2:
        u, v = (np.concatenate([c, c[:, -1:]], 1) for c in (u, v))
    return YuvImage(y, u, v, layout.sub)


def _planes(
    data: np.ndarray, layout: Layout, width: int, height: int, stride: int
) -> YuvImage | None:
    """The planes behind each other, if this stride explains the size of the data."""
    (sy, sx), semi = layout.sub, layout.kind == "semi"
    rows, columns = -(-height // sy), -(-width // sx)
    row = columns * (2 if semi else 1)
    c_stride = max(stride * 2 // sx if semi else -(-stride // sx), row)
    luma = stride * height
    last = c_stride * (rows if semi else 2 * rows)
    if not luma + last - (c_stride - row) <= data.size <= luma + last:
        return None
    y = _plane(data, height, width, stride, 1)
    if semi:
        one, two = (_plane(data[luma + k :], rows, columns, c_stride, 2) for k in (0, 1))
    else:
        one, two = (
            _plane(data[luma + k * c_stride * rows :], rows, columns, c_stride, 1) for k in (0, 1)
        )
    u, v = (one, two) if layout.planes == "uv" else (two, one)
    return YuvImage(y, u, v, layout.sub)


def _plane(data: np.ndarray, rows: int, columns: int, stride: int, step: int) -> np.ndarray:
    return np.ndarray((rows, columns), np.uint8, data, strides=(stride, step))
