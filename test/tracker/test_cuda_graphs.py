"""DuML as recorded graphs: the same track, and no need of the host between start and end."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from generated_sequence import render
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from duml_tracker_ros.tracker import TrackState, create_tracker, factory
from duml_tracker_ros.tracker.compute.device import has_fast_bf16
from duml_tracker_ros.tracker.cuda_graphs.device_crop import crop_on_device, patch_under
from duml_tracker_ros.tracker.cuda_graphs.staging import UploadBuffer
from duml_tracker_ros.tracker.errors import ConfigError
from duml_tracker_ros.tracker.frame.colour import chroma, chroma_on_device
from duml_tracker_ros.tracker.frame.crop import crop_array
from duml_tracker_ros.tracker.geometry import Window
from duml_tracker_ros.tracker.systems.cuda_graph_duml import CudaGraphDuml

CPU = torch.device("cpu")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def recorded_tracker(**overrides) -> CudaGraphDuml:
    """The recorded tracker on a CPU, where each replay is a call."""
    config, net, checkpoint = factory.load_network("duml", "default", "compact", overrides)
    net.deploy(CPU, has_fast_bf16(CPU))
    return CudaGraphDuml(config, net, CPU, checkpoint)


def photo(height: int = 240, width: int = 320, channels: int = 3) -> np.ndarray:
    """Smooth patterns: what is resampled a little differently differs a little."""
    rows, cols = np.mgrid[:height, :width]
    waves = [np.sin(rows / (9 + 3 * c)) + np.cos(cols / (11 - 2 * c)) for c in range(channels)]
    return np.clip(127 + 55 * np.stack(waves, -1), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("window", "tolerance"),
    [
        (Window(150.3, 120.8, 96.5, 193), 1.0),
        (Window(150.0, 120.0, 193.0, 193), 0.0),
        (Window(310.0, 5.0, 150.0, 193), 1.0),
        (Window(160.0, 120.0, 900.0, 193), 3.0),
        (Window(160.0, 120.0, 380.0, 193), 3.0),
        (Window(-400.0, 120.0, 100.0, 193), 0.0),
    ],
)
@pytest.mark.parametrize("order", ["rgb", "bgr", "bgra", "mono"])
def test_device_crop_is_the_hosts(window: Window, tolerance: float, order: str) -> None:
    image = photo(channels={"bgra": 4, "mono": 1}.get(order, 3))
    image = image[..., 0] if order == "mono" else image
    fill = (90.0, 91.0, 92.0) if order != "mono" else (90.0, 90.0, 90.0)
    patch = patch_under(image, window, fill, order)
    outbox = UploadBuffer(12, image.size, CPU)
    outbox.send(patch.numbers, patch.pixels)
    made = crop_on_device(outbox.bytes, outbox.numbers, window.size, patch.samples)
    assert made.shape == (1, 3, 193, 193)
    assert made.is_contiguous(memory_format=torch.channels_last)
    wanted = crop_array(image, window, fill, order)
    off = np.abs(made[0].permute(1, 2, 0).numpy().astype(int) - wanted)
    # The edge of the image against the fill colour moves by a fraction of a crop's pixel.
    assert off.mean() <= 0.5 * tolerance
    assert np.quantile(off, 0.97) <= tolerance


def test_device_chroma_is_the_hosts() -> None:
    crop = photo(193, 193)
    tensor = torch.from_numpy(crop).permute(2, 0, 1)
    for box in ((96.0, 90.0, 40.0, 31.0), (2.0, 190.0, 30.0, 30.0), (60.2, 70.7, 1.0, 1.0)):
        found = chroma_on_device(tensor, torch.tensor(box)).tolist()
        assert found == pytest.approx(chroma(crop, box), abs=1e-5)
    for box in ((500.0, 90.0, 10.0, 10.0), (float("nan"), 1.0, 1.0, 1.0)):
        assert torch.isnan(chroma_on_device(tensor, torch.tensor(box))).all()


@pytest.mark.parametrize("update", ["paper", "every_frame", "never"])
def test_recorded_frames_track_as_plain_ones(update: str) -> None:
    images, boxes = render(40, size=(320, 240), seed=2)
    # Gone for a while: coarse looks, and the way back.
    images[18:24] = [np.full_like(images[0], 90)] * 6
    rules = {"online.update": update, "online.interval": 4}
    # Further peaks come in the same copy.
    rules |= {"lookalikes.active": update == "never"}
    plain, recorded = (
        create_tracker("duml", device="cpu", size="compact", **rules),
        recorded_tracker(**rules),
    )
    for tracker in (plain, recorded):
        tracker.init(images[0], tuple(boxes[0]), "bgr")
    held = []
    for image in images[1:]:
        a, b = plain.update(image, "bgr"), recorded.update(image, "bgr")
        assert np.abs(np.subtract(a.box, b.box)).max() < 0.5
        assert a.state is b.state
        assert a.diagnostics.decision == b.diagnostics.decision
        assert abs(a.confidence - b.confidence) < 0.05
        held.append((b, b.score_maps["fused"].copy(), b.votes.top(3)))
    assert {TrackState.TRACKING, TrackState.LOST} <= {r.state for r, *_ in held}
    # What a result shows stays that of its frame.
    for result, fused, votes in held[:5]:
        assert np.array_equal(result.score_maps["fused"], fused)
        assert result.votes.top(3) == votes
    for tracker in (plain, recorded):
        tracker._target.finish_update()
    shares = recorded._online.memory.shares()
    assert shares == pytest.approx(plain._target.memory.shares())


def test_targets_take_turns_at_the_recorded_addresses() -> None:
    images, boxes = render(14, size=(320, 240), seed=2)
    recorded, plain = recorded_tracker(), create_tracker("duml", device="cpu", size="compact")
    first, other = (tuple(boxes[0]), (40.0, 150.0, 40.0, 40.0))
    targets = [recorded.start(images[0], box, "bgr") for box in (first, other)]
    pairs = [plain.start(images[0], box, "bgr") for box in (first, other)]
    for step, image in enumerate(images[1:]):
        # Alone, together, and the other one alone: it has no address of its own then.
        chosen = ([0], [0, 1], [1])[step % 3]
        told = recorded.track(image, [targets[i] for i in chosen], "bgr")
        wanted = plain.track(image, [pairs[i] for i in chosen], "bgr")
        for a, b in zip(told, wanted, strict=True):
            assert np.abs(np.subtract(a.box, b.box)).max() < 0.5
    assert targets[0].online is recorded._online
    assert targets[1].online is not recorded._online
    del told, targets[0]
    gc.collect()
    recorded.track(images[-1], targets, "bgr")
    assert targets[0].online is recorded._online


def test_larger_image_than_there_is_room_for() -> None:
    recorded = recorded_tracker()
    recorded._make_room(1000)
    images, boxes = render(3, size=(320, 240), seed=2)
    recorded.init(images[0], tuple(boxes[0]), "bgr")
    assert recorded.update(images[1], "bgr").state is TrackState.TRACKING
    assert recorded._upload.capacity == images[0].size


class OneDevice(TorchDispatchMode):
    """Fails where an operation takes or gives a tensor of another device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in tree_leaves((args, kwargs, out)):
            if isinstance(value, torch.Tensor):
                assert value.device.type == "meta", f"{func} touches {value.device}"
        return out


@pytest.mark.parametrize("size", ["compact", "r50"])
def test_recorded_work_needs_nothing_of_the_host(size: str) -> None:
    """On a device without memory no value can be looked at: what runs there can be recorded."""
    config, net, _ = factory.load_network("duml", "random", size, {})
    net.half().to("meta")
    # As the factory makes it: without an engine the plain network is the deployed one.
    tracker = CudaGraphDuml(config, net, torch.device("meta"), plain=net)
    work = [*tracker._frames.values(), *tracker._updates.values()]
    with torch.inference_mode():
        for run in work:
            run()
        with OneDevice():
            for run in work:
                run()


def test_engine_says_what_it_is_for() -> None:
    with pytest.raises(ConfigError, match="for CUDA"):
        create_tracker("duml", device="cpu", engine="cuda_graph")


@needs_cuda
@pytest.mark.parametrize("size", ["compact", "r50"])
def test_recordings_on_a_device_track_as_plain_frames(size: str) -> None:
    images, boxes = render(60, size=(320, 240), seed=2)
    weights = "default" if size == "compact" else "random"
    # Random weights find nothing; here they always "see".
    rules = {} if size == "compact" else {"localize.lost_below": -9.0, "localize.lost_share": -9.0}
    trackers = [
        create_tracker(
            "duml", weights, device="cuda", size=size, precision="fp32", engine=engine, **rules
        )
        for engine in ("torch", "cuda_graph")
    ]
    for tracker in trackers:
        tracker.init(images[0], tuple(boxes[0]), "bgr")
    for image in images[1:]:
        plain, recorded = (tracker.update(image, "bgr") for tracker in trackers)
        assert np.abs(np.subtract(plain.box, recorded.box)).max() < 0.5


@needs_cuda
@pytest.mark.parametrize("update", ["paper", "every_frame"])
def test_a_recorded_frame_waits_only_for_its_answer(update: str) -> None:
    images, boxes = render(12, size=(320, 240), seed=2)
    rules = {"online.update": update}
    tracker = create_tracker("duml", device="cuda", engine="cuda_graph", **rules)
    tracker.init(images[0], tuple(boxes[0]), "bgr")
    tracker.update(images[1], "bgr")
    torch.cuda.set_sync_debug_mode("error")
    try:
        results = [tracker.update(image, "bgr") for image in images[2:]]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert results[-1].state is TrackState.TRACKING
