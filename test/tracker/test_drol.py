"""DROL: its solvers against dense algebra, its filter's geometry, its template, and tracking."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from generated_sequence import render

from duml_tracker_ros.tracker import TrackState, WeightsError, create_tracker
from duml_tracker_ros.tracker.checkpoint import default_weights, load_checkpoint, save_checkpoint
from duml_tracker_ros.tracker.checkpoint.store import load_fitting
from duml_tracker_ros.tracker.config import ClassifierConfig, OnlineConfig, load_config
from duml_tracker_ros.tracker.network.heads import OfflineOutput
from duml_tracker_ros.tracker.network.siamese import SiameseNet
from duml_tracker_ros.tracker.online.classifier import OnlineClassifier, attend
from duml_tracker_ros.tracker.online.filters import apply_filter, filter_gradient
from duml_tracker_ros.tracker.online.gauss_newton import conjugate_gradient, gauss_newton
from duml_tracker_ros.tracker.online.policy import Decision


def test_conjugate_gradient_solves_a_dense_system() -> None:
    torch.manual_seed(0)
    root = torch.randn(12, 12).double()
    matrix, right = root @ root.T + torch.eye(12), torch.randn(12).double()

    def product(x: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        flat = matrix @ torch.cat(x)
        return flat[:5], flat[5:]

    start = (torch.zeros(5).double(), torch.zeros(7).double())
    found = torch.cat(conjugate_gradient(product, (right[:5], right[5:]), start, 40))
    assert (found - torch.linalg.solve(matrix, right)).abs().max() < 1e-8


def test_gauss_newton_products_match_the_dense_jacobian() -> None:
    """One step with enough iterations is the dense Gauss-Newton step, in inference mode too."""
    torch.manual_seed(1)
    x, y = torch.randn(30, 4).double(), torch.randn(30).double()

    def residual(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.cat((torch.tanh(x @ a) * b - y, 0.3 * a, 0.3 * b))

    a, b = torch.randn(4).double(), torch.randn(1).double()
    jacobian = torch.cat(torch.autograd.functional.jacobian(residual, (a, b)), 1)
    r = residual(a, b)
    step = torch.linalg.solve(jacobian.T @ jacobian, -jacobian.T @ r)
    with torch.inference_mode():
        found = torch.cat(gauss_newton(residual, (a, b), 1, 60))
    assert (found - torch.cat((a, b)) - step).abs().max() < 1e-6
    far = gauss_newton(residual, (a, b), 8, 20)
    assert residual(*far).square().sum() < r.square().sum()


@pytest.mark.parametrize("count", [2, 9])
def test_even_filters_are_correlations_and_their_transpose(count: int) -> None:
    torch.manual_seed(2)
    memory, weight = torch.randn(1, count, 3, 7, 9).double(), torch.randn(1, 2, 3, 4, 4).double()
    with torch.no_grad():
        scores = apply_filter(memory, weight)
        plain = F.conv2d(memory[0], weight[0], padding=2)
        assert scores.shape == (1, count, 2, 8, 10)
        assert (scores[0] - plain).abs().max() < 1e-10
        r = torch.randn_like(scores)
        left, right = (scores * r).sum(), (filter_gradient(memory, r, 4) * weight).sum()
        assert left.item() == pytest.approx(right.item(), rel=1e-10)


def test_attention_weighs_channels_and_cells() -> None:
    x = torch.zeros(1, 8, 5, 6)
    x[0, :, 1, 4] = 5.0
    out = attend(x, torch.ones(2, 8), torch.ones(8, 2))
    assert out[0, 0, 1, 4] > 5 * x[0, 0, 1, 4]
    assert divmod(int(out[0, 0].argmax()), 6) == (1, 4)


@pytest.mark.parametrize("kernel", [4, 5])
def test_classifier_finds_a_pattern_off_the_diagonal(kernel: int) -> None:
    """Trained on shifted copies of a pattern, it answers at the pattern's cell in a new place."""
    torch.manual_seed(3)
    pattern, noise = torch.randn(16, 4, 4) * 2, 0.3

    def frame(row: int, col: int) -> torch.Tensor:
        x = torch.randn(16, 21, 25) * noise
        x[:, row - 2 : row + 2, col - 2 : col + 2] += pattern
        return x

    # The pattern covers cells row - 2 .. row + 1: its centre lies half a cell before `row`.
    places = [(4, 18), (10, 12), (15, 5), (7, 20), (13, 9)]
    features = torch.stack([frame(*p) for p in places])
    targets = torch.tensor([[r - 0.5, c - 0.5, 4.0, 4.0] for r, c in places])
    config = ClassifierConfig(channels=16, kernel=kernel, first_steps=4, first_iterations=8)
    online = OnlineConfig(memory=12, init_samples=5)
    with torch.inference_mode():
        model = OnlineClassifier(config, online, features, targets)
        scores, first = model.scores(frame(6, 17)[None])
        assert scores.shape == first.shape == (1, 21, 25)
        row, col = divmod(int(scores[0].argmax()), 25)
        assert abs(row - 5.5) <= 1
        assert abs(col - 16.5) <= 1
        assert scores.max() > 0.5
        before = model.filter
        # A look-alike that was called background is suppressed by learning.
        other = frame(16, 4)
        other[:, 2:6, 18:22] += pattern
        target = torch.tensor([15.5, 3.5, 4.0, 4.0])
        near = model.scores(other[None])[0][0, 3:5, 19:21].max()
        for _ in range(6):
            model.learn(other, target, scores, Decision(True, 0.3, 10))
        after = model.scores(other[None])[0][0, 3:5, 19:21].max()
        assert after < near
        assert not torch.equal(before, model.filter)
        assert torch.equal(before, model.first_filter)
        assert model.memory.used == 11


def test_short_term_template_is_used_only_where_it_agrees_and_is_surer() -> None:
    tracker = create_tracker("drol_rpn", weights="random", device="cpu")
    shape = (1, 5, 25, 25)

    def output(score: float, col: int) -> OfflineOutput:
        cls = torch.full(shape, -9.0)
        cls[0, 2, 6, col] = score
        return OfflineOutput(cls, torch.zeros(*shape, 4), torch.zeros(shape))

    weak = output(-2.0, 17)
    for recent, used in (
        (output(4.0, 17), True),
        (output(4.0, 4), False),
        (output(-1.9, 17), False),
    ):
        chosen = tracker.short_term.better(weak, recent)
        assert torch.equal(chosen.cls, recent.cls if used else weak.cls)


def test_drol_tracks_learns_and_renews_its_template() -> None:
    images, boxes = render(40, size=(320, 240), seed=2)
    images = [np.ascontiguousarray(i[..., ::-1]) for i in images]
    settings = {"classifier.template_score": 0.3}
    tracker = create_tracker("drol_rpn", device="cpu", **settings)
    assert tracker.info()["name"] == "drol_rpn"
    tracker.init(images[0], tuple(boxes[0]))
    target = tracker._target
    assert target.recent.kernels is None
    first = target.online.filter.clone()
    results = [tracker.update(image) for image in images[1:]]
    target.finish_update()
    centres = np.array([(r.box[0] + r.box[2] / 2, r.box[1] + r.box[3] / 2) for r in results])
    truth = boxes[1:, :2] + boxes[1:, 2:] / 2
    assert np.abs(centres - truth).max() < 12
    assert sum(r.state is TrackState.LOST for r in results) == 0
    assert target.recent.kernels is not None
    assert target.online.memory.used > target.online.memory.protected
    assert not torch.equal(first, target.online.filter)
    again = create_tracker("drol_rpn", device="cpu", **settings)
    again.init(images[0], tuple(boxes[0]))
    assert [again.update(image).box for image in images[1:]] == [r.box for r in results]


def test_alexnet_size_is_dasiamrpns_shape_and_tracks() -> None:
    config = load_config("alexnet", name="drol_rpn")
    net = SiameseNet(config.network).eval()
    with torch.inference_mode():
        z = net.extract(torch.zeros(1, 3, 129, 129))
        x = net.extract(torch.zeros(1, 3, 257, 257))
        out = net.predict(net.template_kernels(z), x)
    assert [m.shape for m in z] == [(1, 256, 17, 17)]
    assert [m.shape for m in x] == [(1, 256, 33, 33)]
    assert out.cls.shape == (1, 5, 33, 33)
    assert out.deltas.shape == (1, 5, 33, 33, 4)
    assert config.postprocess.mu == 0.8
    with pytest.raises(WeightsError, match="'duml-tracker train drol_rpn_alexnet'"):
        create_tracker("drol_rpn", size="alexnet", device="cpu")
    few = {"online.init_samples": 4, "classifier.first_steps": 1, "classifier.first_iterations": 2}
    seen = {"localize.lost_below": -1.0, "localize.accurate_below": -1.0}
    options = {**few, **seen, "postprocess.mu": 1.0}
    tracker = create_tracker("drol_rpn", "random", "cpu", "alexnet", **options)
    info = tracker.info()
    assert (info["name"], info["size"]) == ("drol_rpn", "alexnet")
    images, boxes = render(3, size=(320, 240), seed=2)
    tracker.init(images[0], tuple(boxes[0]), "bgr")
    result = tracker.update(images[1], "bgr")
    assert result.state is not TrackState.LOST
    assert np.isfinite(result.box).all()
    # The network is not trained: the online classifier alone has to find the target.
    assert abs(result.box[0] + result.box[2] / 2 - boxes[1, 0] - 15) < 20
    assert result.score_maps["fused"].shape == (33, 33)


def test_online_module_stands_beside_another_siamese_network(tmp_path) -> None:
    """SiamRCR's network with its weights as they are: nothing of it is trained again."""
    torch.manual_seed(0)
    config = load_config(name="siamrcr").network
    net = SiameseNet(config)
    load_fitting(net, load_checkpoint(default_weights("compact")))
    save_checkpoint(tmp_path / "rcr.safetensors", net, config)
    keys = ("offline_branch", "online_branch", "separate_towers")
    options = {f"network.{k}": getattr(config, k) for k in keys}
    options |= {"localize.accurate_below": 0.0, "postprocess.mu": 1.0}
    options |= {"postprocess.size_rate": 0.0}
    tracker = create_tracker(
        "drol_rpn", weights=str(tmp_path / "rcr.safetensors"), device="cpu", **options
    )
    images, boxes = render(12, size=(320, 240), seed=2)
    tracker.init(images[0], tuple(boxes[0]), "bgr")
    results = [tracker.update(image, "bgr") for image in images[1:]]
    centres = np.array([(r.box[0] + r.box[2] / 2, r.box[1] + r.box[3] / 2) for r in results])
    assert np.abs(centres - (boxes[1:, :2] + boxes[1:, 2:] / 2)).max() < 14
