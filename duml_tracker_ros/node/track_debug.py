"""What the tracker looked at, as a message for tools that draw or analyse it."""

from __future__ import annotations

import array
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from duml_tracker_ros.msg import TrackDebug

from ..tracker import TrackResult
from .outcome import FrameOutcome

MAPS = ("fused", "robust", "accurate")
VOTES = 10
"""As many voted boxes as the paper's Fig. 10 shows."""


def debug_messages(outcome: FrameOutcome) -> Iterator[Any]:
    """A TrackDebug of each target that is followed."""
    for sighting, result in outcome.tracked:
        yield _message(outcome.frame.header, sighting.target_id, result)


def _message(header: Any, target_id: int, result: TrackResult) -> Any:
    maps = result.score_maps
    message = TrackDebug(header=header, target_id=target_id)
    message.search_region = np.asarray(result.search_region, np.float32)
    message.map_region = np.asarray(maps.region, np.float32)
    for name in MAPS:
        if name in maps:
            score = maps[name]
            if not message.rows:
                message.rows, message.cols = score.shape
            elif score.shape != (message.rows, message.cols):
                # Of another stride (FCOT); it covers the same rectangle.
                score = cv2.resize(score, (message.cols, message.rows))
            setattr(message, name, _floats(score))
    votes = result.votes.top(VOTES) if result.votes is not None else []
    message.vote_boxes = array.array("f", [value for box, _ in votes for value in box])
    message.vote_shares = array.array("f", [share for _, share in votes])
    return message


def _floats(values: np.ndarray) -> array.array[float]:
    # Anything but an array.array is checked number by number on assignment.
    data = array.array("f")
    data.frombytes(np.ascontiguousarray(values, np.float32).tobytes())
    return data
