"""SiamRCR: reciprocal weights by hand, geometry of positions and boxes, learning, tracking."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from train_harness import TINY, learns, squares

from duml_tracker_ros.tracker import TrackState, WeightsError, create_tracker
from duml_tracker_ros.tracker.checkpoint import save_checkpoint
from duml_tracker_ros.tracker.config import load_config
from duml_tracker_ros.tracker.geometry import cxcywh_to_xyxy, iou
from duml_tracker_ros.tracker.network.dual_modal import DualModalNet
from duml_tracker_ros.tracker.network.heads import OfflineOutput
from duml_tracker_ros.tracker.network.siamese import SiameseNet
from duml_tracker_ros.tracker.network_config import NetworkConfig
from duml_tracker_ros.tracker.postprocess import hann_window, select
from duml_tracker_ros.tracker.settings import build
from duml_tracker_ros.training.objectives import objective
from duml_tracker_ros.training.rcr_objective import centre_positions, reciprocal_losses
from duml_tracker_ros.training.recipes import load_train_config

SMALL = {
    **TINY,
    "offline_branch": "OFC-1s",
    "online_branch": "none",
    "separate_towers": True,
    "matching": "pixelwise",
}


def test_reciprocal_losses_by_hand() -> None:
    cls = torch.tensor([[1.0, -0.5, 0.3]])
    loc = torch.tensor([[0.2, -1.0, 3.0]])
    overlap, positive = torch.tensor([[0.8, 0.4, 0.1]]), torch.tensor([[True, True, False]])
    p, q = torch.sigmoid(cls)[0], torch.sigmoid(loc)[0]
    pos = -((1 - p[:2]) ** 2) * p[:2].log() * overlap[0, :2]
    neg = -(p[2] ** 2) * (1 - p[2]).log()
    reg = -overlap[0, :2].log() * p[:2]
    bce = -(overlap * q.log() + (1 - overlap) * (1 - q).log())[0, :2]
    found = reciprocal_losses(cls, loc, overlap, positive)
    assert found.cls.item() == pytest.approx(((pos.sum() + neg) / 2).item(), rel=1e-5)
    assert found.reg.item() == pytest.approx((reg.sum() / 2).item(), rel=1e-5)
    assert found.loc.item() == pytest.approx((bce.sum() / 2).item(), rel=1e-5)
    plain = reciprocal_losses(cls, loc, overlap, positive, links=False)
    assert plain.reg.item() == pytest.approx((-overlap[0, :2].log().sum() / 2).item(), rel=1e-5)
    assert plain.cls > found.cls


def test_weights_are_constants() -> None:
    """The box loss moves no class score, and class and localisation losses move no box."""
    cls, loc = (torch.randn(2, 9, requires_grad=True) for _ in range(2))
    overlap = torch.rand(2, 9, requires_grad=True)
    found = reciprocal_losses(cls, loc, overlap, torch.rand(2, 9) > 0.5)
    by_reg = torch.autograd.grad(found.reg, (cls, overlap), allow_unused=True, retain_graph=True)
    assert by_reg[0] is None
    assert by_reg[1].abs().sum() > 0
    rest = found.cls + found.loc
    assert torch.autograd.grad(rest, overlap, allow_unused=True)[0] is None


def test_positions_near_a_centre_off_the_diagonal() -> None:
    net = SiameseNet(build(NetworkConfig, SMALL))
    grid = net.anchor_grid(193).flatten(0, 2)
    truth = torch.tensor([[150.0, 41.0, 50, 30], [10.0, 10, 50, 30]])
    positive, _ = centre_positions(truth, grid[:, :2], torch.tensor([True, False]), 16.0)
    assert not positive[1].any()
    rows, cols = (positive[0].view(25, 25)).nonzero().T
    # Cell i lies at 8 i + 0.5: the centre is at column 18.69, row 5.06.
    assert set(cols.tolist()) == {17, 18, 19, 20}
    assert set(rows.tolist()) == {4, 5, 6, 7} or set(rows.tolist()) == {4, 5, 6}
    distance = (grid[:, :2] - truth[0, :2]).norm(dim=1)
    assert torch.equal(positive[0], distance <= 16)
    # A centre between all cells still has one position.
    tiny, _ = centre_positions(truth[:1], grid[:, :2], torch.tensor([True]), 0.5)
    assert tiny.sum() == 1


def test_tracking_score_is_class_times_localisation() -> None:
    config = load_config(name="siamrcr").postprocess
    shape = (1, 1, 25, 25)
    cls, loc = torch.full(shape, -6.0), torch.full(shape, -6.0)
    cls[0, 0, 4, 20], loc[0, 0, 4, 20] = 3.0, -3.0  # sure of the class, not of the box
    cls[0, 0, 6, 18], loc[0, 0, 6, 18] = 2.0, 2.5
    deltas = torch.zeros(*shape, 4)
    deltas[0, 0, 6, 18] = torch.tensor([0.25, -0.125, 0.0, 0.0])
    grid = SiameseNet(build(NetworkConfig, SMALL)).anchor_grid(193)
    last = (48.0, 48.0)
    best = select(OfflineOutput(cls, deltas, loc), None, grid, last, hann_window(25), config)
    assert divmod(int(best.cell), 25) == (6, 18)
    score = torch.sigmoid(torch.tensor(2.0)) * torch.sigmoid(torch.tensor(2.5))
    assert best.fused.item() == pytest.approx(score.item(), rel=1e-5)
    assert best.robust.item() == pytest.approx(torch.sigmoid(torch.tensor(2.0)).item())
    assert best.accurate.item() == pytest.approx(torch.sigmoid(torch.tensor(2.5)).item())
    # (dx, dy) from the position, columns first: 18 * 8 + 0.5 + 12, 6 * 8 + 0.5 - 6.
    assert best.box.tolist() == pytest.approx([156.5, 42.5, 48, 48])
    other = iou(cxcywh_to_xyxy(best.box), cxcywh_to_xyxy(grid[0, 18, 6]))
    assert other < 0.1


@pytest.fixture(scope="module")
def lesson(tmp_path_factory) -> tuple[str, dict[str, float], dict[str, float]]:
    """A tiny network that has learned squares by heart: its file, and its losses."""
    torch.manual_seed(0)
    config = build(NetworkConfig, SMALL)
    net = SiameseNet(config)
    loss = objective("siamrcr").loss
    first, last = learns(net, loss, load_train_config("siamrcr_compact"), squares(), steps=100)
    path = tmp_path_factory.mktemp("rcr") / "tiny.safetensors"
    save_checkpoint(path, net, config, {"tracker": "siamrcr"})
    return str(path), first, last


@pytest.fixture(scope="module")
def learned(lesson) -> str:
    return lesson[0]


def test_objective_learns_and_reaches_every_parameter(lesson) -> None:
    _, first, last = lesson
    for part in ("total", "cls"):
        assert last[part] < 0.7 * first[part], part
    assert last["peak_iou"] > first["peak_iou"]
    assert last["peak_hit"] == 1


def small(**more: object) -> dict[str, object]:
    return {**{f"network.{k}": v for k, v in SMALL.items()}, **more}


def test_a_tiny_trained_network_tracks(learned: str) -> None:
    """A bright square on noise that crosses the image off the diagonal."""
    rng = np.random.default_rng(3)
    tracker = create_tracker("siamrcr", weights=learned, device="cpu", **small())
    images, truth = [], []
    for i in range(16):
        image = rng.integers(0, 90, (240, 320, 3), np.uint8)
        x, y = 200 - 4 * i, 40 + 2 * i
        image[y : y + 44, x : x + 52] += 120
        images.append(image)
        truth.append((x, y, 52, 44))
    tracker.init(images[0], truth[0])
    results = [tracker.update(image) for image in images[1:]]
    for result, box in zip(results, truth[1:], strict=True):
        assert result.box[0] == pytest.approx(box[0], abs=9)
        assert result.box[1] == pytest.approx(box[1], abs=9)
    assert {r.state for r in results} <= {TrackState.TRACKING, TrackState.UNCERTAIN}
    assert results[0].score_maps.names == ("fused", "robust", "accurate")
    without = (rng.integers(0, 90, images[0].shape, np.uint8) for _ in range(3))
    gone = [tracker.update(image) for image in without]
    assert gone[-1].state is TrackState.LOST
    assert gone[-1].frames_since_seen == 3


def test_weights_say_whose_they_are(learned: str, tmp_path) -> None:
    tracker = create_tracker("siamrcr", weights=learned, device="cpu", **small())
    assert tracker.info()["notes"]["tracker"] == "siamrcr"
    config = load_config("compact").network
    save_checkpoint(tmp_path / "duml.safetensors", DualModalNet(config), config)
    with pytest.raises(WeightsError, match=r"network\.backbone\.kind = 'slim'"):
        create_tracker("siamrcr", weights=str(tmp_path / "duml.safetensors"), device="cpu")
    with pytest.raises(WeightsError, match="train siamrcr_r50"):
        create_tracker("siamrcr", size="r50", device="cpu")


def test_paper_size_is_one_level_at_stride_8() -> None:
    config = load_config("r50", name="siamrcr").network
    net = SiameseNet(config).eval()
    with torch.no_grad():
        z = net.extract(torch.zeros(1, 3, 129, 129))
        x = net.extract(torch.zeros(1, 3, 257, 257))
        out = net.predict(net.template_kernels(z), x)
    assert len(x) == 1
    assert net.backbone.channels == (1024,)
    assert not hasattr(net.backbone, "layer4")
    assert out.cls.shape == out.iou.shape == (1, 1, 33, 33)
    assert F.softplus(out.cls).isfinite().all()
