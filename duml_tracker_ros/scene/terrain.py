"""Paints the standing part of the scene once: ground, roads, buildings, trees, bridges, shadows.

The result is one large picture of the ground plane. What stands up is drawn leaning away from the
camera by a fixed amount per metre of height, so that the picture serves an oblique view too.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .arrays import ByteImage
from .arrays import Matrix as Points
from .buildings import House, place_houses
from .canvas import Canvas, Plan, Upright
from .ground import apply_shade, paint_ground, paint_water, texture
from .roads import cast_bridge, draw_bridge, draw_road, lay_lots, park
from .trees import Tree, place_trees


@dataclass(frozen=True)
class World:
    """The painted ground.

    rgb: uint8 [H, W, 3]. masks: uint8 [H, W, 3]: what hides level 0, what hides level 1 (the
    bridges), and the shade on the ground. One picture, one warp for each vehicle.
    """

    plan: Plan
    rgb: ByteImage
    masks: ByteImage

    @property
    def to_ground(self) -> Points:
        """Homography from picture pixels to ground metres."""
        s = 1 / self.plan.pixels_per_metre
        return np.array([[s, 0, self.plan.origin[0]], [0, s, self.plan.origin[1]], [0, 0, 1]])


def paint(plan: Plan, rng: np.random.Generator) -> World:
    """Paint the plan; the same plan and generator state give the same bytes."""
    canvas = Canvas(plan, rng)
    paint_ground(canvas)
    paint_water(canvas)
    texture(canvas, fine=False)
    lots = lay_lots(canvas)
    for road in canvas.plan.roads:
        if road.level == 0:
            draw_road(canvas, road)
    upright: list[Upright] = [*place_houses(canvas), *place_trees(canvas)]
    texture(canvas, fine=True)
    # Far things first: near ones lean over them.
    away = canvas.lean if np.any(canvas.lean) else np.array([0.0, -1.0])
    upright.sort(key=lambda item: -float(np.dot(item.base, away)))
    for item in upright:
        item.cast(canvas)
    for road in canvas.plan.roads:
        if road.level == 1:
            cast_bridge(canvas, road)
    sigma = max(0.6, 0.18 * canvas.scale)
    canvas.shade = cv2.GaussianBlur(canvas.shade, (0, 0), min(sigma, 4.0))
    apply_shade(canvas)
    for vehicle in lots:
        park(canvas, vehicle)
    for item in upright:
        if isinstance(item, House):
            item.draw(canvas)
    for road in canvas.plan.roads:
        if road.level == 1:
            draw_bridge(canvas, road)
    for item in upright:
        if isinstance(item, Tree):
            item.draw(canvas)
    masks = cv2.merge([canvas.hide0, canvas.hide1, canvas.shade])
    return World(canvas.plan, canvas.rgb, masks)
