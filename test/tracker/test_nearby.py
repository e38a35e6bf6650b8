"""The square that grows around the place where a lost target is expected."""

from __future__ import annotations

import numpy as np
import pytest

from duml_tracker_ros.tracker.frame.palette import palette
from duml_tracker_ros.tracker.geometry import Window
from duml_tracker_ros.tracker.motion.egomotion import Motion
from duml_tracker_ros.tracker.motion.nearby import Look, Nearby

USUAL = Window(300.0, 200.0, 160.0, 193)
SIDES = 40.0, 30.0


def grey() -> np.ndarray:
    return np.random.default_rng(4).integers(60, 120, (480, 640, 3)).astype(np.uint8)


def test_close_and_coarse_looks_take_turns_and_none_costs_more() -> None:
    search = Nearby()
    looks = [search.window((grey(), "rgb"), USUAL, SIDES, None, 2.0) for _ in range(4)]
    wide = Window(300.0, 200.0, 320.0, 193)
    assert looks == [(USUAL, Look.CLOSE), (wide, Look.COARSE)] * 2
    still = Nearby()
    for _ in range(4):
        assert still.window((grey(), "rgb"), USUAL, SIDES, None, 1.0) == (USUAL, Look.CLOSE)


def test_what_a_coarse_look_shows_is_looked_at_closely_once() -> None:
    search = Nearby(hint=(400.0, 250.0, 40.0, 30.0))
    search.stand_still(Motion(np.array([[1.0, 0, 7], [0, 1, -3], [0, 0, 1]])))
    window, look = search.window((grey(), "rgb"), USUAL, SIDES, None, 2.0)
    assert look is Look.CLOSE
    assert (window.cx, window.cy) == pytest.approx((427.0, 262.0))
    assert (window.side, window.size) == (USUAL.side, USUAL.size)
    assert search.window((grey(), "rgb"), USUAL, SIDES, None, 2.0) == (USUAL, Look.CLOSE)


def test_places_with_its_colours_in_the_square_have_their_turn() -> None:
    image = grey()
    inside, outside = [(200, 120), (400, 240)], (560, 400)
    for x, y in (*inside, outside):
        image[y : y + 30, x : x + 40] = (180, 80, 60)
    colours = palette(image, "rgb", (200.0, 120.0, *SIDES))
    search = Nearby()
    closely = []
    for _ in range(8):
        window, look = search.window((image, "rgb"), USUAL, SIDES, colours, 2.0)
        if look is Look.CLOSE and window != USUAL:
            closely.append((window.cx, window.cy))
    middles = [pytest.approx((x + 20, y + 15), abs=8) for x, y in inside]
    assert sorted(closely) == middles
    away = Window(5000.0, 200.0, 160.0, 193)
    for _ in range(4):
        window, _ = search.window((image, "rgb"), away, SIDES, colours, 2.0)
        assert window.cx == away.cx, "the square shows nothing of the image"
