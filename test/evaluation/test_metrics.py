"""Scores on hand-made boxes whose values follow from the definitions."""

from __future__ import annotations

import numpy as np
import pytest

from duml_tracker_ros.evaluation import metrics


def moving_truth(frames: int = 200, seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    corner = 100 + np.cumsum(rng.normal(0, 3, (frames, 2)), axis=0)
    size = 30 + 10 * np.abs(np.sin(np.arange(frames) / 17))[:, None] * np.array([[1.0, 0.6]])
    return np.concatenate([corner, size], axis=1)


def test_perfect_tracker_scores_20_of_21() -> None:
    truth = moving_truth()
    score = metrics.score_pass(truth, truth)
    assert score.auc == pytest.approx(20 / 21, abs=1e-12)
    assert score.precision20 == 1.0
    assert score.norm_precision20 == 1.0
    assert score.norm_precision_mean == 1.0


def test_shifted_tracker_scores_what_the_definition_says() -> None:
    truth = np.tile([50.0, 60.0, 40.0, 20.0], (10, 1))
    shifted = truth + np.array([10.0, 0.0, 0.0, 0.0])
    # Overlap 30/50 = 0.6; thresholds 0, 0.05, ..., 0.55 lie strictly below it: 12 of 21.
    assert metrics.iou(shifted, truth) == pytest.approx(0.6)
    score = metrics.score_pass(shifted, truth)
    assert score.auc == pytest.approx(12 / 21)
    assert score.precision[9] == 0.0
    assert score.precision[10] == 1.0  # <=, not <
    # 10 px of 40 px width = 0.25.
    assert score.norm_precision20 == 0.0
    assert score.norm_precision[25] == 1.0
    assert score.norm_precision_mean == pytest.approx(26 / 51)


def test_normalised_error_uses_width_for_x_and_height_for_y() -> None:
    truth = np.array([[0.0, 0.0, 100.0, 10.0]])
    assert metrics.center_error(truth + np.array([10, 0, 0, 0]), truth, normalized=True)[0] == 0.1
    assert metrics.center_error(truth + np.array([0, 10, 0, 0]), truth, normalized=True)[0] == 1.0


def test_strict_success_threshold() -> None:
    truth = np.array([[0.0, 0.0, 10.0, 10.0]])
    half = np.array([[0.0, 0.0, 10.0, 5.0]])  # IoU exactly 0.5
    success = metrics.score_pass(half, truth).success
    assert success[9] == 1.0
    assert success[10] == 0.0


def test_absent_frames_are_left_out() -> None:
    truth = moving_truth(20)
    boxes = truth.copy()
    boxes[5:15] += 1000.0
    whole = metrics.score_pass(boxes, truth)
    truth[5:10] = np.nan
    truth[10:15] = [0.0, 0.0, 0.0, 0.0]
    score = metrics.score_pass(boxes, truth)
    assert whole.precision20 == 0.5
    assert (score.frames, score.absent) == (10, 10)
    assert score.auc == pytest.approx(20 / 21)
    assert score.precision20 == 1.0


def test_prediction_of_nan_is_a_miss() -> None:
    truth = moving_truth(10)
    boxes = truth.copy()
    boxes[3] = np.nan
    score = metrics.score_pass(boxes, truth)
    assert score.precision20 == pytest.approx(0.9)
    assert score.success[0] == pytest.approx(0.9)
    assert score.norm_precision_mean == pytest.approx(0.9)


def test_lost_means_no_overlap_on_the_last_frames() -> None:
    truth = moving_truth(40)
    lost = truth.copy()
    lost[30:] += 1000.0
    score = metrics.score_pass(lost, truth)
    assert (score.lost_frames, score.lost_sequences) == (0.25, 1)
    found = lost.copy()
    found[39] = truth[39]
    late = truth.copy()
    late[31:] += 1000.0  # nine frames are too few to tell
    for boxes in (found, late):
        assert metrics.score_pass(boxes, truth).lost_sequences == 0
    # Frames without a target neither count nor end the loss.
    truth[35:] = np.nan
    score = metrics.score_pass(lost, truth)
    assert (score.lost_frames, score.lost_sequences) == (5 / 35, 0)
    lost[25:30] = np.nan
    score = metrics.score_pass(lost, truth)
    assert (score.lost_frames, score.lost_sequences) == (10 / 35, 1)
    both = metrics.mean_score([score, metrics.score_pass(truth, truth)])
    assert (both.lost_frames, both.lost_sequences) == (5 / 35, 1)


def test_mean_gives_each_sequence_the_same_weight() -> None:
    long, short = moving_truth(90), moving_truth(10)
    mean = metrics.mean_score(
        [metrics.score_pass(long, long), metrics.score_pass(short + 1000.0, short)]
    )
    assert mean.precision20 == pytest.approx(0.5)
    assert mean.frames == 100


def test_got10k_leaves_out_first_and_covered_frames_and_pools() -> None:
    truth = moving_truth(11)
    boxes = truth.copy()
    boxes[0] += 1000.0  # never counted
    boxes[4] += 1000.0
    cover = np.full(11, 8)
    cover[4] = 0
    first = metrics.got10k_overlaps(boxes, truth, cover=cover)
    assert len(first) == 9
    miss = metrics.got10k_overlaps(moving_truth(2) + 1000.0, moving_truth(2))
    score = metrics.got10k_score([first, miss])
    assert score.frames == 10
    assert score.ao == pytest.approx(0.9)
    assert score.sr50 == score.sr75 == pytest.approx(0.9)


def test_got10k_bound_keeps_the_size_at_the_near_edge() -> None:
    assert metrics.clip_boxes([[-10, 5, 50, 20]], 100, 20).tolist() == [[0, 5, 50, 15]]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: metrics.score_pass(np.zeros((3, 4)), np.zeros((4, 4))), "3 predicted boxes for 4"),
        (lambda: metrics.score_pass(np.zeros((3, 4)), np.zeros((3, 4))), "no frame with a true"),
        (lambda: metrics.score_pass(np.zeros(4), np.zeros((1, 4))), r"shape \[N, 4\]"),
        (lambda: metrics.mean_score([]), "no sequence"),
    ],
)
def test_errors_name_the_fault(call, text) -> None:
    with pytest.raises(ValueError, match=text):
        call()
