"""Points as sensor_msgs/PointCloud2, as sensor_msgs_py's create_cloud_xyz32 makes them."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from sensor_msgs.msg import PointCloud2, PointField


def make_cloud(header: Any, points: np.ndarray) -> PointCloud2:
    """Cloud of points float32 [N, 3] with the fields x, y, z; N may be 0."""
    cloud = PointCloud2(header=header, height=1, width=len(points), point_step=12)
    cloud.row_step = 12 * len(points)
    cloud.is_dense = True
    cloud.fields = [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate("xyz")
    ]
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(points, np.dtype("<f4")).tobytes())
    cloud.data = data
    return cloud
