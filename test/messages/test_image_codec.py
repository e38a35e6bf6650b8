"""Image messages to numpy and back: zero copy where promised, a clear refusal where not."""

import array
import tracemalloc
import types

import cv2
import numpy as np
import pytest

from duml_tracker_ros.messages.image_codec import (
    CodecError,
    read_compressed,
    read_image,
    to_rgb,
    write_image,
)

# encoding -> (channels, channel order): what is read without any conversion
NATIVE = {
    "rgb8": (3, "rgb"),
    "bgr8": (3, "bgr"),
    "rgba8": (4, "rgba"),
    "bgra8": (4, "bgra"),
    "mono8": (1, "mono"),
    "8UC1": (1, "mono"),
    "8UC3": (3, "bgr"),
    "8UC4": (4, "bgra"),
    "BGR8": (3, "bgr"),
}


def message(encoding, width, height, padding=0, data=None):
    channels = NATIVE.get(encoding, (1, ""))[0]
    step = width * channels + padding
    if data is None:
        pixels = np.random.default_rng(3).integers(0, 255, step * height, np.uint8)
        data = array.array("B", pixels.tobytes())
    return types.SimpleNamespace(
        encoding=encoding, width=width, height=height, step=step, data=data, is_bigendian=0
    )


@pytest.mark.parametrize("encoding", sorted(NATIVE))
@pytest.mark.parametrize("padding", [0, 5])
def test_view_shares_the_bytes_of_the_message(encoding, padding):
    image = message(encoding, 7, 4, padding)
    view = read_image(image)
    channels, order = NATIVE[encoding]
    assert view.order == order
    assert (view.width, view.height) == (7, 4)
    expected = np.array(image.data).reshape(4, -1)[:, : 7 * channels]
    np.testing.assert_array_equal(view.pixels.reshape(4, -1), expected)
    image.data[image.step * 2 + channels] ^= 0xFF
    assert view.pixels[2, 1].flat[0] == image.data[image.step * 2 + channels]


def test_view_of_a_large_image_allocates_nothing_of_its_size():
    image = message("bgr8", 1920, 1080)
    read_image(image)
    tracemalloc.start()
    views = [read_image(image) for _ in range(10)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(views) == 10
    assert peak < 100_000


def test_padding_of_the_last_row_may_be_missing():
    image = message("rgb8", 5, 3, padding=2)
    image.data = image.data[:-2]
    assert read_image(image).pixels.shape == (3, 5, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 0}, "empty"),
        ({"height": 0}, "empty"),
        ({"step": 10}, "step is 10"),
        ({"step": 0}, "step is 0"),
        ({"height": 400}, "truncated"),
        ({"height": 2}, "size fields are wrong"),
        ({"data": array.array("B")}, "data is 0 bytes"),
        ({"data": array.array("B", bytes(20))}, "data is 20 bytes"),
        ({"encoding": ""}, "encoding '' is not known; set the camera's driver to one of: rgb8"),
        ({"encoding": "8UC2"}, r"does not tell its colours.*rgb8"),
        ({"encoding": "Mono12Packed"}, r"'Mono12Packed'.*without gaps.*8 or 16 bits"),
        ({"encoding": "jpeg"}, r"CompressedImage.*image_transport"),
    ],
)
def test_unusable_messages_are_refused_with_the_reason(change, words):
    image = message("rgb8", 8, 6)
    for name, value in change.items():
        setattr(image, name, value)
    with pytest.raises(CodecError, match=words):
        read_image(image)


def test_compressed_image_is_decoded_and_rubbish_refused():
    pixels = np.zeros((24, 32, 3), np.uint8)
    pixels[4:12, 8:20] = (10, 200, 90)
    data = array.array("B", cv2.imencode(".png", pixels)[1].tobytes())
    view = read_compressed(types.SimpleNamespace(format="bgr8; png compressed bgr8", data=data))
    assert view.order == "bgr"
    np.testing.assert_array_equal(view.pixels, pixels)
    for bad in (b"", b"no image at all", bytes(data)[:40]):
        with pytest.raises(CodecError, match="bytes"):
            read_compressed(types.SimpleNamespace(format="png", data=array.array("B", bad)))
    with pytest.raises(CodecError, match="depth"):
        read_compressed(types.SimpleNamespace(format="16UC1; compressedDepth", data=data))


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "mono8"])
def test_written_image_reads_back(encoding):
    pytest.importorskip("sensor_msgs")
    from std_msgs.msg import Header

    channels = NATIVE[encoding][0]
    shape = (6, 9) if channels == 1 else (6, 9, channels)
    pixels = np.random.default_rng(1).integers(0, 255, shape, np.uint8)
    image = write_image(pixels[:, ::-1], encoding, Header(frame_id="camera"))
    assert image.header.frame_id == "camera"
    assert isinstance(image.data, array.array)
    np.testing.assert_array_equal(read_image(image).pixels, pixels[:, ::-1])
    with pytest.raises(CodecError, match="float64"):
        write_image(pixels.astype(float), encoding, Header())


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8"])
def test_rgb_copy_has_the_right_channel_order(encoding):
    channels, order = NATIVE[encoding]
    colour = {"r": 250, "g": 130, "b": 10, "a": 255}
    data = array.array("B", bytes(colour[channel] for channel in order) * 12)
    rgb = to_rgb(read_image(message(encoding, 4, 3, data=data)))
    assert rgb.shape == (3, 4, 3)
    assert (rgb == (250, 130, 10)).all()
    assert len(data) == 12 * channels
