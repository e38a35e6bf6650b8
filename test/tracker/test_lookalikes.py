"""Look-alikes as tracks of their own: who is who by numbers, and two equal targets that cross."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch

from duml_tracker_ros.scene import AerialScene, SceneSettings
from duml_tracker_ros.tracker import TrackState, create_tracker
from duml_tracker_ros.tracker.frame.localize import Claim
from duml_tracker_ros.tracker.geometry import overlap
from duml_tracker_ros.tracker.motion.egomotion import Motion
from duml_tracker_ros.tracker.motion.lookalikes import KNOWN, LookAlikes, ScoredBox
from duml_tracker_ros.tracker.postprocess import highest_peaks

GREY, RED = (0.0, 0.0), (0.4, 0.1)
Box = tuple[float, float, float, float]


def at(x: float, y: float = 100.0, score: float = 0.9, chroma: tuple = GREY) -> ScoredBox:
    return ScoredBox((x - 10, y - 10, 20.0, 20.0), score, chroma)


def see(
    tracks: LookAlikes, *seen: ScoredBox, state: TrackState = TrackState.TRACKING
) -> tuple[int, Claim]:
    """One frame; the tracker's choice is the first sighting."""
    chosen, claim = tracks.choose(seen)
    tracks.learn(seen, chosen, claim, TrackState.LOST if claim is Claim.OTHERS else state)
    return chosen, claim


def beside(frames: int = 8, chroma: tuple = GREY) -> LookAlikes:
    """A target at 100 and a look-alike at 160, both at rest."""
    tracks = LookAlikes()
    for _ in range(frames):
        assert see(tracks, at(100), at(160, score=0.5, chroma=chroma)) == (0, Claim.OWN)
    return tracks


def test_what_stays_beside_the_target_is_known_and_not_taken_for_it() -> None:
    tracks = beside()
    assert [o.seen for o in tracks.known] == [8]
    assert see(tracks, at(160), at(101)) == (1, Claim.OWN), "both are seen"
    assert see(tracks, at(161)) == (0, Claim.OTHERS), "the target is hidden"
    assert see(tracks, at(160), at(103)) == (1, Claim.OWN)
    assert tracks.is_known((150.0, 90.0, 20.0, 20.0), 0.3)
    assert not tracks.is_known((90.0, 90.0, 20.0, 20.0), 0.3)


def test_a_stranger_or_a_leap_of_the_target_is_left_to_the_tracker() -> None:
    assert see(beside(KNOWN - 1), at(160)) == (0, Claim.OWN), "not known for long enough"
    assert see(beside(), at(40), at(160, score=0.5)) == (0, Claim.OWN), "nobody was there"
    weak = beside()
    assert see(weak, at(160), at(101, score=0.1)) == (0, Claim.OTHERS), "noise is no target"


def test_a_target_is_not_hidden_for_longer_than_its_look_alike_was_known() -> None:
    tracks = beside(8)
    hidden = [see(tracks, at(160))[1] for _ in range(20)]
    patience = hidden.index(Claim.OWN)
    assert 8 <= patience < 20
    assert set(hidden[:patience]) == {Claim.OTHERS}


def test_look_alikes_are_forgotten_when_they_are_gone_and_at_most_three() -> None:
    tracks = beside()
    for _ in range(10):
        see(tracks, at(100))
    assert not tracks.others
    crowd = [at(160 + 40 * i, score=0.4) for i in range(5)]
    for _ in range(6):
        see(tracks, at(100), *crowd)
    assert len(tracks.others) == 3


def test_two_that_cross_keep_their_ways() -> None:
    """They are one peak for a while, and the tracker then takes the other one."""
    tracks, claims = LookAlikes(), []
    for step in range(-20, 21):
        mine, other = 100.0 + 3 * step, 100.0 - 3 * step
        if abs(mine - other) < 18:
            seen = [at((mine + other) / 2)]
        else:
            seen = [at(mine), at(other, score=0.5)]
            seen = seen if step < 0 else seen[::-1]
        chosen, claim = see(tracks, *seen)
        claims.append(claim)
        if len(seen) == 2:
            assert seen[chosen].box[0] + 10 == mine, step
    assert Claim.SHARED in claims
    assert Claim.OTHERS not in claims


def test_colour_tells_them_apart_where_places_do_not() -> None:
    tracks = beside(chroma=RED)
    for _ in range(3):
        see(tracks, at(100), state=TrackState.LOST)
    assert see(tracks, at(145, chroma=RED), at(130, 130, chroma=GREY))[0] == 1


def test_the_camera_moves_them_all() -> None:
    tracks = beside()
    tracks.stand_still(Motion(np.array([[1.0, 0, 60], [0, 1, 0], [0, 0, 1]])))
    assert see(tracks, at(160), at(220, score=0.5)) == (0, Claim.OWN), "it is the target now"


def test_peaks_are_maxima_highest_first() -> None:
    scores = torch.zeros(9, 9)
    for (row, column), value in {(1, 1): 0.5, (1, 2): 0.4, (6, 6): 0.9, (8, 0): 0.3}.items():
        scores[row, column] = value
    assert highest_peaks(scores, 3, 2).tolist() == [6 * 9 + 6, 9 + 1, 8 * 9]


PLAIN = SceneSettings(
    target_size=36.0, look_alikes=(), traffic=0, trees=(), bridges=(), clouds=0.0, tilt=0.0,
    drift=0.0, shake=0.0,
)  # fmt: skip


def crossing(seed: int, frames: int = 56, speed: float = 2.0) -> Iterator[tuple]:
    """Image, box of the target and of its double, which cross in the middle of the image."""
    rng = np.random.default_rng(seed)
    frame = AerialScene(seed, 900, 700, frames=1, settings=PLAIN).render(0)
    assert frame.box is not None
    x, y, w, h = (round(v) for v in frame.box)
    sprite = frame.image[y - 3 : y + h + 3, x - 3 : x + w + 3].copy()
    high, wide = sprite.shape[:2]
    mask = np.zeros((high, wide), np.float32)
    cv2.ellipse(mask, ((wide / 2, high / 2), (float(w), float(h)), 0.0), 1.0, -1)
    mask = cv2.GaussianBlur(mask, (5, 5), 0)
    hole = np.zeros(frame.image.shape[:2], np.uint8)
    hole[y - 4 : y + h + 4, x - 4 : x + w + 4] = 1
    ground = cv2.inpaint(frame.image, hole, 5, cv2.INPAINT_TELEA)[100:580, 100:740]
    angle = rng.uniform(0, 2 * math.pi)
    other = angle + rng.uniform(0.5, 1.0) * math.pi
    aside = rng.uniform(-0.2, 0.2, 2) * w

    def place(image: np.ndarray, centre: np.ndarray) -> np.ndarray:
        to = np.array([[1, 0, centre[0] - wide / 2], [0, 1, centre[1] - high / 2]])
        there = cv2.warpAffine(sprite, to, (640, 480))
        share = cv2.warpAffine(mask, to, (640, 480))[..., None]
        return (image * (1 - share) + there * share).astype(np.uint8)

    for step in range(frames):
        centres = [
            np.array([320.0, 240.0])
            + off
            + speed * (step - frames / 2) * np.array([math.cos(a), math.sin(a)])
            for a, off in ((angle, 0.0), (other, aside))
        ]
        image = place(place(ground, centres[0]), centres[1])
        yield image, *((c[0] - w / 2, c[1] - h / 2, float(w), float(h)) for c in centres)


@pytest.mark.parametrize("seed", [0, 4])
def test_a_target_that_crosses_its_double_is_kept(seed: int) -> None:
    """Without look-alikes the double is followed afterwards."""
    tracker = create_tracker("duml", device="cpu", size="compact", **{"lookalikes.active": True})
    states: list[TrackState] = []
    target: Box | None = None
    for image, box, _ in crossing(seed):
        if target is None:
            tracker.init(image, box)
        else:
            result = tracker.update(image)
            states.append(result.state)
        target = box
    assert overlap(result.box, target) > 0.5
    assert TrackState.UNCERTAIN in states, "while they are one peak"


def test_switched_off_no_peaks_are_looked_for() -> None:
    image, box, _ = next(crossing(0))
    told = {}
    for active in (False, True):
        tracker = create_tracker("duml", device="cpu", **{"lookalikes.active": active})
        tracker.init(image, box)
        tracker.update(image)
        target = tracker._target
        assert target is not None
        told[active] = target.track.look_alikes.own is not None
    assert told == {False: False, True: True}
