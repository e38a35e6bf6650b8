"""DROL-FC: full correlation, search over scales, its loss, and tracking with the online module."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from generated_sequence import render
from train_harness import TINY, learns, squares, warm_file

from duml_tracker_ros.tracker import TrackState, create_tracker
from duml_tracker_ros.tracker.config import ConfigError, PostprocessConfig, build
from duml_tracker_ros.tracker.geometry import overlap
from duml_tracker_ros.tracker.network.backbone import build_backbone
from duml_tracker_ros.tracker.network.siamese import SiameseNet
from duml_tracker_ros.tracker.network_config import BackboneConfig, NetworkConfig
from duml_tracker_ros.tracker.postprocess import best_views
from duml_tracker_ros.tracker.systems import drol
from duml_tracker_ros.training.fc_objective import wanted_score
from duml_tracker_ros.training.objectives import objective
from duml_tracker_ros.training.recipes import load_train_config

SMALL = {**TINY, "offline_branch": "FC", "online_branch": "none"}


def test_score_is_the_full_correlation() -> None:
    torch.manual_seed(0)
    net = SiameseNet(build(NetworkConfig, SMALL)).eval()
    with torch.no_grad():
        z = net.extract(torch.rand(2, 3, 97, 97) * 255)
        x = net.extract(torch.rand(2, 3, 193, 193) * 255)
        out = net.predict(net.template_kernels(z), x)
        parts = []
        for level, a, b in zip(net.offline.levels, z, x, strict=True):
            kernel = level.template_conv(a)[1:, :, 3:10, 3:10]
            score = F.conv2d(level.search_conv(b)[1:], kernel, padding=3) / kernel.numel()
            parts.append(8 * score - 4)
    assert out.cls.shape == (2, 1, 25, 25)
    assert torch.allclose(out.cls[1:], sum(parts) / 2, atol=1e-4)
    assert out.deltas.abs().sum() == 0


def test_alexnet_fits_the_crops() -> None:
    net = build_backbone(BackboneConfig("alexnet", strides=(8,))).eval()
    with torch.no_grad():
        crop = torch.zeros(1, 3, 129, 129)
        (features,) = net(crop)
        # A dot on pixel 8 i moves the features of cell i most.
        crop[..., 8 * 11, 8 * 4] = 50.0
        change = (net(crop)[0] - features).abs().sum(1)[0]
    assert features.shape == (1, 256, 17, 17)
    rows, cols = (change.sum(d) / change.sum() for d in (1, 0))
    axis = torch.arange(17.0)
    assert (rows * axis).sum().item() == pytest.approx(11, abs=0.7)
    assert (cols * axis).sum().item() == pytest.approx(4, abs=0.7)
    with pytest.raises(ConfigError, match="alexnet"):
        build_backbone(BackboneConfig("alexnet", strides=(8, 16)))


def test_best_scale_of_every_target() -> None:
    rule = PostprocessConfig(scales=(0.96, 1.0, 1.04), scale_penalty=0.9)
    assert best_views([0.5, 0.5, 0.6, 0.2, 0.1, 0.1, 0.0, 0.91, 1.0], rule) == [2, 3, 7]
    assert best_views([0.3, 0.1], PostprocessConfig()) == [0, 1]


def test_wanted_score_falls_with_the_difference_of_size() -> None:
    sides = torch.tensor([[48.0, 48.0], [96.0, 24.0], [48 * 1.3, 48 * 1.3], [48 / 1.3, 48 / 1.3]])
    found = wanted_score(sides, 48.0, 0.3)
    assert found[:2].tolist() == pytest.approx([1, 1])
    assert found[2].item() == pytest.approx(np.exp(-0.5 * (np.log(1.3) / 0.3) ** 2), rel=1e-4)
    assert found[2].item() == pytest.approx(found[3].item())


def test_objective_learns_and_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    net = SiameseNet(build(NetworkConfig, SMALL))
    recipe = load_train_config("drol_fc_compact")
    first, last = learns(net, objective("drol_fc").loss, recipe, squares(), steps=15, lr=8e-3)
    assert last["total"] < 0.6 * first["total"]
    assert last["peak_hit"] >= first["peak_hit"]


@pytest.fixture(scope="module")
def warm(tmp_path_factory) -> str:
    """All that fits of the shipped weights, under a correlation that was never trained."""
    path, taken = warm_file(tmp_path_factory.mktemp("fc"), "drol_fc", SiameseNet)
    assert any(part.startswith("offline.levels.0.template_conv") for part in taken)
    return path


def test_online_module_tracks_beside_full_correlation(warm: str) -> None:
    images, boxes = render(28, size=(320, 240), seed=2)
    options = {"localize.accurate_below": 0.0, "localize.accurate_found": 0.0}
    options |= {"postprocess.mu": 0.8, "classifier.template_score": 0.3}
    tracker = create_tracker("drol_fc", weights=warm, device="cpu", **options)
    tracker.init(images[0], tuple(boxes[0]), "bgr")
    results = [tracker.update(image, "bgr") for image in images[1:]]
    centres = np.array([(r.box[0] + r.box[2] / 2, r.box[1] + r.box[3] / 2) for r in results])
    assert np.abs(centres - (boxes[1:, :2] + boxes[1:, 2:] / 2)).max() < 12
    assert all(r.state is not TrackState.LOST for r in results)
    # The scale changes, the ratio of the sides does not.
    assert all(r.box[2] / r.box[3] == pytest.approx(30 / 24) for r in results)
    assert tracker._target.recent.kernels is not None


def test_search_over_scales_follows_the_size(warm: str) -> None:
    """A target that grows by a third: with one scale alone the size stays, with three it grows."""
    rng = np.random.default_rng(1)
    patch = cv2.resize(rng.integers(60, 255, (5, 6, 3), np.uint8), (60, 48), interpolation=0)
    ground = cv2.GaussianBlur(rng.integers(0, 120, (240, 320, 3), np.uint8), (0, 0), 3)

    def image(factor: float) -> np.ndarray:
        w, h = round(36 * factor), round(30 * factor)
        out = ground.copy()
        x, y = 150 - w // 2, 110 - h // 2
        out[y : y + h, x : x + w] = cv2.resize(patch, (w, h), interpolation=cv2.INTER_AREA)
        return out

    sizes = {}
    for scales in ([1.0], [0.95, 1.0, 1.05]):
        options = {"localize.accurate_below": 0.0, "localize.lost_below": 0.0}
        options |= {"postprocess.scales": scales, "postprocess.scale_penalty": 1.0}
        options |= {"postprocess.size_rate": 1.0, "online.update": "never", "postprocess.mu": 1.0}
        tracker = create_tracker("drol_fc", weights=warm, device="cpu", **options)
        tracker.init(image(1.0), (150 - 18, 110 - 15, 36, 30))
        for step in range(12):
            result = tracker.update(image(1 + 0.35 * (step + 1) / 12))
        sizes[len(scales)] = result.box[2]
    assert sizes[1] == pytest.approx(36)
    assert sizes[3] > 38.5


def test_boxes_lie_between_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """SiamFC has one box a cell, some five pixels of the image apart here."""
    images, boxes = render(30, size=(320, 240), seed=2)

    def mean_overlap() -> float:
        tracker = create_tracker("drol_fc", device="cpu", engine="torch")
        tracker.init(images[0], tuple(boxes[0]), "bgr")
        pairs = zip(images[1:], boxes[1:], strict=True)
        return float(np.mean([overlap(tracker.update(i, "bgr").box, tuple(b)) for i, b in pairs]))

    between = mean_overlap()
    monkeypatch.setattr(drol, "between_cells", lambda scores, cell: torch.zeros(2))
    assert between > mean_overlap() + 0.02
