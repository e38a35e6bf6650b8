"""ROS image messages to numpy and back.

The common encodings become a view of the message's own bytes; nothing is copied. Messages are
taken by their fields, so that nothing of ROS is imported before an image has to be written.
"""

from __future__ import annotations

import array
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

# encoding -> (channels, channel order as the tracker names it)
NATIVE_ENCODINGS: dict[str, tuple[int, str]] = {
    "rgb8": (3, "rgb"),
    "bgr8": (3, "bgr"),
    "rgba8": (4, "rgba"),
    "bgra8": (4, "bgra"),
    "mono8": (1, "mono"),
    "8UC1": (1, "mono"),
    "8UC3": (3, "bgr"),
    "8UC4": (4, "bgra"),
}
FLOATS = "32FC1"


class ImageError(ValueError):
    """A message is no image that can be used; the text names the field and the value."""


@dataclass(frozen=True)
class ImageView:
    """Pixels uint8 [H, W, C], or [H, W] for mono, with their channel order."""

    pixels: np.ndarray
    order: str

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])


def is_native(encoding: str) -> bool:
    """True when `encoding` is read without a copy and without cv_bridge."""
    return encoding in NATIVE_ENCODINGS


def view_image(message: Any) -> ImageView:
    """View of a sensor_msgs/Image in one of `NATIVE_ENCODINGS`; rows may be padded.

    Raises:
        ImageError: unknown encoding, or size, step and data do not fit together.
    """
    if message.encoding not in NATIVE_ENCODINGS:
        raise ImageError(
            f"encoding {message.encoding!r} is not read directly; these are: "
            f"{', '.join(NATIVE_ENCODINGS)}"
        )
    channels, order = NATIVE_ENCODINGS[message.encoding]
    width, height, step = int(message.width), int(message.height), int(message.step)
    if width <= 0 or height <= 0:
        raise ImageError(f"image of {width}x{height} pixels is empty")
    if step < width * channels:
        raise ImageError(
            f"step is {step} bytes, but a row of {width} pixels of {message.encoding} "
            f"takes {width * channels}"
        )
    size = len(message.data)
    # The padding of the last row may be missing, as some drivers leave it out.
    least, most = step * (height - 1) + width * channels, step * height
    if not least <= size <= most:
        raise ImageError(
            f"data is {size} bytes, but {width}x{height} {message.encoding} with step {step} "
            f"takes {most}: the message is truncated or its size fields are wrong"
        )
    shape = (height, width) if channels == 1 else (height, width, channels)
    strides = (step, 1) if channels == 1 else (step, channels, 1)
    return ImageView(np.ndarray(shape, np.uint8, memoryview(message.data), strides=strides), order)


def _bridge(encoding: str) -> Any:
    """cv_bridge, which not every machine has. Raises ImageError without it."""
    try:
        from cv_bridge import CvBridge

        return CvBridge()
    except (ImportError, AttributeError) as error:
        # A cv_bridge built for NumPy 1 fails with AttributeError under NumPy 2.
        raise ImageError(
            f"encoding {encoding!r} needs the package cv_bridge, which cannot be used "
            f"here ({error}); install it or publish one of {', '.join(NATIVE_ENCODINGS)}"
        ) from error


def convert_image(message: Any) -> ImageView:
    """Image of any other encoding, converted (and copied) by cv_bridge where it is installed.

    Raises:
        ImageError: cv_bridge is missing, broken, or cannot convert the message.
    """
    bridge = _bridge(message.encoding)
    try:
        pixels = bridge.imgmsg_to_cv2(message, desired_encoding="bgr8")
    except Exception as error:
        raise ImageError(f"cv_bridge cannot convert {message.encoding!r}: {error}") from error
    return ImageView(np.ascontiguousarray(pixels), "bgr")


def read_image(message: Any) -> ImageView:
    """View of a sensor_msgs/Image, or a converted copy for encodings that need cv_bridge.

    Raises:
        ImageError: the message cannot be used.
    """
    return view_image(message) if is_native(message.encoding) else convert_image(message)


def check_image(message: Any) -> None:
    """What can be told of a sensor_msgs/Image in microseconds; the rest `read_image` tells.

    Raises:
        ImageError: the message cannot be used.
    """
    if is_native(message.encoding):
        view_image(message)
    else:
        _bridge(message.encoding)


def read_compressed(message: Any) -> ImageView:
    """Decoded sensor_msgs/CompressedImage (JPEG, PNG and what else OpenCV reads), order bgr.

    Raises:
        ImageError: the bytes are no image.
    """
    import cv2

    if "compressedDepth" in message.format:
        raise ImageError(f"format {message.format!r} is depth, not a camera image")
    data = np.frombuffer(message.data, np.uint8)
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error as error:
        raise ImageError(f"{data.size} bytes of {message.format!r}: {error}") from error
    if pixels is None:
        raise ImageError(f"{data.size} bytes of format {message.format!r} are no readable image")
    return ImageView(pixels, "bgr")


def to_rgb(view: ImageView) -> np.ndarray:
    """RGB copy uint8 [H, W, 3] of an image of any order."""
    import cv2

    codes = {
        "bgr": cv2.COLOR_BGR2RGB,
        "rgba": cv2.COLOR_RGBA2RGB,
        "bgra": cv2.COLOR_BGRA2RGB,
        "mono": cv2.COLOR_GRAY2RGB,
    }
    if view.order == "rgb":
        return view.pixels.copy()
    return np.asarray(cv2.cvtColor(view.pixels, codes[view.order]))


def write_image(pixels: np.ndarray, encoding: str, header: Any) -> Any:
    """sensor_msgs/Image with a copy of `pixels` and `header`.

    Args:
        pixels: uint8 [H, W] or [H, W, C]; float32 [H, W] for 32FC1.

    Raises:
        ImageError: pixels do not fit the encoding.
    """
    from sensor_msgs.msg import Image

    channels, kind = (
        (1, np.float32) if encoding == FLOATS else (NATIVE_ENCODINGS[encoding][0], np.uint8)
    )
    shape = (*pixels.shape, 1) if pixels.ndim == 2 else pixels.shape
    if pixels.dtype != kind or len(shape) != 3 or shape[2] != channels:
        raise ImageError(f"{pixels.dtype} {pixels.shape} is no {encoding} image")
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
        raise ImageError(f"OpenCV cannot write {rgb.shape} as JPEG")
    # The text that compressed_image_transport writes and reads.
    message = CompressedImage(header=header, format="rgb8; jpeg compressed bgr8")
    message.data = _bytes(data)
    return message


def _bytes(values: np.ndarray) -> array.array[int]:
    # Anything but an array.array is checked byte by byte on assignment: 300 ms at 1080p.
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(values).data.cast("B"))
    return data
