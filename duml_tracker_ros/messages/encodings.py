"""What the names of image encodings mean: those of ROS, and those that drivers use instead."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import CodecError
from .yuv import LAYOUTS


@dataclass(frozen=True)
class Encoding:
    """How the bytes of an image are to be read.

    Attributes:
        kind: `pixels`: numbers of any type; `bayer`: the same, a mosaic; `yuv`.
        order: channel order as the tracker names it.
        dtype: type of a number, without byte order.
        channels: numbers in a pixel.
        detail: pattern of a mosaic, layout in `yuv.LAYOUTS`.
    """

    kind: str
    order: str
    dtype: str = "u1"
    channels: int = 1
    detail: str = ""

    @property
    def native(self) -> bool:
        """True when the message's own bytes are what the tracker takes."""
        return self.kind == "pixels" and self.dtype == "u1"


_ORDERS = {"rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4, "mono": 1}
_OPENCV_ORDERS = {1: "mono", 3: "bgr", 4: "bgra"}
# Of GenICam, Video4Linux, GStreamer, Gazebo, DRM and others, after `_squeeze`; the number of bits
# is told beside them. Fourccs of DRM name the bytes of a pixel from the last to the first.
_COLOURS = {
    "rgb": "rgb", "r8g8b8": "rgb", "rgbpacked": "rgb", "rgb3": "rgb", "rgb24": "rgb",
    "bgr": "bgr", "b8g8r8": "bgr", "bgrpacked": "bgr", "bgr3": "bgr", "bgr24": "bgr",
    "rgba": "rgba", "rgbx": "rgba", "rgbapacked": "rgba", "abgr8888": "rgba", "xbgr8888": "rgba",
    "bgra": "bgra", "bgrx": "bgra", "bgr0": "bgra", "bgrapacked": "bgra", "argb8888": "bgra",
    "xrgb8888": "bgra",
    "mono": "mono", "gray": "mono", "grey": "mono", "y": "mono", "l": "mono", "lint": "mono",
    "luminance": "mono", "r": "mono",
}  # fmt: skip
_YUV = {
    "yuv422": "uyvy", "yuv422packed": "uyvy", "yuv4228uyvy": "uyvy", "uyvy422": "uyvy",
    "yuv422uyvy": "uyvy", "ycbcr4228cbycry": "uyvy", "2vuy": "uyvy",
    "yuv422yuy2": "yuyv", "yuv422yuyv": "yuyv", "yuy2": "yuyv", "yuyv422": "yuyv",
    "yuv4228": "yuyv", "ycbcr4228": "yuyv", "ycbcr422": "yuyv", "yuyv2rgb": "yuyv",
    "yvyu422": "yvyu", "yuv422yvyu": "yvyu", "yuv422vyuy": "vyuy",
    "yuvnv12": "nv12", "yuv420sp": "nv12", "yuv420nv12": "nv12", "nv12m": "nv12",
    "yuvnv21": "nv21", "yuv420nv21": "nv21", "nv21m": "nv21",
    "yuv422sp": "nv16", "yuv444sp": "nv24",
    "iyuv": "i420", "yu12": "i420", "yuv420": "i420", "yuv420p": "i420", "yuvi420": "i420",
    "yuvyv12": "yv12", "yvu420": "yv12",
    **{name: name for name in LAYOUTS},
}  # fmt: skip
_PATTERNS = {"rg": "rggb", "bg": "bggr", "gb": "gbrg", "gr": "grbg"}
_OPENCV = re.compile(r"(8|16|32|64)([usf])c(\d+)")
_BAYER = re.compile(r"(?:bayer)?(rggb|bggr|gbrg|grbg|rg|bg|gb|gr)(8|10|12|14|16)?(packed|p)?")
_COLOUR = re.compile(r"(.*?)(8|10|12|14|16)?(packed|le)?")
_NUMBERS = {"u": "u", "s": "i", "f": "f"}
_BITS = {"u": (8, 16, 32), "s": (8, 16, 32), "f": (16, 32, 64)}

READ = (
    "rgb8, bgr8, rgba8, bgra8, mono8, the same with 16, 8UC1 to 64FC4, bayer_rggb8 and others, "
    + ", ".join(LAYOUTS)
)


def find(encoding: str) -> Encoding:
    """Return the meaning of an encoding's name, in whatever case and spelling.

    Raises:
        CodecError: it is none of what is read; the text says what to do.
    """
    name = _squeeze(encoding)
    found = _opencv(name, encoding) or _yuv(name) or _bayer(name) or _colour(name)
    if found is None:
        raise CodecError(f"encoding {encoding!r} is not known; {_remedy(name)}")
    return found


def _squeeze(encoding: str) -> str:
    """The name alone: some drivers add what it was converted from behind a semicolon."""
    return re.sub(r"[\s_\-./:]+", "", encoding.partition(";")[0].casefold())


def _remedy(name: str) -> str:
    if re.search(r"1[024](packed|p)", name):
        return "numbers without gaps are not read: set the camera's pixel format to 8 or 16 bits"
    if name in ("jpeg", "jpg", "mjpeg", "mjpg", "png"):
        return "its data is a file: publish it as CompressedImage and set image_transport"
    if name in ("h264", "h265", "hevc"):
        return "its data is video: publish it with ffmpeg_image_transport and set image_transport"
    return f"set the camera's driver to one of: {READ}"


def _opencv(name: str, encoding: str) -> Encoding | None:
    match = _OPENCV.fullmatch(name)
    if match is None:
        return None
    bits, letter, channels = int(match[1]), match[2], int(match[3])
    order = _OPENCV_ORDERS.get(channels)
    if order is None or bits not in _BITS[letter]:
        raise CodecError(
            f"encoding {encoding!r} does not tell its colours; set the camera's driver to one of: "
            f"{READ}"
        )
    return Encoding("pixels", order, f"{_NUMBERS[letter]}{bits // 8}", channels)


def _yuv(name: str) -> Encoding | None:
    layout = _YUV.get(name)
    return Encoding("yuv", "bgr", detail=layout) if layout else None


def _bayer(name: str) -> Encoding | None:
    match = _BAYER.fullmatch(name)
    if match is None:
        return None
    pattern, bits = match[1], int(match[2] or 8)
    if match[3] and bits != 8:
        return None
    return Encoding("bayer", "bgr", "u1" if bits == 8 else "u2", 1, _PATTERNS.get(pattern, pattern))


def _colour(name: str) -> Encoding | None:
    order = _COLOURS.get(name)
    bits = 8
    if order is None:
        match = _COLOUR.fullmatch(name)
        assert match is not None
        # rgb888 tells the bits of each channel.
        base = re.sub(r"(8)\1*$", "", match[1])
        order = _COLOURS.get(match[1]) or _COLOURS.get(base)
        bits = int(match[2] or 8)
        if match[3] == "packed" and bits not in (8, 16):
            return None
    if order is None:
        return None
    return Encoding("pixels", order, "u1" if bits == 8 else "u2", _ORDERS[order])
