"""Every encoding, byte order and padding is read as OpenCV would, and only where somebody looks."""

import array
import types

import cv2
import numpy as np
import pytest
from camera_formats import bayer, nv12, thermal, yuyv

from duml_tracker_ros.messages.encodings import find
from duml_tracker_ros.messages.image_codec import (
    CodecError,
    ImageReader,
    ImageView,
    read_compressed,
    read_image,
    to_rgb,
)
from duml_tracker_ros.messages.scaling import GRID, Curve, ScaledImage, Scaler, ScalingRule
from duml_tracker_ros.messages.yuv import BT601, BT601_FULL, BT709, LAYOUTS, YuvImage
from duml_tracker_ros.pixels import LazyImage
from duml_tracker_ros.scene import AerialScene, SceneSettings
from duml_tracker_ros.tracker import create_tracker
from duml_tracker_ros.tracker.frame.crop import crop_array, mean_colour
from duml_tracker_ros.tracker.geometry import Window, overlap
from duml_tracker_ros.tracker.motion.egomotion import view_of

WIDTH, HEIGHT = 48, 32
NUMBERS = {"16UC1": "u2", "mono16": "u2", "16SC1": "i2", "32FC1": "f4", "64FC1": "f8", "8SC1": "i1"}
COLOURS = {"rgb16": "rgb", "bgr16": "bgr", "rgba16": "rgba", "16UC3": "bgr", "32FC3": "bgr"}
BAYER = {
    "bayer_rggb8": cv2.COLOR_BayerBG2BGR,
    "bayer_bggr8": cv2.COLOR_BayerRG2BGR,
    "bayer_gbrg8": cv2.COLOR_BayerGR2BGR,
    "bayer_grbg8": cv2.COLOR_BayerGB2BGR,
}
ODD_NAMES = {
    "RGB8": "rgb8", "RGB888": "rgb8", "R8G8B8": "rgb8", "BGR": "bgr8", "XRGB8888": "bgra8",
    "Mono8": "mono8", "GREY": "mono8", "Y8": "mono8", "Y16 ": "mono16", "L16": "mono16",
    "BayerRG8": "bayer_rggb8", "bayerrg8": "bayer_rggb8", "BAYER_GBRG16": "bayer_gbrg16",
    "yuv422": "uyvy", "YUV422Packed": "uyvy", "UYVY": "uyvy",
    "yuyv": "yuv422_yuy2", "YUYV": "yuv422_yuy2", "YUY2": "yuv422_yuy2", "YCbCr422_8": "yuyv",
    "NV12": "nv12", "yuv_NV12": "nv12", "NV21": "nv21", "yuv420p": "i420", "YV12": "yv12",
}  # fmt: skip


def pad(rows, padding, last=True):
    """Rows uint8 [H, N] behind each other with padding, of the last one too or not."""
    wide = np.pad(rows, [(0, 0), (0, padding)], constant_values=77)
    data = wide.tobytes()
    return array.array("B", data if last or not padding else data[:-padding])


def image(encoding, rows, padding=0, width=WIDTH, height=HEIGHT, big=False, last=True):
    return types.SimpleNamespace(
        encoding=encoding,
        width=width,
        height=height,
        step=rows.shape[1] + padding,
        data=pad(rows, padding, last),
        is_bigendian=int(big),
    )


def as_bytes(values, big):
    """Numbers [H, ...] as the bytes of rows uint8 [H, N]."""
    kind = values.dtype.newbyteorder(">" if big else "<")
    return np.ascontiguousarray(values.astype(kind)).view(np.uint8).reshape(len(values), -1)


def numbers(kind, shape=(HEIGHT, WIDTH), seed=5):
    ramp = np.linspace(0.1, 0.9, shape[0])[:, None] + np.linspace(-0.1, 0.1, shape[1])
    ramp = ramp.reshape(*shape[:2], *(1 for _ in shape[2:])) * np.ones(shape)
    return (ramp * (100 if kind == "i1" else 9000) + 5).astype(kind)


def scene(height=HEIGHT, width=WIDTH, seed=5):
    """Smooth colours, as cameras see: chroma means little on noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (height // 4 + 2, width // 4 + 2, 3))
    return cv2.resize(noise.astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)


def planes_of(bgr):
    """Y, U and V of full size in the narrow range."""
    yuv = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
    height, width = bgr.shape[:2]
    y = yuv[:height]
    small = (width // 2, height // 2)
    u, v = yuv[height:].reshape(2, small[1], small[0])
    return y, u, v


def yuv_rows(name, bgr):
    """Rows of a message of each layout, and what they show by OpenCV's own conversions."""
    height, width = bgr.shape[:2]
    y, u, v = planes_of(bgr)
    layout = LAYOUTS[name]
    sy, sx = layout.sub
    u, v = (np.repeat(np.repeat(c, 2 // sy, 0), 2 // sx, 1) for c in (u, v))
    semi = cv2.cvtColorTwoPlane(
        np.ascontiguousarray(y), np.stack(planes_of(bgr)[1:], -1), cv2.COLOR_YUV2BGR_NV12
    )
    if layout.kind == "packed":
        letters = {"u": u, "v": v}
        ys = iter((y[:, ::2], y[:, 1::2]))
        parts = [next(ys) if letter == "y" else letters[letter] for letter in layout.planes]
        return np.stack(parts, -1).reshape(height, -1), semi
    one, two = (u, v) if layout.planes == "uv" else (v, u)
    if layout.kind == "semi":
        chroma = np.stack([one, two], -1).reshape(one.shape[0], -1)
    else:
        chroma = np.concatenate([one, two])
    return (y, chroma), semi


def check_parts(view, whole):
    """Any part of a lazy image is that part of the whole."""
    assert isinstance(view.pixels, LazyImage)
    np.testing.assert_array_equal(np.asarray(view.pixels), whole)
    height, width = whole.shape[:2]
    for top, bottom, left, right in (
        (0, 9, 0, 7),
        (5, 6, 3, 4),
        (7, 20, 11, 30),
        (1, height, 1, width),
    ):
        part = view.pixels[top:bottom, left:right]
        np.testing.assert_array_equal(part, whole[top:bottom, left:right])
    assert view.pixels[4:4, 2:9].shape == (0, 7, *whole.shape[2:])


@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", sorted(NUMBERS))
def test_numbers_in_either_byte_order_become_the_same_grey(encoding, padding, big):
    values = numbers(NUMBERS[encoding])
    view = read_image(image(encoding, as_bytes(values, big), padding, big=big, last=False))
    assert view.order == "mono"
    whole = np.asarray(view.pixels)
    low, high = np.percentile(values, (1, 99))
    expected = np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255
    np.testing.assert_allclose(whole, expected, atol=0.51)
    check_parts(view, whole)


@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", sorted(COLOURS))
def test_colours_of_more_than_8_bits_keep_their_order(encoding, padding, big):
    order = COLOURS[encoding]
    kind = "f4" if encoding.startswith("32F") else "u2"
    values = numbers(kind, (HEIGHT, WIDTH, len(order)))
    for at, channel in enumerate(order):
        values[..., at] *= {"r": 3, "g": 2, "b": 1, "a": 2}[channel]
    view = read_image(image(encoding, as_bytes(values, big), padding, big=big))
    assert view.order == order
    rgb = to_rgb(view).reshape(-1, 3).mean(0)
    assert rgb[0] > rgb[1] > rgb[2]
    check_parts(view, np.asarray(view.pixels))


@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("encoding", sorted(BAYER))
def test_bayer_is_what_opencv_makes_of_it(encoding, bits, padding, big):
    mosaic = scene()[..., 1]
    rows = mosaic if bits == 8 else as_bytes(mosaic.astype(np.uint16) * 16, big)
    name = encoding.replace("8", str(bits))
    view = read_image(image(name, rows, padding, big=big))
    expected = cv2.cvtColor(mosaic, BAYER[encoding])
    if bits == 8:
        np.testing.assert_array_equal(np.asarray(view.pixels), expected)
    check_parts(view, np.asarray(view.pixels))
    # Coarse as it is, a mean of some pixels is that of all.
    assert view.order == "bgr"
    whole = np.asarray(view.pixels)
    np.testing.assert_allclose(view.pixels[::3, ::3].mean((0, 1)), whole.mean((0, 1)), atol=12)


def test_bayer_patterns_name_the_first_pixel():
    mosaic = np.zeros((8, 8), np.uint8)
    mosaic[::2, ::2] = 200
    view = read_image(image("bayer_rggb8", mosaic, width=8, height=8))
    assert view.pixels[2:6, 2:6].mean((0, 1)).tolist() == [0, 0, pytest.approx(200, abs=1)]
    assert view.pixels[::2, ::2][..., 2].min() == 200


@pytest.mark.parametrize("padding", [0, 8])
@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_yuv_is_what_opencv_makes_of_it(name, padding):
    rows, expected = yuv_rows(name, scene())
    if isinstance(rows, tuple):
        y, chroma = rows
        message = image(name, y, padding)
        c_padding = (message.step * chroma.shape[1] // WIDTH) - chroma.shape[1]
        message.data += pad(chroma, c_padding)
    else:
        message = image(name, rows, padding)
    view = read_image(message)
    assert (view.width, view.height, view.order) == (WIDTH, HEIGHT, "bgr")
    difference = np.asarray(view.pixels).astype(int) - expected
    assert np.abs(difference).max() <= 2
    check_parts(view, np.asarray(view.pixels))
    np.testing.assert_array_equal(view.pixels[::3, 1::5], np.asarray(view.pixels)[::3, 1::5])


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_yuv_of_odd_size(name):
    width, height = 21, 15
    layout = LAYOUTS[name]
    sy, sx = layout.sub
    rows, columns = -(-height // sy), -(-width // sx)
    rng = np.random.default_rng(2)
    if layout.kind == "packed":
        message = image(name, rng.integers(0, 256, (height, 2 * width), np.uint8), 0, width, height)
    else:
        y = rng.integers(0, 256, (height, width + width % sx), np.uint8)
        message = image(name, y, 0, width, height)
        message.data += array.array("B", bytes(2 * rows * columns))
    view = read_image(message)
    assert np.asarray(view.pixels).shape == (height, width, 3)
    check_parts(view, np.asarray(view.pixels))


@pytest.mark.parametrize("wrong", [1.5, 2.0])
def test_nv12_whose_step_or_height_counts_all_planes(wrong):
    (y, chroma), expected = yuv_rows("nv12", scene(48, 48))
    message = image("nv12", np.concatenate([y, chroma]), width=48, height=72)
    if wrong == 2.0:
        message.height, message.step = 48, 96
    view = read_image(message)
    assert (view.width, view.height) == (48, 48)
    assert np.abs(np.asarray(view.pixels).astype(int) - expected).max() <= 2


def test_uyvy_whose_step_counts_pixels():
    rows, expected = yuv_rows("uyvy", scene())
    message = image("yuv422", rows)
    message.step = WIDTH
    assert np.abs(np.asarray(read_image(message).pixels).astype(int) - expected).max() <= 2


@pytest.mark.parametrize("name", [*sorted(LAYOUTS), "bayer_rggb8", "mono16", "32FC1", "rgb16"])
@pytest.mark.parametrize("change", ["short", "long", "step", "empty"])
def test_wrong_sizes_are_refused_with_the_numbers(name, change):
    channels = {"rgb16": 6, "mono16": 2, "32FC1": 4, "uyvy": 2, "vyuy": 2, "yuyv": 2, "yvyu": 2}
    rows = np.zeros((HEIGHT, WIDTH * channels.get(name, 1)), np.uint8)
    message = image(name, rows)
    message.data += array.array("B", bytes({"nv24": 2, "nv42": 2}.get(name, 0) * WIDTH * HEIGHT))
    if change == "short":
        message.data = message.data[: WIDTH * HEIGHT // 2]
    elif change == "long":
        message.data += array.array("B", bytes(9 * WIDTH * HEIGHT))
    elif change == "step":
        message.step = 3
    else:
        message.width = 0
    with pytest.raises(CodecError, match=r"bytes|empty") as refused:
        read_image(message)
    assert name in str(refused.value) or "empty" in str(refused.value)


@pytest.mark.parametrize("odd", sorted(ODD_NAMES))
def test_names_that_drivers_use(odd):
    assert find(odd) == find(ODD_NAMES[odd])


def test_matrices_of_colour():
    y, c = np.full((4, 4), 120, np.uint8), np.full((4, 4), 128, np.uint8)
    u, v = c - 20, c + 40
    grey = np.asarray(YuvImage(y, c, c, (1, 1), BT601_FULL))
    assert (grey == 120).all()
    one, two = (np.asarray(YuvImage(y, u, v, (1, 1), m))[0, 0].astype(int) for m in (BT601, BT709))
    assert one.tolist() != two.tolist()
    # Red stands out more in HDTV's, whose red weighs less.
    assert two[2] > one[2] > 180
    ten = np.asarray(
        YuvImage(y.astype("u2") * 4, c.astype("u2") * 4, c.astype("u2") * 4, (1, 1), shift=2)
    )
    assert (ten == np.asarray(YuvImage(y, c, c, (1, 1)))).all()


# -- thermal ------------------------------------------------------------------------------------


def grounds(seed=1, shape=(96, 128)):
    ground = 7000 + 300 * np.random.default_rng(seed).standard_normal((12, 16))
    return cv2.resize(ground, shape[::-1]).astype(np.uint16)


@pytest.mark.parametrize("mode", ["percentile", "clahe"])
def test_a_hot_object_that_comes_into_view_darkens_nothing_at_once(mode):
    cold = grounds()
    hot = cold.copy()
    hot[:24, :40] = 16000
    calm, hasty = (Scaler(ScalingRule(mode, seconds=s)) for s in (2.0, 0.0))
    seen = {}
    for scaler in (calm, hasty):
        curves = [scaler.curve(frame, k / 30) for k, frame in enumerate([cold] * 3 + [hot] * 2)]
        before, after = (
            np.asarray(ScaledImage(frame, curve)).astype(float)[30:]
            for frame, curve in ((cold, curves[2]), (hot, curves[3]))
        )
        seen[scaler] = np.abs(after - before).mean()
    assert seen[calm] < 6 < 20 < seen[hasty]
    # In the end the limits are where they belong.
    for k in range(1, 60):
        settled = calm.curve(hot, k / 2)
    np.testing.assert_allclose(settled.high, np.percentile(hot, 99), rtol=0.01)


def test_a_jump_of_all_values_is_followed_at_once():
    scaler = Scaler(ScalingRule(seconds=10.0))
    scaler.curve(grounds(), 0.0)
    moved = grounds() + 20000
    seen = np.asarray(ScaledImage(moved, scaler.curve(moved, 0.03)))
    assert seen.std() > 40
    assert 60 < seen.mean() < 200


def test_noise_alone_does_not_make_brightness_flicker():
    rng = np.random.default_rng(0)
    scaler, means = Scaler(), []
    for k in range(60):
        frame = grounds() + rng.integers(-40, 40, (96, 128)).astype(np.int16)
        means.append(np.asarray(ScaledImage(frame, scaler.curve(frame, k / 30))).mean())
    assert np.std(means) < 0.5


def test_clahe_shows_what_percentiles_hide():
    values = np.full((96, 128), 6000, np.uint16)
    values[:, 64:] = 14000
    values[20:40, 20:40] += 60
    contrast = {}
    for mode in ("percentile", "clahe"):
        curve = Scaler(ScalingRule(mode)).curve(values, 0.0)
        view = ImageView(ScaledImage(values, curve), "mono")
        whole = np.asarray(view.pixels).astype(int)
        contrast[mode] = whole[30, 30] - whole[30, 10]
        check_parts(view, np.asarray(view.pixels))
    assert contrast["clahe"] > 2 * contrast["percentile"]


def test_fixed_limits_and_white_cold():
    values = np.array([[0, 100, 200, 300] * 2] * 8, np.uint16)
    shown = [
        np.asarray(
            ScaledImage(values, Scaler(ScalingRule("fixed", black=b, white=w)).curve(values, 0.0))
        )
        for b, w in ((0.0, 200.0), (200.0, 0.0))
    ]
    assert shown[0][0, :4].tolist() == [0, 128, 255, 255]
    assert shown[1][0, :4].tolist() == [255, 128, 0, 0]
    with pytest.raises(ValueError, match="scaling_black and scaling_white are both 7"):
        ScalingRule("fixed", black=7.0, white=7.0)


def test_what_is_no_number_is_black_and_counts_for_nothing():
    values = numbers("f4")
    values[:8] = np.nan
    values[8:10] = np.inf
    view = read_image(image("32FC1", as_bytes(values, False)))
    whole = np.asarray(view.pixels)
    assert (whole[:8] == 0).all()
    assert (whole[8:10] == 255).all()
    assert whole[10:].std() > 30
    nothing = np.full((8, 8), np.nan, np.float32)
    shown = read_image(image("32FC1", as_bytes(nothing, False), width=8, height=8))
    assert (np.asarray(shown.pixels) == 0).all()


def test_png_of_16_bits_is_scaled_too():
    data = array.array("B", cv2.imencode(".png", grounds())[1].tobytes())
    view = read_compressed(types.SimpleNamespace(format="16UC1; png compressed", data=data))
    assert view.order == "mono"
    assert np.asarray(view.pixels).std() > 40


# -- what it costs ------------------------------------------------------------------------------


class Watched(LazyImage):
    """Counts the pixels that are converted."""

    def __init__(self, inner):
        super().__init__(inner.shape)
        self.inner, self.converted = inner, 0

    def dense(self, top, bottom, left, right):
        self.converted += (bottom - top) * (right - left)
        return self.inner.dense(top, bottom, left, right)

    def sparse(self, rows, columns):
        self.converted += len(rows) * len(columns)
        return self.inner.sparse(rows, columns)


@pytest.mark.parametrize("encoding", ["nv12", "yuv422_yuy2", "bayer_rggb8", "mono16"])
def test_of_a_4k_image_only_the_crop_is_converted(encoding):
    width, height = 3840, 2160
    share = {"nv12": 1.5, "bayer_rggb8": 1.0}.get(encoding, 2.0)
    step = width * (2 if share == 2.0 else 1)
    data = array.array("B", bytes(int(width * height * share)))
    message = types.SimpleNamespace(
        encoding=encoding, width=width, height=height, step=step, data=data, is_bigendian=0
    )
    view = ImageReader().read(message, 0.0)
    watched = Watched(view.pixels)
    crop_array(watched, Window(1900.0, 1000.0, 300.0, 193), (0.0, 0.0, 0.0), view.order)
    assert 300 * 300 <= watched.converted <= 304 * 304
    mean_colour(watched, view.order)
    assert watched.converted <= 304 * 304 + 70 * 70


def test_limits_of_a_large_image_are_taken_from_a_grid():
    class Values(np.ndarray):
        asked = 0

        def __getitem__(self, part):
            found = super().__getitem__(part)
            Values.asked = max(Values.asked, found.size)
            return found

    Scaler().curve(np.zeros((2160, 3840), np.uint16).view(Values), 0.0)
    assert 0 < Values.asked <= (2 * GRID) ** 2


def test_curve_of_large_numbers_keeps_small_differences():
    values = 1e9 + np.arange(64, dtype=np.float64).reshape(8, 8)
    steps = Curve(1e9, 1e9 + 63).steps(values, 64)
    np.testing.assert_allclose(steps.ravel(), np.arange(64), atol=1e-3)


def test_of_a_4k_image_the_camera_s_motion_is_seen_in_few_pixels():
    data = array.array("B", np.random.default_rng(0).bytes(3840 * 3240))
    message = types.SimpleNamespace(
        encoding="nv12", width=3840, height=2160, step=3840, data=data, is_bigendian=0
    )
    watched = Watched(read_image(message).pixels)
    assert view_of(watched, "bgr").grey.shape == (90, 160)
    assert watched.converted <= 4 * 90 * 160


@pytest.fixture(scope="module")
def filmed():
    film = AerialScene(4, 320, 240, 10, SceneSettings(target_size=30.0, bridges=(), trees=()))
    return [film.render(index) for index in range(10)]


@pytest.mark.parametrize(
    ("encoding", "make"),
    [("nv12", nv12), ("yuyv", yuyv), ("bayer_rggb8", bayer), ("mono16", thermal)],
)
def test_tracker_follows_its_target_in_what_cameras_send(filmed, encoding, make):
    tracker, reader = create_tracker("duml", device="cpu"), ImageReader()
    for index, frame in enumerate(filmed):
        rows = make(frame.image[..., ::-1])
        message = image(encoding, rows, width=320, height=240, big=encoding == "mono16")
        view = reader.read(message, index / 30)
        if index == 0:
            tracker.init(view.pixels, frame.box, view.order)
        else:
            result = tracker.update(view.pixels, view.order)
            assert result.state != "lost"
            assert overlap(result.box, frame.box) > 0.5
