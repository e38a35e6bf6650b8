"""Score voting, size penalty and the choice of the box, on hand-made numbers."""

from __future__ import annotations

import math

import pytest
import torch

from duml_tracker_ros.tracker.config import PostprocessConfig
from duml_tracker_ros.tracker.frame.localize import second_peak
from duml_tracker_ros.tracker.frame.peak import Peak
from duml_tracker_ros.tracker.frame.voting import Ballot, Votes
from duml_tracker_ros.tracker.geometry import Window
from duml_tracker_ros.tracker.host_choice import choose
from duml_tracker_ros.tracker.motion.target import Expectation
from duml_tracker_ros.tracker.network.anchors import anchor_grid, anchor_shapes, encode
from duml_tracker_ros.tracker.network.heads import OfflineOutput
from duml_tracker_ros.tracker.postprocess import between_cells, hann_window, select, size_change


def test_a_peak_comes_back_from_the_device_as_it_was_packed() -> None:
    values = {name: 0.5 + i for i, name in enumerate(Peak._fields)}
    scores = {name: torch.tensor(v) for name, v in values.items() if name not in "cx cy w h"}
    box = torch.tensor([values[name] for name in ("cx", "cy", "w", "h")])
    (peak,) = Peak.unpack(Peak.pack(box, **scores)[None])
    assert peak._asdict() == values
    assert peak.box == tuple(box.tolist())


def test_vote_of_one_box_is_that_box() -> None:
    box = torch.tensor([[50.0, 40.0, 20.0, 30.0]])
    out = Ballot(box, torch.ones(1), torch.ones(1), box[0]).elect()
    assert out.tolist() == pytest.approx([50, 40, 20, 30])


def test_vote_weighs_by_score_quality_and_overlap() -> None:
    """Equation 4 and 5 by hand: IoU of the shifted box is (20 - 1) / (20 + 1)."""
    boxes = torch.tensor([[50.0, 40.0, 20.0, 30.0], [51.0, 40.0, 20.0, 30.0]])
    score, quality = torch.tensor([0.9, 0.6]), torch.tensor([0.8, 0.5])
    overlap = 19 / 21
    w0 = 0.9 * 0.8
    w1 = 0.6 * 0.5 * math.exp(-((1 - overlap) ** 2) / 0.0025)
    out = Ballot(boxes, score, quality, boxes[0]).elect()
    assert out[0].item() == pytest.approx((w0 * 50 + w1 * 51) / (w0 + w1), rel=1e-5)
    assert out[1:].tolist() == pytest.approx([40, 20, 30])


def test_vote_ignores_distant_and_worthless_boxes() -> None:
    boxes = torch.tensor([[50.0, 40.0, 20.0, 30.0], [90.0, 40.0, 20.0, 30.0]])
    out = Ballot(boxes, torch.tensor([0.1, 5.0]), torch.ones(2), boxes[0], sigma=1e6).elect()
    assert out.tolist() == pytest.approx([50, 40, 20, 30])
    nothing = Ballot(boxes, torch.zeros(2), torch.ones(2), boxes[0]).elect()
    assert nothing.tolist() == pytest.approx([50, 40, 20, 30])


def test_votes_name_the_heaviest_boxes_in_image_pixels() -> None:
    boxes = torch.tensor([[90.0, 90.0, 8, 8], [51, 40, 20, 30], [50, 40, 20, 30], [50, 41, 20, 30]])
    ballot = Ballot(boxes, torch.tensor([5.0, 0.6, 0.9, 0.0]), torch.ones(4), boxes[2])
    # A crop of 100 pixels that shows 200 of the image, whose centre is at (300, 400).
    votes = Votes(ballot, Window(300, 400, 200, 100))
    (first, share), (second, rest) = votes.top()
    assert first == pytest.approx((280, 350, 40, 60))
    assert second == pytest.approx((282, 350, 40, 60))
    assert share > rest > 0
    assert share + rest == pytest.approx(1)
    assert votes.top(1) == [(first, share)]
    x, _, w, _ = (share * a + rest * b for a, b in zip(first, second, strict=True))
    elected = ballot.elect()
    assert (x + w / 2 - 300) / 2 + 50 == pytest.approx(elected[0].item(), abs=1e-4)


def test_size_change_is_symmetric_and_one_for_no_change() -> None:
    last = (40.0, 20.0)
    same = size_change(torch.tensor(40.0), torch.tensor(20.0), last)
    assert same.item() == pytest.approx(1)
    double = size_change(torch.tensor(80.0), torch.tensor(40.0), last)
    half = size_change(torch.tensor(20.0), torch.tensor(10.0), last)
    assert double.item() == pytest.approx(2)
    assert half.item() == pytest.approx(2)
    turned = size_change(torch.tensor(20.0), torch.tensor(40.0), last)
    assert turned.item() == pytest.approx(4)


def dense(box: tuple[float, float, float, float], cell: tuple[int, int], anchor: int):
    """Predictions in which one anchor at (row, col) holds the box and the rest hold anchors."""
    anchors = anchor_grid(anchor_shapes(48.0, (0.5, 1.0, 2.0)), 25, 8, 193)
    deltas = torch.zeros(1, 3, 25, 25, 4)
    row, col = cell
    deltas[0, anchor, row, col] = encode(torch.tensor(box), anchors[anchor, row, col])
    cls = torch.full((1, 3, 25, 25), -8.0)
    cls[0, anchor, row, col] = 4.0
    robust = torch.zeros(1, 25, 25)
    robust[0, row, col] = 0.9
    return OfflineOutput(cls, deltas, torch.full((1, 3, 25, 25), 2.0)), robust, anchors


def test_select_finds_a_box_off_the_diagonal() -> None:
    box = (150.0, 44.0, 61.0, 29.0)
    out, robust, anchors = dense(box, (5, 18), 2)
    config = PostprocessConfig(voting=False)
    best = select(out, robust, anchors, (60.0, 30.0), hann_window(25), config)
    assert best.box.tolist() == pytest.approx(box, abs=1e-3)
    assert divmod(int(best.cell), 25) == (5, 18)
    assert best.robust.item() == pytest.approx(0.9)
    assert best.fused.item() == pytest.approx(0.8 * 0.9 + 0.2 * torch.sigmoid(torch.tensor(4.0)))


def test_fusion_weight_moves_the_peak() -> None:
    out, robust, anchors = dense((150.0, 44.0, 48.0, 48.0), (5, 18), 1)
    robust = torch.zeros(1, 25, 25)
    robust[0, 20, 4] = 0.9
    last, hann = (48.0, 48.0), hann_window(25)
    for mu, cell in ((0.9, (20, 4)), (0.1, (5, 18))):
        config = PostprocessConfig(mu=mu, window_influence=0.0, voting=False)
        best = select(out, robust, anchors, last, hann, config)
        assert divmod(int(best.cell), 25) == cell


def test_branches_broadcast_and_stand_in_for_each_other() -> None:
    """Scores of one scale are broadcast over the anchors; a missing branch has the other's."""
    out, robust, anchors = dense((150.0, 44.0, 48.0, 48.0), (5, 18), 1)
    last, hann, config = (48.0, 48.0), hann_window(25), PostprocessConfig()
    assert out.cls is not None
    single = out._replace(cls=out.cls.amax(1, keepdim=True))
    scales = robust.expand(3, -1, -1) * torch.tensor([0.2, 1.0, 0.1])[:, None, None]
    cases = ((single, robust), (single, scales), (out, scales), (out, None))
    for prediction, online in (*cases, (out._replace(cls=None), scales)):
        best = select(prediction, online, anchors, last, hann, config)
        assert divmod(int(best.cell), 25) == (5, 18)
        assert best.fused_map.shape == best.robust_map.shape == best.accurate_map.shape == (25, 25)
        if online is None or prediction.cls is None:
            assert best.robust == best.accurate


@pytest.mark.parametrize("place", [(4.3, 6.8), (5.0, 2.0), (0.2, 0.0), (9.6, 7.7)])
def test_the_top_is_found_between_cells(place: tuple[float, float]) -> None:
    x, y = place
    rows, columns = torch.meshgrid(torch.arange(9.0), torch.arange(11.0), indexing="ij")
    scores = 1 - 0.02 * (columns - x) ** 2 - 0.04 * (rows - y) ** 2
    cell = scores.flatten().argmax(0, keepdim=True)
    dx, dy = between_cells(scores, cell).tolist()
    found = cell.item() % 11 + dx, cell.item() // 11 + dy
    # At the border half of the parabola is missing.
    assert found[0] == pytest.approx(x if 0.5 < x < 9.5 else round(x), abs=1e-3)
    assert found[1] == pytest.approx(y if 0.5 < y < 7.5 else round(y), abs=1e-3)
    flat = between_cells(torch.ones(9, 11), torch.tensor([40])).tolist()
    assert flat == [0, 0]
    elsewhere = between_cells(scores, (cell + 2) % 99).abs().max().item()
    assert elsewhere <= 0.5, "the window may have chosen another cell"


def test_window_is_symmetric_and_never_zero() -> None:
    hann = hann_window(25)
    assert hann[12, 12] == pytest.approx(1)
    assert hann.min() > 0
    assert torch.equal(hann, hann.T)
    assert torch.allclose(hann, hann.flip(0))


@pytest.mark.parametrize(
    "rule",
    [
        PostprocessConfig(),
        PostprocessConfig(voting=False, penalise="offline", mu=0.5),
        PostprocessConfig(fusion="product", window="closed"),
    ],
    ids=["sum", "offline", "product"],
)
@pytest.mark.parametrize("branches", ["both", "one scale", "no cls", "no online"])
def test_the_choice_of_the_host_is_that_of_the_device(rule: PostprocessConfig, branches) -> None:
    shape, generator = (1, 3, 25, 25), torch.Generator().manual_seed(5)
    anchors = anchor_grid(anchor_shapes(48.0, (0.5, 1.0, 2.0)), 25, 8, 193)
    hann = hann_window(25, rule.window == "closed")
    for frame in range(4):
        cls, iou, deltas = (
            torch.randn(s, generator=generator) for s in (shape, shape, (*shape, 4))
        )
        robust: torch.Tensor | None = torch.randn(shape[1:], generator=generator)
        if branches == "one scale":
            cls, robust = cls[:, :1], torch.randn(1, 25, 25, generator=generator)
        robust = None if branches == "no online" else robust
        if frame == 3:  # nothing of any worth, and sides that would overflow
            deltas, robust = 60 * deltas, None if robust is None else -robust.abs()
        out = OfflineOutput(
            None if branches == "no cls" and robust is not None else cls, deltas, iou
        )
        expected = Expectation((40.0 + frame, 55.0), 0.35 * (frame % 2), (2.5, 3.0))
        theirs = select(out, robust, anchors, expected.last, hann, rule, expected.influence)
        ours = choose(out, robust, anchors, hann, expected, rule)
        assert ours.cell == theirs.cell.item()
        assert ours.box == pytest.approx(theirs.box.numpy(), rel=1e-5)
        for name in ("penalty", "fused", "robust", "accurate"):
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name).item(), rel=1e-5)
        for name in ("fused_map", "robust_map", "accurate_map"):
            assert getattr(ours, name) == pytest.approx(getattr(theirs, name).numpy(), rel=1e-5)
        second = second_peak(theirs.robust_map, theirs.cell, expected.near)
        assert ours.second == pytest.approx(second.item(), rel=1e-5)
        assert (ours.ballot is None) == (theirs.ballot is None)
        if ours.ballot is not None and theirs.ballot is not None:
            weights = theirs.ballot.weights().numpy()
            assert ours.ballot.weights().numpy() == pytest.approx(weights, rel=1e-4, abs=1e-9)


def test_the_host_takes_what_has_no_number_as_the_device_does() -> None:
    out, robust, anchors = dense((150.0, 44.0, 48.0, 48.0), (5, 18), 1)
    out.iou[0, 1, 20, 4] = math.nan
    robust[0, 20, 4] = math.nan
    expected = Expectation((48.0, 48.0), 0.35, (2.0, 2.0))
    hann, rule = hann_window(25), PostprocessConfig()
    theirs = select(out, robust, anchors, expected.last, hann, rule, expected.influence)
    ours = choose(out, robust, anchors, hann, expected, rule)
    assert ours.cell == theirs.cell.item() == 20 * 25 + 4
    assert math.isnan(ours.fused)
    assert math.isnan(theirs.fused.item())
    assert ours.box.tolist() == pytest.approx(theirs.box.tolist(), nan_ok=True)
