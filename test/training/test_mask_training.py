"""What masks are learned from: samples with masks, labels by hand, the loss, frozen parts."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mask_squares import SMALL, masked_squares
from test_training_data import bank_with_red, red_cutout, write_root
from train_harness import resumes_exactly, settings

from duml_tracker_ros.tracker import ConfigError, WeightsError, create_tracker
from duml_tracker_ros.tracker.checkpoint import default_weights, load_checkpoint
from duml_tracker_ros.tracker.checkpoint.store import load_fitting
from duml_tracker_ros.tracker.config import MaskConfig, load_config
from duml_tracker_ros.tracker.frame.mask import box_of_mask
from duml_tracker_ros.tracker.geometry import Window
from duml_tracker_ros.tracker.network.mask_net import MaskNet
from duml_tracker_ros.tracker.network_config import NetworkConfig
from duml_tracker_ros.tracker.settings import build
from duml_tracker_ros.training.config import DataConfig
from duml_tracker_ros.training.data import (
    Batches,
    BatchStream,
    SampleKind,
    Shape,
    Synthesis,
    make_loader,
    warp,
)
from duml_tracker_ros.training.freeze import Frozen
from duml_tracker_ros.training.loop import train_from_config
from duml_tracker_ros.training.mask_labels import MaskLossConfig, chosen_cells, mask_labels
from duml_tracker_ros.training.objectives import objective
from duml_tracker_ros.training.recipes import load_train_config

SHAPE = Shape(65, 129, n_search=3, masks=True)


def red(image: np.ndarray) -> np.ndarray:
    """Where the target is red, bool [H, W]."""
    return (image[:, :, 0].astype(int) - image[:, :, 1:].max(2)) > 127


@pytest.mark.parametrize("kind", [SampleKind.PASTE, SampleKind.STILL, SampleKind.VIDEO])
def test_masks_lie_on_the_target(kind: SampleKind) -> None:
    """The red target as it is seen, behind look-alikes of other colours and occluders."""
    if kind is SampleKind.PASTE:
        bank = bank_with_red("plain")
        bank.images = [np.zeros_like(bank.image(i)) for i in range(len(bank))]
        synthesis = Synthesis(bank, [red_cutout()], SHAPE, distractors=0)
    else:
        synthesis = Synthesis(
            bank_with_red("video" if kind is SampleKind.VIDEO else "still"), (), SHAPE
        )
    rng = random.Random(4)
    scores, unknown = [], 0
    for _ in range(40):
        sample = synthesis.make(kind, rng)
        assert len(sample.masks) == 3
        for image, mask, box in zip(sample.search, sample.masks, sample.boxes, strict=True):
            assert (mask is None) == (box is None)
            if mask is None:
                unknown += 1
                continue
            # Other pictures with red in them fill what lies outside.
            x, y, w, h = (round(v) for v in box)
            near = np.s_[max(y - 2, 0) : y + h + 2, max(x - 2, 0) : x + w + 2]
            seen, said = red(image[near]), mask[near] > 127
            if seen.sum() < 40:
                continue  # grey, recoloured or nearly hidden
            scores.append((seen & said).sum() / (seen | said).sum())
    assert unknown > 0
    assert len(scores) > 50
    assert np.median(scores) > 0.9
    assert np.percentile(scores, 10) > 0.7


def test_what_lies_over_the_target_hides_it() -> None:
    canvas, mask = np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60), np.uint8)
    rgba = np.full((10, 20, 4), 255, np.uint8)
    warp.paste(canvas, rgba, warp.affine(1, 0, 30, 0, 1, 12), mask, own=True)
    assert mask[12:22, 30:50].all()
    assert mask.sum() == 255 * 200
    warp.paste(canvas, rgba, warp.affine(1, 0, 42, 0, 1, 12), mask)
    assert mask.sum() == 255 * 120
    half = np.full((10, 20, 4), 128, np.uint8)
    warp.paste(canvas, half, warp.affine(1, 0, 30, 0, 1, 12), mask)
    assert set(np.unique(mask)) == {0, 127}


def test_masks_change_nothing_else() -> None:
    """The same draws with and without masks; without, no batch carries any."""
    bank = bank_with_red("video")
    plain, masked = (
        BatchStream(Synthesis(bank, [red_cutout()], shape), 12, seed=3).batch(1)
        for shape in (Shape(65, 129, n_search=3), SHAPE)
    )
    assert set(masked) - set(plain) == {"mask", "outlined"}
    assert all(torch.equal(plain[k].nan_to_num(-1), masked[k].nan_to_num(-1)) for k in plain)
    known = masked["outlined"]
    patch = masked["kind"] == SampleKind.PATCH
    assert not known[patch].any()
    assert torch.equal(known[~patch], masked["visible"][~patch])
    assert not masked["mask"][~known].any()


def test_only_targets_of_known_outline(tmp_path) -> None:
    root = write_root(tmp_path / "data", bank_with_red("video"))
    data = DataConfig(str(root), str(tmp_path), workers=0, scene_clips=0, masks="only")
    loader = make_loader(data, Batches(size=16), progress=False)
    batch = next(iter(loader))
    assert torch.equal(batch["outlined"], batch["visible"])
    assert SampleKind.PATCH not in batch["kind"]
    with pytest.raises(ValueError, match="'some': choose from none, known, only"):
        dataclasses.replace(data, masks="some")


def rectangle() -> tuple[MaskNet, torch.Tensor]:
    net = MaskNet(build(NetworkConfig, SMALL))
    masks = torch.zeros(2, 193, 193, dtype=torch.uint8)
    masks[1, 20:44, 140:170] = 255
    return net, masks


def test_labels_are_where_the_tracker_looks_for_them() -> None:
    """From a mask in a crop to the label of a cell off the diagonal, and back to its box."""
    net, masks = rectangle()
    index, row, col = torch.tensor([1, 0]), torch.tensor([4, 4]), torch.tensor([19, 19])
    label, weight = mask_labels(net, masks, index, row, col)
    assert label.shape == weight.shape == (2, 49, 49)
    # The map begins at x 103.5, y -16.5: cell 18 is centred at x = 140.5, y = 20.5.
    assert label[0, 25, 17:21].tolist() == pytest.approx([0, 0.75, 1, 1])
    assert label[0, 17:20, 25].tolist() == pytest.approx([0, 0.75, 1])
    assert not weight[0, :8].any()
    assert not weight[0, :, 45:].any()
    assert weight[0, 8:, :45].all()
    assert not label[1].any()
    tracker = create_tracker(
        "drol_mask", weights="random", device="cpu", **{f"network.{k}": v for k, v in SMALL.items()}
    )
    window = Window(96.5, 96.5, 193.0, 193)
    region = tracker.mask_branch._region(4 * 25 + 19, 49, window)
    box = box_of_mask(
        label[0].numpy(), region, (140.0, 20.0, 30.0, 24.0), MaskConfig(threshold=0.5)
    )
    assert box == pytest.approx((140, 20, 30, 24), abs=0.6)


def test_cells_that_learn_are_near_the_target_and_score_highest() -> None:
    net, _ = rectangle()
    out = net.predict([torch.zeros(2, 16, 7, 7)] * 2, [torch.zeros(2, 16, 25, 25)] * 2)
    cls = torch.full((2, 5, 25, 25), -5.0)
    cls[1, 2, 3, 20], cls[1, 0, 4, 19], cls[1, 1, 20, 3] = 1.0, 2.0, 9.0
    out = out._replace(cls=cls)
    truth = torch.tensor([[0.0, 0, 7, 7], [140.0, 20, 170, 44]])
    index, cell = chosen_cells(
        net, out, truth, torch.tensor([False, True]), 193, MaskLossConfig(cells=3)
    )
    assert index.tolist() == [1, 1, 1]
    assert [divmod(c, 25) for c in cell.tolist()][:2] == [(4, 19), (3, 20)]
    rows, cols = cell // 25, cell % 25
    assert ((8 * cols + 0.5 - 155) ** 2 + (8 * rows + 0.5 - 32) ** 2 <= 16**2).all()
    few = chosen_cells(
        net, out, truth, torch.tensor([True, True]), 193, MaskLossConfig(cells=9, radius=0.1)
    )
    assert len(few[0]) == 2


def test_frozen_parts_get_no_gradient_and_keep_their_statistics() -> None:
    torch.manual_seed(0)
    net = MaskNet(build(NetworkConfig, SMALL))
    Frozen(net, ("backbone", "neck", "offline")).train(0)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    recipe = load_train_config("drol_mask_compact")
    optimiser = torch.optim.AdamW((p for p in net.parameters() if p.requires_grad), lr=1e-2)
    total, parts = objective("drol_mask").loss(
        net, masked_squares(), recipe, torch.autocast("cpu", enabled=False)
    )
    assert set(parts) == {"total", "mask", "mask_iou"}
    total.backward()
    for name, parameter in net.named_parameters():
        assert (parameter.grad is not None) == name.startswith("mask."), name
    optimiser.step()
    after = net.state_dict()
    changed = {k for k in after if not torch.equal(after[k], before[k])}
    assert changed
    assert all(name.startswith("mask.") for name in changed)


def test_a_warm_start_takes_only_the_parts_it_is_told() -> None:
    torch.manual_seed(0)
    net = MaskNet(load_config(name="drol_mask").network)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    shipped = load_checkpoint(default_weights("compact"))
    taken = load_fitting(net, shipped, ("backbone", "offline"))
    assert {name.partition(".")[0] for name in taken} == {"backbone", "offline"}
    for name, value in net.state_dict().items():
        wanted = shipped.state[name] if name in taken else before[name]
        assert torch.equal(value, wanted.to(value.dtype)), name
    with pytest.raises(WeightsError, match="no tensor of mask in it fits"):
        load_fitting(net, shipped, ("backbone", "mask"))


def test_freeze_names_what_it_does_not_know() -> None:
    net = MaskNet(build(NetworkConfig, SMALL))
    with pytest.raises(ConfigError, match=r"freeze = \['head'\].*backbone, neck, offline, mask"):
        Frozen(net, ("head",))
    with pytest.raises(ConfigError, match="nothing is left to train"):
        Frozen(net, ("backbone", "neck", "offline", "mask"))


def test_recipe_trains_resumes_and_leaves_the_shipped_parts_alone(tmp_path: Path) -> None:
    root = write_root(tmp_path / "data", bank_with_red("still"))
    options = {**settings(root, tmp_path / "cache"), "network": {}, "steps": 3}
    options["data.mix"] = {"still": 1.0}
    recipe = "drol_mask_compact"
    whole, _ = resumes_exactly(recipe, tmp_path, options)
    a = load_checkpoint(whole).state
    shipped = load_checkpoint(default_weights("compact")).state
    kept = [k for k in a if not k.startswith("mask.")]
    assert len(kept) > 100
    assert all(torch.equal(a[k], shipped[k]) for k in kept)
    none = {**options, "data.masks": "none"}
    with pytest.raises(ConfigError, match="the mask branch learns from masks"):
        train_from_config(recipe, out=tmp_path / "none", overrides=none)
