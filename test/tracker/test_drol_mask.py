"""DROL-Mask: where its masks lie, boxes from masks by hand, and tracking with them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from generated_sequence import render
from mask_squares import SMALL, Lesson, mask_lesson
from train_harness import warm_file

from duml_tracker_ros.scene import AerialScene
from duml_tracker_ros.tracker import (
    ConfigError,
    TrackState,
    WeightsError,
    create_tracker,
)
from duml_tracker_ros.tracker.checkpoint import default_weights
from duml_tracker_ros.tracker.config import MaskConfig, load_config
from duml_tracker_ros.tracker.frame.mask import bounds, box_of_mask, largest_part, upright
from duml_tracker_ros.tracker.geometry import Window
from duml_tracker_ros.tracker.network.heads import OfflineOutput
from duml_tracker_ros.tracker.network.mask_net import MaskNet, windows
from duml_tracker_ros.tracker.network_config import NetworkConfig
from duml_tracker_ros.tracker.results import TargetMask
from duml_tracker_ros.tracker.settings import build

# Little is learned from the first frame: these tests look at other things.
QUICK = {"online.init_samples": 3, "classifier.first_steps": 1, "classifier.first_iterations": 3}


def coordinates(cells: int, stride: int) -> torch.Tensor:
    """A map [2, 2, cells, cells] that holds (x, y) of its cells in crop pixels, plus the entry."""
    axis = stride * torch.arange(cells) + 0.5
    x, y = axis.expand(cells, cells), axis[:, None].expand(cells, cells)
    return torch.stack([torch.stack((x, y)) + 1000 * b for b in range(2)]).float()


def test_windows_of_all_strides_lie_on_the_same_pixels() -> None:
    batch, row, col = torch.tensor([1, 0]), torch.tensor([4, 12]), torch.tensor([19, 9])
    spans = []
    for stride, factor in ((8, 1), (4, 2), (2, 4)):
        side = 16 * factor + 1
        cells = 192 // stride + 1
        cut = windows(coordinates(cells, stride), batch, row * factor, col * factor, side)
        assert cut.shape == (2, 2, side, side)
        assert cut[0, :, side // 2, side // 2].tolist() == [1000 + 8 * 19 + 0.5, 1000 + 8 * 4 + 0.5]
        spans.append(cut[1, :, [0, -1], [0, -1]].tolist())
        # Row 4 - 8 and column 19 + 8 lie outside the crop.
        assert not cut[0, :, 0].any()
        assert not cut[0, :, :, -1].any()
    assert spans[0] == spans[1] == spans[2] == [[8.5, 136.5], [32.5, 160.5]]


def test_mask_of_a_cell_reaches_the_image_off_the_diagonal() -> None:
    """A rectangle in the mask of one cell, by hand through cell, crop and window to the image."""
    tracker = create_tracker("drol_mask", weights="random", device="cpu")
    window = Window(cx=300.0, cy=120.0, side=386.0, size=193)  # two image pixels a crop pixel
    region = tracker.mask_branch._region(4 * 25 + 19, 65, window)
    # The cell lies at (152.5, 32.5); 65 cells of 2 px reach 65 px to each side.
    assert region == (87.5, -32.5, 130.0, 130.0)
    mask = np.zeros((65, 65), np.float32)
    mask[20:40, 30:38] = 1.0  # crop: x 147.5 to 163.5, y 7.5 to 47.5
    regressed = (147.0, 8.0, 17.0, 39.0)
    box = box_of_mask(mask, region, regressed, MaskConfig())
    assert box == pytest.approx((147.5, 7.5, 16.0, 40.0), abs=0.01)
    # Image: twice as large about the window's centre.
    assert window.to_image(box) == pytest.approx((402.0, -58.0, 32.0, 80.0), abs=0.01)
    shown = TargetMask(mask, window.to_image(region), 0.5).to_image(640, 480)
    assert shown.dtype == np.bool_
    assert shown.shape == (480, 640)
    rows, cols = np.nonzero(shown)
    assert (cols.min(), cols.max() + 1) == (402, 434)
    assert (rows.min(), rows.max() + 1) == (0, 22)  # the rest is above the image
    assert shown.sum() == pytest.approx(22 * 32, abs=4)  # corners are rounded by interpolation


def test_tracker_takes_the_mask_of_its_cell(monkeypatch) -> None:
    """What the network says of the chosen cells comes out at the targets that chose them."""
    tracker = create_tracker("drol_mask", weights="random", device="cpu")
    asked = {}

    def masks(out, features, batch, cell):
        asked["batch"], asked["cell"] = batch.tolist(), cell.tolist()
        return torch.stack([torch.full((65, 65), float(c)) for c in cell]) / 1000

    monkeypatch.setattr(tracker.net, "masks", masks)
    cells = [torch.tensor([c]) for c in (119, 300)]
    nothing = OfflineOutput(None, torch.zeros(0), torch.zeros(0))
    found = tracker.mask_branch.masks(cells, nothing, [])
    assert asked == {"batch": [0, 1], "cell": [119, 300]}
    assert found[1, 5, 7].item() == pytest.approx(1 / (1 + np.exp(-0.3)), rel=1e-5)


def test_box_of_the_largest_part() -> None:
    mask = np.zeros((40, 60), bool)
    mask[3:6, 50:53] = True
    mask[20:30, 8:28] = True
    part = largest_part(mask)
    assert bounds(part) == (8, 20, 20, 10)
    assert upright(part) == pytest.approx((8, 20, 20, 10), abs=0.01)
    assert largest_part(np.zeros((4, 4), bool)) is None


def test_upright_box_of_a_turned_rectangle() -> None:
    """60 x 20 turned by 30 degrees: same centre and area, aspect of its upright bounds."""
    corners = cv2.boxPoints(((70.0, 50.0), (60.0, 20.0), 30.0))
    mask = np.zeros((120, 140), np.uint8)
    cv2.fillPoly(mask, [np.round((corners - 0.5) * 16).astype(np.int32)], 1, shift=4)
    x, y, w, h = upright(mask.astype(bool))
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    wide, tall = 60 * c + 20 * s, 60 * s + 20 * c
    scale = np.sqrt(60 * 20 / (wide * tall))
    assert (x + w / 2, y + h / 2) == pytest.approx((70, 50), abs=0.6)
    assert (w, h) == pytest.approx((wide * scale, tall * scale), abs=3)
    x, y, w, h = bounds(mask.astype(bool))
    assert (w, h) == pytest.approx((wide, tall), abs=2.5)


def test_masks_that_cannot_be_believed_have_no_box() -> None:
    region, rule = (0.0, 0.0, 65.0, 65.0), MaskConfig(threshold=0.5)
    mask = np.zeros((65, 65), np.float32)
    near = (20.0, 30.0, 20.0, 12.0)
    assert box_of_mask(mask, region, near, rule) is None
    mask[30:42, 20:40] = 0.4
    assert box_of_mask(mask, region, near, rule) is None
    mask[30:42, 20:40] = 0.9
    assert box_of_mask(mask, region, near, rule) == pytest.approx(near, abs=0.6)
    assert box_of_mask(mask, region, (36.0, 30.0, 20.0, 12.0), rule) is None
    mask[30:42, 20:65] = 0.9  # goes on behind the border of the map
    assert box_of_mask(mask, region, (20.0, 30.0, 45.0, 12.0), rule) is None


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"mask\.box = 'round'"):
        create_tracker("drol_mask", weights="random", device="cpu", **{"mask.box": "round"})
    with pytest.raises(ConfigError, match=r"mask\.overlap = 1\.5"):
        MaskConfig(overlap=1.5)
    with pytest.raises(ConfigError, match=r"4 k \+ 1"):
        build(NetworkConfig, {"mask": {"cells": 15}})
    for shallow, reason in (([4, 2], "finest first"), ([], "finest first"), ([4], "two more")):
        backbone = {"strides": [8, 16], "shallow": shallow}
        with pytest.raises(ConfigError, match=reason):
            MaskNet(build(NetworkConfig, {"backbone": backbone}))


@pytest.fixture(scope="module")
def lesson(tmp_path_factory) -> Lesson:
    return mask_lesson(tmp_path_factory.mktemp("mask"))


def test_objective_learns_and_reaches_every_parameter(lesson: Lesson) -> None:
    assert lesson.last["mask"] < 0.5 * lesson.first["mask"]
    assert lesson.last["total"] < 0.7 * lesson.first["total"]
    assert lesson.last["mask_iou"] > 0.7


def small(**more: object) -> dict[str, object]:
    return {**{f"network.{k}": v for k, v in SMALL.items()}, **more}


def gliding(count: int = 14):
    """A bright square on noise that crosses the image off the diagonal, and its boxes."""
    rng = np.random.default_rng(3)
    images, truth = [], []
    for i in range(count):
        image = rng.integers(0, 90, (240, 320, 3), np.uint8)
        x, y = 200 - 4 * i, 40 + 2 * i
        image[y : y + 44, x : x + 52] += 120
        images.append(image)
        truth.append((x, y, 52, 44))
    return images, truth


def test_a_tiny_trained_network_masks_what_it_tracks(lesson: Lesson) -> None:
    rules = small(**{"mask.threshold": 0.5})
    tracker = create_tracker("drol_mask", weights=lesson.path, device="cpu", **rules)
    images, truth = gliding()
    tracker.init(images[0], truth[0])
    for image, (x, y, w, h) in zip(images[1:], truth[1:], strict=True):
        result = tracker.update(image)
        assert result.state is not TrackState.LOST
        assert result.mask is not None
        shown = result.mask.to_image(320, 240)
        inside = shown[y : y + h, x : x + w].sum()
        assert inside / (shown.sum() + w * h - inside) > 0.7
        assert result.box == pytest.approx((x, y, w, h), abs=8)
        # The box is that of the mask.
        rows, cols = np.nonzero(shown)
        assert result.box[0] == pytest.approx(cols.min(), abs=2)
        assert result.box[1] + result.box[3] == pytest.approx(rows.max() + 1, abs=2)


@pytest.fixture(scope="module")
def warm(tmp_path_factory) -> str:
    """The shipped network under a mask branch that has not learned anything."""
    path, taken = warm_file(tmp_path_factory.mktemp("mask"), "drol_mask", MaskNet)
    assert not any(part.startswith("mask.") for part in taken)
    assert any(part.startswith("offline.") for part in taken)
    return path


def test_regressed_box_is_that_of_drol_rpn(warm: str) -> None:
    """Beside masks of any quality the target is followed as without them."""
    images, boxes = render(8, size=(320, 240), seed=2)
    plain = create_tracker("drol_rpn", device="cpu", size="compact", **QUICK)
    options = {**QUICK, "mask.box": "regressed"}
    masked = create_tracker("drol_mask", weights=warm, device="cpu", **options)
    for tracker in (plain, masked):
        tracker.init(images[0], tuple(boxes[0]), "bgr")
    assert masked.info()["mask"]
    assert not plain.info()["mask"]
    for image in images[1:]:
        a, b = plain.update(image, "bgr"), masked.update(image, "bgr")
        assert a.box == b.box
        assert a.state is b.state
        assert a.mask is None


def test_a_mask_that_says_nothing_leaves_the_regressed_box(warm: str) -> None:
    """No part of an untrained mask agrees with the box that well."""
    images, boxes = render(6, size=(320, 240), seed=2)
    strict = create_tracker(
        "drol_mask", weights=warm, device="cpu", **{**QUICK, "mask.overlap": 0.99}
    )
    strict.init(images[0], tuple(boxes[0]), "bgr")
    for image in images[1:]:
        result = strict.update(image, "bgr")
        assert result.mask is None
        assert result.box == strict._target.track.box


def test_a_lost_target_has_no_mask(warm: str) -> None:
    images, boxes = render(2, size=(320, 240), seed=2)
    settings = {**QUICK, "localize.lost_below": 2.0, "mask.overlap": 0.01}
    tracker = create_tracker("drol_mask", weights=warm, device="cpu", **settings)
    tracker.init(images[0], tuple(boxes[0]), "bgr")
    result = tracker.update(images[1], "bgr")
    assert result.state is TrackState.LOST
    assert result.mask is None


def test_paper_size_has_siammasks_levels() -> None:
    config = load_config("r50", name="drol_mask").network
    net = MaskNet(config).eval()
    with torch.inference_mode():
        z = net.extract(torch.zeros(1, 3, 129, 129))
        x = net.extract(torch.zeros(1, 3, 257, 257))
        out = net.predict(net.template_kernels(z), x)
        masks = net.masks(out, x, torch.tensor([0]), torch.tensor([7 * 33 + 20]))
    assert [m.shape[-1] for m in x] == [33, 129, 65]
    assert masks.shape == (1, 65, 65)
    assert not hasattr(net.backbone, "layer4")


def test_shipped_masks_on_the_generated_scene() -> None:
    """The mask of a car seen from above lies in its exact box and fills most of it."""
    scene = AerialScene()
    first = scene.render(0)
    tracker = create_tracker("drol_mask", device="cpu", **QUICK)
    tracker.init(first.image, first.box)
    inside, filled = [], []
    for index in range(1, 9):
        frame = scene.render(index)
        result = tracker.update(frame.image)
        assert result.mask is not None
        shown = result.mask.to_image(640, 480)
        x, y, w, h = (round(v) for v in frame.box)
        part = shown[y - 2 : y + h + 2, x - 2 : x + w + 2].sum()
        inside.append(part / shown.sum())
        filled.append(part / (w * h))
    assert np.median(inside) > 0.9
    assert 0.5 < np.median(filled) < 1.1


def test_other_weights_have_to_be_trained() -> None:
    with pytest.raises(WeightsError, match="train drol_mask_r50"):
        create_tracker("drol_mask", size="r50", device="cpu")
    with pytest.raises(WeightsError, match=r"network\.backbone\.kind = 'slim'"):
        create_tracker("drol_mask", weights=str(default_weights("compact")), device="cpu")
