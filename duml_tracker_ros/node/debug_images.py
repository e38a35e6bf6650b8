"""Score maps, masks and the annotated camera image as images, made only while watched."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from ..messages.image_codec import FLOATS, to_rgb, write_compressed, write_image
from ..viz import draw_target, heatmap_mono
from .outcome import FrameOutcome
from .parameters import NodeSettings

Make = Callable[[Any, str, int], Any]


class DebugImages:
    """`~/heatmap`, `~/scores`, `~/annotated` and `~/annotated/compressed`.

    Args:
        make: makes a managed publisher from type, topic and depth of the queue.
    """

    def __init__(self, make: Make) -> None:
        self._publishers = {
            "heatmap": make(Image, "~/heatmap", 1),
            "scores": make(Image, "~/scores", 1),
            "annotated": make(Image, "~/annotated", 1),
            "annotated/compressed": make(CompressedImage, "~/annotated/compressed", 1),
        }
        self._last = dict.fromkeys(self._publishers, -math.inf)

    def render(self, outcome: FrameOutcome, settings: NodeSettings) -> list[Callable[[], None]]:
        """The images that somebody watches and that are due, ready to be published."""
        due = [name for name in self._publishers if self._due(name, settings.debug_rate, outcome)]
        header = outcome.frame.header
        messages: dict[str, Any] = {}
        if "heatmap" in due or "scores" in due:
            scores = score_image(outcome, settings.heatmap)
            if "heatmap" in due:
                messages["heatmap"] = write_image(heatmap_mono(scores), "mono8", header)
            if "scores" in due:
                messages["scores"] = write_image(scores, FLOATS, header)
        if "annotated" in due or "annotated/compressed" in due:
            rgb = annotated_image(outcome)
            if "annotated" in due:
                messages["annotated"] = write_image(rgb, "rgb8", header)
            if "annotated/compressed" in due:
                message = write_compressed(rgb, settings.jpeg_quality, header)
                messages["annotated/compressed"] = message
        return [
            partial(self._publishers[name].publish, message) for name, message in messages.items()
        ]

    def _due(self, name: str, rate: float, outcome: FrameOutcome) -> bool:
        if rate <= 0.0 or not self._publishers[name].get_subscription_count():
            return False
        # A tenth of a period early is on time: frames do not come at exact multiples of it.
        if outcome.frame.arrival - self._last[name] < 0.9 / rate:
            return False
        self._last[name] = outcome.frame.arrival
        return True


def score_image(outcome: FrameOutcome, name: str) -> np.ndarray:
    """A score map in the geometry of the image, float32 [H, W]; 0 where nothing was searched.

    Of several targets the highest score.
    """
    found = [
        result.score_maps.to_image(name, *outcome.size)
        for _, result in outcome.tracked
        if name in result.score_maps
    ]
    return np.maximum.reduce(found) if found else np.zeros(outcome.size[::-1], np.float32)


def mask_image(outcome: FrameOutcome) -> np.ndarray:
    """The pixels of all targets that are seen, uint8 [H, W], 255 on a target."""
    mask = np.zeros(outcome.size[::-1], np.uint8)
    for _, result in outcome.tracked:
        if result.mask is not None:
            mask[result.mask.to_image(*outcome.size)] = 255
    return mask


def annotated_image(outcome: FrameOutcome) -> np.ndarray:
    """The image with every target's box, state, search region and mask, uint8 [H, W, 3] RGB."""
    picture = to_rgb(outcome.view)
    for sighting, result in outcome.tracked:
        picture = draw_target(
            picture,
            result.box,  # drawn dashed while lost: for people it is a hint
            sighting.status.value,
            result.confidence,
            label=f"#{sighting.target_id}",
            region=result.search_region,
            mask=result.mask.to_image(*outcome.size) if result.mask is not None else None,
        )
    if not outcome.followed:
        picture = draw_target(picture, None, outcome.sightings[-1].status.value, 0.0)
    return picture
