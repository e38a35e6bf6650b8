"""Results of one image, written into messages of ROS or of a bag alike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..pixels import Box
from ..tracker import visible_part

NO_BOX = (math.nan,) * 4
SEEN = ("tracking", "uncertain")


def fill_target(
    message: Any, state: str, box: Box | None, confidence: float, frames_since_seen: int
) -> None:
    """State and box of a duml_tracker_ros/Target; without a box to act on it is NaN.

    The message has the size of its image already: the box that is told lies in there.
    """
    part, whole, share = NO_BOX, NO_BOX, math.nan
    if box is not None and state in SEEN:
        whole = box
        part, share = visible_part(box, message.image_width, message.image_height)
    message.state = getattr(message, f"STATE_{state.upper()}")
    message.x, message.y, message.width, message.height = (float(value) for value in part)
    message.visible, message.whole_box = float(share), np.array(whole, np.float32)
    message.confidence, message.frames_since_seen = float(confidence), int(frames_since_seen)


def fill_detection(
    detection: Any,
    hypothesis: Any,
    header: Any,
    target_id: int,
    box: Box,
    size: tuple[int, int],
    confidence: float,
    class_id: str = "",
) -> None:
    """A vision_msgs/Detection2D of a target, with an empty ObjectHypothesisWithPose to fill.

    Args:
        size: (width, height) of the image, in which the box that is told lies.
        class_id: what the target is; empty: not known, told as "target".
    """
    (x, y, w, h), _ = visible_part(box, *size)
    detection.header, detection.id = header, str(target_id)
    detection.bbox.center.position.x = float(x + w / 2)
    detection.bbox.center.position.y = float(y + h / 2)
    detection.bbox.size_x, detection.bbox.size_y = float(w), float(h)
    hypothesis.hypothesis.class_id = class_id or "target"
    hypothesis.hypothesis.score = float(confidence)
    detection.results.append(hypothesis)
