"""Why a track failed: diagnostics of a frame, traces on disk, the rules, the page."""

import json
import pickle

import cv2
import numpy as np
import pytest
from generated_sequence import render, write_sequence

from duml_tracker_ros.cli.main import main
from duml_tracker_ros.evaluation.workers import limit_threads
from duml_tracker_ros.explain import trace as trace_module
from duml_tracker_ros.explain.failure import FailureKind, failures
from duml_tracker_ros.explain.trace import Budget, TraceError, TraceWriter, read_trace
from duml_tracker_ros.tracker import create_tracker
from duml_tracker_ros.tracker.online.policy import NOTHING

IMAGES, TRUTH = render(26)
BOX = tuple(float(v) for v in TRUTH[0])


@pytest.fixture(scope="module")
def tracker():
    limit_threads(1)
    # Room for every frame of the clip: none is written over another.
    return create_tracker("duml", device="cpu", **{"online.memory": 50})


def follow(tracker, each):
    tracker.init(IMAGES[0], BOX, "bgr")
    for index, image in enumerate(IMAGES[1:], start=1):
        each(index, image, tracker.update(image, "bgr"))


def write_trace(tracker, folder, budget=None):
    writer = TraceWriter(folder, budget or Budget(1 << 30), {"clip": "test"})
    results = []

    def each(index, image, result):
        results.append((result, result.diagnostics.memory.shares()))
        writer.add(index * 1000, image, "bgr", result)

    follow(tracker, each)
    writer.flush()
    return results


def test_diagnostics_tells_what_decided_a_frame(tracker):
    inserted = []

    def each(index, image, result):
        seen = result.diagnostics
        peak, decision = seen.peak, seen.decision
        assert result.score_maps["robust"].max() >= peak.robust
        assert peak.second <= result.score_maps["robust"].max() + 1e-6
        assert seen.finding.state is result.state
        assert seen.finding.confidence == result.confidence
        shares = seen.memory.shares()
        assert sum(shares) == pytest.approx(1.0, abs=1e-5)
        assert decision.insert == (len(shares) > 15 + sum(inserted))
        inserted.append(decision.insert)
        x, y, w, h = seen.candidate
        bx, by, bw, bh = result.box
        assert (x + w / 2, y + h / 2) == pytest.approx((bx + bw / 2, by + bh / 2), abs=0.01)
        # Due every few frames, else only remembered.
        due = index % tracker.config.online.interval == 0
        assert bool(decision.iterations) == (due and decision.insert)

    follow(tracker, each)
    assert any(inserted)


def test_diagnostics_of_a_tracker_that_does_not_learn():
    still = create_tracker("duml", device="cpu", **{"online.update": "never"})

    def each(index, image, result):
        assert result.diagnostics.decision is NOTHING
        assert len(result.diagnostics.memory.shares()) == 15

    follow(still, each)


def test_trace_holds_what_the_tracker_said(tracker, tmp_path):
    results = write_trace(tracker, tmp_path / "trace")
    trace = read_trace(tmp_path / "trace")
    assert len(trace) == len(results) == 25
    assert trace["frame"].tolist() == list(range(1, 26))
    assert trace["stamp_ns"].tolist() == [1000 * i for i in range(1, 26)]
    assert trace.about["clip"] == "test"
    for index, (result, shares) in enumerate(results):
        np.testing.assert_array_equal(trace["box"][index], np.float32(result.box))
        assert trace.states[index] == result.state.value
        maps = np.stack([result.score_maps[name] for name in ("fused", "robust", "accurate")])
        np.testing.assert_array_equal(trace.maps[index], maps.astype(np.float16))
        np.testing.assert_allclose(trace.memory[index], shares, rtol=1e-3)
        peak = result.diagnostics.peak
        assert trace["peak"][index][3] == pytest.approx(peak.second)
    # The picture and the map lie over each other: both show the target where its box is.
    x, y, w, h = trace.to_picture(20, results[20][0].box, 300)
    heat = trace.heat(20, "fused", 300)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert (column, row) == (pytest.approx(x + w / 2, abs=0.4 * w), pytest.approx(y + h / 2, abs=h))
    scale = w / results[20][0].box[2]
    target = cv2.resize(IMAGES[21][40 + 21 :][:24, 30 + 63 :][:, :30], None, fx=scale, fy=scale)
    picture = cv2.resize(trace.picture(20), (300, 300))[..., ::-1]
    match = cv2.matchTemplate(picture, target, cv2.TM_CCOEFF_NORMED)
    _, best, _, place = cv2.minMaxLoc(match)
    assert best > 0.9
    assert place == (pytest.approx(x, abs=6), pytest.approx(y, abs=6))


def test_budget_lets_the_oldest_parts_go(tracker, tmp_path, monkeypatch):
    monkeypatch.setattr(trace_module, "FRAMES_A_FILE", 5)
    write_trace(tracker, tmp_path / "all")
    sizes = [path.stat().st_size for path in sorted((tmp_path / "all").glob("*.npz"))]
    assert len(sizes) == 5
    write_trace(tracker, tmp_path / "bound", Budget(sum(sizes[-2:])))
    trace = read_trace(tmp_path / "bound")
    assert trace["frame"].tolist() == list(range(16, 26))
    assert len(trace.pictures) == len(trace.maps) == len(trace.memory) == 10


def test_damaged_and_hostile_traces_are_refused(tracker, tmp_path):
    write_trace(tracker, tmp_path)
    (path,) = tmp_path.glob("*.npz")
    whole, meta = path.read_bytes(), (tmp_path / "trace.json").read_text()
    with np.load(path) as file:
        arrays = dict(file)

    class Bomb:
        def __reduce__(self):
            return (pickle.loads, (b"never",))

    changes = {
        "frame": np.array([Bomb()] * 25, object),
        "box": arrays["box"][:-1],
        "state": np.full(25, 77, np.uint8),
        "maps": arrays["maps"][:-3],
        "picture_size": -arrays["picture_size"],
    }
    for name, value in changes.items():
        np.savez(path, **{**arrays, name: value})
        with pytest.raises(TraceError, match=path.name):
            read_trace(tmp_path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TraceError, match="damaged"):
        read_trace(tmp_path)
    path.unlink()
    with pytest.raises(TraceError, match="no frames"):
        read_trace(tmp_path)
    words = r"trace\.json is damaged, or of no trace"
    for text in ("{", "null", "[1]", "{}", "[" * 20000):
        (tmp_path / "trace.json").write_text(text)
        with pytest.raises(TraceError, match=words):
            read_trace(tmp_path)
    for text, words in ((meta.replace('"format": 1', '"format": 9'), "9"),):
        (tmp_path / "trace.json").write_text(text)
        with pytest.raises(TraceError, match=words):
            read_trace(tmp_path)


def judge(offsets, sizes=None, states=None, hidden=(), weak=()):
    """Failures of a box that is off by `offsets` widths; the truth is 20x20 and moves."""
    count = len(offsets)
    truth = np.array([[100.0 + 2 * i, 50.0, 20.0, 20.0] for i in range(count)])
    scale = np.ones(count) if sizes is None else np.array(sizes, float)
    boxes = truth.copy()
    boxes[:, 0] += 20.0 * np.array(offsets, float) + 10.0 * (1 - scale)
    boxes[:, 1] += 10.0 * (1 - scale)
    boxes[:, 2:] *= scale[:, None]
    truth[list(hidden)] = np.nan
    flags = np.zeros(count, bool)
    flags[list(weak)] = True
    return failures(boxes, truth, states or ["tracking"] * count, flags)


def test_kinds_are_told_by_their_rules():
    assert judge([0] * 30) == []
    # Four bad frames are no failure.
    assert judge([0] * 10 + [3] * 4 + [0] * 10) == []
    (jump,) = judge([0] * 10 + [3] * 20)
    assert (jump.kind, jump.index, jump.judged, jump.healthy) == (FailureKind.DISTRACTOR, 10, 10, 9)
    assert jump.again is None
    (slow,) = judge(list(np.linspace(0, 2, 60)))
    assert slow.kind is FailureKind.DRIFT
    assert (slow.index - slow.healthy, slow.outside) == (7, True)
    (grown,) = judge([0] * 10 + [0.1] * 20, [1] * 10 + [2.5] * 20)
    assert grown.kind is FailureKind.SCALE
    assert grown.area_ratio == pytest.approx(6.25)
    states = ["tracking"] * 10 + ["lost"] * 20
    (lost,) = judge([0] * 10 + [3] * 20, states=states)
    assert (lost.kind, lost.doubted) == (FailureKind.LOST, 1.0)
    (weak,) = judge([0] * 10 + [3] * 20, weak=range(10, 30))
    assert weak.kind is FailureKind.LOST
    # A box of half the side that sits in the target's corner: it clings to a part.
    (part,) = judge([0] * 10 + [0.35] * 20, [1] * 10 + [0.5] * 20)
    assert (part.kind, part.outside) == (FailureKind.DRIFT, False)


def test_taken_up_at_another_place_after_a_loss_is_a_distractor():
    states = ["tracking"] * 10 + ["lost"] * 12 + ["tracking"] * 20
    offsets = [0] * 10 + [1] * 12 + [4] * 20
    (found,) = judge(offsets, states=states, hidden=range(10, 20))
    assert found.kind is FailureKind.DISTRACTOR
    assert (found.index, found.judged, found.absent_before) == (20, 22, 10)


def test_every_failure_is_found():
    first, second = judge([0] * 10 + [3] * 8 + [0] * 10 + [3] * 9)
    assert (first.index, first.again, second.index, second.again) == (10, 18, 28, None)
    with pytest.raises(ValueError, match="3 boxes"):
        failures(np.ones((3, 4)), np.ones((4, 4)), ["lost"] * 3, [False] * 3)


def explain(clip, out, *more):
    return main(["explain", str(clip), "--out", str(out), "--quiet", "--threads", "1", *more])


def test_clip_is_explained_on_one_page(tmp_path, capsys):
    clip = write_sequence(tmp_path / "glide", frames=26)
    strip, trace = tmp_path / "strip.jpg", tmp_path / "trace"
    options = ("--size", "compact", "--picture", str(strip), "--trace", str(trace))
    assert explain(clip, tmp_path / "out", *options) == 0
    said = capsys.readouterr().out
    assert "No failure: mean overlap 0." in said
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2
    assert page.replace("http://www.w3.org/2000/svg", "").count("http") == 0
    assert "Scores at the chosen place" in page
    image = cv2.imread(str(strip))
    assert image.shape[1] > 6 * 300
    # The trace that was kept tells the same.
    assert explain(trace, tmp_path / "again") == 0
    assert capsys.readouterr().out.splitlines()[0] == said.splitlines()[0]


def test_failure_is_named_with_its_frame(tmp_path, capsys):
    clip = write_sequence(tmp_path / "glide", frames=26)
    truth = np.loadtxt(clip / "groundtruth_rect.txt", delimiter=",")
    truth[12:, 0] = 5.0  # as if another thing had been meant from here on
    np.savetxt(tmp_path / "other.txt", truth, delimiter=",")
    assert explain(clip, tmp_path / "out", "--truth", str(tmp_path / "other.txt")) == 0
    said = capsys.readouterr().out
    assert "1 failure" in said
    assert "frame 12, distractor" in said
    assert "not found again" in said
    assert "<td>frame 12</td><td>distractor</td>" in (tmp_path / "out" / "index.html").read_text()


def test_without_truth_the_trackers_own_view_is_told(tmp_path, capsys):
    clip = write_sequence(tmp_path / "glide", frames=4)
    (clip / "groundtruth_rect.txt").unlink()
    assert explain(clip, tmp_path / "out", "--box", "30,40,30,24") == 0
    assert "Without truth nothing says where it failed" in capsys.readouterr().out
    assert "Overlap" not in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ((), "no true boxes: give the target with --box"),
        (("--box", "900,900,20,20"), "outside the image"),
        (("--box", "30,40,30,24", "--frames", "1"), "one frame only"),
        (("--box", "30,40,30,24", "--start", "9"), "--start 9"),
        (("--box", "30,40,30,24", "--trace", "{here}"), "exists already"),
        (("--box", "30,40,30,24", "--truth", "{here}/short.txt"), "the truth has 2 rows"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, capsys, more, words):
    clip = write_sequence(tmp_path / "glide", frames=4)
    (clip / "groundtruth_rect.txt").unlink()
    (tmp_path / "short.txt").write_text("1,2,3,4\n1,2,3,4\n")
    more = [text.format(here=tmp_path) for text in more]
    assert explain(clip, tmp_path / "out", *more) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_damaged_trace_is_told_in_one_line(tmp_path, capsys):
    (tmp_path / "trace.json").write_text(json.dumps({"format": 1}))
    assert explain(tmp_path, tmp_path / "out") == 2
    assert "holds no frames" in capsys.readouterr().err
