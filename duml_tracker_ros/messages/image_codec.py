"""ROS image messages to numpy and back.

Reading copies nothing: the common encodings become a view of the message's own bytes, all others
are converted where somebody looks. Messages are taken by their fields, so that nothing of ROS is
imported before an image has to be written.
"""

from __future__ import annotations

import array
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..media.picture import PictureError, check, decode
from ..pixels import Pixels
from .bayer import BayerImage
from .encodings import Encoding, find
from .errors import CodecError
from .scaling import DEFAULT, ScaledImage, Scaler, ScalingRule
from .yuv import yuv_image

# What is written: encoding -> numbers in a pixel.
CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1}
FLOATS = "32FC1"


@dataclass(frozen=True)
class ImageView:
    """Pixels uint8 [H, W, C], or [H, W] for mono, with their channel order.

    They are a view of the message's bytes, or lazy: converted where somebody looks.
    """

    pixels: Pixels
    order: str

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])


class ImageReader:
    """Reads the images of one stream, whose brightness must not flicker.

    Args:
        rule: how numbers of more than 8 bits become brightness.
        most_pixels: larger compressed images are refused; None for the limit of this process.
    """

    def __init__(self, rule: ScalingRule = DEFAULT, most_pixels: int | None = None) -> None:
        self._scaler = Scaler(rule)
        self._most = most_pixels

    def read(self, message: Any, time: float) -> ImageView:
        """View of the next sensor_msgs/Image of the stream; a grid of its pixels is looked at.

        Args:
            time: when it came, in seconds.

        Raises:
            CodecError: the message cannot be used.
        """
        encoding = find(message.encoding)
        if encoding.kind == "yuv":
            return ImageView(_yuv(message, encoding), "bgr")
        numbers = _numbers(message, encoding)
        pixels: Pixels = numbers
        if encoding.dtype != "u1":
            pixels = ScaledImage(numbers, self._scaler.curve(numbers, time))
        if encoding.kind == "bayer":
            pixels = BayerImage(pixels, encoding.detail)
        return ImageView(pixels, encoding.order)

    def check_compressed(self, message: Any) -> None:
        """Judge a sensor_msgs/CompressedImage by its first bytes, in microseconds.

        Raises:
            CodecError: it is no image, or claims more pixels than it may have.
        """
        if "compresseddepth" in message.format.lower():
            raise CodecError(f"format {message.format!r} is depth, not a camera image")
        try:
            check(memoryview(message.data), self._most)
        except PictureError as error:
            raise _unreadable(message, error) from error

    def read_compressed(self, message: Any, time: float) -> ImageView:
        """Decoded sensor_msgs/CompressedImage, read as files are: told by content, upright.

        Args:
            time: when it came, in seconds.

        Raises:
            CodecError: the bytes are no image, or claim more pixels than it may have.
        """
        self.check_compressed(message)
        try:
            pixels = decode(memoryview(message.data), self._most)
        except PictureError as error:
            raise _unreadable(message, error) from error
        order = "mono" if pixels.ndim == 2 else "bgr"
        if pixels.dtype == np.uint8:
            return ImageView(pixels, order)
        return ImageView(ScaledImage(pixels, self._scaler.curve(pixels, time)), order)


def _unreadable(message: Any, error: PictureError) -> CodecError:
    size = len(message.data)
    return CodecError(f"{size} bytes of format {message.format!r} are no readable image: {error}")


def read_image(message: Any) -> ImageView:
    """View of a sensor_msgs/Image that stands alone; rows may be padded.

    Raises:
        CodecError: unknown encoding, or size, step and data do not fit together.
    """
    return ImageReader().read(message, 0.0)


def _numbers(message: Any, encoding: Encoding) -> np.ndarray:
    """View [H, W] or [H, W, C] of the message's bytes, of the encoding's type."""
    kind = np.dtype(encoding.dtype).newbyteorder(">" if message.is_bigendian else "<")
    channels, item = encoding.channels, kind.itemsize
    pixel = channels * item
    width, height, step = _size(message)
    if step < width * pixel:
        raise CodecError(
            f"step is {step} bytes, but a row of {width} pixels of {message.encoding} "
            f"takes {width * pixel}"
        )
    size = len(message.data)
    # The padding of the last row may be missing, as some drivers leave it out.
    least, most = step * (height - 1) + width * pixel, step * height
    if not least <= size <= most:
        raise CodecError(
            f"data is {size} bytes, but {width}x{height} {message.encoding} with step {step} "
            f"takes {most}: the message is truncated or its size fields are wrong"
        )
    shape = (height, width) if channels == 1 else (height, width, channels)
    strides = (step, item) if channels == 1 else (step, pixel, item)
    return np.ndarray(shape, kind, memoryview(message.data), strides=strides)


def _yuv(message: Any, encoding: Encoding) -> Pixels:
    data = np.frombuffer(message.data, np.uint8)
    return yuv_image(data, encoding.detail, message.encoding, *_size(message))


def _size(message: Any) -> tuple[int, int, int]:
    width, height, step = int(message.width), int(message.height), int(message.step)
    if width <= 0 or height <= 0:
        raise CodecError(f"image of {width}x{height} pixels is empty")
    return width, height, step


def read_compressed(message: Any) -> ImageView:
    """Decoded sensor_msgs/CompressedImage that stands alone. Raises CodecError."""
    return ImageReader().read_compressed(message, 0.0)


def to_rgb(view: ImageView) -> np.ndarray:
    """RGB copy uint8 [H, W, 3] of an image of any order."""
    import cv2

    codes = {
        "bgr": cv2.COLOR_BGR2RGB,
        "rgba": cv2.COLOR_RGBA2RGB,
        "bgra": cv2.COLOR_BGRA2RGB,
        "mono": cv2.COLOR_GRAY2RGB,
    }
    pixels = view.pixels[:, :]
    if view.order == "rgb":
        return pixels.copy()
    return np.asarray(cv2.cvtColor(pixels, codes[view.order]))


def write_image(pixels: np.ndarray, encoding: str, header: Any) -> Any:
    """sensor_msgs/Image with a copy of `pixels` and `header`.

    Args:
        pixels: uint8 [H, W] or [H, W, C]; float32 [H, W] for 32FC1.

    Raises:
        CodecError: pixels do not fit the encoding.
    """
    from sensor_msgs.msg import Image

    channels, kind = (1, np.float32) if encoding == FLOATS else (CHANNELS[encoding], np.uint8)
    shape = (*pixels.shape, 1) if pixels.ndim == 2 else pixels.shape
    if pixels.dtype != kind or len(shape) != 3 or shape[2] != channels:
        raise CodecError(f"{pixels.dtype} {pixels.shape} is no {encoding} image")
    message = Image(header=header, height=shape[0], width=shape[1], encoding=encoding)
    message.step = shape[1] * channels * pixels.itemsize
    message.is_bigendian = int(sys.byteorder == "big" and encoding == FLOATS)
    message.data = _bytes(pixels)
    return message


def write_compressed(rgb: np.ndarray, quality: int, header: Any) -> Any:
    """sensor_msgs/CompressedImage, a JPEG of uint8 [H, W, 3] RGB; quality 1 to 100."""
    import cv2
    from sensor_msgs.msg import CompressedImage

    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise CodecError(f"OpenCV cannot write {rgb.shape} as JPEG")
    # The text that compressed_image_transport writes and reads.
    message = CompressedImage(header=header, format="rgb8; jpeg compressed bgr8")
    message.data = _bytes(data)
    return message


def _bytes(values: np.ndarray) -> array.array[int]:
    # Anything but an array.array is checked byte by byte on assignment: 300 ms at 1080p.
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(values).data.cast("B"))
    return data
