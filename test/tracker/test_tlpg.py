"""TLPG: sampling, its transpose, both problems by dense algebra, neck, IoU-Net, tracking."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from generated_sequence import render
from train_harness import TINY, learns, squares, warm_file

from duml_tracker_ros.tracker import TrackState, create_tracker
from duml_tracker_ros.tracker.config import load_config
from duml_tracker_ros.tracker.errors import ConfigError
from duml_tracker_ros.tracker.frame.sampling import cell_points, sample_points, taps
from duml_tracker_ros.tracker.network.proposal_net import ProposalNet, PyramidNeck, shrink
from duml_tracker_ros.tracker.network_config import NetworkConfig
from duml_tracker_ros.tracker.online.deformable import DeformableModel, PointModel, SpanProblem
from duml_tracker_ros.tracker.online.labels import region_label
from duml_tracker_ros.tracker.online.ltrb import box_of
from duml_tracker_ros.tracker.online.points import GridSampling, SharedSampling, sampling
from duml_tracker_ros.tracker.online.solver import steepest_descent
from duml_tracker_ros.tracker.settings import build
from duml_tracker_ros.tracker.systems.tlpg import refine
from duml_tracker_ros.training.objectives import objective
from duml_tracker_ros.training.recipes import load_train_config

SMALL = {
    "backbone": {**TINY["backbone"], "strides": [4, 8, 16]},
    "neck": 12,
    "points": {"channels": 12, "iou": 8},
}


def random_model(channels: int = 4, size: tuple[float, float] = (5.0, 7.0)) -> PointModel:
    return PointModel(
        torch.randn(1, 1, channels, 5, 5),
        torch.randn(1, 50, channels) * 0.3,
        (taps(5) / 4 * torch.tensor(size))[None],
    )


@pytest.mark.parametrize("inference", [False, True])
def test_sampling_is_bilinear_and_has_its_transpose(inference: bool) -> None:
    with torch.inference_mode(inference):
        _check_sampling(GridSampling if inference else SharedSampling)


def _check_sampling(kind: type) -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, 3, 6, 9).double()
    points = torch.rand(2, 11, 3, 2).double() * torch.tensor([9.0, 12.0]) - 1.5
    plan = sampling(points, 6, 9)
    assert isinstance(plan, kind)
    found = plan.take(maps.flatten(2))
    each = [sample_points(maps[:, k : k + 1], points[:, :, k])[:, 0] for k in range(3)]
    assert torch.allclose(found, sum(each))
    values = torch.randn(2, 11).double()
    left = (found * values).sum()
    assert left.item() == pytest.approx((plan.spread(values) * maps.flatten(2)).sum().item())
    whole = plan.unflatten((1, 2))
    assert torch.allclose(whole.take(maps.flatten(2)[None])[0], found)
    assert torch.allclose(whole.spread(values[None])[0], plan.spread(values))


def test_deformable_correlation_by_the_definition() -> None:
    """Eq. 1 position by position; with regular points it is a plain correlation."""
    torch.manual_seed(1)
    model = DeformableModel(4, 5, unit=3.0, shrink=0.3)
    features, points = torch.randn(1, 4, 7, 9), random_model()
    with torch.no_grad():
        scores, sides = model.look(points, features)
        weight = points.weight[0, 0].flatten(1)
        for row, col in ((1, 6), (5, 2)):
            own = features[0, :, row, col]
            moved = (points.offsets[0] @ own).view(2, 25).T * 3.0 + points.base[0]
            at = torch.tensor([float(row), float(col)]) + moved
            values = sample_points(features, at[None])[0]
            cell = row * 9 + col
            assert scores[0, cell].item() == pytest.approx((values * weight).sum().item(), abs=1e-4)
            box = box_of(sides[0, cell], torch.tensor([row, col]), 1.0)
            low, high = at.amin(0), at.amax(0)
            wanted = torch.cat(((low + high) / 2, high - low))
            assert torch.allclose(box, wanted, atol=1e-4)
        some = torch.tensor([[6 + 9, 2 + 5 * 9]])
        assert torch.allclose(model.look(points, features, some)[0], scores[:, some[0]], atol=1e-5)
        plain = points._replace(offsets=torch.zeros(1, 50, 4), base=taps(5)[None])
        conv = F.conv2d(features, points.weight[0], padding=2)
        assert torch.allclose(model.look(plain, features)[0], conv.flatten(1), atol=1e-4)


def test_a_model_begins_as_the_target_itself() -> None:
    torch.manual_seed(2)
    model = DeformableModel(6, 5, unit=3.0, shrink=0.3)
    features = torch.randn(1, 6, 21, 25) / 5
    target = torch.tensor([[5.0, 18.0, 6.0, 8.0]])
    with torch.no_grad():
        start = model.start(features, target)._replace(offsets=torch.zeros(1, 50, 6))
        scores, sides = model.look(start, features)
    assert divmod(int(scores.argmax()), 25) == (5, 18)
    # The points span the first frame's box.
    assert sides[0, 5 * 25 + 18].tolist() == pytest.approx([4.0, 4.0, 3.0, 3.0])


@pytest.fixture
def span_problem() -> SpanProblem:
    torch.manual_seed(3)
    base = (taps(5) / 4 * torch.tensor([1.5, 2.0])).double()[None]
    wanted = torch.tensor([[[1.2, 1.1, 0.6, 0.9], [0.9, 1.4, 0.5, 1.0]]]).double()
    gamma, zero = torch.tensor([[0.6, 0.4]]).double(), torch.zeros(1, 50, 6).double()
    features = torch.randn(1, 2, 6).double()
    return SpanProblem(features, base, wanted, gamma, zero, torch.tensor(0.05).double())


def test_span_problem_by_dense_algebra(span_problem: SpanProblem) -> None:
    problem = span_problem
    w = (0.02 * torch.randn(1, 50, 6).double()).requires_grad_(True)
    (dense,) = torch.autograd.grad(problem.loss(w).sum(), w)
    gradient, slope = problem.linearise(w.detach(), problem.scores(w.detach()))
    assert torch.allclose(gradient, dense)
    hessian = torch.autograd.functional.hessian(lambda v: problem.loss(v).sum(), w.detach())
    d = torch.randn(1, 50, 6).double()
    bend = d.flatten() @ hessian.view(300, 300) @ d.flatten()
    found = problem.curvature(d, problem.scores(d), slope)
    assert found.item() == pytest.approx(bend.item(), rel=1e-9)


def test_spans_learn_from_afar_without_overshooting(span_problem: SpanProblem) -> None:
    """Where smooth L1 is a straight line, its own curvature would make a step endless."""
    span_problem.wanted = span_problem.wanted * 6
    start = torch.zeros(1, 50, 6).double()
    losses = [span_problem.loss(start).item()]
    losses += [span_problem.loss(w).item() for w, _ in steepest_descent(span_problem, start, 25)]
    assert all(b < a for a, b in itertools.pairwise(losses))
    assert losses[-1] < 0.3 * losses[0]


def test_classification_by_dense_algebra() -> None:
    """Gradient, curvature and step of eq. 3 and 6 with the points where they are."""
    torch.manual_seed(4)
    model = DeformableModel(3, 5, unit=2.0, shrink=0.3).double()
    features = torch.randn(1, 2, 3, 6, 8).double()
    targets = torch.tensor([[[2.0, 5.0, 3.0, 3.0], [3.0, 2.0, 3.0, 3.0]]]).double()
    points = PointModel(*(x.double() for x in random_model(3, (3.0, 3.0))))
    gamma = torch.tensor([[0.7, 0.3]]).double()
    problem = model._scores(points, features, targets, gamma)
    w = points.weight.clone().requires_grad_(True)
    (dense,) = torch.autograd.grad(problem.loss(w).sum(), w)
    half, slope = problem.linearise(w.detach(), problem.scores(w.detach()))
    assert torch.allclose(2 * half, dense)
    hessian = torch.autograd.functional.hessian(lambda v: problem.loss(v).sum(), w.detach())
    d = torch.randn_like(points.weight)
    bend = d.flatten() @ hessian.view(75, 75) @ d.flatten() / 2
    found = problem.curvature(d, problem.scores(d), slope)
    assert found.item() == pytest.approx(bend.item(), rel=1e-9)
    *_, (better, _) = steepest_descent(problem, points.weight, 8)
    assert problem.loss(better) < 0.5 * problem.loss(points.weight)


def test_label_of_the_centre_region() -> None:
    label, care = region_label(torch.tensor([[4.2, 15.0, 6.0, 10.0]]), 20, 25, 0.3)
    # Centre region: 1.8 x 3 cells; box: rows 1.2 to 7.2, columns 10 to 20.
    assert label[0].nonzero().tolist() == [[r, c] for r in (4, 5) for c in (14, 15, 16)]
    ignored = 1 - care[0]
    assert ignored[3, 15] == ignored[4, 12] == 1
    assert ignored[8, 15] == ignored[4, 9] == label[0, 8, 15] == 0
    assert ignored.sum() == 6 * 11 - 6


def test_learning_finds_a_pattern_and_its_box_off_the_diagonal() -> None:
    torch.manual_seed(5)
    pattern = torch.randn(8, 5, 7)

    def frame(row: int, col: int) -> torch.Tensor:
        x = 0.2 * torch.randn(8, 21, 25)
        x[:, row - 2 : row + 3, col - 3 : col + 4] += pattern
        return x / 5

    model = DeformableModel(8, 5, unit=3.0, shrink=0.3)
    places = [(4, 18), (10, 12), (15, 6)]
    features = torch.stack([frame(*p) for p in places])[None]
    targets = torch.tensor([[[r, c, 5.0, 7.0] for r, c in places]])
    with torch.no_grad():
        start = model.start(features[:, 0], targets[:, 0])
        learned = model.learn(start, features, targets, torch.full((1, 3), 1 / 3), 10)
        scores, sides = model.look(learned, frame(6, 17)[None])
    row, col = divmod(int(scores.argmax()), 25)
    box = box_of(sides[0, row * 25 + col], torch.tensor([row, col]), 1.0)
    assert box.tolist() == pytest.approx([6, 17, 5, 7], abs=1.2)


def test_neck_keeps_places_and_weighs_levels() -> None:
    """A linear ramp is the same ramp on every level, so the mean is a third of it (eq. 7)."""
    neck = PyramidNeck((1, 1, 1), 1).eval()
    for level in neck.levels:
        torch.nn.init.ones_(level.conv.weight)
    ramps = []
    for cells, step in ((49, 1.0), (25, 2.0), (13, 4.0)):
        ramps.append((cell_points(cells, cells)[..., 1] * step)[None, None] / 48)
    with torch.no_grad():
        mixed = neck(ramps)[0]
        inner = slice(1, -1)
        wanted = ramps[1] / 3 / (1 + 1e-5) ** 0.5
        assert torch.allclose(mixed[..., inner], wanted[..., inner], atol=1e-4)
        neck.share.data[:] = torch.tensor([-30.0, -30.0, 30.0])
        assert torch.allclose(neck(ramps)[0], wanted, atol=1e-4)
    assert shrink(ramps[0], 13).shape[-1] == 13


def test_iou_net_can_be_climbed_in_the_boxes() -> None:
    torch.manual_seed(6)
    net = ProposalNet(build(NetworkConfig, SMALL)).eval()
    torch.nn.init.normal_(net.iou.out.weight, std=3.0)
    body, boxes = (
        torch.rand(8, 25, 25),
        torch.tensor([[12.0, 15.0, 6.0, 8.0], [9.0, 9.0, 5.0, 5.0]]),
    )
    with torch.inference_mode():
        look = net.iou.modulation(body[None], boxes[:1])
        before = net.iou(body[None], look, boxes[None])
        climbed = refine(net, body, look, boxes, 4)
        after = net.iou(body[None], look, climbed[None])
    assert climbed.shape == boxes.shape
    assert (after > before).all()


def test_objective_learns_and_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    net = ProposalNet(build(NetworkConfig, SMALL))
    recipe = load_train_config("tlpg_compact")
    first, last = learns(net, objective("tlpg").loss, recipe, squares(), steps=12, lr=8e-3)
    for part in ("total", "cls1", "cls2", "iou"):
        assert last[part] < 0.9 * first[part], part
    assert last["peak_iou2"] > first["peak_iou2"]


@pytest.fixture(scope="module")
def warm(tmp_path_factory) -> str:
    """The shipped backbone under a neck and stages that have never learned offline."""
    return warm_file(tmp_path_factory.mktemp("tlpg"), "tlpg", ProposalNet)[0]


@pytest.mark.parametrize("ending", ["nms", "iou"])
def test_online_models_alone_track_on_a_trained_backbone(warm: str, ending: str) -> None:
    images, boxes = render(28, size=(320, 240), seed=2)
    options = {"postprocess.size_rate": 0.0, "proposals.ending": ending, "online.interval": 10}
    options["proposals.refine"] = 1 if ending == "iou" else 0
    tracker = create_tracker("tlpg", weights=warm, device="cpu", **options)
    tracker.init(images[0], tuple(boxes[0]), "bgr")
    target = tracker._target
    before = [stage.points for stage in target.stages]
    results = [tracker.update(image, "bgr") for image in images[1:]]
    centres = np.array([(r.box[0] + r.box[2] / 2, r.box[1] + r.box[3] / 2) for r in results])
    assert np.abs(centres - (boxes[1:, :2] + boxes[1:, 2:] / 2)).max() < 15
    assert all(r.state is not TrackState.LOST for r in results)
    target.finish_update()
    for stage, former in zip(target.stages, before, strict=True):
        assert stage.memory.used > 15
        assert not torch.equal(stage.points.weight, former.weight)
        assert not torch.equal(stage.points.offsets, former.offsets)
    maps = results[0].score_maps
    assert maps.names == ("fused", "robust", "accurate")
    row, col = np.unravel_index(maps.to_image("fused", 320, 240).argmax(), (240, 320))
    x, y, w, h = boxes[1]
    assert x <= col <= x + w
    assert y <= row <= y + h
    gone = [tracker.update(np.full_like(images[0], 40), "bgr") for _ in range(2)]
    assert gone[-1].state is TrackState.LOST


def test_an_ending_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="ending"):
        create_tracker("tlpg", weights="random", device="cpu", **{"proposals.ending": "vote"})


def test_paper_size_is_at_stride_16() -> None:
    config = load_config("r50", name="tlpg").network
    net = ProposalNet(config).eval()
    with torch.no_grad():
        first, second, body = net.extract(torch.zeros(1, 3, 289, 289))
    assert first.shape == second.shape == body.shape == (1, 256, 19, 19)
    assert net.stages[0].offsets.shape == (50, 256)
