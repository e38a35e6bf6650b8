"""The colour that a target must have to count as found again."""

from __future__ import annotations

import math

import numpy as np
import pytest

from duml_tracker_ros.tracker import TrackState
from duml_tracker_ros.tracker.config import LocalizeConfig
from duml_tracker_ros.tracker.frame.colour import UsualColour, chroma
from duml_tracker_ros.tracker.frame.localize import judge

GREY, RED = (120, 120, 120), (200, 40, 40)


def picture(colour: tuple[int, int, int], brightness: float = 1.0) -> np.ndarray:
    """A 20 x 12 patch of a colour whose corner is at (60, 10), on green."""
    image = np.full((90, 140, 3), (40, 160, 50), np.uint8)
    image[10:22, 60:80] = colour
    return np.clip(image * brightness, 0, 255).astype(np.uint8)


BOX = (70.0, 16.0, 20.0, 12.0)


def test_chroma_is_that_of_the_box_and_overlooks_brightness() -> None:
    assert chroma(picture(GREY), BOX) == pytest.approx((0, 0), abs=1e-6)
    red = chroma(picture(RED), BOX)
    assert red == pytest.approx((160 / (280 / 3 + 12), 80 / (280 / 3 + 12)))
    assert math.dist(red, chroma(picture(RED, 0.5), BOX)) < 0.25
    assert math.dist(red, chroma(picture(GREY), BOX)) > 1.5
    # Rows and columns exchanged, it would look at the ground.
    assert math.dist(red, chroma(picture(RED), (16.0, 70.0, 12.0, 20.0))) > 1.5


@pytest.mark.parametrize("box", [(math.nan, 5, 5, 5), (500, 16, 20, 12), (-90, 16, 20, 12)])
def test_nothing_to_see_is_no_colour(box: tuple[float, float, float, float]) -> None:
    assert all(map(math.isnan, chroma(picture(GREY), box)))
    usual = UsualColour()
    usual.learn((0.1, 0.1), 0.02)
    usual.learn(chroma(picture(GREY), box), 0.02)
    assert usual.frames == 1
    assert usual.differs(chroma(picture(GREY), box), 0.15)


def test_tolerance_widens_with_what_was_seen() -> None:
    calm, restless = UsualColour(), UsualColour()
    for k in range(200):
        calm.learn((0.1, 0.0), 0.02)
        restless.learn((0.1 + 0.1 * (-1) ** k, 0.0), 0.02)
    assert calm.mean == pytest.approx((0.1, 0))
    assert calm.differs((0.35, 0.0), 0.15)
    assert not calm.differs((0.2, 0.0), 0.15)
    assert not restless.differs((0.35, 0.0), 0.15)
    assert restless.differs((0.7, 0.0), 0.15)
    assert not UsualColour().differs((5.0, 5.0), 0.15)
    assert not calm.differs((5.0, 5.0), 0.0)


def test_another_colour_is_not_found_again_but_a_change_in_sight_is_followed() -> None:
    rule = LocalizeConfig()
    for strange in (False, True):
        lost = judge(0.9, 0.9, 0.0, TrackState.LOST, 0.9, rule, strange)
        assert (lost.state is TrackState.LOST) == strange
        seen = judge(0.9, 0.9, 0.0, TrackState.TRACKING, 0.9, rule, strange)
        assert seen.state is TrackState.TRACKING
        trial = judge(0.9, 0.9, 0.0, TrackState.UNCERTAIN, 0.9, rule, strange, trial=3)
        assert (trial.state is TrackState.LOST) == strange
