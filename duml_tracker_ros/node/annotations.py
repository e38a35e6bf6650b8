"""Boxes and captions as foxglove_msgs/ImageAnnotations, drawn by the viewer over the raw image."""

from __future__ import annotations

from typing import Any

from ..pixels import Box
from ..viz import state_colour
from ..viz.colours import BLACK, REGION, Rgb
from .outcome import FrameOutcome, Sighting, Status

try:
    from foxglove_msgs.msg import (
        Color,
        ImageAnnotations,
        Point2,
        PointsAnnotation,
        TextAnnotation,
    )
except ImportError:
    ImageAnnotations = None


def annotations_message(outcome: FrameOutcome) -> Any:
    """Box, caption and search region of each target, with the stamp of the image.

    The box of a lost target is left out: Foxglove has no dashed lines that tell a guess.
    """
    message = ImageAnnotations()
    stamp = outcome.frame.header.stamp
    # Newer ones have a stamp of their own, which tells of an image without targets, too.
    if hasattr(message, "timestamp"):
        message.timestamp = stamp
    for sighting, result in outcome.tracked:
        message.points.append(_rectangle(stamp, result.search_region, REGION, 1.0))
        colour = state_colour(sighting.status.value)
        if sighting.status is not Status.LOST:
            message.points.append(_rectangle(stamp, result.box, colour, 2.0))
        message.texts.append(_caption(stamp, sighting, colour))
    return message


def _rectangle(stamp: Any, box: Box, colour: Rgb, thickness: float) -> Any:
    x, y, w, h = box
    corners = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
    return PointsAnnotation(
        timestamp=stamp,
        type=PointsAnnotation.LINE_LOOP,
        points=[Point2(x=float(a), y=float(b)) for a, b in corners],
        outline_color=_colour(colour, 1.0),
        thickness=thickness,
    )


def _caption(stamp: Any, sighting: Sighting, colour: Rgb) -> Any:
    assert sighting.result is not None
    x, y, _, _ = sighting.result.box
    text = f"#{sighting.target_id} {sighting.status.name} {sighting.result.confidence:.2f}"
    return TextAnnotation(
        timestamp=stamp,
        position=Point2(x=float(x), y=float(y) - 2.0),
        text=text,
        font_size=14.0,
        text_color=_colour(colour, 1.0),
        background_color=_colour(BLACK, 0.6),
    )


def _colour(colour: Rgb, alpha: float) -> Any:
    red, green, blue = (value / 255 for value in colour)
    return Color(r=red, g=green, b=blue, a=alpha)
