"""The pretrained backbone: published names, alignment, packing, and how training thaws it."""

from __future__ import annotations

import copy
import random

import pytest
import torch
from network_harness import randomise_norms
from torch.nn.utils import convert_conv2d_weight_memory_format

from duml_tracker_ros.tracker import create_tracker
from duml_tracker_ros.tracker.checkpoint import load_imagenet
from duml_tracker_ros.tracker.config import load_config
from duml_tracker_ros.tracker.errors import ConfigError, WeightsError
from duml_tracker_ros.tracker.network.backbone import SlimBackbone
from duml_tracker_ros.tracker.network.blocks import fold_batch_norms
from duml_tracker_ros.tracker.network.dual_modal import DualModalNet
from duml_tracker_ros.tracker.network.efficientnet import EfficientNetLite0
from duml_tracker_ros.tracker.network.packed import pack_convolutions
from duml_tracker_ros.tracker.network_config import BackboneConfig
from duml_tracker_ros.training.data.compositor import Compositor
from duml_tracker_ros.training.data.samples import Shape
from duml_tracker_ros.training.freeze import Frozen
from duml_tracker_ros.training.recipes import load_train_config
from duml_tracker_ros.training.schedule import make_optimiser

KIND = "efficientnet_lite0"
TAPS = ["bottleneck", "expansion"]


def backbone(taps: str = "bottleneck", **changes) -> EfficientNetLite0:
    torch.manual_seed(0)
    made = EfficientNetLite0(BackboneConfig(KIND, taps=taps, **changes)).eval()
    randomise_norms(made)
    return made


def published(source: EfficientNetLite0) -> dict[str, torch.Tensor]:
    """A file of the published layout: its names, and a classifier that nobody here has."""
    state = {source.public_name(key): value for key, value in source.state_dict().items()}
    return {**state, "_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}


def test_published_names_are_those_of_the_file() -> None:
    names = published(backbone(strides=(8, 16, 32)))
    assert names["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert names["_blocks.0._depthwise_conv.weight"].shape == (32, 1, 3, 3)
    assert "_blocks.0._expand_conv.weight" not in names
    assert names["_blocks.3._depthwise_conv.weight"].shape == (144, 1, 5, 5)
    assert names["_blocks.10._project_conv.weight"].shape == (112, 672, 1, 1)
    assert names["_blocks.10._bn0.running_var"].shape == (672,)
    assert names["_blocks.15._project_conv.weight"].shape == (320, 1152, 1, 1)
    assert not any(name.startswith("_blocks.16") for name in names)


@pytest.mark.parametrize("taps", TAPS)
def test_a_published_file_loads_and_what_is_wrong_with_one_is_named(taps, tmp_path) -> None:
    source, target = backbone(strides=(8, 16, 32)), backbone(taps)
    torch.nn.init.zeros_(target.stem.conv.weight)
    state = published(source)
    torch.save(state, tmp_path / "lite0.pth")
    left = load_imagenet(target, tmp_path / "lite0.pth")
    assert {"_fc.weight", "_fc.bias", "_blocks.15._project_conv.weight"} <= set(left)
    own = source.state_dict()
    assert all(torch.equal(value, own[key]) for key, value in target.state_dict().items())
    del state["_blocks.4._bn1.weight"]
    torch.save(state, tmp_path / "bad.pth")
    with pytest.raises(WeightsError, match=r"_blocks\.4\._bn1\.weight.*EfficientNet-Lite0"):
        load_imagenet(target, tmp_path / "bad.pth")
    with pytest.raises(WeightsError, match="no published file for SlimBackbone"):
        load_imagenet(SlimBackbone(BackboneConfig()), tmp_path / "lite0.pth")


@pytest.mark.parametrize("size", [97, 193, 257])
def test_levels_lie_centred_on_crops_of_32k_plus_1(size: int) -> None:
    """With mirrored kernels a mirrored crop gives mirrored maps: no padding is one-sided."""
    net = backbone(strides=(8, 16), shallow=(2, 4))
    for weight in net.parameters():
        if weight.dim() == 4 and weight.shape[-1] > 1:
            with torch.no_grad():
                weight.copy_((weight + weight.flip(3)) / 2)
    x = torch.randn(1, 3, size, size)
    with torch.no_grad():
        for stride, a, b in zip((2, 4, 8, 16), net(x), net(x.flip(3)), strict=True):
            assert (a.shape[-1] - 1) * stride == size - 1
            assert torch.allclose(a.flip(3), b, atol=1e-4)


@pytest.mark.parametrize("taps", TAPS)
def test_folded_and_packed_it_is_the_same_function(taps: str) -> None:
    net = backbone(taps, strides=(4, 8, 16), shallow=(2,))
    fast = fold_batch_norms(copy.deepcopy(net)).requires_grad_(False)
    convert_conv2d_weight_memory_format(fast, torch.channels_last)
    pack_convolutions(fast)
    x = torch.randn(2, 3, 97, 97)
    with torch.no_grad():
        wanted = net(x)
        # No map that is handed out may be overwritten by a later sum.
        found = fast(x.contiguous(memory_format=torch.channels_last))
    assert [f.shape[1] for f in found] == [*net.shallow_channels, *net.channels]
    for a, b in zip(wanted, found, strict=True):
        assert torch.allclose(a, b, atol=1e-3, rtol=1e-3)
    if taps == "expansion":
        assert all(f.min() >= 0 and f.max() <= 6 for f in found[1:])


def test_only_what_the_levels_need_is_there() -> None:
    assert len(backbone().blocks) == 11
    assert len(backbone(strides=(8,)).blocks) == 5
    assert len(backbone("expansion").blocks) == 12
    with pytest.raises(ConfigError, match=r"strides: \[32\]"):
        backbone("expansion", strides=(16, 32))


def test_training_thaws_the_backbone_at_its_own_rate() -> None:
    torch.manual_seed(0)
    net = DualModalNet(load_config("lite").network)
    recipe = load_train_config("duml_lite", {"thaw_at": 5, "backbone_rate": 0.25})
    frozen = Frozen(net, recipe.freeze, recipe.thaw_at)
    optimiser = make_optimiser(net, recipe)
    shares = {id(p): group["share"] for group in optimiser.param_groups for p in group["params"]}
    learning = net.backbone.blocks[5].depthwise
    assert shares[id(learning.conv.weight)] == 0.25
    assert shares[id(net.neck.levels[0].conv.weight)] == 1.0
    for step, thawed in ((0, False), (5, True)):
        frozen.train(step)
        assert learning.conv.weight.requires_grad is thawed
        assert learning.bn.training is thawed
        assert net.neck.levels[0].bn.training
        # What is frozen for good stays so.
        assert not net.backbone.stem.conv.weight.requires_grad
        assert not net.backbone.stem.bn.training
    norms = Frozen(net, (), norms=True)
    norms.train(0)
    assert not learning.bn.training
    assert learning.conv.weight.requires_grad


def test_templates_are_cut_around_boxes_as_hands_draw_them() -> None:

    compositor = Compositor.__new__(Compositor)
    compositor.shape = Shape(template=97, drawn=0.5)
    rng = random.Random(1)
    aims = [compositor.first_aim(rng, 40.0, 20.0) for _ in range(400)]
    exact = [aim for aim in aims if aim == (48.5, 48.5, 1.0)]
    assert 150 < len(exact) < 250
    shifts = [max(abs(x - 48.5), abs(y - 48.5)) for x, y, _ in aims]
    zooms = [zoom for _, _, zoom in aims]
    assert 2 < max(shifts) < 7
    assert 0.84 < min(zooms) < 0.95
    assert 1.05 < max(zooms) < 1.19


def test_permissive_weights_are_others_of_the_same_network() -> None:
    trackers = [create_tracker("duml", weights=w, device="cpu") for w in ("default", "permissive")]
    usual, permissive = (t.info() for t in trackers)
    assert usual["size"] == permissive["size"] == "lite"
    assert usual["sha256"] != permissive["sha256"]
    assert permissive["notes"]["recipe"] == "duml_lite_permissive"
    with pytest.raises(WeightsError, match="no permissive weights are shipped for tracker 'tlpg'"):
        create_tracker("tlpg", weights="permissive", device="cpu")
