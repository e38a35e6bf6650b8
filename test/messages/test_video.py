"""H.264 and H.265: what was sent is shown, what was lost is told, and nothing is made up."""

import random
import threading

import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is not installed")

from generated_sequence import render
from test_bag import write_messages
from video_packets import encode, ffmpeg, foxglove, sequence_parameters

from duml_tracker_ros.messages.bag_images import BagImages
from duml_tracker_ros.messages.h264 import claimed_size
from duml_tracker_ros.messages.image_codec import CodecError
from duml_tracker_ros.messages.video import PacketReader, VideoDecoder, codec_of
from duml_tracker_ros.node.packets import PacketThread
from duml_tracker_ros.tracker import create_tracker
from duml_tracker_ros.tracker.geometry import overlap

IMAGES, BOXES = render(60)
ENCODERS = {"libx264": "h264", "libx265": "hevc"}


@pytest.fixture(scope="module", params=sorted(ENCODERS))
def coded(request):
    return ENCODERS[request.param], encode(IMAGES, request.param)


def difference(view, image):
    return np.abs(np.asarray(view.pixels).astype(int) - image).mean()


def lossy(packets, share=0.05, seed=4):
    """Packets that arrive, and the indices of those that do not."""
    rng = random.Random(seed)
    lost = {index for index, _, _ in packets if rng.random() < share}
    assert lost
    return [packet for packet in packets if packet[0] not in lost], lost


def test_every_image_comes_back_with_its_own_tag(coded):
    codec, packets = coded
    decoder = VideoDecoder(codec)
    shown = [pair for index, _, data in packets for pair in decoder.decode(data, index)]
    assert [tag for tag, _ in shown] == list(range(60))
    assert max(difference(view, IMAGES[tag]) for tag, view in shown) < 8
    assert (decoder.gaps, decoder.skipped) == (0, 0)


@pytest.mark.parametrize("make", [foxglove, ffmpeg])
def test_after_a_loss_nothing_is_shown_before_the_next_key_frame(coded, make):
    codec, packets = coded
    arrived, lost = lossy(packets, 0.1)
    reader, shown = PacketReader(), []
    for index, _, data in arrived:
        shown += reader.read(make(data, codec, index=index), index)
    keys = {index for index, key, _ in packets if key} - lost
    expected, whole = [], False
    for index in range(60):
        whole = index in keys or (whole and index not in lost)
        if whole:
            expected.append(index)
    assert [tag for tag, _ in shown] == expected
    assert max(difference(view, IMAGES[tag]) for tag, view in shown) < 8
    assert len(shown) + reader.skipped == len(arrived)
    assert reader.gaps >= 2


def test_target_is_kept_though_a_twentieth_of_the_packets_is_lost(coded):
    codec, packets = coded
    arrived, _ = lossy(packets[:1] + packets[1:])
    if arrived[0][0]:
        arrived.insert(0, packets[0])
    reader, tracker, overlaps = PacketReader(), create_tracker("duml", device="cpu"), []
    for index, _, data in arrived:
        for tag, view in reader.read(foxglove(data, codec), index):
            if tag == 0:
                tracker.init(view.pixels, tuple(BOXES[0]), view.order)
            else:
                result = tracker.update(view.pixels, view.order)
                overlaps.append(overlap(result.box, tuple(BOXES[tag])))
    assert reader.gaps
    assert len(overlaps) > 25
    assert np.mean(np.array(overlaps) > 0.5) > 0.95
    assert overlaps[-1] > 0.5


def test_images_that_are_put_in_order_by_the_decoder_keep_their_tags():
    packets = encode(IMAGES[:30], gop=15, b_frames=2, tune="psnr")
    assert [index for index, _, _ in packets] != sorted(index for index, _, _ in packets)
    decoder = VideoDecoder("h264")
    shown = [pair for index, _, data in packets for pair in decoder.decode(data, index)]
    tags = [tag for tag, _ in shown]
    assert tags == list(range(len(tags)))
    assert len(tags) >= 25
    assert decoder.gaps == 0
    assert max(difference(view, IMAGES[tag]) for tag, view in shown) < 8


def test_stream_that_is_joined_late_begins_with_a_key_frame(coded):
    codec, packets = coded
    reader = PacketReader()
    shown = [
        pair for index, _, data in packets[3:] for pair in reader.read(foxglove(data, codec), index)
    ]
    assert shown[0][0] == 10
    assert not reader.waiting
    assert reader.skipped == 7


def test_damaged_packets_are_gaps_and_no_errors(coded):
    codec, packets = coded
    rng, reader, shown = np.random.default_rng(0), PacketReader(), []
    for index, key, data in packets:
        if index % 10 == 5:
            data = rng.bytes(len(data))
        elif index % 10 == 8 and index < 30:
            data = data[: len(data) // 3]
        shown += reader.read(ffmpeg(data, codec, key), index)
    assert {tag for tag, _ in shown} >= {0, 4, 10, 14, 20, 24}
    with pytest.raises(CodecError, match="has no data"):
        reader.read(foxglove(b"", codec), 0)


def test_codec_may_change_in_mid_stream():
    reader = PacketReader()
    for encoder, codec in ENCODERS.items():
        packets = encode(IMAGES[:3], encoder)
        shown = [p for i, _, data in packets for p in reader.read(foxglove(data, codec), i)]
        assert len(shown) == 3
        assert reader.codec == codec


@pytest.mark.parametrize("pix_fmt", ["yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "gray"])
def test_formats_of_planes(pix_fmt):
    packets = encode(IMAGES[:2], pix_fmt=pix_fmt)
    decoder = VideoDecoder("h264")
    shown = [pair for index, _, data in packets for pair in decoder.decode(data, index)]
    assert len(shown) == 2
    if pix_fmt != "gray":
        assert difference(shown[1][1], IMAGES[1]) < 8


def test_names_of_codecs():
    assert {codec_of(n) for n in ("h264", "H264", "libx264", "h264_nvenc;yuv420p;bgr8", "avc")} == {
        "h264"
    }
    assert {codec_of(n) for n in ("h265", "hevc", "hevc_vaapi", "libx265")} == {"hevc"}
    with pytest.raises(CodecError, match=r"'vp9' is not read; set the encoder to h264 or h265"):
        codec_of("vp9")


def test_video_of_too_many_pixels_is_refused_before_it_is_decoded(coded):
    codec, packets = coded
    other = encode(render(4, size=(640, 480))[0], {h: e for e, h in ENCODERS.items()}[codec])
    decoder = VideoDecoder(codec, most=160 * 120)
    context, decoded = decoder._context, []

    class Watched:
        def __getattr__(self, name):
            if name == "decode":
                decoded.append(name)
            return getattr(context, name)

    decoder._context = Watched()
    shown = [pair for index, _, data in packets[:5] for pair in decoder.decode(data, index)]
    assert len(shown) == len(decoded) == 5
    with pytest.raises(CodecError, match=f"video of {codec} claims 640 x 480 pixels, and max_pix"):
        decoder.decode(other[0][2], 0)
    assert all(decoder.decode(data, index) == [] for index, _, data in other[1:])
    assert len(decoded) == 5
    # The next key frame of the right size goes on.
    shown = [tag for index, _, data in packets[5:20] for tag, _ in decoder.decode(data, index)]
    assert shown == list(range(10, 20))


def test_a_video_bomb_is_told_by_its_header():
    bomb = sequence_parameters(32000, 32000) + encode(IMAGES[:1])[0][2]
    assert claimed_size(bomb, "h264") == (32000, 32000)
    with pytest.raises(CodecError, match="claims 32000 x 32000 pixels, and max_pixels is 64000000"):
        VideoDecoder("h264").decode(bomb, 0)
    for cut in range(4, 16):
        assert claimed_size(bomb[:cut], "h264")[0] in (0, 32000)
    for codec in ENCODERS.values():
        assert claimed_size(b"\0\0\1" + b"\x67\x42\0\0" * 3 + bytes(2000), codec) == (0, 0)
        assert claimed_size(b"\0\0\1\x42" + b"\xff" * 2000, codec)[0] >= 0


def test_missing_pyav_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(CodecError, match="pip install av"):
        PacketReader().read(foxglove(b"\0\0\1"), 0)


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("ffmpeg_image_transport_msgs/msg/FFMPEGPacket", ffmpeg),
        ("foxglove_msgs/msg/CompressedVideo", foxglove),
    ],
)
def test_video_in_bags(tmp_path, kind, make):
    arrived, _ = lossy(encode(IMAGES))
    messages = [make(data, index=index) for index, _, data in arrived]
    write_messages(tmp_path / "bag", "/camera/video", kind, messages)
    with BagImages(tmp_path / "bag", "/camera/video") as images:
        found = list(images)
        assert images.total == len(arrived)
        assert "times some were missing" in images.problems[-1]
    assert len(found) > 25
    for image in found:
        assert image.header.frame_id == "camera"
        assert difference(image.view, IMAGES[image.header.stamp.sec - 100]) < 8


def test_decoder_that_falls_behind_gives_up_what_waits_and_says_so():
    packets = encode(IMAGES, gop=10)
    go, shown, told = threading.Event(), [], []
    held, done = threading.Event(), threading.Event()

    def accept(message, arrival, view):
        shown.append(message.pts)
        held.set()
        go.wait(60)
        if message.pts == 1059:
            done.set()

    thread = PacketThread(accept, told.append, told.append)
    try:
        thread.put(ffmpeg(packets[0][2], index=0), 0.0)
        assert held.wait(60)
        for index, _, data in packets[1:]:
            thread.put(ffmpeg(data, index=index), 0.0)
        # The first one holds the thread up; the others wait until they are too many.
        for index, _, data in packets[1:10]:
            thread.put(ffmpeg(data, index=100 + index), 0.0)
        for index, _, data in packets[10:]:
            thread.put(ffmpeg(data, index=1000 + index), 0.0)
        go.set()
        assert done.wait(60)
    finally:
        go.set()
        thread.close()
    assert any("falls behind" in text for text in told)
    # The one that held it up, and all from the key frame on: of those between nothing.
    assert shown == [0, *range(1010, 1060)]
