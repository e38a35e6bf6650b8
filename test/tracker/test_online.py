"""The online step against autograd, finite differences and plain convolution."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from duml_tracker_ros.tracker.config import LocalizeConfig, OnlineConfig
from duml_tracker_ros.tracker.frame.localize import Finding, TrackState, judge, second_peak
from duml_tracker_ros.tracker.motion.nearby import growth
from duml_tracker_ros.tracker.motion.target import TargetTrack
from duml_tracker_ros.tracker.online.filters import apply_filter, filter_gradient
from duml_tracker_ros.tracker.online.labels import bernoulli_label
from duml_tracker_ros.tracker.online.localizer import OnlineLocalizer
from duml_tracker_ros.tracker.online.memory import SampleMemory
from duml_tracker_ros.tracker.online.padded_samples import PaddedSamples, from_taps, to_taps
from duml_tracker_ros.tracker.online.policy import Decision, decide, trustworthy
from duml_tracker_ros.tracker.online.problem import DiscriminativeModel, FilterProblem
from duml_tracker_ros.tracker.online.solver import steepest_descent

SCALES = [(3.0, 3.0), (4.5, 2.0), (2.0, 4.5)]


@pytest.fixture(params=["ONR", "ONC-1s", "ONC-3s"])
def shapes(request: pytest.FixtureRequest) -> list[tuple[float, float]]:
    return {"ONR": [], "ONC-1s": SCALES[:1], "ONC-3s": SCALES}[request.param]


def make_problem(
    batch: int = 2, samples: int = 3, shapes: list[tuple[float, float]] = SCALES
) -> tuple[FilterProblem, torch.Tensor]:
    torch.manual_seed(4)
    model = DiscriminativeModel(bins=40, bin_width=0.4, shapes=shapes).double()
    with torch.no_grad():
        model.weight.mul_(torch.rand(40).double() + 0.5)
    memory = torch.randn(batch, samples, 6, 9, 11).double()
    targets = torch.rand(batch, samples, 4) * torch.tensor([8.0, 10.0, 2.0, 2.0])
    targets[..., 2:] += 2.0
    gamma = torch.rand(batch, samples).double() + 0.1
    problem = model.problem(memory, targets, gamma)
    return problem, torch.randn(batch, model.channels, 6, 5, 5).double()


def test_filter_is_a_cross_correlation() -> None:
    problem, w = make_problem()
    scores = apply_filter(problem.memory, w)
    for b in range(2):
        plain = F.conv2d(problem.memory[b], w[b], padding=2)
        assert (scores[b] - plain).abs().max() < 1e-10


def test_gradient_is_the_transpose() -> None:
    problem, w = make_problem()
    r = torch.randn(2, 3, 3, 9, 11).double()
    left = (apply_filter(problem.memory, w) * r).sum()
    right = (filter_gradient(problem.memory, r, 5) * w).sum()
    assert left.item() == pytest.approx(right.item(), rel=1e-10)


@pytest.mark.parametrize("kernel", [3, 4, 5])
@pytest.mark.parametrize("used", [1, 3, 6])
def test_samples_on_a_line_take_the_way_of_maps(kernel: int, used: int) -> None:
    """The same sums as F.fold and F.unfold, also at the corners and with room to spare."""
    torch.manual_seed(1)
    padded = PaddedSamples((6, 9, 11), 6, kernel, torch.device("cpu"))
    memory, weight = torch.randn(6, 6, 9, 11), torch.randn(1, 2, 6, kernel, kernel)
    more = (kernel + 1) % 2
    residual = torch.randn(1, 6, 2, 9 + more, 11 + more)
    for n in range(1, used + 1):
        padded.features[n - 1] = memory[n - 1]
        spread = padded.zeros(2)
        padded.inner(spread).copy_(residual)
        for _ in range(2):
            gradient = from_taps(padded.adjoint(spread[:, :n]), kernel)
            scores = padded.inner(padded.scores(to_taps(weight), n))
    wanted = apply_filter(memory[None, :used], weight)
    assert (scores - wanted).abs().max() < 1e-4
    transposed = filter_gradient(memory[None, :used], residual[:, :used], kernel)
    assert (gradient - transposed).abs().max() < 1e-4


def test_step_direction_matches_autograd(shapes) -> None:
    problem, w = make_problem(shapes=shapes)
    w.requires_grad_(True)
    (auto,) = torch.autograd.grad(problem.loss(w).sum(), w)
    gradient, _ = problem.linearise(w, problem.scores(w))
    assert (2 * gradient - auto).abs().max() < 1e-8 * auto.abs().max()


def test_curvature_matches_a_finite_difference() -> None:
    """Along a direction that keeps the hinge's pattern, the loss is a parabola."""
    problem, w = make_problem()
    problem.mask = torch.ones_like(problem.mask)
    g = torch.randn_like(w)
    scores = problem.scores(w)
    _, slope = problem.linearise(w, scores)
    bend = problem.curvature(g, problem.scores(g), slope)
    eps = 1e-3
    second = (problem.loss(w + eps * g) - 2 * problem.loss(w) + problem.loss(w - eps * g)) / eps**2
    assert torch.allclose(2 * bend, second, rtol=1e-5)


def test_gauss_newton_curvature_with_the_hinge(shapes) -> None:
    """With the hinge active, J comes from differences of the residual itself."""
    problem, w = make_problem(shapes=shapes)

    def residual(filters: torch.Tensor) -> torch.Tensor:
        s = problem.scores(filters)
        r = problem.weight * (problem.mask * s + (1 - problem.mask) * s.relu() - problem.label)
        return problem.gamma.sqrt()[:, :, None, None, None] * r

    g = torch.randn_like(w)
    eps = 1e-7
    jg = (residual(w + eps * g) - residual(w - eps * g)) / (2 * eps)
    wanted = jg.square().flatten(1).sum(1)
    wanted = wanted + problem.regularisation * g.square().flatten(1).sum(1)
    _, slope = problem.linearise(w, problem.scores(w))
    assert torch.allclose(problem.curvature(g, problem.scores(g), slope), wanted, rtol=1e-5)


def test_descent_carries_exact_scores_and_descends() -> None:
    problem, w = make_problem()
    losses = [problem.loss(w)]
    for weight, scores in steepest_descent(problem, w, 6):
        assert (scores - problem.scores(weight)).abs().max() < 1e-9
        losses.append(problem.loss(weight))
    for before, after in itertools.pairwise(losses):
        assert (after <= before + 1e-9).all()
    assert (losses[-1] < 0.5 * losses[0]).all()


def test_batch_equals_one_by_one() -> None:
    problem, w = make_problem(batch=3)
    *_, (together, _) = steepest_descent(problem, w, 4, 0.9)
    for b in range(3):
        single = FilterProblem(
            *(
                getattr(problem, k)[b : b + 1]
                for k in ("memory", "label", "mask", "weight", "gamma")
            ),
            problem.regularisation,
        )
        *_, (alone, _) = steepest_descent(single, w[b : b + 1], 4, 0.9)
        assert (alone[0] - together[b]).abs().max() < 1e-10


def test_maps_peak_at_row_and_column() -> None:
    model = DiscriminativeModel()
    label, mask, weight = model.maps(torch.tensor([[3.0, 17.0, 6.0, 4.0]]), 25, 25)
    assert label.shape == (1, 1, 25, 25)
    assert divmod(int(label[0].argmax()), 25) == (3, 17)
    assert mask[0, 0, 3, 17] > 0.95
    assert mask[0, 0, 24, 0] < 0.05
    assert torch.allclose(weight, torch.ones_like(weight))


def test_learned_parts_receive_gradients_through_the_unrolled_solver() -> None:
    model = DiscriminativeModel()
    memory = torch.randn(1, 2, 4, 13, 13) * 0.1
    problem = model.problem(memory, torch.full((1, 2, 4), 6.0), torch.ones(1, 2))
    *_, (w, _) = steepest_descent(problem, torch.zeros(1, 1, 4, 5, 5), 3, model.step)
    w.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_classification_labels_take_the_best_anchor_and_ignore_the_doubtful() -> None:
    """A flat target at row 4, column 9: only the flat anchor is positive, also off the diagonal."""
    target = torch.tensor([4.0, 9.0, 2.0, 4.5])
    label, care = bernoulli_label(target, torch.tensor(SCALES), 12, 16)
    assert label.shape == care.shape == (3, 12, 16)
    assert label[1, 4, 9] == 1
    assert label.sum() == 1
    # One cell aside the flat anchor overlaps by (4.5 - 1) / (4.5 + 1) = 0.64: neither nor.
    assert care[1, 4, 10] == 0
    assert care[1, 0, 0] == 1
    # The upright anchor overlaps by 4 / (18 - 4) = 0.29 at the same place: negative.
    assert care[2, 4, 9] == 1
    shifted = torch.tensor([4.3, 9.4, 2.9, 3.1])
    label, _ = bernoulli_label(shifted, torch.tensor(SCALES[:1]), 12, 16)
    assert label[0, 4, 9] == 1


@pytest.mark.parametrize("update", ["paper", "every_frame"])
def test_carried_scores_are_those_of_the_filter(shapes, update: str) -> None:
    """The localiser never recomputes its samples' scores; after many steps they still hold."""
    torch.manual_seed(0)
    model = DiscriminativeModel(shapes=shapes).requires_grad_(False)
    start = torch.randn(1, model.channels, 6, 5, 5) * 0.1
    targets = torch.tensor([6.0, 7.0, 3.0, 3.0]).repeat(4, 1)
    config = OnlineConfig(memory=8, init_samples=4, update=update)
    localizer = OnlineLocalizer(model, config, torch.randn(4, 6, 13, 15) * 0.2, targets, start)
    first = localizer.filter
    for i in range(40):
        features = torch.randn(1, 6, 13, 15) * 0.2
        scores, opening = localizer.scores(features)
        assert scores.shape == opening.shape == (model.channels, 13, 15)
        target = torch.tensor([2.0 + i % 7, 9.0, 3.0, 4.0])
        localizer.learn(features[0], target, scores, Decision(True, 0.1, int(i % 3 == 0)))
    features, targets, gamma = localizer.memory.view()
    problem = model.problem(features, targets, gamma)
    carried = localizer.memory.padded.inner(localizer._scores)[:, : localizer.memory.used]
    assert (carried - problem.scores(localizer.filter)).abs().max() < 1e-5
    assert torch.equal(localizer.first_filter, first)
    *_, (stepped, _) = steepest_descent(problem, localizer.filter, 1, model.step)
    localizer.optimise(1)
    assert (localizer.filter - stepped).abs().max() < 1e-5


def test_memory_protects_the_first_frame() -> None:
    memory = SampleMemory((3, 5, 5), 8, torch.device("cpu"))
    memory.start(torch.ones(4, 3, 5, 5), torch.zeros(4, 4))
    slots = [memory.insert(torch.full((3, 5, 5), float(i)), torch.ones(4), 0.2) for i in range(30)]
    assert memory.used == 8
    assert min(s for s in slots if s is not None) == 4
    features, _, weights = memory.view()
    assert features.shape == (1, 8, 3, 5, 5)
    assert (features[:, :4] == 1).all()
    assert weights.sum().item() == pytest.approx(1, abs=1e-5)
    assert weights[0, :4].sum().item() >= 0.25 - 1e-5
    assert 29.0 in features[0, :, 0, 0, 0].tolist()
    full = SampleMemory((3, 5, 5), 4, torch.device("cpu"))
    full.start(torch.ones(4, 3, 5, 5), torch.zeros(4, 4))
    assert full.insert(torch.zeros(3, 5, 5), torch.zeros(4), 0.5) is None
    with pytest.raises(ValueError, match="do not fit"):
        full.start(torch.ones(5, 3, 5, 5), torch.zeros(5, 4))


def finding(state: TrackState, distractor: bool = False) -> Finding:
    return Finding(state, 0.9, distractor, 0.9, False)


def test_update_rules_of_the_paper() -> None:
    config = OnlineConfig()
    sure = finding(TrackState.TRACKING)
    assert decide(sure, True, 7, config) == Decision(True, 0.1, 0)
    assert decide(sure, True, 20, config).iterations == 2
    beside = decide(finding(TrackState.UNCERTAIN, distractor=True), True, 7, config)
    assert (beside.rate, beside.iterations) == (0.2, 1)
    every = OnlineConfig(update="every_frame")
    assert decide(sure, True, 7, every).iterations == 1
    for rule in (config, every, OnlineConfig(update="never")):
        assert not decide(sure, False, 20, rule).insert
    assert not decide(sure, True, 20, OnlineConfig(update="never")).insert


def test_learning_needs_all_opinions() -> None:
    config = OnlineConfig(learn_above=0.5, first_above=0.3)
    sure, lost = finding(TrackState.TRACKING), finding(TrackState.LOST)
    assert trustworthy(sure, 0.6, 0.7, 0.4, config)
    assert not trustworthy(lost, 0.9, 0.9, 0.9, config)
    assert not trustworthy(sure, 0.4, 0.7, 0.4, config)
    assert not trustworthy(sure, 0.6, 0.4, 0.4, config)
    assert not trustworthy(sure, 0.6, 0.7, 0.2, config)


def test_second_peak_looks_outside_the_neighbourhood() -> None:
    score = torch.zeros(25, 25)
    score[5, 18] = 1.0
    score[6, 19] = 0.9
    score[20, 3] = 0.4
    cell = torch.tensor([5 * 25 + 18])
    found = second_peak(score, cell, (3.0, 3.0))
    assert found.item() == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("robust", "accurate", "second", "former", "usual", "state"),
    [
        (0.9, 0.9, 0.1, TrackState.TRACKING, 0.0, TrackState.TRACKING),
        (0.9, 0.9, 0.8, TrackState.TRACKING, 0.0, TrackState.UNCERTAIN),
        (0.1, 0.9, 0.0, TrackState.TRACKING, 0.0, TrackState.LOST),
        (0.9, 0.01, 0.0, TrackState.TRACKING, 0.0, TrackState.LOST),
        (0.3, 0.9, 0.0, TrackState.TRACKING, 0.0, TrackState.UNCERTAIN),
        (0.3, 0.9, 0.0, TrackState.LOST, 0.0, TrackState.LOST),
        (0.6, 0.9, 0.0, TrackState.LOST, 0.0, TrackState.TRACKING),
        # The same scores are much for a faint target and little for a clear one.
        (0.5, 0.5, 0.0, TrackState.LOST, 0.5, TrackState.TRACKING),
        (0.5, 0.5, 0.0, TrackState.LOST, 0.9, TrackState.LOST),
        (0.5, 0.5, 0.0, TrackState.TRACKING, 0.9, TrackState.UNCERTAIN),
        (0.4, 0.3, 0.0, TrackState.TRACKING, 0.9, TrackState.LOST),
        (math.nan, 0.9, 0.0, TrackState.TRACKING, 0.9, TrackState.LOST),
        (0.9, math.nan, 0.0, TrackState.LOST, 0.0, TrackState.LOST),
    ],
)
def test_states(
    robust: float,
    accurate: float,
    second: float,
    former: TrackState,
    usual: float,
    state: TrackState,
) -> None:
    config = LocalizeConfig(lost_below=0.25, accurate_below=0.1, found_above=0.4)
    verdict = judge(robust, accurate, second, former, usual, config)
    assert verdict.state is state
    assert 0 <= verdict.confidence <= 1


def test_usual_score_follows_sure_frames_only() -> None:
    rule = LocalizeConfig(usual_rate=0.1)
    track = TargetTrack((10.0, 10.0, 20.0, 20.0), (0.0, 0.0, 0.0))
    seen = Finding(TrackState.TRACKING, 0.8, False, 0.8, False)
    colour = (0.1, 0.2)
    track.observe(seen, rule, colour)
    assert track.usual == pytest.approx(0.8)
    for state in (TrackState.UNCERTAIN, TrackState.LOST):
        track.observe(Finding(state, 0.1, False, 0.1, True), rule, (9.0, 9.0))
    assert track.usual == pytest.approx(0.8)
    assert track.colour.mean == pytest.approx(colour)
    for _ in range(100):
        track.observe(dataclasses.replace(seen, score=0.5), rule, colour)
    assert track.usual == pytest.approx(0.5, abs=0.01)
    # A weak frame teaches nothing, whatever its scores.
    weak = Finding(TrackState.UNCERTAIN, 0.6, False, 0.6, True)
    assert not trustworthy(weak, 0.9, 0.9, 0.9, OnlineConfig())


def test_a_search_grows_to_its_limit_however_long_a_target_is_lost() -> None:
    rule = LocalizeConfig()
    frames = 0, 1, 4, 5, 6, 5079, 5080, 10**7
    sides = [growth(n, rule.search_growth, rule.max_search) for n in frames]
    assert sides[:2] == [1.0, rule.search_growth]
    assert sides == sorted(sides)
    assert set(sides[3:]) == {rule.max_search}
    assert {growth(n, 1.0, 2.0) for n in frames} == {growth(n, 1.15, 1.0) for n in frames} == {1.0}
