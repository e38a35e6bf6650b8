"""Assignment, losses, and the loop: it learns, it resumes exactly, it fails clearly."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from train_harness import TINY, settings, squares, write_data

from duml_tracker_ros.cli.main import main
from duml_tracker_ros.tracker.errors import ConfigError
from duml_tracker_ros.tracker.network.dual_modal import DualModalNet
from duml_tracker_ros.tracker.network_config import NetworkConfig
from duml_tracker_ros.tracker.settings import build
from duml_tracker_ros.training.assignment import assign
from duml_tracker_ros.training.estimate import estimate, memory
from duml_tracker_ros.training.loop import train_from_config
from duml_tracker_ros.training.losses import (
    focal_loss,
    gaussian_label,
    hinge_regression,
    penalty_reduced_focal_loss,
    regressive_focal_loss,
)
from duml_tracker_ros.training.objective import LossConfig, joint_loss
from duml_tracker_ros.training.recipes import CONFIG_DIR, load_train_config
from duml_tracker_ros.training.schedule import learning_rate


def test_atss_takes_the_anchors_above_mean_plus_deviation() -> None:
    ious = torch.tensor([[0.1, 0.8, 0.75, 0.2, 0.3, 0.0], [0.1, 0.1, 0.1, 0.1, 0.1, 0.2]])
    far = torch.zeros_like(ious)
    found = assign(ious, far, torch.tensor([True, False]), 4, "ATSS-MaxIoU")
    top = torch.tensor([0.8, 0.75, 0.3, 0.2])
    wanted = ious[0] >= top.mean() + top.std()
    wanted[1] = True
    assert torch.equal(found.positive[0], wanted)
    assert not found.positive[1].any()
    assert not found.ignored.any()


def test_assignment_by_distance_and_by_overlap() -> None:
    ious = torch.tensor([[0.1, 0.8, 0.7, 0.65, 0.4, 0.3, 0.0]])
    distance = torch.tensor([[9.0, 8.0, 2.0, 1.0, 3.0, 9.0, 9.0]])
    here = torch.tensor([True])
    near = assign(ious, distance, here, 3, "ATSS-MinL2")
    # Candidates are anchors 2, 3, 4: mean 0.583, deviation 0.161. The best anchor always counts.
    assert near.positive[0].nonzero().flatten().tolist() == [1]
    by_iou = assign(ious, distance, here, 3, "IoU")
    assert by_iou.positive[0].nonzero().flatten().tolist() == [1, 2, 3]
    assert by_iou.ignored[0].nonzero().flatten().tolist() == [4, 5]
    none = assign(ious, distance, torch.tensor([False]), 3, "IoU")
    assert not none.positive.any()
    assert not none.ignored.any()


def test_offline_regression_losses_by_hand() -> None:
    logits, label = torch.tensor([1.0, 0.5, -1.0]), torch.tensor([1.0, 0.5, 0.0])
    p = torch.sigmoid(logits)
    pos = -((1 - p[0]) ** 2) * p[0].log()
    neg = -(p[1:] ** 2) * (1 - label[1:]) ** 4 * (1 - p[1:]).log()
    reduced = penalty_reduced_focal_loss(logits, label)
    assert reduced.item() == pytest.approx((0.5 * (pos + neg.mean())).item(), rel=1e-5)
    # The regressive loss is at its optimum where the prediction is the label.
    exact = torch.logit(label.clamp(1e-6, 1 - 1e-6)).requires_grad_(True)
    best = regressive_focal_loss(exact, label)
    assert best.item() < 1e-6
    assert regressive_focal_loss(exact.detach() + 0.3, label) > best
    assert regressive_focal_loss(exact.detach() - 0.3, label) > best


def test_ignored_anchors_cost_nothing() -> None:
    logits, positive = torch.tensor([2.0, 5.0, -1.0]), torch.tensor([True, False, False])
    ignored = torch.tensor([False, True, False])
    loss = focal_loss(logits, positive, ignored=ignored)
    assert loss.item() == pytest.approx(focal_loss(logits[[0, 2]], positive[[0, 2]]).item())
    care = torch.tensor([1.0, 0.0, 1.0])
    label = torch.tensor([1.0, 0.0, 0.0])
    assert hinge_regression(torch.tensor([1.0, 9.0, -1.0]), label, care=care).item() == 0


def test_focal_loss_by_hand() -> None:
    logits, positive = torch.tensor([0.0, 2.0, -1.0]), torch.tensor([True, False, False])
    p = torch.sigmoid(logits)
    pos = -((1 - p[0]) ** 2) * p[0].log()
    neg = -(p[1:] ** 2) * (1 - p[1:]).log()
    per_class = focal_loss(logits, positive)
    assert per_class.item() == pytest.approx((0.5 * (pos + neg.mean())).item(), rel=1e-5)
    summed = focal_loss(logits, positive, "positives")
    assert summed.item() == pytest.approx((pos + neg.sum()).item(), rel=1e-5)


def test_hinge_costs_nothing_for_easy_negatives() -> None:
    label = torch.tensor([1.0, 0.0, 0.0])
    assert hinge_regression(torch.tensor([1.0, -5.0, -0.1]), label).item() == 0
    assert hinge_regression(torch.tensor([0.5, 0.2, -1.0]), label).item() == pytest.approx(
        (0.25 + 0.04) / 3
    )


def test_gaussian_label_peaks_at_row_and_column() -> None:
    label = gaussian_label(torch.tensor([4.0, 20.0]), 25, 25, 1.5)
    assert divmod(int(label.argmax()), 25) == (4, 20)
    assert label.max().item() == pytest.approx(1)


def test_learning_rate_warms_up_and_decays() -> None:
    config = load_train_config("duml_compact", {"steps": 1000, "warmup": 100})
    rates = [learning_rate(s, config) for s in range(1000)]
    assert rates[0] == pytest.approx(config.lr / 100)
    assert max(rates) == pytest.approx(config.lr)
    assert rates[-1] < 0.02 * config.lr
    assert all(a >= b for a, b in itertools.pairwise(rates[400:]))


@pytest.mark.parametrize("kind", ["l1", "both"])
def test_joint_loss_falls_and_every_parameter_learns(kind: str) -> None:
    torch.manual_seed(0)
    net = DualModalNet(build(NetworkConfig, TINY))
    config = LossConfig(offline=1.0, box_kind=kind, normalise="positives")
    optimiser = torch.optim.AdamW(net.parameters(), lr=5e-3)
    batch = squares()
    no_cast = torch.autocast("cpu", enabled=False)
    history = []
    for _ in range(14):
        total, parts = joint_loss(net, batch, config, no_cast)
        optimiser.zero_grad()
        total.backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
        optimiser.step()
        history.append({k: float(v.detach()) for k, v in parts.items()})
    assert history[-1]["total"] < 0.6 * history[0]["total"]
    for part in ("online", "cls", "box"):
        assert history[-1][part] < history[0][part], part


@pytest.mark.parametrize("offline", ["OFC-5s", "OFC-1s", "OFR", "none"])
@pytest.mark.parametrize("online", ["ONR", "ONC-1s", "ONC-5s", "none"])
def test_every_formulation_and_pair_learns(offline: str, online: str) -> None:
    if offline == online == "none":
        return
    torch.manual_seed(0)
    branches = {"offline_branch": offline, "online_branch": online}
    net = DualModalNet(build(NetworkConfig, {**TINY, **branches}))
    optimiser = torch.optim.AdamW(net.parameters(), lr=5e-3)
    batch = squares(count=2, frames=4)
    config = LossConfig(offline=1.0, normalise="positives")
    history = []
    for _ in range(5):
        total, parts = joint_loss(net, batch, config, torch.autocast("cpu", enabled=False), 3)
        optimiser.zero_grad()
        total.backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
        optimiser.step()
        history.append({k: float(v.detach()) for k, v in parts.items()})
    assert ("cls" in parts) == (offline != "none")
    assert ("online" in parts) == (online != "none")
    assert history[-1]["total"] < history[0]["total"]


@pytest.mark.parametrize(
    "options",
    [
        {"assignment": "ATSS-MinL2"},
        {"assignment": "IoU", "cls_loss": "ce"},
        {"ofr_loss": "regressive"},
    ],
)
def test_the_loss_variants_of_table_10_run(options: dict) -> None:
    torch.manual_seed(0)
    branch = "OFR" if "ofr_loss" in options else "OFC-5s"
    net = DualModalNet(build(NetworkConfig, {**TINY, "offline_branch": branch}))
    no_cast = torch.autocast("cpu", enabled=False)
    total, parts = joint_loss(net, squares(2), LossConfig(**options), no_cast)
    total.backward()
    assert torch.isfinite(total)
    assert net.offline.levels[0].cls.weight.grad.abs().sum() > 0
    default, usual = joint_loss(net, squares(2), LossConfig(), no_cast)
    assert parts["cls"] != usual["cls"]
    assert parts["box"] == usual["box"]


def write_clip(root: Path) -> Path:
    """One validation clip of three frames in the plain layout."""
    (root / "clip" / "img").mkdir(parents=True)
    rng = np.random.default_rng(2)
    for i in range(3):
        image = cv2.resize(rng.integers(0, 255, (9, 12, 3), np.uint8), (160, 120))
        assert cv2.imwrite(str(root / "clip" / "img" / f"{i:04d}.png"), image)
    (root / "clip" / "groundtruth_rect.txt").write_text("40,30,30,24\n" * 3)
    return root


def test_validation_tracks_clips_and_keeps_the_best(tmp_path) -> None:
    options = settings(write_data(tmp_path / "data"), tmp_path / "cache")
    options |= {"validate_on": str(write_clip(tmp_path / "clips")), "validate_every": 2}
    out = tmp_path / "run"
    train_from_config("duml_compact", out=out, overrides=options)
    with (out / "validation.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert all(0 <= float(row["auc"]) <= 1 for row in rows)
    assert (out / "duml_compact.best.safetensors").is_file()
    with pytest.raises(ConfigError, match="validate_on"):
        train_from_config(
            "duml_compact",
            out=tmp_path / "other",
            overrides={**options, "validate_on": str(tmp_path / "nowhere")},
        )


def test_estimate_counts_and_times_a_step(tmp_path, monkeypatch, capsys) -> None:
    options = settings(write_data(tmp_path / "data"), tmp_path / "cache")
    (empty := tmp_path / "here").mkdir()
    monkeypatch.chdir(empty)
    config = load_train_config("duml_compact", {**options, "batch": 2})
    found = estimate(config)
    twice = estimate(dataclasses.replace(config, batch=4, steps=8000))
    assert found.device == "cpu"
    assert found.steps == config.steps
    assert twice.flops == pytest.approx(2 * found.flops, rel=0.2)
    assert 500 < found.calls <= twice.calls < 2 * found.calls
    assert twice.hours == pytest.approx(twice.seconds * 8000 / 3600)
    pairs = [f"{k}={json.dumps(v) if isinstance(v, dict) else v}" for k, v in options.items()]
    command = ["train", "duml_compact", "--estimate"]
    assert main([*command, *(a for p in pairs for a in ("--set", p))]) == 0
    printed = capsys.readouterr().out
    assert f"{options['steps']} steps" in printed
    assert "GFLOP" in printed
    assert not list(empty.iterdir())


@pytest.mark.parametrize("recipe", sorted(p.stem for p in CONFIG_DIR.glob("*_r50.yaml")))
def test_memory_of_every_large_recipe_is_counted_without_data(recipe: str) -> None:
    counted = memory(load_train_config(recipe))
    assert 2**30 < counted.sample * counted.samples < counted.total < 70 * 2**30


def test_a_resumed_run_logs_no_row_twice_and_leaves_its_weights(tmp_path) -> None:
    options = settings(write_data(tmp_path / "data"), tmp_path / "cache")
    out = tmp_path / "run"
    train_from_config("duml_compact", out=out, overrides={**options, "stop_after": 2})
    log = out / "log.csv"
    header, *rows = log.read_text().splitlines()
    # What a killed run had logged after its last resume point, the last row cut off.
    later = rows[-1].replace("0,", "3,", 1)
    log.write_text("\n".join([header, *rows, later, later[:9]]))
    weights = train_from_config("duml_compact", resume=True, out=out, overrides=options)
    steps = [line.partition(",")[0] for line in log.read_text().splitlines()]
    assert steps == ["step", "0", "3"]
    # Killed between the last resume point and the weights of it.
    trained = load_file(weights)
    weights.unlink()
    again = train_from_config("duml_compact", resume=True, out=out, overrides=options)
    found = load_file(again)
    assert all(torch.equal(found[key], value) for key, value in trained.items())
    assert not list(out.glob("*.partial"))


def test_training_errors_name_the_remedy(tmp_path) -> None:
    options = settings(write_data(tmp_path / "data"), tmp_path / "cache")
    with pytest.raises(ConfigError, match="nothing to resume"):
        train_from_config("duml_compact", resume=True, out=tmp_path / "x", overrides=options)
    (tmp_path / "x").mkdir(exist_ok=True)
    (tmp_path / "x" / "last.pt").write_bytes(b"junk")
    with pytest.raises(ConfigError, match="cannot be resumed"):
        train_from_config("duml_compact", resume=True, out=tmp_path / "x", overrides=options)
    with pytest.raises(ConfigError, match=r"data\.root"):
        train_from_config(
            "duml_compact", out=tmp_path / "y", overrides={**options, "data.root": ""}
        )
    with pytest.raises(ConfigError, match="no such folder"):
        train_from_config(
            "duml_compact", out=tmp_path / "w", overrides={**options, "data.root": "/nowhere"}
        )
    with pytest.raises(ConfigError, match="duml_compact"):
        train_from_config("no_such_recipe")
    with pytest.raises(ConfigError, match="stepz"):
        load_train_config("duml_compact", {"stepz": 3})
    with pytest.raises(ConfigError, match=r"loss\.assignment"):
        load_train_config("duml_compact", {"loss.assignment": "nearest"})
    with pytest.raises(ConfigError, match=r"network\.online_branch"):
        train_from_config(
            "duml_compact",
            out=tmp_path / "v",
            overrides={**options, "network": {**TINY, "online_branch": "ONX"}},
        )
    train_from_config("duml_compact", out=tmp_path / "z", overrides={**options, "steps": 1})
    with pytest.raises(ConfigError, match="resume"):
        train_from_config("duml_compact", out=tmp_path / "z", overrides=options)
