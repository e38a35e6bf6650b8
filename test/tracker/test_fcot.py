"""FCOT: regressor, step length, pooling by dense algebra; geometry off the diagonal; tracking."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from generated_sequence import render
from train_harness import TINY, learns, squares, warm_file

from duml_tracker_ros.tracker import TrackState, create_tracker
from duml_tracker_ros.tracker.config import OnlineConfig, load_config
from duml_tracker_ros.tracker.frame.sampling import cell_points, sample_points
from duml_tracker_ros.tracker.network.deformable import DeformConv
from duml_tracker_ros.tracker.network.encoder_decoder import EncoderDecoderNet
from duml_tracker_ros.tracker.network.roi_pool import roi_pool
from duml_tracker_ros.tracker.network_config import NetworkConfig
from duml_tracker_ros.tracker.online.box_regressor import (
    BoxModel,
    BoxProblem,
    BoxRegressor,
    patches_at,
)
from duml_tracker_ros.tracker.online.localizer import OnlineLocalizer
from duml_tracker_ros.tracker.online.ltrb import box_of, ltrb_distances, nearest_cells
from duml_tracker_ros.tracker.online.policy import Decision, Surest
from duml_tracker_ros.tracker.online.problem import DiscriminativeModel
from duml_tracker_ros.tracker.online.solver import steepest_descent
from duml_tracker_ros.tracker.settings import build
from duml_tracker_ros.training.objectives import objective
from duml_tracker_ros.training.recipes import load_train_config

SMALL = {
    "backbone": {**TINY["backbone"], "strides": [4, 8, 16]},
    "stride": 4,
    "decoder": {"width": 12, "coarse": 12, "fine": 8, "box": 12},
}


@pytest.fixture
def problem() -> BoxProblem:
    torch.manual_seed(0)
    gamma = torch.tensor([[0.5, 0.3, 0.2]]).double()
    patches, distances = torch.randn(1, 3, 18).double(), torch.randn(1, 3, 4).double()
    return BoxProblem(patches, distances, gamma, torch.tensor(0.4).double())


def test_gradient_and_curvature_are_those_of_the_loss(problem: BoxProblem) -> None:
    w = torch.randn(1, 4, 18).double().requires_grad_(True)
    (dense,) = torch.autograd.grad(problem.loss(w).sum(), w)
    half, slope = problem.linearise(w.detach(), problem.scores(w.detach()))
    assert torch.allclose(2 * half, dense)
    d = torch.randn(1, 4, 18).double()
    hessian = torch.autograd.functional.hessian(lambda v: problem.loss(v).sum(), w.detach())
    bend = d.flatten() @ hessian.view(72, 72) @ d.flatten() / 2
    found = problem.curvature(d, problem.scores(d), slope)
    assert found.item() == pytest.approx(bend.item(), rel=1e-10)


def test_step_length_is_the_minimiser_along_the_gradient(problem: BoxProblem) -> None:
    """Eq. 10 with half the gradient of eq. 11; with the factor 2 the loss would not fall at all."""
    start = torch.randn(1, 4, 18).double()
    ((w, scores),) = steepest_descent(problem, start, 1)
    step = w - start
    here = problem.loss(w).item()
    for share in (-0.05, 0.05):
        assert problem.loss(w + share * step).item() > here
    assert problem.loss(start + 2 * step).item() == pytest.approx(problem.loss(start).item())
    assert torch.allclose(scores, problem.scores(w))
    *_, (w, _) = steepest_descent(problem, start, 400)
    x, gamma = problem.patches[0], problem.gamma[0]
    normal = x.T @ (gamma[:, None] * x) + 0.4 * torch.eye(18)
    exact = torch.linalg.solve(normal, x.T @ (gamma[:, None] * problem.distances[0])).T
    assert torch.allclose(w[0], exact, atol=1e-3)


def test_sides_and_boxes_off_the_diagonal() -> None:
    """(l, r, t, b) of a box far off the diagonal: columns and rows are not mixed up (eq. 3)."""
    cells = torch.tensor([[5.3, 40.2, 6.0, 14.0]])
    at = nearest_cells(cells, 49, 49)
    assert at.tolist() == [[5, 40]]
    sides = ltrb_distances(cells, at, 1.0)[0].tolist()
    assert sides == pytest.approx([6.8, 7.2, 2.7, 3.3], abs=1e-4)
    assert torch.allclose(box_of(ltrb_distances(cells, at, 6.0), at, 6.0), cells, atol=1e-5)
    features = torch.zeros(1, 1, 49, 49)
    features[0, 0, 4, 41] = 1.0
    patch = patches_at(features, cells, 3)
    assert patch[0, 0].nonzero().tolist() == [[0, 2]]
    border = patches_at(torch.ones(1, 2, 9, 9), torch.tensor([[-3.0, 20.0, 1, 1]]), 3)
    assert border[0, 0].tolist() == [[0, 0, 0], [1, 1, 0], [1, 1, 0]]


def test_regressor_learns_a_size_and_merges_its_first_filter() -> None:
    """A pattern whose size stands in one channel: learned on the first frame, then updated."""
    torch.manual_seed(1)

    def frame(row: float, col: float, height: float, width: float) -> tuple[torch.Tensor, ...]:
        x = 0.05 * torch.randn(6, 33, 33)
        r, c = round(row), round(col)
        x[0, r - 1 : r + 2, c - 1 : c + 2] += 1
        x[1, r - 1 : r + 2, c - 1 : c + 2] += width / 10
        x[2, r - 1 : r + 2, c - 1 : c + 2] += height / 10
        return x, torch.tensor([row, col, height, width], dtype=torch.float32)

    first = [frame(6, 26, 8, 14), frame(20, 9, 8, 14), frame(12, 15, 8, 14)]
    features, targets = (torch.stack(t) for t in zip(*first, strict=True))
    rule = OnlineConfig(memory=20, init_samples=3, init_iterations=30, merge=0.25)
    start = torch.zeros(1, 4, 6, 3, 3)
    regressor = BoxRegressor(BoxModel(), rule, features, targets, start, 6.0)
    again, truth = frame(7, 24, 8, 14)
    found = regressor.distances(again[None])[:, 7, 24]
    box = box_of(found, torch.tensor([7, 24]), 6.0)
    assert torch.allclose(box, truth, atol=1.0)
    kept = regressor.filter.clone()
    grown = [frame(9 + i, 22 - i, 12, 20) for i in range(6)]
    for x, target in grown:
        regressor.learn(x, target, Decision(True, 0.3, 5))
    assert regressor.memory.used == 9
    assert torch.equal(regressor.first_filter, kept)
    merged = 0.25 * regressor.first_filter + 0.75 * regressor.filter
    assert torch.allclose(regressor.current, merged)
    x, target = frame(16, 8, 12, 20)
    box = box_of(regressor.distances(x[None])[:, 16, 8], torch.tensor([16, 8]), 6.0)
    assert torch.allclose(box, target, atol=2.5)


@pytest.mark.parametrize("kernel", [4, 5])
def test_classifier_of_even_side_and_merged_filters(kernel: int) -> None:
    torch.manual_seed(2)
    pattern = torch.randn(8, 4, 4)

    def frame(row: int, col: int) -> torch.Tensor:
        x = 0.2 * torch.randn(8, 21, 25)
        x[:, row - 2 : row + 2, col - 2 : col + 2] += pattern
        return x

    places = [(4, 18), (10, 12), (15, 5)]
    features = torch.stack([frame(*p) for p in places]) / 5
    targets = torch.tensor([[r - 0.5, c - 0.5, 4.0, 4.0] for r, c in places])
    start = roi_pool(features[:1], targets[:1, None], kernel)
    rule = OnlineConfig(memory=9, init_samples=3, merge=0.5)
    with torch.no_grad():
        online = OnlineLocalizer(DiscriminativeModel(), rule, features, targets, start)
        scores, first = online.scores(frame(6, 17)[None] / 5)
        even = (kernel + 1) % 2
        assert scores.shape == (1, 21 + even, 25 + even)
        row, col = divmod(int(scores[0].argmax()), 25 + even)
        # Scores of an even filter lie half a cell before the cells.
        assert row == pytest.approx(5.5 + 0.5 * even, abs=0.5)
        assert col == pytest.approx(16.5 + 0.5 * even, abs=0.5)
        online.learn(frame(9, 9) / 5, targets[0], None, Decision(True, 0.3, 3))
        merged, first_again = online.scores(frame(6, 17)[None] / 5)
        # The scores kept in the memory are still those of the latest filter.
        kept = online.memory.padded.inner(online._scores)[0, :4]
        direct = F.conv2d(online.memory.view()[0][0], online.filter[0], padding=kernel // 2)
        assert torch.allclose(kept, direct, atol=1e-4)
        assert not torch.equal(merged, first_again)


def test_roi_pool_is_the_exact_mean_of_bilinear_values() -> None:
    torch.manual_seed(3)
    features = torch.randn(1, 2, 9, 11).double()
    box = torch.tensor([[[3.7, 6.2, 3.9, 5.3]]]).double()
    found = roi_pool(features, box, 2)[0, 0]
    n = 200
    for i in range(2):
        for j in range(2):
            row = 3.7 - 1.95 + 1.95 * (i + (torch.arange(n) + 0.5) / n)
            col = 6.2 - 2.65 + 2.65 * (j + (torch.arange(n) + 0.5) / n)
            points = torch.stack(torch.meshgrid(row, col, indexing="ij"), -1)[None].double()
            mean = sample_points(features, points).mean((2, 3))[0]
            assert torch.allclose(found[:, i, j], mean, atol=2e-4)
    boxes = box.clone().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda b: roi_pool(features, b, 3), boxes)


def test_deformable_convolution_begins_as_a_plain_one_and_follows_its_offsets() -> None:
    torch.manual_seed(4)
    layer = DeformConv(3, 5).eval()
    x = torch.randn(2, 3, 8, 10)
    with torch.no_grad():
        plain = F.conv2d(x, layer.mix.weight.view(5, 3, 3, 3), padding=1) * 0.5
        assert torch.allclose(layer(x), plain.div((1 + 1e-5) ** 0.5).relu(), atol=1e-4)
        # All taps shifted by one row and half a column: as the plain one on a shifted map.
        layer.where.bias.view(27)[:18] = torch.tensor([1.0, 0.5]).repeat(9)
        shifted = sample_points(
            x, (cell_points(8, 10) + torch.tensor([1.0, 0.5])).expand(2, -1, -1, -1)
        )
        plain = F.conv2d(shifted, layer.mix.weight.view(5, 3, 3, 3), padding=1) * 0.5
        inside = (slice(None), slice(None), slice(2, -2), slice(2, -2))
        wanted = plain.div((1 + 1e-5) ** 0.5).relu()
        assert torch.allclose(layer(x)[inside], wanted[inside], atol=1e-4)


def test_surest_frame_of_an_interval() -> None:
    best: Surest[str] = Surest()
    assert best.take() is None
    for score, name in ((0.4, "a"), (0.9, "b"), (0.6, "c")):
        if score > best.score:
            best.keep(score, name)
    assert best.take() == "b"
    assert best.take() is None
    assert best.score < 0


def test_objective_learns_and_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    net = EncoderDecoderNet(build(NetworkConfig, SMALL))
    recipe = load_train_config("fcot_compact")
    first, last = learns(net, objective("fcot").loss, recipe, squares(), steps=12, lr=8e-3)
    for part in ("total", "coarse", "fine", "box"):
        assert last[part] < 0.8 * first[part], part
    assert last["mean_iou"] > first["mean_iou"]


@pytest.fixture(scope="module")
def warm(tmp_path_factory) -> str:
    """The shipped backbone under a decoder and heads that have never learned offline."""
    path, taken = warm_file(tmp_path_factory.mktemp("fcot"), "fcot", EncoderDecoderNet)
    assert all(part.startswith("backbone.") for part in taken)
    return path


def test_online_models_alone_track_on_a_trained_backbone(warm: str) -> None:
    """What the first frame teaches is enough to follow a patch and to know its box at first."""
    images, boxes = render(28, size=(320, 240), seed=2)
    # What starts from random numbers needs more steps, and ranks by the coarse map, too.
    more = {"online.init_iterations": 10, "postprocess.mu": 0.6, "online.merge": 0.5}
    more |= {"localize.lost_below": 0.25, "localize.accurate_below": 0.1}
    options = {"postprocess.size_rate": 0.0, "online.interval": 5, "online.learn_above": 0.25}
    tracker = create_tracker("fcot", weights=warm, device="cpu", **options, **more)
    tracker.init(images[0], tuple(boxes[0]), "bgr")
    target = tracker._target
    before = target.box.filter, target.coarse.filter, target.fine.filter
    results = [tracker.update(image, "bgr") for image in images[1:]]
    centres = np.array([(r.box[0] + r.box[2] / 2, r.box[1] + r.box[3] / 2) for r in results])
    assert np.abs(centres - (boxes[1:, :2] + boxes[1:, 2:] / 2)).max() < 9
    assert all(r.state is not TrackState.LOST for r in results)
    target.finish_update()
    after = target.box.filter, target.coarse.filter, target.fine.filter
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    # Of each interval the surest frame alone.
    assert target.box.memory.used == target.fine.memory.used == target.coarse.memory.used <= 20
    assert target.box.memory.used > 15
    maps = results[0].score_maps
    assert maps.names == ("fused", "robust", "accurate")
    row, col = np.unravel_index(maps.to_image("fused", 320, 240).argmax(), (240, 320))
    x, y, w, h = boxes[1]
    assert x <= col <= x + w
    assert y <= row <= y + h
    gone = [tracker.update(np.full_like(images[0], 40), "bgr") for _ in range(2)]
    assert gone[-1].state is TrackState.LOST
    # The regressor at once, off-centre: the box moves and keeps its sides.
    more["postprocess.size_rate"] = 1.0
    tracker = create_tracker("fcot", weights=warm, device="cpu", **more)
    tracker.init(images[0], tuple(boxes[0]), "bgr")
    assert tracker.update(images[1], "bgr").box == pytest.approx(tuple(boxes[1]), abs=4)


def test_paper_size_has_its_maps_and_filters() -> None:
    config = load_config("r50", name="fcot").network
    net = EncoderDecoderNet(config).eval()
    with torch.no_grad():
        maps = net.extract(torch.zeros(1, 3, 289, 289))
        features = net.online_features(maps)
        cells = torch.tensor([[36.0, 36.0, 16.0, 16.0]])
        coarse, fine = net.classifiers(features, cells / 4, cells)
        start = net.regressor(maps, cells)
    assert [m.shape[-1] for m in maps] == [10, 19, 37, 73]
    assert features.coarse.shape[1:] == (256, 19, 19)
    assert features.fine.shape[1:] == features.box.shape[1:] == (256, 73, 73)
    assert coarse.shape == fine.shape == (1, 1, 256, 4, 4)
    assert start.shape == (1, 4, 256, 3, 3)
