"""H.264 and H.265 packets to images, by the library PyAV.

After a packet is lost nothing is shown until the next key frame: what a decoder makes up in
between looks like the target, and is not. Planes of the decoded image are looked at as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..media.claims import bounded, most_pixels
from .errors import CodecError
from .h264 import FrameNumbers, claimed_size, is_key
from .image_codec import ImageView
from .yuv import BT601, BT601_FULL, BT709, BT709_FULL, YuvImage

# Rows and columns that share a chroma sample, by PyAV's names of formats.
SUBSAMPLING = {"yuv420p": (2, 2), "yuv422p": (1, 2), "yuv444p": (1, 1)}
BITS = {"": 0, "10le": 2, "12le": 4}
# Images that a decoder may hold back to put them in order.
MOST_PENDING = 32
FULL_RANGE, HDTV = 2, 1
BLOCK = 16
# In the flags of an FFMPEGPacket.
KEY_FLAG = 1


def codec_of(name: str) -> str:
    """`h264` or `hevc`, by what encoders and messages call it.

    Raises:
        CodecError: it is another one.
    """
    # Newer messages tell pixel formats behind it.
    known = name.partition(";")[0].strip().casefold()
    if "264" in known or known == "avc":
        return "h264"
    if "265" in known or "hevc" in known:
        return "hevc"
    raise CodecError(f"video of {name!r} is not read; set the encoder to h264 or h265")


def is_video(name: str) -> bool:
    """True when `codec_of` knows it."""
    try:
        return bool(codec_of(name))
    except CodecError:
        return False


class VideoDecoder:
    """Decodes the packets of one stream in their order.

    Attributes:
        gaps: how often packets were missing or damaged.
        skipped: packets that were not shown because of that.

    Args:
        codec: of `codec_of`.
        most: pixels that an image may have; None for the limit of this process.

    Raises:
        CodecError: PyAV is missing.
    """

    def __init__(self, codec: str, most: int | None = None) -> None:
        try:
            import av
        except ImportError:
            raise CodecError(
                "H.264 and H.265 are read by the library PyAV, which is not installed: "
                "pip install av"
            ) from None
        av.logging.set_level(av.logging.PANIC)
        self._av = av
        self.codec = codec
        self.gaps = self.skipped = 0
        self._context: Any = av.CodecContext.create(codec, "r")
        # Threads over frames would hold back as many images.
        self._context.thread_count = 1
        self._most = most_pixels() if most is None else most
        self._context.options = bounded(self._most)
        self._waiting = True
        self._numbers = FrameNumbers()
        self._index = 0
        self._pending: dict[int, Any] = {}
        self._usual = MOST_PENDING

    @property
    def waiting(self) -> bool:
        """True while nothing can be shown before the next key frame."""
        return self._waiting

    def lose(self) -> None:
        """What comes next does not follow what came last."""
        if not self._waiting:
            self.gaps += 1
        self._waiting = True
        self._pending.clear()

    def decode(self, data: bytes, tag: Any, key: bool = False) -> list[tuple[Any, ImageView]]:
        """Images that a packet completes, with the tags of their packets.

        Args:
            data: one image, in Annex B format.
            tag: anything that belongs to it, its header say.
            key: the message says that it is a key frame.

        Raises:
            CodecError: images of more pixels are announced; nothing of them is decoded.
        """
        width, height = claimed_size(data, self.codec)
        # Codecs code whole blocks; what is shown may be a little smaller.
        if width and (width - BLOCK + 1) * (height - BLOCK + 1) > self._most:
            self.lose()
            raise CodecError(
                f"video of {self.codec} claims {width} x {height} pixels, and max_pixels is "
                f"{self._most}: raise it if the images are really that large"
            )
        key = key or is_key(data, self.codec)
        if self.codec == "h264" and not self._numbers.follows(data) and not key:
            self.lose()
        if self._waiting and not key:
            self.skipped += 1
            return []
        if self._waiting:
            self._context.flush_buffers()
            self._waiting, self._usual = False, MOST_PENDING
        self._index += 1
        self._pending[self._index] = tag
        packet = self._av.Packet(data)
        packet.pts = packet.dts = self._index
        try:
            frames = self._context.decode(packet)
        except self._av.error.FFmpegError:
            frames = []
            self.lose()
            self.skipped += 1
            return []
        if any(frame.width * frame.height > self._most for frame in frames):
            self.lose()
            raise CodecError(
                f"video of {self.codec} has more pixels than max_pixels, {self._most}: raise it "
                "if the images are really that large"
            )
        held = len(self._pending)
        if not frames and held >= self._usual:
            # It lacks something that this image refers to.
            self.lose()
            self.skipped += 1
            return []
        if frames:
            self._usual = held if self._usual == MOST_PENDING else max(self._usual, held)
        found = [(self._pending.pop(f.pts, None), f) for f in frames]
        return [
            (tag, view(frame)) for tag, frame in found if tag is not None and not frame.is_corrupt
        ]


def view(frame: Any) -> ImageView:
    """A PyAV frame as it is, or copied where its format is a rare one."""
    name = frame.format.name.replace("yuvj", "yuv")
    base = next((known for known in SUBSAMPLING if name.startswith(known)), "")
    bits = BITS.get(name.removeprefix(base)) if base else None
    if bits is None:
        return ImageView(frame.to_ndarray(format="bgr24"), "bgr")
    sy, sx = SUBSAMPLING[base]
    height, width = frame.height, frame.width
    sizes = (height, width), *[(-(-height // sy), -(-width // sx))] * 2
    kind = np.dtype("<u2" if bits else "u1")
    y, u, v = (
        np.ndarray(size, kind, memoryview(plane), strides=(plane.line_size, kind.itemsize))
        for plane, size in zip(frame.planes, sizes, strict=True)
    )
    full = frame.color_range == FULL_RANGE or frame.format.name.startswith("yuvj")
    modern = frame.colorspace == HDTV
    matrix = (BT709_FULL if full else BT709) if modern else (BT601_FULL if full else BT601)
    return ImageView(YuvImage(y, u, v, (sy, sx), matrix, bits), "bgr")


class PacketReader:
    """Reads the video messages of one topic, whatever codec they change to.

    Those are ffmpeg_image_transport_msgs/FFMPEGPacket and foxglove_msgs/CompressedVideo, and what
    drivers send as sensor_msgs/CompressedImage with such a format; taken by their fields.

    Args:
        most: pixels that an image may have; None for the limit of this process.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._decoder: VideoDecoder | None = None
        self._earlier = [0, 0]

    @property
    def gaps(self) -> int:
        """How often packets were missing or damaged."""
        return self._earlier[0] + (self._decoder.gaps if self._decoder else 0)

    @property
    def skipped(self) -> int:
        """Packets that were not shown because of that, and those before the first key frame."""
        return self._earlier[1] + (self._decoder.skipped if self._decoder else 0)

    @property
    def codec(self) -> str:
        """What is decoded; empty before the first packet."""
        return self._decoder.codec if self._decoder else ""

    @property
    def waiting(self) -> bool:
        """True when packets come, but no key frame."""
        return self._decoder is not None and self._decoder.waiting

    def lose(self) -> None:
        """What comes next does not follow what came last."""
        if self._decoder is not None:
            self._decoder.lose()

    def read(self, message: Any, tag: Any) -> list[tuple[Any, ImageView]]:
        """Images that a message completes, each with the tag of its own message.

        Raises:
            CodecError: another codec, no data, too many pixels, or PyAV is missing.
        """
        named = hasattr(message, "format")
        codec = codec_of(message.format if named else message.encoding)
        if not len(message.data):
            raise CodecError(f"packet of {codec} has no data")
        if codec != self.codec:
            decoder = VideoDecoder(codec, self._most)
            self._earlier = [self.gaps, self.skipped]
            self._decoder = decoder
        assert self._decoder is not None
        key = not named and bool(message.flags & KEY_FLAG)
        return self._decoder.decode(bytes(message.data), tag, key)
