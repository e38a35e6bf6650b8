"""Network parts: alignment of levels, order of neck and interpolation, matching, folding."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from network_harness import randomise_norms

from duml_tracker_ros.tracker.config import load_config
from duml_tracker_ros.tracker.errors import ConfigError
from duml_tracker_ros.tracker.network.backbone import ResNet50, SlimBackbone
from duml_tracker_ros.tracker.network.blocks import fold_batch_norms
from duml_tracker_ros.tracker.network.correlation import (
    centre,
    depthwise_correlation,
    pixelwise_correlation,
)
from duml_tracker_ros.tracker.network.dual_modal import DualModalNet
from duml_tracker_ros.tracker.network.neck import Neck, resize
from duml_tracker_ros.tracker.network_config import BackboneConfig, NetworkConfig
from duml_tracker_ros.tracker.settings import build

TINY = NetworkConfig(
    backbone=BackboneConfig(widths=(8, 8, 16, 16), blocks=(1, 1, 1)),
    neck=16,
    hidden=16,
    online_channels=16,
)


@pytest.mark.parametrize("size", [97, 129, 193, 257, 321])
def test_levels_align_at_sizes_of_32k_plus_1(size: int) -> None:
    net = SlimBackbone(
        BackboneConfig(widths=(4, 4, 4, 4, 4), blocks=(1, 1, 1, 1), strides=(8, 16, 32))
    )
    with torch.no_grad():
        cells = [f.shape[-1] for f in net(torch.zeros(1, 3, size, size))]
    assert [(c - 1) * s for c, s in zip(cells, (8, 16, 32), strict=True)] == [size - 1] * 3


def test_coarse_levels_resize_onto_the_pixels_of_the_finest() -> None:
    """A map that holds its own pixel coordinates still does so after resizing, off-centre too."""
    fine = torch.arange(33) * 8.0
    for stride, cells in ((16, 17), (32, 9)):
        axis = torch.arange(cells) * float(stride)
        x = axis.expand(1, 1, cells, cells)
        y = x.transpose(2, 3)
        out = resize(torch.cat((x, y), 1), 33)
        assert (out[0, 0] - fine[None, :]).abs().max() < 1e-3
        assert (out[0, 1] - fine[:, None]).abs().max() < 1e-3


def test_backbone_responds_where_the_image_changes() -> None:
    """An impulse at pixel (x, y) moves the cell at (y / 8, x / 8) most, on every level."""
    torch.manual_seed(0)
    net = SlimBackbone(TINY.backbone).eval()
    for p in net.parameters():
        p.data.abs_()
    zero, spot = torch.zeros(1, 3, 193, 193), torch.zeros(1, 3, 193, 193)
    spot[0, :, 48, 144] = 10.0
    for stride, a, b in zip((8, 16), net(zero), net(spot), strict=True):
        change = (b - a).abs().sum(1)[0]
        row, col = divmod(int(change.argmax()), change.shape[1])
        assert (row * stride, col * stride) == (48, 144)


def test_neck_before_and_after_interpolation_is_the_same() -> None:
    torch.manual_seed(0)
    neck = Neck((8, 12, 20), 16).eval().double()
    randomise_norms(neck)
    features = [torch.randn(2, c, n, n).double() for c, n in ((8, 33), (12, 17), (20, 9))]
    # The paper's order: interpolate first, then the 1x1 convolution.
    wanted = [level(resize(x, 33)) for level, x in zip(neck.levels, features, strict=True)]
    for a, b in zip(neck(features), wanted, strict=True):
        assert a.shape == (2, 16, 33, 33)
        assert (a - b).abs().max() < 1e-12


def test_depthwise_correlation_matches_the_loop() -> None:
    x, k = torch.randn(2, 3, 9, 11).double(), torch.randn(2, 3, 5, 5).double()
    out = depthwise_correlation(x, k)
    for b in range(2):
        for c in range(3):
            plain = F.conv2d(x[b : b + 1, c : c + 1], k[b : b + 1, c : c + 1], padding=2)
            assert (out[b, c] - plain[0, 0]).abs().max() < 1e-12
    single = depthwise_correlation(x[:1], k[:1])
    assert (single - out[:1]).abs().max() < 1e-12


def test_pixelwise_correlation_matches_inner_products() -> None:
    x, k = torch.randn(2, 6, 5, 7).double(), torch.randn(2, 6, 3, 3).double()
    out = pixelwise_correlation(x, k)
    assert out.shape == (2, 9, 5, 7)
    assert out[1, 5, 4, 2].item() == pytest.approx((x[1, :, 4, 2] * k[1, :, 1, 2]).sum().item())
    assert centre(x, 3).shape == (2, 6, 3, 3)


@pytest.mark.parametrize("matching", ["depthwise", "pixelwise"])
def test_folding_changes_nothing(matching: str) -> None:
    torch.manual_seed(0)
    net = DualModalNet(build(NetworkConfig, {**vars(TINY), "matching": matching})).eval()
    randomise_norms(net)
    folded = fold_batch_norms(copy.deepcopy(net))
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    z, x = torch.rand(2, 3, 97, 97) * 255, torch.rand(2, 3, 193, 193) * 255
    with torch.no_grad():
        for n in (net, folded):
            levels = n.extract(x)
            out = n.predict(n.template_kernels(n.extract(z)), levels)
            result = (out.cls, out.deltas, out.iou, n.online_features(levels))
            if n is net:
                wanted = result
    for a, b in zip(wanted, result, strict=True):
        assert torch.allclose(a, b, atol=1e-3, rtol=1e-3)
    with pytest.raises(ValueError, match="eval"):
        fold_batch_norms(net.train())


def test_batch_of_targets_equals_one_by_one() -> None:
    torch.manual_seed(0)
    net = DualModalNet(TINY).eval()
    z, x = torch.rand(3, 3, 97, 97) * 255, torch.rand(3, 3, 193, 193) * 255
    with torch.no_grad():
        levels = net.extract(x)
        out = net.predict(net.template_kernels(net.extract(z)), levels)
        online = net.online_features(levels)
        for i in range(3):
            one = net.extract(x[i : i + 1])
            alone = net.predict(net.template_kernels(net.extract(z[i : i + 1])), one)
            assert torch.allclose(alone.cls[0], out.cls[i], atol=1e-4)
            assert torch.allclose(alone.deltas[0], out.deltas[i], atol=1e-4)
            assert torch.allclose(net.online_features(one)[0], online[i], atol=1e-5)


def test_shapes_of_both_sizes() -> None:
    for size, cells, width in (("compact", 25, 64), ("r50", 33, 256)):
        config = load_config(size).network
        net = DualModalNet(config).eval()
        with torch.no_grad():
            z = net.extract(torch.zeros(1, 3, config.template_size, config.template_size))
            x = net.extract(torch.zeros(1, 3, config.search_size, config.search_size))
            out = net.predict(net.template_kernels(z), x)
            assert len(x) == len(config.backbone.strides)
            assert out.cls.shape == (1, 5, cells, cells)
            assert out.deltas.shape == (1, 5, cells, cells, 4)
            assert out.iou.shape == (1, 5, cells, cells)
            assert net.online_features(x).shape == (1, width, cells, cells)
            assert net.initial_filter(z).shape == (1, 1, width, 5, 5)


def test_larger_search_of_the_paper_works_with_the_same_weights() -> None:
    config = load_config("r50", {"network.search_size": 321}).network
    assert DualModalNet(config).cells(config.search_size) == 41


def test_dilated_resnet_keeps_stride_8() -> None:
    shapes = {}
    for dilated in (False, True):
        net = ResNet50(BackboneConfig("resnet50", strides=(8, 16, 32), dilated=dilated)).eval()
        with torch.no_grad():
            shapes[dilated] = [f.shape[-1] for f in net(torch.zeros(1, 3, 129, 129))]
    assert shapes == {False: [17, 9, 5], True: [17, 17, 17]}


def test_online_features_have_the_promised_power() -> None:
    net = DualModalNet(TINY).eval()
    with torch.no_grad():
        f = net.online_features(net.extract(torch.rand(2, 3, 193, 193) * 255))
    power = f.square().sum(1).mean((1, 2))
    assert torch.allclose(power, torch.full((2,), 1 / 25), rtol=1e-2)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"network.neckk": 3}, "network.neckk"),
        ({"network.search_size": 255}, "32 k"),
        ({"online.update": "sometimes"}, "online.update"),
        ({"postprocess.mu": 2.0}, "postprocess.mu"),
        ({"postprocess.mu": "high"}, "float"),
        ({"network.matching": "magic"}, "matching"),
        ({"online.init_samples": 500}, "init_samples"),
        ({"size.x": 1}, "size"),
    ],
)
def test_bad_configuration_is_named(overrides: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config("compact", overrides)


def test_unknown_size_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="compact"):
        load_config("huge")
