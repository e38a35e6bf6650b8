"""What RViz shows of a target in space: the ray to it and the part of the view that is searched."""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import Point
from rclpy.duration import Duration
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker

from ..tracker import TrackResult
from ..viz import state_colour
from ..viz.colours import REGION, Rgb
from .camera_model import CameraModel
from .outcome import FrameOutcome, Sighting

# Markers go by themselves when no images come any more.
LIFETIME = Duration(seconds=1.0).to_msg()
RAY, SEARCH = "ray", "search"


class TargetMarkers:
    """Makes the markers of each image, and those that delete what was shown before.

    The namespaces are `ray`, an arrow from the camera to the box's centre, and `search`, the edges
    of the pyramid over the search region; their ids are the target ids. A target that is not seen
    has no markers.
    """

    def __init__(self) -> None:
        self._shown: dict[tuple[str, int], Any] = {}

    def next(
        self, outcome: FrameOutcome, camera: CameraModel | None, length: float
    ) -> list[Marker]:
        """Markers of one image, in its optical frame.

        Args:
            camera: None while the lens is not known: all that is shown goes.
            length: of the rays in metres; the distance of the target is not known.
        """
        header = outcome.frame.header
        made: list[Marker] = []
        if camera is not None:
            for sighting, result in outcome.tracked:
                if sighting.status.seen:
                    made += _markers(header, sighting, result, outcome.size, camera, length)
        shown = {(marker.ns, marker.id): marker for marker in made}
        gone = [
            # The image's frame_id may have changed; that of the marker must be its own.
            Marker(header=former.header, ns=name, id=number, action=Marker.DELETE)
            for (name, number), former in self._shown.items()
            if (name, number) not in shown
        ]
        self._shown = shown
        return gone + made


def _markers(
    header: Any,
    sighting: Sighting,
    result: TrackResult,
    size: tuple[int, int],
    camera: CameraModel,
    length: float,
) -> list[Marker]:
    x, y, w, h = result.box
    left, top, side, _ = result.search_region
    # The lens model has no answer far outside the image.
    right, bottom = min(left + side, size[0]), min(top + side, size[1])
    left, top = max(left, 0.0), max(top, 0.0)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    directions = camera.directions(np.array([(x + w / 2, y + h / 2), *corners]))
    rays = np.column_stack([directions, np.ones(len(directions))])
    rays *= length / np.linalg.norm(rays, axis=1, keepdims=True)
    if not np.isfinite(rays).all():
        return []
    ray = _marker(header, RAY, sighting, Marker.ARROW, state_colour(sighting.status.value), 1.0)
    ray.points = [Point(), _point(rays[0])]
    ray.scale.x, ray.scale.y, ray.scale.z = 0.01 * length, 0.03 * length, 0.05 * length
    pyramid = _marker(header, SEARCH, sighting, Marker.LINE_LIST, REGION, 0.6)
    ends = [_point(corner) for corner in rays[1:]]
    for one, two in zip(ends, ends[1:] + ends[:1], strict=True):
        pyramid.points += [Point(), one, one, two]
    pyramid.scale.x = 0.004 * length
    return [ray, pyramid]


def _marker(
    header: Any, name: str, sighting: Sighting, kind: int, colour: Rgb, alpha: float
) -> Marker:
    marker = Marker(header=header, ns=name, id=_signed(sighting.target_id), type=kind)
    marker.lifetime = LIFETIME
    red, green, blue = (value / 255 for value in colour)
    marker.color = ColorRGBA(r=red, g=green, b=blue, a=alpha)
    marker.pose.orientation.w = 1.0
    return marker


def _signed(number: int) -> int:
    """A target id as the int32 that a marker has."""
    return number - (1 << 32) if number >= 1 << 31 else number


def _point(values: np.ndarray) -> Point:
    x, y, z = (float(value) for value in values)
    return Point(x=x, y=y, z=z)
