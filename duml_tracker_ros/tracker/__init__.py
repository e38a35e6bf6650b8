"""Single-object tracking, free of ROS.

from duml_tracker_ros.tracker import create_tracker

tracker = create_tracker("duml", weights="default", device="cpu")
tracker.init(rgb, (x, y, w, h))
result = tracker.update(rgb)
"""

from .errors import BoxError, ConfigError, ImageError, TrackerError, WeightsError
from .factory import TRACKERS, create_tracker
from .frame.localize import TrackState
from .geometry import Box, selected_box, validate_box, visible_part
from .interface import Tracker
from .motion.egomotion import Attitude
from .results import ScoreMaps, TargetMask, TrackResult

__all__ = [
    "TRACKERS",
    "Attitude",
    "Box",
    "BoxError",
    "ConfigError",
    "ImageError",
    "ScoreMaps",
    "TargetMask",
    "TrackResult",
    "TrackState",
    "Tracker",
    "TrackerError",
    "WeightsError",
    "create_tracker",
    "selected_box",
    "validate_box",
    "visible_part",
]
