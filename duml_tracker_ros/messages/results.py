"""What is told of a target in one image, written into messages of ROS or of a bag alike."""

from __future__ import annotations

import math
from typing import Any

from ..tracker import Box

NO_BOX = (math.nan,) * 4
SEEN = ("tracking", "uncertain")


def fill_target(
    message: Any, state: str, box: Box | None, confidence: float, frames_since_seen: int
) -> None:
    """State and box of a duml_tracker_ros/Target; without a box to act on it is NaN."""
    shown = box if box is not None and state in SEEN else NO_BOX
    message.state = getattr(message, f"STATE_{state.upper()}")
    message.x, message.y, message.width, message.height = (float(value) for value in shown)
    message.confidence, message.frames_since_seen = float(confidence), int(frames_since_seen)


def fill_detection(
    detection: Any, hypothesis: Any, header: Any, target_id: int, box: Box, confidence: float
) -> None:
    """A vision_msgs/Detection2D of a target, with an empty ObjectHypothesisWithPose to fill."""
    x, y, w, h = box
    detection.header, detection.id = header, str(target_id)
    detection.bbox.center.position.x = float(x + w / 2)
    detection.bbox.center.position.y = float(y + h / 2)
    detection.bbox.size_x, detection.bbox.size_y = float(w), float(h)
    hypothesis.hypothesis.class_id = "target"
    hypothesis.hypothesis.score = float(confidence)
    detection.results.append(hypothesis)
