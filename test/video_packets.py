"""Video as encoders send it, made by PyAV: packets, and messages with the fields of ROS'."""

import array
import types
from fractions import Fraction

import numpy as np

ZERO_LATENCY = {"preset": "veryfast", "tune": "zerolatency"}
OPTIONS = {
    "libx264": ZERO_LATENCY,
    "libx265": {**ZERO_LATENCY, "x265-params": "repeat-headers=1:log-level=none"},
}


def encode(images, encoder="libx264", gop=10, b_frames=0, pix_fmt="yuv420p", **options):
    """Packets (index, key, bytes) in the order of coding, of BGR images uint8 [H, W, 3]."""
    import av

    context = av.CodecContext.create(encoder, "w")
    context.height, context.width = images[0].shape[:2]
    context.pix_fmt = pix_fmt
    context.time_base, context.framerate = Fraction(1, 30), Fraction(30)
    context.gop_size, context.max_b_frames = gop, b_frames
    context.options = {**OPTIONS[encoder], **options}
    packets = []
    for index, image in enumerate([*images, None]):
        frame = None
        if image is not None:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
            frame.pts = index
        packets += [(p.pts, bool(p.is_keyframe), bytes(p)) for p in context.encode(frame)]
    return packets


def sequence_parameters(width, height):
    """Sequence parameters of H.264 (baseline) that announce images of this size."""

    def number(value):
        digits = f"{value + 1:b}"
        return "0" * (len(digits) - 1) + digits

    # Ids and lengths, frame numbers, size in blocks, whole frames, 8x8, not cropped, no more.
    first = "".join(number(value) for value in (0, 0, 0, 0, 1)) + "0"
    bits = first + number(width // 16 - 1) + number(height // 16 - 1) + "1" + "1" + "0" + "0" + "1"
    bits += "0" * (-len(bits) % 8)
    return bytes((0, 0, 0, 1, 0x67, 66, 0, 30)) + int(bits, 2).to_bytes(len(bits) // 8, "big")


def foxglove(data, codec="h264", index=0):
    stamp = types.SimpleNamespace(sec=100 + index, nanosec=0)
    return types.SimpleNamespace(
        timestamp=stamp, frame_id="camera", data=array.array("B", data), format=codec
    )


def ffmpeg(data, encoding="h264", key=False, index=0):
    header = types.SimpleNamespace(
        stamp=types.SimpleNamespace(sec=100 + index, nanosec=0), frame_id="camera"
    )
    return types.SimpleNamespace(
        header=header, encoding=encoding, flags=int(key), pts=index, data=array.array("B", data)
    )
