"""The types of what a bag of results holds, for machines without ROS.

They must be those of msg/Target.msg and of vision_msgs 4 (Humble and later), field by field: the
hash of a type is made of them, and readers refuse a bag whose hash is another one.
"""

from __future__ import annotations

from typing import Any

TARGET = "duml_tracker_ros/msg/Target"
DETECTIONS = "vision_msgs/msg/Detection2DArray"
DETECTION = "vision_msgs/msg/Detection2D"
HYPOTHESIS = "vision_msgs/msg/ObjectHypothesisWithPose"

FFMPEG = "ffmpeg_image_transport_msgs/msg/FFMPEGPacket"
FOXGLOVE = "foxglove_msgs/msg/CompressedVideo"

DEFINITIONS = {
    FFMPEG: """
        std_msgs/Header header
        int32 width
        int32 height
        string encoding
        uint64 pts
        uint8 flags
        bool is_bigendian
        uint8[] data
    """,
    FOXGLOVE: """
        builtin_interfaces/Time timestamp
        string frame_id
        uint8[] data
        string format
    """,
    TARGET: """
        std_msgs/Header header
        uint8 STATE_IDLE=0
        uint8 STATE_TRACKING=1
        uint8 STATE_UNCERTAIN=2
        uint8 STATE_LOST=3
        uint8 STATE_ERROR=4
        uint8 state
        uint32 target_id
        string class_id
        uint32 targets
        uint32 image_width
        uint32 image_height
        float32 x
        float32 y
        float32 width
        float32 height
        float32 visible
        float32[4] whole_box
        float32 confidence
        uint32 frames_since_seen
        uint32 frames_dropped
        float32 latency
        float32 processing_time
    """,
    "vision_msgs/msg/Point2D": "float64 x\nfloat64 y",
    "vision_msgs/msg/Pose2D": "vision_msgs/Point2D position\nfloat64 theta",
    "vision_msgs/msg/BoundingBox2D": """
        vision_msgs/Pose2D center
        float64 size_x
        float64 size_y
    """,
    "vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score",
    HYPOTHESIS: """
        vision_msgs/ObjectHypothesis hypothesis
        geometry_msgs/PoseWithCovariance pose
    """,
    DETECTION: """
        std_msgs/Header header
        vision_msgs/ObjectHypothesisWithPose[] results
        vision_msgs/BoundingBox2D bbox
        string id
    """,
    DETECTIONS: """
        std_msgs/Header header
        vision_msgs/Detection2D[] detections
    """,
}


def typestore() -> Any:
    """rosbags' types of ROS 2 with those of `DEFINITIONS`."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    types: dict[str, Any] = {}
    for name, text in DEFINITIONS.items():
        types |= get_types_from_msg("\n".join(map(str.strip, text.splitlines())), name)
    store.register(types)
    return store


def empty(store: Any, name: str) -> Any:
    """A message with zeros, empty texts and empty lists, as ROS makes it."""
    import numpy as np
    from rosbags.interfaces import Nodetype

    def value(kind: Any, detail: Any) -> Any:
        if kind == Nodetype.NAME:
            return empty(store, detail)
        if kind == Nodetype.BASE:
            base = detail[0]
            return "" if base == "string" else False if base == "bool" else 0
        (inner, inner_detail), count = detail
        if inner == Nodetype.BASE and inner_detail[0] != "string":
            return np.zeros(count if kind == Nodetype.ARRAY else 0, inner_detail[0])
        return [value(inner, inner_detail) for _ in range(count if kind == Nodetype.ARRAY else 0)]

    _, fields = store.fielddefs[name]
    return store.types[name](**{field: value(*node) for field, node in fields})
