"""Camera images as JPEG for browsers, masks over them as PNG."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np

from ..messages.image_codec import CodecError, ImageView
from ..node.frame_ring import CameraFrame
from ..pixels import LazyImage

# What the camera has compressed is passed on as it is up to this size.
SMALL = 512 * 1024
# Behind signature and header of a file of one bit a pixel it makes 0 transparent.
_PNG_HEADER = 33
_TRANSPARENT = b"tRNS\0\0"
_CHUNK = struct.pack(">I6sI", 2, _TRANSPARENT, zlib.crc32(_TRANSPARENT))
_TO_BGR = {
    "rgb": cv2.COLOR_RGB2BGR,
    "rgba": cv2.COLOR_RGBA2BGR,
    "bgra": cv2.COLOR_BGRA2BGR,
}


def shrink(view: ImageView, max_width: int) -> np.ndarray:
    """Pixels uint8 in BGR or grey, at most `max_width` wide; a view where nothing is to do."""
    # Of an image that is converted where somebody looks no more pixels than are shown.
    step = max(view.width // max_width, 1) if isinstance(view.pixels, LazyImage) else 1
    pixels = view.pixels[::step, ::step]
    if view.width > max_width:
        size = (max_width, max(1, round(view.height * max_width / view.width)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    if view.order in _TO_BGR:
        pixels = cv2.cvtColor(pixels, _TO_BGR[view.order])
    return pixels


def encode(frame: CameraFrame, max_width: int, quality: int) -> tuple[bytes, int, int]:
    """Image file of a frame, and the width and height of the frame itself.

    They are 0 for a file that the camera has made: the browser sees them in it.

    Raises:
        CodecError: the frame is no readable image.
    """
    if frame.compressed is not None and len(frame.compressed) <= SMALL:
        return bytes(frame.compressed), 0, 0
    view = frame.view()
    # OpenCV 4.6 and older want whole rows.
    pixels = np.ascontiguousarray(shrink(view, max_width))
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return data.tobytes(), view.width, view.height


def encode_mask(view: ImageView, max_width: int) -> bytes:
    """PNG file of a mask, white where it is set, transparent elsewhere; empty where it never is.

    Args:
        view: order mono; at most `max_width` pixels wide in the file.

    Raises:
        CodecError: the view has colours.
    """
    if view.order != "mono":
        raise CodecError(f"a mask in {view.order!r}: it must be mono8")
    pixels = shrink(view, max_width)
    seen = np.ascontiguousarray(pixels >= 128, np.uint8)
    if not seen.any():
        return b""
    options = [cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_COMPRESSION, 1]
    data = cv2.imencode(".png", 255 * seen, options)[1].tobytes()
    return data[:_PNG_HEADER] + _CHUNK + data[_PNG_HEADER:]
