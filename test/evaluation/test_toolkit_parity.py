"""Our scores beside those of the public toolkits' own code, on generated trajectories.

The committed numbers at the end were made by the same toolkits and hold where these are not
installed.
"""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pytest

from duml_tracker_ros.datasets.region import UNKNOWN, Region, parse_region, rectangle, special
from duml_tracker_ros.evaluation import longterm, metrics, vot

os.environ.setdefault("MPLBACKEND", "Agg")

SIZE = (320, 240)


def trajectories(seed: int, frames: int = 150) -> tuple[np.ndarray, np.ndarray]:
    """A wandering true box and a prediction that lags, drifts away and comes back."""
    rng = np.random.default_rng(seed)
    centre = np.array([160.0, 120.0]) + np.cumsum(rng.normal(0, 4, (frames, 2)), axis=0)
    size = np.array([40.0, 30.0]) * np.exp(np.cumsum(rng.normal(0, 0.02, (frames, 2)), axis=0))
    truth = np.concatenate([centre - size / 2, size], axis=1)
    drift = np.clip(np.sin(np.arange(frames) / 11 + seed) * 1.6 - 0.7, 0, None)[:, None] * 45
    guess = truth + np.concatenate(
        [rng.normal(0, 3, (frames, 2)) + drift, rng.normal(0, 3, (frames, 2))], axis=1
    )
    guess[0] = truth[0]
    return guess, truth


def polygons(truth: np.ndarray, angle: float) -> np.ndarray:
    """The boxes turned about their centres: ``[N, 4, 2]``."""
    centre = truth[:, None, :2] + truth[:, None, 2:] / 2
    signs = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return centre + (signs * truth[:, None, 2:]) @ turn.T


def supervise(guess: list[Region], truth: list[Region]) -> list[Region]:
    """What a supervised run writes when the tracker answers ``guess`` frame by frame."""
    out = [special(UNKNOWN)] * len(truth)
    frame = 0
    while frame < len(truth):
        out[frame] = special(vot.INITIALIZED)
        frame += 1
        while frame < len(truth):
            if vot.raster_overlap(guess[frame], truth[frame], SIZE) <= 0:
                out[frame] = special(vot.FAILED)
                frame += vot.SKIP_AFTER_FAILURE
                break
            out[frame] = guess[frame]
            frame += 1
    return out


def cases() -> list[tuple[str, list[Region], list[Region]]]:
    """Sequences with rectangles, polygons, empty truth, and boxes that leave the image."""
    out = []
    for seed in range(6):
        guess, truth = trajectories(seed, 90 + 40 * seed)
        answer = [rectangle(b) for b in guess]
        if seed % 2:
            quads = polygons(truth, 0.3 * seed)
            real = [Region("polygon", q.astype(np.float32)) for q in quads]
        else:
            real = [rectangle(b) for b in truth]
        out.append((f"case{seed}", answer, real))
    return out


def test_success_precision_and_curves_equal_got10k() -> None:
    otb = pytest.importorskip("got10k.experiments.otb")
    toolkit = pytest.importorskip("got10k.utils.metrics")
    experiment = otb.ExperimentOTB.__new__(otb.ExperimentOTB)
    experiment.nbins_iou, experiment.nbins_ce = 21, 51
    for seed in range(8):
        guess, truth = trajectories(seed)
        ours = metrics.score_pass(guess, truth)
        theirs_iou = toolkit.rect_iou(guess.copy(), truth.copy())
        theirs_error = toolkit.center_error(guess, truth)
        assert metrics.iou(guess, truth) == pytest.approx(theirs_iou, abs=1e-9)
        success, precision = experiment._calc_curves(theirs_iou, theirs_error)
        assert ours.success == pytest.approx(success, abs=1e-6)
        assert ours.precision == pytest.approx(precision, abs=1e-6)
        assert ours.auc == pytest.approx(np.mean(success), abs=1e-6)
        assert 0.1 < ours.auc < 0.9


def test_ao_and_sr_equal_got10k() -> None:
    got10k = pytest.importorskip("got10k.experiments.got10k")
    toolkit = pytest.importorskip("got10k.utils.metrics")
    experiment = got10k.ExperimentGOT10k.__new__(got10k.ExperimentGOT10k)
    experiment.nbins_iou = 101
    ours, theirs = [], []
    for seed in range(8):
        guess, truth = trajectories(seed)
        # Some boxes hang out of the image on each side.
        truth += np.array([[-150, 100, 150][seed % 3], [90, -110][seed % 2], 0, 0])
        guess += np.array([[-150, 100, 150][seed % 3], [90, -110][seed % 2], 0, 0])
        cover = np.random.default_rng(seed).integers(0, 9, len(truth))
        ours.append(metrics.got10k_overlaps(guess, truth, cover=cover, image_size=SIZE))
        found = toolkit.rect_iou(guess[1:].copy(), truth[1:].copy(), bound=SIZE)
        theirs.append(found[cover[1:] > 0])
        assert ours[-1] == pytest.approx(theirs[-1], abs=1e-9)
    score = metrics.got10k_score(ours)
    ao, sr, _, curve = experiment._evaluate(np.concatenate(theirs), np.ones(3))
    assert score.ao == pytest.approx(ao, abs=1e-6)
    assert score.sr50 == pytest.approx(sr, abs=1e-6)
    assert score.sr75 == pytest.approx(curve[75], abs=1e-6)


def to_toolkit(region: Region):  # type: ignore[no-untyped-def]
    shapes = pytest.importorskip("vot.region")
    if region.kind == "special":
        return shapes.Special(region.code)
    if region.kind == "rectangle":
        return shapes.Rectangle(*[float(v) for v in region.values])
    if region.kind == "mask":
        return shapes.Mask(region.values.copy(), region.offset)
    return shapes.Polygon([(float(x), float(y)) for x, y in region.values])


def test_raster_overlap_equals_vot_toolkit() -> None:
    raster = pytest.importorskip("vot.region.raster")
    rng = np.random.default_rng(5)
    compared = 0
    for name, guess, truth in cases():
        for a, b in zip(guess, truth, strict=True):
            for size in (SIZE, None):
                theirs = raster.calculate_overlap(to_toolkit(a), to_toolkit(b), size)
                assert vot.raster_overlap(a, b, size) == pytest.approx(theirs, abs=1e-9), name
                compared += 1
    # Triangles, five corners, far outside, halves that round, one-pixel boxes, masks, nothing.
    odd = [
        Region("polygon", rng.uniform(-40, 300, (k, 2)).astype(np.float32))
        for k in (3, 3, 4, 5, 4, 3)
    ]
    odd += [rectangle(np.round(rng.uniform(-60, 260, 4)) + 0.5) for _ in range(20)]
    odd += [rectangle(b) for b in ([5, 5, 1, 1], [5, 5, 0, 0], [-90, -90, 20, 20])]
    mask = (rng.random((30, 40)) > 0.5).astype(np.uint8)
    odd += [Region("mask", mask, (x, y)) for x, y in ((10, 20), (-15, 100), (300, 230))]
    odd += [special(UNKNOWN)]
    for a in odd:
        for b in odd:
            theirs = raster.calculate_overlap(to_toolkit(a), to_toolkit(b), SIZE)
            assert vot.raster_overlap(a, b, SIZE) == pytest.approx(theirs, abs=1e-9), (a, b)
            compared += 1
    assert compared > 2000


def supervised_runs() -> list[list[vot.SupervisedRun]]:
    return [
        [vot.supervised_run(supervise(guess, truth), truth, SIZE)] for _, guess, truth in cases()
    ]


def test_supervised_scores_equal_vot_toolkit() -> None:
    analysis = pytest.importorskip("vot.analysis.supervised")
    raster = pytest.importorskip("vot.region.raster")
    overlaps, weights, success = [], [], []
    accuracy = failures = frames = 0.0

    class Sequence:
        """The part of the toolkit's sequence that its accuracy reads."""

        size = SIZE

        def __init__(self, regions: list) -> None:
            self.regions = regions

        def groundtruth(self) -> list:
            return self.regions

    for _, guess, truth in cases():
        trajectory = [to_toolkit(r) for r in supervise(guess, truth)]
        real = [to_toolkit(r) for r in truth]
        mean, _ = analysis.compute_accuracy(trajectory, Sequence(real), 10, True, True)
        count, length = analysis.count_failures(trajectory)
        accuracy += mean * length
        failures += count * length
        frames += length
        fails, starts = analysis.locate_failures_inits(trajectory)
        found = raster.calculate_overlaps(trajectory, real, SIZE)
        pieces = [found] if not fails else [found[s:f] for s, f in zip(starts, fails, strict=False)]
        flags = [True] if not fails else [False] * len(fails)
        if fails and len(starts) > len(fails):
            pieces.append(found[starts[-1] :])
            flags.append(True)
        overlaps += pieces
        success += flags
    weights = [1.0] * len(overlaps)
    curve = analysis.compute_eao_curve(overlaps, weights, success)
    ours = vot.supervised_score(supervised_runs(), (20, 80))
    assert ours.accuracy == pytest.approx(accuracy / frames, abs=1e-6)
    assert ours.failures == pytest.approx(failures / frames, abs=1e-6)
    assert ours.failures > 1
    assert ours.eao_curve == pytest.approx(np.asarray(curve), abs=1e-6)
    assert ours.eao == pytest.approx(float(np.mean(curve[20:81])), abs=1e-6)


def anchor_runs() -> list[tuple[int, list[vot.AnchorRun]]]:
    """Runs forward from a third of the sequence and backward from two thirds."""
    out = []
    for index, (_, guess, truth) in enumerate(cases()):
        if index == 2:
            truth = [special(0) if 30 <= i < 45 else r for i, r in enumerate(truth)]
        found = vot.raster_overlaps(guess, truth, SIZE)
        there = np.array([not r.empty for r in truth])
        count = len(truth)
        runs = []
        for frames in (list(range(count // 3, count)), list(range(2 * count // 3, -1, -1))):
            overlaps = found[frames].copy()
            overlaps[0] = 0.0  # the anchor's own frame is a special region in the trajectory
            runs.append(vot.AnchorRun(overlaps, there[frames]))
        out.append((count, runs))
    return out


def test_anchor_curve_equals_vot_toolkit() -> None:
    analysis = pytest.importorskip("vot.analysis.multistart")
    high = 220
    curve, weight = np.zeros(high), np.zeros(high)
    failed = 0
    for _, runs in anchor_runs():
        lists, flags = [], []
        for run in runs:
            values = run.overlaps.copy()
            values[run.progress :] = 0
            lists.append(list(values))
            flags.append(run.progress >= len(values))
            failed += run.progress < len(values)
        phi, active = analysis.compute_eao_partial(lists, flags, high)
        curve += np.array(phi) * active
        weight += active
    theirs = np.divide(curve, weight, out=np.zeros(high), where=weight > 0)
    ours = vot.anchor_score(anchor_runs(), (60, high))
    assert failed >= 4
    assert ours.eao_curve == pytest.approx(theirs, abs=1e-6)
    assert ours.eao == pytest.approx(theirs[60 : high + 1].mean(), abs=1e-6)


def test_progress_needs_ten_misses_on_end_with_a_target() -> None:
    overlaps = np.full(60, 0.8)
    overlaps[20:29] = 0.1  # nine misses, then found again
    assert vot.AnchorRun(overlaps, np.ones(60, bool)).progress == 60
    overlaps[29] = 0.05
    assert vot.AnchorRun(overlaps, np.ones(60, bool)).progress == 20
    there = np.ones(60, bool)
    there[24] = False
    assert vot.AnchorRun(overlaps, there).progress == 60


def test_burn_in_and_skips_are_left_out_of_accuracy() -> None:
    overlaps = np.full(40, 0.5)
    codes = np.full(40, -1)
    codes[0] = codes[20] = vot.INITIALIZED
    codes[15] = vot.FAILED
    codes[16:20] = UNKNOWN
    overlaps[1:10] = overlaps[15:30] = 0.0
    run = vot.SupervisedRun(overlaps, codes)
    assert vot.supervised_accuracy(run) == pytest.approx(0.5)
    score = vot.supervised_score([[run]], (1, 5))
    assert score.robustness == pytest.approx(100 / 40)
    assert score.failures == 1


def test_regions_are_read_as_vot_writes_them() -> None:
    assert parse_region("1").code == vot.INITIALIZED
    assert parse_region("nan,nan,nan,nan").empty
    box = parse_region("10.5,20,30,40")
    assert box.bounding_box().tolist() == [10.5, 20, 30, 40]
    quad = parse_region("10,20,30,18,33,40,12,42")
    assert quad.bounding_box().tolist() == [10, 18, 23, 24]
    mask = parse_region("m3,4,4,2,1,2,2,1")
    assert mask.values.tolist() == [[0, 1, 1, 0], [0, 1, 0, 0]]
    assert mask.bounding_box().tolist() == [4, 4, 2, 2]
    assert parse_region(quad.text()).bounding_box().tolist() == [10, 18, 23, 24]
    with pytest.raises(ValueError, match="5 numbers"):
        parse_region("1,2,3,4,5")


def test_long_term_measures_equal_the_toolkit() -> None:
    toolkit = pytest.importorskip("vot.analysis.longterm")
    parts, curves = [], []
    confidences = [np.random.default_rng(s).uniform(0, 1, len(c[1])) for s, c in enumerate(cases())]
    pooled = np.concatenate(confidences)
    thresholds = toolkit.determine_thresholds(pooled.tolist(), longterm.RESOLUTION)
    for (_, answer, real), confidence in zip(cases(), confidences, strict=True):
        true, theirs = ([to_toolkit(r) for r in regions] for regions in (real, answer))
        video = SimpleNamespace(size=SIZE, groundtruth=lambda true=true: true)
        curves.append(toolkit.compute_tpr_curves(theirs, confidence, video, thresholds))
        visible = sum(r.kind != "special" for r in real)
        parts.append((vot.raster_overlaps(answer, real, SIZE), confidence, visible))
    precision, recall = np.mean(curves, axis=0)
    f_score = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(np.argmax(f_score))
    found = longterm.score_of(parts)
    assert found.f_score == pytest.approx(f_score[best], abs=1e-6)
    assert found.precision == pytest.approx(precision[best], abs=1e-6)
    assert found.recall == pytest.approx(recall[best], abs=1e-6)


def test_numbers_the_toolkits_gave() -> None:
    """Made with got10k 0.1.3 and vot-toolkit 0.7.4 on the trajectories above."""
    scores = [metrics.score_pass(*trajectories(seed)) for seed in range(8)]
    assert metrics.mean_score(scores).auc == pytest.approx(0.49630952380952, abs=1e-6)
    assert metrics.mean_score(scores).precision20 == pytest.approx(0.70916666666667, abs=1e-6)
    pooled = metrics.got10k_score(
        [metrics.got10k_overlaps(*trajectories(seed), image_size=SIZE) for seed in range(8)]
    )
    assert pooled.ao == pytest.approx(0.49676060745499, abs=1e-6)
    assert pooled.sr50 == pytest.approx(0.63422818791946, abs=1e-6)
    assert pooled.sr75 == pytest.approx(0.27852348993289, abs=1e-6)
    supervised = vot.supervised_score(supervised_runs(), (20, 80))
    assert supervised.accuracy == pytest.approx(0.59769230282053, abs=1e-6)
    assert supervised.failures == pytest.approx(5.80701754385965, abs=1e-6)
    assert supervised.eao == pytest.approx(0.23559270584028, abs=1e-6)
    anchors = vot.anchor_score(anchor_runs(), (60, 220))
    assert anchors.accuracy == pytest.approx(0.63342963941940, abs=1e-6)
    assert anchors.robustness == pytest.approx(0.18658461803610, abs=1e-6)
    assert anchors.eao == pytest.approx(0.12327861515131, abs=1e-6)
