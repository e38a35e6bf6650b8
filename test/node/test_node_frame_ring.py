"""The ring of recent frames and the sliding statistics."""

import math

import numpy as np

from duml_tracker_ros.messages.image_codec import ImageView
from duml_tracker_ros.node import memory
from duml_tracker_ros.node.frame_ring import CameraFrame, FrameRing
from duml_tracker_ros.node.statistics import RecentValues, Statistics


def frame(seq, arrival=None, nbytes=100, stamp_ns=None):
    return CameraFrame(
        seq=seq,
        stamp_ns=seq * 1000 if stamp_ns is None else stamp_ns,
        source="camera",
        arrival=seq / 30 if arrival is None else arrival,
        nbytes=nbytes,
        header=None,
        decode=lambda: ImageView(np.zeros((2, 2), np.uint8), "mono"),
    )


def test_ring_is_bounded_in_bytes_and_keeps_the_newest():
    ring = FrameRing(max_seconds=100.0, max_bytes=350)
    for seq in range(1, 11):
        ring.append(frame(seq))
        assert ring.nbytes <= 350
    assert [kept.seq for kept in ring.after(0)] == [8, 9, 10]
    ring.append(frame(11, nbytes=5000))
    assert [kept.seq for kept in ring.after(0)] == [11]
    assert ring.nbytes == 5000


def test_ring_is_bounded_in_time():
    ring = FrameRing(max_seconds=1.0, max_bytes=10**9)
    for seq in range(1, 61):
        ring.append(frame(seq))
    assert len(ring) == 31
    ring.append(frame(61, arrival=100.0))
    assert len(ring) == 1


def test_ring_says_when_its_memory_is_too_small_for_its_time():
    ring = FrameRing(max_seconds=2.0, max_bytes=1000)
    for seq in range(1, 61):
        ring.append(frame(seq))
    assert len(ring) == 10
    assert ring.shortage() == (
        "ring_bytes = 1000 holds 0.3 s of these images, ring_seconds = 2 takes about 6000"
    )
    enough = FrameRing(max_seconds=2.0, max_bytes=7000)
    for seq in range(1, 121):
        enough.append(frame(seq))
    assert enough.shortage() == ""
    assert round(enough.seconds, 2) == 2.0


def test_default_memory_is_a_share_of_what_is_free(tmp_path, monkeypatch):
    assert memory.available_memory() > 0
    (tmp_path / "memory.max").write_text("900000000")
    (tmp_path / "memory.current").write_text("100000000")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert 0 < memory.available_memory() <= 800_000_000
    (tmp_path / "memory.max").write_text("max")
    assert memory.available_memory() > 0


def test_frames_are_found_by_their_exact_stamp():
    ring = FrameRing(10.0, 10**6)
    assert ring.newest() is None
    assert ring.span_ns() is None
    # A bag that loops: stamps repeat, numbers do not.
    for seq, stamp in enumerate([500, 600, 700, 500, 600], start=1):
        ring.append(frame(seq, stamp_ns=stamp))
    assert ring.find(600).seq == 5
    assert ring.find(700).seq == 3
    assert ring.find(601) is None
    assert ring.newest().seq == 5
    assert [kept.seq for kept in ring.after(3)] == [4, 5]
    assert ring.span_ns() == (500, 600)
    ring.clear()
    assert len(ring) == 0
    assert ring.nbytes == 0


def test_window_forgets_what_is_old():
    window = RecentValues(seconds=2.0)
    assert math.isnan(window.percentile(50, now=0.0))
    assert window.rate(now=0.0) == 0.0
    assert window.age(now=0.0) == math.inf
    for index in range(100):
        window.add(float(index), now=index * 0.1)
    assert window.total == 100
    assert abs(window.rate(now=9.9) - 10.0) < 1e-6
    assert window.percentile(0, now=9.9) == 79.0
    assert window.percentile(50, now=9.9) == 89.0
    assert window.percentile(95, now=9.9) == 98.0
    assert window.rate(now=60.0) == 0.0


def test_missing_images_are_estimated_from_the_stamps():
    whole, thinned = Statistics(), Statistics()
    for index in range(150):
        stamp, arrival = 10**12 + index * 33_333_333, index / 30
        whole.add_image(stamp, arrival)
        if index % 10 in (0, 1):
            thinned.add_image(stamp, arrival)
    assert whole.missing_share(now=5.0) < 0.01
    assert abs(thinned.missing_share(now=5.0) - 0.8) < 0.05
    # Repeated stamps and a bag that starts over are no lost images.
    looped = Statistics()
    for index in range(150):
        looped.add_image(10**12 + index % 15 * 33_333_333, index / 30)
    assert looped.missing_share(now=5.0) < 0.01
    assert Statistics().missing_share() == 0.0
