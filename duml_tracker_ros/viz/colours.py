"""Colours of the drawings: RGB, told apart with any kind of colour vision (after Okabe and Ito)."""

from __future__ import annotations

Rgb = tuple[int, int, int]

WHITE: Rgb = (255, 255, 255)
BLACK: Rgb = (0, 0, 0)
TRUTH: Rgb = (255, 255, 255)
REGION: Rgb = (170, 170, 170)

_STATES: dict[str, Rgb] = {
    "tracking": (86, 190, 240),
    "uncertain": (245, 225, 66),
    "lost": (226, 96, 20),
    "error": (204, 121, 167),
    "idle": (170, 170, 170),
}


def state_colour(state: str) -> Rgb:
    """Colour of a tracker state; grey for a state without one."""
    return _STATES.get(state.lower(), (170, 170, 170))
