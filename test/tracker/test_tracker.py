"""The tracker as a whole: interface, errors, states, determinism, weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from generated_sequence import render
from safetensors.torch import load_file, save_file

from duml_tracker_ros.tracker import (
    BoxError,
    ConfigError,
    ImageError,
    TrackerError,
    TrackState,
    WeightsError,
    create_tracker,
)
from duml_tracker_ros.tracker.checkpoint import (
    default_weights,
    load_checkpoint,
    load_imagenet,
    save_checkpoint,
    usual_size,
)
from duml_tracker_ros.tracker.config import LocalizeConfig, PostprocessConfig, load_config
from duml_tracker_ros.tracker.geometry import Window, overlap
from duml_tracker_ros.tracker.motion.target import TargetTrack
from duml_tracker_ros.tracker.network.backbone import ResNet50
from duml_tracker_ros.tracker.network.dual_modal import DualModalNet
from duml_tracker_ros.tracker.network_config import BackboneConfig
from duml_tracker_ros.tracker.systems.records import FrameImage


@pytest.fixture(scope="module")
def clip() -> tuple[list[np.ndarray], np.ndarray]:
    images, boxes = render(40, size=(320, 240), seed=2)
    return [np.ascontiguousarray(i[..., ::-1]) for i in images], boxes


def run(tracker, clip, order: str = "rgb") -> list:
    images, boxes = clip
    flip = slice(None, None, -1) if order == "bgr" else slice(None)
    tracker.init(np.ascontiguousarray(images[0][..., flip]), tuple(boxes[0]), order)
    return [tracker.update(np.ascontiguousarray(i[..., flip]), order) for i in images[1:]]


def test_shipped_weights_track_a_generated_target(clip) -> None:
    results = run(create_tracker(device="cpu"), clip)
    overlaps = [overlap(r.box, b) for r, b in zip(results, clip[1][1:], strict=True)]
    assert np.mean(overlaps) > 0.6
    assert min(overlaps) > 0.3
    assert all(r.state is not TrackState.LOST for r in results)
    assert np.mean([r.confidence for r in results]) > 0.5
    last = results[-1]
    assert last.score_maps.names == ("fused", "robust", "accurate")
    heat = last.score_maps.to_image("fused", 320, 240)
    row, col = np.unravel_index(heat.argmax(), heat.shape)
    x, y, w, h = clip[1][-1]
    assert x <= col <= x + w
    assert y <= row <= y + h


@pytest.mark.parametrize("rule", ["paper", "every_frame", "never"])
def test_second_track_in_the_same_process_is_bit_identical(clip, rule: str) -> None:
    tracker = create_tracker(device="cpu", **{"online.update": rule})
    first = [r.box for r in run(tracker, clip)]
    assert [r.box for r in run(tracker, clip)] == first
    other = create_tracker(device="cpu", **{"online.update": rule})
    assert [r.box for r in run(other, clip)] == first


def test_bf16_agrees_with_fp32() -> None:
    """Boxes within half a pixel over 300 frames of three clips, learning on every frame."""
    for seed in (2, 5, 7):
        images, boxes = render(101, size=(320, 240), seed=seed)
        clip = [np.ascontiguousarray(i[..., ::-1]) for i in images], boxes
        exact, fast = (
            run(
                create_tracker(
                    device="cpu", size="compact", precision=p, **{"online.update": "every_frame"}
                ),
                clip,
            )
            for p in ("fp32", "bf16")
        )
        difference = np.array([r.box for r in exact]) - np.array([r.box for r in fast])
        assert np.abs(difference).max() < 0.5
        assert [r.state for r in exact] == [r.state for r in fast]


def test_channel_order_does_not_matter(clip) -> None:
    tracker = create_tracker(device="cpu")
    rgb = [r.box for r in run(tracker, clip)]
    assert [r.box for r in run(tracker, clip, "bgr")] == rgb


def test_vanished_target_is_lost_and_teaches_nothing(clip) -> None:
    images, boxes = clip
    # Without the search of the whole image the square around the last place grows.
    grows = {"reacquire.active": False, "localize.proof_frames": 0}
    tracker = create_tracker(device="cpu", **{"online.update": "every_frame"}, **grows)
    tracker.init(images[0], tuple(boxes[0]))
    for image in images[1:6]:
        seen = tracker.update(image)
    assert seen.state is TrackState.TRACKING
    tracker._target.finish_update()
    online = tracker._target.online
    weights, used = online.filter.clone(), online.memory.used
    empty = np.full_like(images[0], 90)
    for count in range(1, 12):
        lost = tracker.update(empty)
        assert lost.state is TrackState.LOST
        assert lost.frames_since_seen == count
    assert lost.search_region[2] > 1.5 * seen.search_region[2]
    assert torch.equal(weights, online.filter)
    assert online.memory.used == used
    back = [tracker.update(image) for image in images[6:12]]
    assert back[-1].state is TrackState.TRACKING
    assert overlap(back[-1].box, boxes[11]) > 0.4


@pytest.mark.parametrize("offline", ["OFC-5s", "OFC-1s", "OFR", "none"])
@pytest.mark.parametrize("online", ["ONR", "ONC-1s", "ONC-5s", "none"])
def test_every_formulation_and_pair_tracks(clip, offline: str, online: str) -> None:
    options = {"network.offline_branch": offline, "network.online_branch": online}
    options |= {"size": "compact"}
    if offline == online == "none":
        with pytest.raises(ConfigError, match="both"):
            create_tracker(weights="random", device="cpu", **options)
        return
    # Random weights find nothing; that they always "see" lets every part run.
    options |= {"localize.lost_below": -9.0, "localize.accurate_below": -9.0}
    options |= {"online.learn_above": -9.0, "online.first_above": -9.0}
    options |= {"online.update": "every_frame"}
    tracker = create_tracker(weights="random", device="cpu", **options)
    results = run(tracker, (clip[0][:4], clip[1][:4]))
    assert all(np.isfinite(r.box).all() for r in results)
    assert results[-1].score_maps["fused"].shape == (25, 25)
    if online != "none":
        tracker._target.finish_update()
        assert tracker._target.online.memory.used == 18
        scales = 5 if online == "ONC-5s" else 1
        assert tracker._target.online.filter.shape[1] == scales


def test_image_size_may_change_in_mid_stream(clip) -> None:
    images, boxes = clip
    tracker = create_tracker(device="cpu")
    tracker.init(images[0], tuple(boxes[0]))
    tracker.update(images[1])
    result = tracker.update(np.zeros((50, 70, 3), np.uint8))
    assert np.isfinite(result.box).all()
    assert tracker.update(images[2]).box is not None


def test_bad_input_is_refused_and_loses_nothing(clip) -> None:
    images, boxes = clip
    tracker = create_tracker(device="cpu")
    with pytest.raises(TrackerError, match="init"):
        tracker.update(images[0])
    tracker.init(images[0], tuple(boxes[0]))
    with pytest.raises(BoxError, match="finite"):
        tracker.init(images[0], (float("nan"), 0, 5, 5))
    with pytest.raises(ImageError, match="uint8"):
        tracker.update(images[0].astype(np.float32))
    assert overlap(tracker.update(images[1]).box, boxes[1]) > 0.5
    tracker.reset()
    with pytest.raises(TrackerError, match="init"):
        tracker.update(images[0])


@pytest.mark.parametrize("box", [(0, 0, 3, 3), (300, 200, 60, 80), (-20, -10, 60, 40)])
def test_boxes_at_the_border_are_tracked_without_fuss(clip, box: tuple) -> None:
    tracker = create_tracker(device="cpu")
    tracker.init(clip[0][0], box)
    for image in clip[0][1:5]:
        assert np.isfinite(tracker.update(image).box).all()


def test_r50_runs_and_says_what_to_do_without_weights(clip) -> None:
    with pytest.raises(WeightsError, match="train"):
        create_tracker(size="r50", device="cpu")
    tracker = create_tracker(size="r50", weights="random", device="cpu")
    tracker.init(clip[0][0], tuple(clip[1][0]))
    result = tracker.update(clip[0][1])
    assert np.isfinite(result.box).all()
    assert tracker.info()["parameters"] > 20e6


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"name": "fastest"}, ConfigError, "fastest"),
        ({"size": "tiny"}, ConfigError, "tiny"),
        ({"precision": "fp8"}, ConfigError, "fp8"),
        ({"device": "abacus"}, ConfigError, "abacus"),
        ({"weights": "nowhere.safetensors"}, WeightsError, "does not exist"),
        ({"online.memry": 5}, ConfigError, "online.memry"),
        ({"online": {}}, ConfigError, "group"),
    ],
)
def test_bad_options_are_named(options: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        create_tracker(**{"device": "cpu", **options})


def test_cuda_without_a_device_says_so() -> None:
    if torch.cuda.is_available():
        tracker = create_tracker(device="cuda", weights="random")
        assert tracker.device.type == "cuda"
        return
    with pytest.raises(ConfigError, match="no CUDA"):
        create_tracker(device="cuda", weights="random")


def test_shipped_weights_match_their_checksum() -> None:
    checkpoint = load_checkpoint(default_weights("compact"))
    assert len(checkpoint.sha256) == 64
    assert checkpoint.network == load_config("compact").network
    assert checkpoint.path.with_suffix(".sha256").is_file()


def test_damaged_weights_are_refused(tmp_path) -> None:
    source = default_weights("compact")
    data = bytearray(source.read_bytes())
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(data[: len(data) // 2])
    with pytest.raises(WeightsError, match="not a readable"):
        create_tracker(weights=str(cut), device="cpu")
    data[-10] ^= 0xFF
    changed = tmp_path / "changed.safetensors"
    changed.write_bytes(data)
    checksum = source.with_suffix(".sha256").read_text()
    changed.with_suffix(".sha256").write_text(checksum)
    with pytest.raises(WeightsError, match="checksum"):
        create_tracker(weights=str(changed), device="cpu")
    plain = tmp_path / "plain.safetensors"
    save_file({"a": torch.zeros(2)}, str(plain))
    with pytest.raises(WeightsError, match="format"):
        create_tracker(weights=str(plain), device="cpu")


def test_weights_of_another_network_name_the_first_difference(tmp_path) -> None:
    config = load_config("compact", {"network.neck": 32}).network
    path = tmp_path / "other.safetensors"
    save_checkpoint(path, DualModalNet(config), config)
    with pytest.raises(WeightsError, match=r"network\.neck"):
        create_tracker(weights=str(path), device="cpu", size="compact")
    net = DualModalNet(load_config("compact").network)
    net.online.label.data[3] = float("nan")
    save_checkpoint(path, net, net.config)
    with pytest.raises(WeightsError, match=r"online\.label"):
        create_tracker(weights=str(path), device="cpu")


def test_checkpoint_round_trip(tmp_path) -> None:
    config = load_config("compact").network
    net = DualModalNet(config)
    digest = save_checkpoint(tmp_path / "w.safetensors", net, config, {"recipe": "test"})
    back = load_checkpoint(tmp_path / "w.safetensors")
    assert back.sha256 == digest
    assert back.notes == {"recipe": "test"}
    assert all(
        torch.equal(back.state[k], v) for k, v in net.state_dict().items() if k in back.state
    )


def test_imagenet_files_load_by_name(tmp_path) -> None:
    """The layout of a torchvision ResNet-50 file: same names, and a classifier we do not have."""
    torch.manual_seed(1)
    source = ResNet50(BackboneConfig("resnet50", strides=(8, 16, 32)))
    state = {**source.state_dict(), "fc.weight": torch.zeros(10, 2048), "fc.bias": torch.zeros(10)}
    torch.save(state, tmp_path / "resnet50.pth")
    target = ResNet50(BackboneConfig("resnet50", strides=(8, 16, 32)))
    assert load_imagenet(target, tmp_path / "resnet50.pth") == ["fc.bias", "fc.weight"]
    assert torch.equal(target.layer3[2].conv2.weight, source.layer3[2].conv2.weight)
    del state["layer2.0.conv1.weight"]
    torch.save(state, tmp_path / "bad.pth")
    with pytest.raises(WeightsError, match=r"layer2\.0\.conv1\.weight"):
        load_imagenet(target, tmp_path / "bad.pth")
    (tmp_path / "junk.pth").write_bytes(b"junk")
    with pytest.raises(WeightsError, match="not a readable"):
        load_imagenet(target, tmp_path / "junk.pth")


def test_pickled_code_is_never_run(tmp_path) -> None:
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "boom"), "w"))

    torch.save({"x": Bomb()}, tmp_path / "bomb.pth")
    backbone = ResNet50(BackboneConfig("resnet50", strides=(8,)))
    with pytest.raises(WeightsError):
        load_imagenet(backbone, tmp_path / "bomb.pth")
    assert not (tmp_path / "boom").exists()


def test_published_file_holds_plain_tensors() -> None:
    assert all(
        t.dtype.is_floating_point for t in load_file(str(default_weights("compact"))).values()
    )


def test_later_boxes_are_drawn_as_the_first_one_was() -> None:
    track = TargetTrack((10.0, 10.0, 40.0, 20.0), (0.0, 0.0, 0.0))
    for other in ((200.0, 10.0, 40.0, 20.0), (float("nan"), 10.0, 40.0, 20.0)):
        track.learn_box_bias(other, 1.0)
        assert track.box_bias == (1.0, 1.0)
    track.learn_box_bias((10.0, 10.0, 20.0, 25.0), 1.0)
    assert track.box_bias == pytest.approx((1.5, 0.8)), "more than 1.5 is no matter of drawing"
    track.learn_box_bias((10.0, 10.0, 32.0, 20.0), 0.5)
    assert track.box_bias == pytest.approx((1.25**0.5, 1.0))
    window = Window(30.0, 20.0, 50.0, 100)
    last = track.expect(window, 8, PostprocessConfig(), LocalizeConfig()).last
    assert last == pytest.approx((2 * 40 / 1.25**0.5, 40.0))

    images, boxes = render(20, size=(320, 240), seed=2)
    x, y, w, h = boxes[0]
    narrow = (x + 0.15 * w, y, 0.7 * w, h)
    widths = []
    for share in (0.0, 1.0):
        tracker = create_tracker(device="cpu", **{"postprocess.first_box": share})
        tracker.init(images[0], narrow, "bgr")
        results = [tracker.update(image, "bgr") for image in images[1:]]
        assert all(r.state is not TrackState.LOST for r in results)
        widths.append(np.mean([r.box[2] / r.box[3] for r in results]))
    wanted = narrow[2] / narrow[3]
    assert abs(widths[1] - wanted) < 0.5 * abs(widths[0] - wanted)


def test_a_loose_selection_moves_to_what_the_network_is_sure_of() -> None:
    track = TargetTrack((10.0, 10.0, 40.0, 20.0), (0.0, 0.0, 0.0))
    for other in ((200.0, 10.0, 40.0, 20.0), (float("nan"), 10.0, 40.0, 20.0), track.box):
        assert not track.refine(other, 1.0)
        assert track.box == (10.0, 10.0, 40.0, 20.0)
    assert track.refine((12.0, 12.0, 44.0, 20.0), 0.5)
    x, y, w, h = track.box
    assert (x + w / 2, y + h / 2) == pytest.approx((32.0, 21.0))
    assert (w, h) == pytest.approx(((40 * 44) ** 0.5, 20.0))

    images, boxes = render(2, size=(320, 240), seed=2)
    x, y, w, h = boxes[0]
    loose = (x - 0.12 * w, y - 0.05 * h, 1.15 * w, 1.15 * h)
    still = {"postprocess.first_box": 0.0, "postprocess.refine": 0.0}
    plain = create_tracker(device="cpu", **still)
    target = plain.start(images[0], loose, "bgr")
    assert target.track.box == pytest.approx(loose)
    frame = FrameImage(images[0], "bgr")
    with torch.inference_mode():
        glance = plain.begin(target.track, frame, 1)
        seen, sure = plain._first_look(glance, frame)
        full, _ = plain._first_look(target, frame)
    assert sure
    assert seen == pytest.approx(full, abs=0.5)
    moving = create_tracker(device="cpu", **{"postprocess.refine": 1.0})
    learned, features = [], moving.features
    moving.features = lambda crops: (learned.append(len(crops)), features(crops))[1]
    assert moving.start(images[0], loose, "bgr").track.box == pytest.approx(seen, abs=0.01)
    # The look takes one crop; all of them go through the network once.
    assert learned == [1, moving.config.online.init_samples]
    doubting = {"postprocess.refine": 1.0, "localize.found_above": 2.0}
    track = create_tracker(device="cpu", **doubting).start(images[0], loose, "bgr").track
    assert track.box == pytest.approx(loose)


@pytest.mark.parametrize("name", ["duml", "fcot"])
@pytest.mark.parametrize("active", [True, False])
def test_a_lost_target_costs_one_look_of_the_usual_size(name, active, clip) -> None:
    images, boxes = clip
    lost = {"localize.lost_below": 2.0, "localize.found_above": 2.0}
    lost |= {"reacquire.active": active, "reacquire.after": 6}
    tracker = create_tracker(name, weights="random", device="cpu", **lost)
    inner, shapes = tracker.search, []

    def search(crops, *rest):
        shapes.append(tuple(crops.shape))
        return inner(crops, *rest)

    tracker.search = search
    tracker.warm_up(targets=2)
    warm = set(shapes)
    # FCOT's samples of the first frame go the same way.
    assert {shape[0] for shape in warm} - {tracker.config.online.init_samples} == {1, 2}
    with pytest.raises(TrackerError, match="no target"):
        tracker.update(images[0])
    shapes.clear()
    tracker.init(images[0], tuple(boxes[0]))
    shapes.clear()
    sides = set()
    for image in images[1:14]:
        result = tracker.update(image)
        assert result.state is TrackState.LOST
        sides.add(result.search_region[2])
    assert len(sides) >= 3, "it looks about"
    assert len(shapes) == 13
    assert len(set(shapes)) == 1
    assert set(shapes) <= warm


def test_a_size_that_is_not_named_is_that_of_the_weights(tmp_path) -> None:
    config = load_config("lite").network
    save_checkpoint(tmp_path / "own.safetensors", DualModalNet(config), config)
    file = str(tmp_path / "own.safetensors")
    assert create_tracker("duml", weights=file, device="cpu").info()["size"] == "lite"
    shipped = create_tracker("duml", device="cpu").info()
    assert shipped["size"] == usual_size("duml")
    compact = str(default_weights("compact"))
    assert create_tracker("duml", weights=compact, device="cpu").info()["size"] == "compact"
    with pytest.raises(WeightsError, match="in size 'compact' says"):
        create_tracker("duml", weights=file, device="cpu", size="compact")
