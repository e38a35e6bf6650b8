"""The second opinion: colours of the target, strange ones, and a tracker that listens to it."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from duml_tracker_ros.scene import AerialScene
from duml_tracker_ros.tracker import TrackState, create_tracker
from duml_tracker_ros.tracker.config import load_config
from duml_tracker_ros.tracker.frame.palette import PATIENCE, UsualPalette, likeness, palette
from duml_tracker_ros.tracker.motion.nearby import Look
from duml_tracker_ros.tracker.motion.target import Left, TargetTrack
from duml_tracker_ros.tracker.systems.records import FrameImage
from duml_tracker_ros.tracker.systems.verdict import verdict

BOX = (20.0, 30.0, 40.0, 20.0)
TOLERANCE = 0.08


def picture(colour: tuple[int, int, int] = (180, 60, 40), seed: int = 0) -> np.ndarray:
    """Noise about a colour."""
    noise = np.random.default_rng(seed).normal(0, 12, (80, 100, 3))
    return np.clip(noise + colour, 0, 255).astype(np.uint8)


def test_colours_are_those_inside_the_box_in_every_order() -> None:
    image = picture()
    image[:, 70:] = 255
    found = palette(image, "rgb", BOX)
    assert found is not None
    assert found.sum() == pytest.approx(1.0, abs=1e-5)
    opaque = np.full((80, 100, 1), 255, np.uint8)
    others = {
        "bgr": image[..., ::-1],
        "rgba": np.dstack([image, opaque]),
        "bgra": np.dstack([image[..., ::-1], opaque]),
    }
    for order, other in others.items():
        assert np.array_equal(found, palette(other, order, BOX)), order
    white = palette(image, "rgb", (80.0, 30.0, 60.0, 20.0))
    assert white is not None
    assert likeness(found, white) < 0.01
    grey = palette(image[..., 0], "mono", BOX)
    assert grey is not None
    assert likeness(grey, grey) == pytest.approx(1.0, abs=1e-5)
    for box in ((200.0, 0.0, 10.0, 10.0), (-30.0, 0.0, 20.0, 20.0), (np.nan, 0.0, 5.0, 5.0)):
        assert palette(image, "rgb", box) is None


def test_size_does_not_matter() -> None:
    image = picture()
    large = np.asarray(cv2.resize(image, None, fx=16, fy=16), np.uint8)
    found = palette(large, "rgb", (320.0, 480.0, 640.0, 320.0))
    small = palette(image, "rgb", BOX)
    assert found is not None
    assert small is not None
    assert likeness(found, small) > 0.95


def known(frames: int = 30) -> UsualPalette:
    usual = UsualPalette()
    usual.start(palette(picture(), "rgb", BOX))
    for seed in range(1, frames):
        assert not usual.doubts(palette(picture(seed=seed), "rgb", BOX), TOLERANCE)
    return usual


def test_strange_colours_are_doubted_and_not_learned() -> None:
    usual, green = known(), palette(picture((60, 160, 60)), "rgb", BOX)
    before = usual.recent
    assert all(usual.doubts(green, TOLERANCE) for _ in range(60))
    assert usual.recent is before
    assert not usual.doubts(palette(picture(seed=99), "rgb", BOX), TOLERANCE)
    assert not usual.doubts(None, TOLERANCE), "out of the image nothing is said"


def test_less_is_granted_to_what_was_lost() -> None:
    usual, other = known(), palette(picture((180, 90, 40), seed=3), "rgb", BOX)
    assert other is not None
    assert usual.first is not None
    assert usual.recent is not None
    alike = max(likeness(other, usual.first), likeness(other, usual.recent))
    # As like as usual less the tolerance and one and a half deviations.
    usual.mean, usual.variance, usual.frames = alike + TOLERANCE + 1.5 * 0.05, 0.05**2, 10**6
    before = usual.recent
    assert usual.differs(other, TOLERANCE)
    assert not usual.differs(other, TOLERANCE + 0.05)
    assert not usual.differs(other, 0.0)
    assert not usual.differs(None, TOLERANCE)
    assert usual.recent is before, "nothing is learned"
    assert not usual.doubts(other, TOLERANCE), "what was followed is granted more"


def test_of_what_was_hardly_seen_little_is_known() -> None:
    """After few frames, all alike, other light is no other thing; after many it is."""
    light = palette(picture((196, 76, 56), seed=70), "rgb", BOX)
    green = palette(picture((60, 160, 60), seed=71), "rgb", BOX)
    bars = []
    for frames in (1, 4, 30, 300):
        usual = known(frames)
        mean, deviation = usual._likely()
        bars.append(mean - TOLERANCE - deviation)
        assert usual.differs(green, TOLERANCE)
    assert bars == sorted(bars)
    assert not known(1).differs(light, TOLERANCE)
    assert known(300).differs(light, TOLERANCE)


def test_what_is_taken_for_the_target_far_away_needs_its_colours() -> None:
    track = TargetTrack(BOX, (0.0, 0.0, 0.0), TrackState.LOST, usual=0.9, usual_accurate=0.9)
    track.palette = known(300)
    track.unseen = 20
    window = SimpleNamespace(box_in_image=lambda *box: BOX)
    target = SimpleNamespace(track=track)
    close, far = (
        SimpleNamespace(target=target, window=window, look=k) for k in (Look.CLOSE, Look.FAR)
    )
    peak = SimpleNamespace(robust=0.9, accurate=0.9, second=0.0, box=BOX)
    config = load_config("lite")

    def told(image: np.ndarray, search: SimpleNamespace) -> TrackState:
        frame = FrameImage(image, "rgb")
        seen = SimpleNamespace(search=search, peak=peak, frame=frame, chroma=(0.0, 0.0))
        return verdict(seen, config).state  # type: ignore[arg-type]

    assert told(picture(seed=40), close) is told(picture(seed=40), far) is TrackState.TRACKING
    green = picture((60, 160, 60))
    assert told(green, far) is TrackState.LOST
    assert told(green, close) is TrackState.TRACKING, "it is where it was expected"
    track.left = Left(BOX, 20)
    assert told(green, close) is TrackState.LOST, "on trial"
    track.left, track.unseen = None, config.reacquire.after
    assert told(green, close) is TrackState.LOST, "it is away for long"
    assert told(picture(seed=40), close) is TrackState.TRACKING


def test_what_is_as_plain_as_ever_may_have_turned() -> None:
    """Half of the colours are others: of the side of it that is seen now."""
    track = TargetTrack(BOX, (0.0, 0.0, 0.0), TrackState.LOST, usual=0.9, usual_accurate=0.9)
    track.palette = known(300)
    turned = picture(seed=40)
    turned[:, : int(BOX[0] + 0.4 * BOX[2])] = picture((60, 160, 60))[:, :1]
    window = SimpleNamespace(box_in_image=lambda *box: BOX)
    search = SimpleNamespace(target=SimpleNamespace(track=track), window=window, look=Look.FAR)
    config = load_config("lite")

    def told(score: float) -> TrackState:
        peak = SimpleNamespace(robust=score, accurate=score, second=0.0, box=BOX)
        frame = FrameImage(turned, "rgb")
        seen = SimpleNamespace(search=search, peak=peak, frame=frame, chroma=(0.0, 0.0))
        return verdict(seen, config).state  # type: ignore[arg-type]

    assert told(0.9) is TrackState.TRACKING
    assert told(0.68) is TrackState.LOST, "it is not so plain"


def test_what_stays_strange_for_long_is_believed() -> None:
    usual, green = known(), palette(picture((60, 160, 60)), "rgb", BOX)
    assert all(usual.doubts(green, TOLERANCE) for _ in range(PATIENCE))
    assert not usual.doubts(green, TOLERANCE)
    again = palette(picture((60, 160, 60), seed=5), "rgb", BOX)
    assert not usual.doubts(again, TOLERANCE)
    broken = known()
    for _ in range(PATIENCE - 1):
        broken.doubts(green, TOLERANCE)
    broken.interrupt()
    assert broken.doubts(green, TOLERANCE), "it was lost in between"


def test_light_that_changes_slowly_is_followed() -> None:
    usual = known()
    for step in range(150):
        light = 1 - 0.6 * step / 150
        colour = tuple(int(c * light) for c in (180, 60, 40))
        assert not usual.doubts(palette(picture(colour, seed=step), "rgb", BOX), TOLERANCE), step


@pytest.mark.parametrize("tracker", ["duml", "siamrcr"])
@pytest.mark.parametrize("tolerance", [0.0, TOLERANCE])
def test_a_thing_of_the_same_shape_and_another_colour_is_not_told_tracking(
    tracker: str, tolerance: float
) -> None:
    frame = AerialScene(5, 640, 480, frames=1).render(0)
    assert frame.box is not None
    x, y, w, h = (round(v) for v in frame.box)
    other = frame.image.copy()
    lab = cv2.cvtColor(other[y : y + h, x : x + w], cv2.COLOR_RGB2LAB)
    lab[..., 1:] = 255 - lab[..., 1:]
    other[y : y + h, x : x + w] = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    follow = create_tracker(tracker, device="cpu", **{"localize.palette_tolerance": tolerance})
    follow.init(frame.image, frame.box)
    assert [follow.update(frame.image).state for _ in range(3)] == [TrackState.TRACKING] * 3
    state = follow.update(other).state
    assert state is (TrackState.UNCERTAIN if tolerance else TrackState.TRACKING)
    assert follow.update(frame.image).state is TrackState.TRACKING
