"""Boxes, windows and the one coordinate convention.

Coordinates are continuous and 0-based: pixel (0, 0) covers [0, 1) x [0, 1) and its centre is at
(0.5, 0.5). A box is (x, y, w, h); its far corner is (x + w, y + h).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..pixels import Box
from .errors import BoxError

Sides = tuple[float, float] | tuple[Tensor, Tensor] | Tensor
"""Width and height: of the host, or on the device, for a graph that has no numbers of the host."""

LEAST_VISIBLE = 0.2
"""Of a selection less than this share of which lies in the image the target cannot be told."""
CONTEXT = 0.5
"""Context on each side, as a share of the mean box side (SiamFC, and DuML after it)."""


def context_side(width: float, height: float, amount: float = CONTEXT) -> float:
    """Side of the square around a box that serves as template, in image pixels.

    ``sqrt((w + p) (h + p))`` with ``p = amount * (w + h)``.

    >>> context_side(40, 40)
    80.0
    """
    pad = amount * (width + height)
    return math.sqrt((width + pad) * (height + pad))


def validate_box(box: Sequence[float], width: int, height: int, min_side: float = 2.0) -> Box:
    """Check a target box against an image of ``width`` x ``height`` pixels.

    Returns the box as four floats, unchanged otherwise. Raises BoxError that names the value.

    >>> validate_box([10, 20, 40, 30], 640, 480)
    (10.0, 20.0, 40.0, 30.0)
    >>> validate_box([10, 20, 40, 0], 640, 480)
    Traceback (most recent call last):
    duml_tracker_ros.tracker.errors.BoxError: box (x=10, y=20, w=40, h=0) ...
    """
    try:
        x, y, w, h = (float(v) for v in box)
    except (TypeError, ValueError) as error:
        raise BoxError(f"box {box!r} is not four numbers; give x, y, w, h in pixels") from error
    text = f"box (x={x:g}, y={y:g}, w={w:g}, h={h:g})"
    if not all(math.isfinite(v) for v in (x, y, w, h)):
        raise BoxError(f"{text} is not finite; give x, y, w, h in pixels")
    if w < min_side or h < min_side:
        raise BoxError(f"{text} is too small; both sides must be at least {min_side:g} px")
    inside_w = min(x + w, width) - max(x, 0.0)
    inside_h = min(y + h, height) - max(y, 0.0)
    if inside_w <= 0 or inside_h <= 0:
        raise BoxError(f"{text} lies outside the image of {width} x {height} px")
    if inside_w < min_side or inside_h < min_side:
        raise BoxError(
            f"{text} shows less than {min_side:g} px inside the image of {width} x {height} px"
        )
    if w > 4 * width or h > 4 * height:
        raise BoxError(f"{text} is far larger than the image of {width} x {height} px")
    return x, y, w, h


def visible_part(box: Box, width: int, height: int) -> tuple[Box, float]:
    """The part of a box inside an image of ``width`` x ``height`` pixels, and its share of the box.

    The part has no area, and the share is 0, where the box lies outside.

    >>> visible_part((-10.0, 20.0, 40.0, 30.0), 640, 480)
    ((0.0, 20.0, 30.0, 30.0), 0.75)
    """
    x, y, w, h = box
    if x >= 0 and y >= 0 and x + w <= width and y + h <= height and w > 0 and h > 0:
        return box, 1.0  # to the last bit, which sums and differences would change
    left, top = min(max(x, 0.0), float(width)), min(max(y, 0.0), float(height))
    right, bottom = min(max(x + w, left), float(width)), min(max(y + h, top), float(height))
    part = left, top, right - left, bottom - top
    return part, part[2] * part[3] / (w * h) if w > 0.0 and h > 0.0 else 0.0


def selected_box(box: Box, width: int, height: int) -> tuple[Box, float]:
    """The part of a selected box inside the image, and its share of the box.

    Raises:
        BoxError: the box is no box, or most of it lies outside the image.
    """
    box = validate_box(box, width, height)
    part, share = visible_part(box, width, height)
    if share < LEAST_VISIBLE:
        x, y, w, h = box
        raise BoxError(
            f"of the box (x={x:g}, y={y:g}, width={w:g}, height={h:g}) only {share:.0%} lies in "
            f"the image of {width}x{height} pixels (at least {LEAST_VISIBLE:.0%} must): draw it "
            "around what is seen of the target"
        )
    return part if share < 1.0 else box, share


@dataclass(frozen=True)
class Window:
    """A square of the image resampled to ``size`` x ``size`` pixels.

    Attributes:
        cx, cy: centre in image pixels.
        side: side in image pixels.
        size: side of the crop in crop pixels.
    """

    cx: float
    cy: float
    side: float
    size: int

    @property
    def scale(self) -> float:
        """Crop pixels for one image pixel."""
        return self.size / self.side

    @property
    def region(self) -> Box:
        return self.cx - self.side / 2, self.cy - self.side / 2, self.side, self.side

    def to_crop(self, box: Box) -> Box:
        """Map an image box into the crop."""
        s, half = self.scale, self.size / 2
        x, y, w, h = box
        return (x - self.cx) * s + half, (y - self.cy) * s + half, w * s, h * s

    def to_cells(self, box: Box, cells: int, stride: int) -> Box:
        """An image box as (row, column, height, width) in cells of a map of the crop.

        Args:
            cells: of the map along each side, ``stride`` crop pixels apart.
        """
        x, y, w, h = self.to_crop(box)
        first = first_cell(self.size, cells, stride)
        row, column = y + h / 2 - first, x + w / 2 - first
        return row / stride, column / stride, h / stride, w / stride

    def to_image(self, box: Box) -> Box:
        """Map a crop box into the image."""
        s, half = self.scale, self.size / 2
        x, y, w, h = box
        return (x - half) / s + self.cx, (y - half) / s + self.cy, w / s, h / s

    def box_in_image(self, cx: float, cy: float, w: float, h: float) -> Box:
        """A box given by its centre in the crop -> (x, y, w, h) in the image."""
        # Both map as the near corner of a box would, so one call serves centre and sides.
        x, y, w, h = self.to_image((cx, cy, w, h))
        return x - w / 2, y - h / 2, w, h


def template_window(box: Box, template_size: int) -> Window:
    """Window around the target that is resampled to the template."""
    x, y, w, h = box
    return Window(x + w / 2, y + h / 2, context_side(w, h), template_size)


def search_window(box: Box, template_size: int, search_size: int) -> Window:
    """Search window at the template's scale, centred on the last box.

    >>> search_window((300.0, 220.0, 40.0, 40.0), template_size=97, search_size=194)
    Window(cx=320.0, cy=240.0, side=160.0, size=194)
    """
    x, y, w, h = box
    side = context_side(w, h) * search_size / template_size
    return Window(x + w / 2, y + h / 2, side, search_size)


def first_cell(size: int, cells: int, stride: int) -> float:
    """Crop coordinate of the centre of a map's first cell along one axis.

    Backbones here pad symmetrically and take sizes 32 k + 1, so cell i sits on pixel
    ``stride * i`` (continuous: + 0.5) and the centre cell on the centre of the crop.

    Args:
        size: of the crop.
        cells: of the map, ``stride`` crop pixels apart.
    """
    return size / 2 - stride * (cells - 1) / 2


def cell_centres(cells: int, stride: int, size: int) -> Tensor:
    """Crop coordinates [cells] of the centres of a map's cells along one axis."""
    return first_cell(size, cells, stride) + stride * torch.arange(cells, dtype=torch.float32)


def box_cells(boxes: Tensor, size: int, cells: int, stride: int) -> Tensor:
    """Boxes (cx, cy, w, h) in crop pixels [..., 4] -> (row, column, height, width) in cells."""
    first = first_cell(size, cells, stride)
    centre = (boxes[..., :2] - first) / stride
    return torch.cat((centre.flip(-1), boxes[..., 2:].flip(-1) / stride), -1)


def cells_to_crop(boxes: Tensor, size: int, cells: int, stride: int) -> Tensor:
    """Inverse of ``box_cells``."""
    found = swap_axes(boxes) * stride
    found[..., :2].add_(first_cell(size, cells, stride))
    return found


def swap_axes(boxes: Tensor) -> Tensor:
    """(row, column, height, width) [..., 4] <-> (column, row, width, height)."""
    return boxes.unflatten(-1, (2, 2)).flip(-1).flatten(-2)


def map_region(window: Window, cells: int, stride: int) -> Box:
    """Image rectangle that a map of ``cells`` x ``cells`` covers edge to edge."""
    side = cells * stride / window.scale
    return window.cx - side / 2, window.cy - side / 2, side, side


def xywh_to_xyxy(boxes: Tensor) -> Tensor:
    """[..., 4] (x, y, w, h) -> corners."""
    return torch.cat((boxes[..., :2], boxes[..., :2] + boxes[..., 2:]), -1)


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """[..., 4] (cx, cy, w, h) -> corners."""
    half = boxes[..., 2:] / 2
    return torch.cat((boxes[..., :2] - half, boxes[..., :2] + half), -1)


def xyxy_to_cxcywh(boxes: Tensor) -> Tensor:
    """[..., 4] corners -> (cx, cy, w, h)."""
    return torch.cat(((boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]), -1)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of corner boxes [..., 4], broadcast; 0 where a box is empty."""
    inter, union = _areas(a, b)
    return inter / union


def _areas(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection and union of corner boxes; the union is above 0."""
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., 2:], b[..., 2:])
    inter = (high - low).clamp_min(0).prod(-1)
    area_a = (a[..., 2:] - a[..., :2]).clamp_min(0).prod(-1)
    area_b = (b[..., 2:] - b[..., :2]).clamp_min(0).prod(-1)
    return inter, (area_a + area_b - inter).clamp_min(1e-9)


def overlap(a: Box, b: Box) -> float:
    """IoU of two boxes (x, y, w, h) of the host; 0 where one is empty."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    tall = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    inter = max(wide, 0.0) * max(tall, 0.0)
    union = a[2] * a[3] + b[2] * b[3] - inter
    return inter / union if union > 0 else 0.0


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU of corner boxes [..., 4] (Rezatofighi et al. 2019), in [-1, 1]."""
    inter, union = _areas(a, b)
    hull_low = torch.minimum(a[..., :2], b[..., :2])
    hull_high = torch.maximum(a[..., 2:], b[..., 2:])
    hull = (hull_high - hull_low).clamp_min(0).prod(-1).clamp_min(1e-9)
    return inter / union - (hull - union) / hull
