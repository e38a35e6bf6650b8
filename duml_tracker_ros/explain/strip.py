"""A strip of pictures: what was searched, what was found, and the score map over it."""

from __future__ import annotations

import cv2
import numpy as np

from ..viz import TRUTH, contact_sheet, draw_box, heatmap_overlay, put_text, state_colour
from .failure import Failure
from .story import Story, frames_to_show

SIDE = 300
# OpenCV's font scale: to be read when the strip is shown at half its size.
TEXT = 0.6


def strip(story: Story, failure: Failure | None = None, side: int = SIDE) -> np.ndarray:
    """Two rows of pictures uint8 [H, W, 3] RGB: boxes above, the fused scores below.

    White is the truth; the box has the colour of its state, dashed while the target is lost.

    Args:
        failure: the one to show; None shows the whole track.
        side: of one picture in pixels.

    Raises:
        TraceError: a picture of the trace is damaged.
    """
    shown = frames_to_show(story, failure)
    above = [picture(story, index, side) for index in shown]
    below = [scores(story, index, side) for index in shown]
    overlap = story.overlap()
    captions = []
    for index in shown:
        text = f"frame {story.number(index)}"
        if overlap is not None:
            value = overlap[index]
            text += f"  IoU {value:.2f}" if np.isfinite(value) else "  target hidden"
        if failure is not None and index == failure.judged:
            text += f"  {failure.kind.value.upper()}"
        captions.append(text)
    peaks = [
        "peak {:.2f}  second {:.2f}".format(*story.trace["peak"][index][[1, 3]]) for index in shown
    ]
    return contact_sheet([*above, *below], [*captions, *peaks], len(shown), TEXT)


def picture(story: Story, index: int, side: int) -> np.ndarray:
    """Draw the searched region with the true and the found box: uint8 [side, side, 3] RGB."""
    trace = story.trace
    image = _enlarged(trace.picture(index), side)
    true = story.true_box(index)
    if true is not None:
        placed = trace.to_picture(index, true, side)
        image = draw_box(image, placed, TRUTH)
        x, y, w, h = placed
        if not (0 < x + w / 2 < side and 0 < y + h / 2 < side):
            put_text(image, "truth is outside", (4.0, side - 24.0), TRUTH, TEXT)
    state = trace.states[index]
    box = trace.to_picture(index, tuple(trace["box"][index].tolist()), side)
    image = draw_box(image, box, state_colour(state), dashed=state == "lost", width=2)
    caption = f"{state.upper()} {trace['confidence'][index]:.2f}"
    put_text(image, caption, (4.0, 4.0), state_colour(state), TEXT)
    return image


def scores(story: Story, index: int, side: int) -> np.ndarray:
    """The fused score map over what was searched, with the true box."""
    trace = story.trace
    image = _enlarged(trace.picture(index), side)
    heat = trace.heat(index, "fused", side)
    if heat is not None:
        image = heatmap_overlay(image, heat, 0.8)
    true = story.true_box(index)
    return image if true is None else draw_box(image, trace.to_picture(index, true, side), TRUTH)


def _enlarged(image: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC))
