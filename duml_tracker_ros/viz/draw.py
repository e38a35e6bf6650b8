"""Boxes, labels, masks and heatmaps on RGB images.

Images are uint8 [H, W, 3] RGB, boxes (x, y, w, h) float pixels with pixel centres at +0.5.
Nothing is drawn into an image handed in: every function returns a copy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .colours import BLACK, REGION, WHITE, Rgb, state_colour

# uint8; OpenCV's stubs do not carry element types through.
RgbImage = NDArray[Any]

_SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FAR = 1 << 14  # farther out, OpenCV's fixed-point lines overflow


def draw_target(
    rgb: RgbImage,
    box: Sequence[float] | None,
    state: str,
    confidence: float,
    label: str = "",
    region: Sequence[float] | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> RgbImage:
    """One target: box in its state's colour, caption, confidence bar, dashed search region, mask.

    box: None (or with a NaN) while there is nothing to show; state: "tracking", "uncertain",
    "lost", "idle" or "error". The box of a lost target is dashed: it is a guess.
    confidence: [0, 1]; NaN draws no bar. mask: [H, W], tinted in the state's colour.
    Raises ValueError for an image that is not RGB uint8, or a mask of another size.
    """
    out = _check(rgb).copy()
    colour = state_colour(state)
    width = line_width(out)
    if mask is not None:
        _tint(out, mask, colour)
    if _usable(region):
        assert region is not None
        _rectangle(out, region, REGION, max(1, width // 2), dashed=True)
    caption = f"{label} {state.upper()}".strip()
    if math.isfinite(confidence):
        caption += f" {confidence:.2f}"
    if not _usable(box):
        put_text(out, caption, (2.0, 2.0), colour)
        return out
    assert box is not None
    _rectangle(out, box, BLACK, width + 2, dashed=state.lower() == "lost")
    _rectangle(out, box, colour, width, dashed=state.lower() == "lost")
    x, y, w, h = (float(v) for v in box)
    text_w, text_h = text_size(out, caption)
    above = y - text_h - width - 1
    put_text(out, caption, (x, above if above >= 0 else y + h + width + 1), colour)
    if math.isfinite(confidence):
        _bar(out, box, float(np.clip(confidence, 0, 1)), colour, width)
    return out


def draw_box(
    rgb: RgbImage, box: Sequence[float], colour: Rgb, dashed: bool = False, width: int | None = None
) -> RgbImage:
    """A plain box, such as the truth; thin unless its width in pixels is given."""
    out = _check(rgb).copy()
    if _usable(box):
        width = max(1, line_width(out) // 2) if width is None else width
        _rectangle(out, box, colour, width, dashed)
    return out


def heatmap_mono(heat: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Score map [H, W], about [0, 1], as uint8: 0 stays black, 1 and above white.

    NaN reads as 0. Raises ValueError for anything but two dimensions.
    """
    values = np.asarray(heat, np.float32)
    if values.ndim != 2:
        raise ValueError(f"a heatmap is [H, W], got shape {values.shape}")
    clean = np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=0.0)
    return np.round(np.clip(clean, 0, 1) * 255).astype(np.uint8)


def heatmap_overlay(rgb: RgbImage, heat: NDArray[np.floating], alpha: float = 0.5) -> RgbImage:
    """A score map over the image it belongs to; low scores leave the image as it is.

    heat: [H, W] in image geometry, resized when its size differs; alpha: weight of score 1.
    """
    image = _check(rgb)
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha={alpha} is outside 0..1")
    mono: RgbImage = heatmap_mono(heat)
    height, width = image.shape[:2]
    if mono.shape != (height, width):
        mono = cv2.resize(mono, (width, height), interpolation=cv2.INTER_LINEAR)
    # Viridis rises in lightness all the way: readable in grey and with any colour vision.
    colour = cv2.cvtColor(cv2.applyColorMap(mono, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    weight = (np.sqrt(mono.astype(np.float32) / 255) * alpha)[..., None]
    return np.round(image + weight * (colour.astype(np.float32) - image)).astype(np.uint8)


def contact_sheet(
    images: Sequence[RgbImage],
    captions: Sequence[str] = (),
    columns: int = 4,
    scale: float | None = None,
) -> RgbImage:
    """Images side by side, row by row, each with a caption below; cells have the largest size.

    scale: OpenCV font scale of the captions; None suits the first image's width.
    Raises ValueError without images, for columns < 1 or for more captions than images.
    """
    if not images:
        raise ValueError("a contact sheet needs at least one image")
    if columns < 1:
        raise ValueError(f"columns={columns} is not possible; use at least 1")
    if len(captions) > len(images):
        raise ValueError(f"{len(captions)} captions for {len(images)} images")
    columns = min(columns, len(images))
    height = max(i.shape[0] for i in images)
    width = max(i.shape[1] for i in images)
    gap = 4
    scale = text_scale(images[0]) if scale is None else scale
    strip = text_size(images[0], "Xg", scale)[1] + 4 if captions else 0
    rows = math.ceil(len(images) / columns)
    sheet = np.full(
        (rows * (height + strip + gap) + gap, columns * (width + gap) + gap, 3), 24, np.uint8
    )
    for k, image in enumerate(images):
        top = gap + (k // columns) * (height + strip + gap)
        left = gap + (k % columns) * (width + gap)
        h, w = _check(image).shape[:2]
        cell = sheet[top : top + height + strip, left : left + width]
        cell[(height - h) // 2 : (height - h) // 2 + h, (width - w) // 2 : (width - w) // 2 + w] = (
            image
        )
        if k < len(captions):
            put_text(cell, captions[k], (2.0, height + 1.0), WHITE, scale=scale)
    return sheet


# --- building blocks -------------------------------------------------------------------------


def line_width(image: RgbImage) -> int:
    """Line width in pixels that reads the same at every image width."""
    return max(1, round(image.shape[1] / 400))


def text_scale(image: RgbImage) -> float:
    """OpenCV font scale for the image's width; never below what is readable."""
    return max(0.38, image.shape[1] / 1300)


def text_size(image: RgbImage, text: str, scale: float | None = None) -> tuple[int, int]:
    """Width and height in pixels that `put_text` covers."""
    scale = text_scale(image) if scale is None else scale
    (w, h), base = cv2.getTextSize(text, _FONT, scale, _text_width(scale))
    return w + 4, h + base + 3


def put_text(
    image: RgbImage,
    text: str,
    at: tuple[float, float],
    colour: Rgb = WHITE,
    scale: float | None = None,
) -> None:
    """Text on a dark plate, top left corner at `at`, moved inside the image; drawn in place."""
    if not text:
        return
    scale = text_scale(image) if scale is None else scale
    (w, h), base = cv2.getTextSize(text, _FONT, scale, _text_width(scale))
    height, width = image.shape[:2]
    x = int(np.clip(at[0], 0, max(0, width - w - 4)))
    y = int(np.clip(at[1], 0, max(0, height - h - base - 3)))
    plate = image[y : y + h + base + 3, x : x + w + 4]
    plate[:] = (plate * 0.3).astype(np.uint8)
    cv2.putText(
        image, text, (x + 2, y + h + 1), _FONT, scale, colour, _text_width(scale), cv2.LINE_AA
    )


def _text_width(scale: float) -> int:
    return max(1, round(scale * 1.6))


def _check(rgb: RgbImage) -> RgbImage:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"expected an RGB image uint8 [H, W, 3], got {rgb.dtype} {rgb.shape}")
    return rgb


def _usable(box: Sequence[float] | None) -> bool:
    return box is not None and all(math.isfinite(float(v)) for v in box)


def _rectangle(
    image: RgbImage, box: Sequence[float], colour: Rgb, width: int, dashed: bool = False
) -> None:
    x, y, w, h = (float(v) for v in box)
    # Whole pixels just inside the box: a thin line between two pixels would be a faint one.
    left, top = math.floor(x), math.floor(y)
    right, bottom = max(left, math.ceil(x + w) - 1), max(top, math.ceil(y + h) - 1)
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
    corners = np.clip(corners, -_FAR, _FAR)
    if not dashed:
        cv2.polylines(image, [_fixed(corners)], True, colour, width, cv2.LINE_AA, _SHIFT)
        return
    dash = 5.0 * max(1, line_width(image))
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        length = float(np.hypot(*(b - a)))
        count = min(400, max(1, round(length / (2 * dash))))
        for k in range(count):
            ends = np.stack([a + (b - a) * k / count, a + (b - a) * (k + 0.5) / count])
            cv2.polylines(image, [_fixed(ends)], False, colour, width, cv2.LINE_AA, _SHIFT)


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.round(points * (1 << _SHIFT)).astype(np.int32)


def _tint(image: RgbImage, mask: NDArray[np.bool_], colour: Rgb, alpha: float = 0.45) -> None:
    """Tints what the mask [H, W] covers and draws its outline."""
    if mask.shape != image.shape[:2]:
        raise ValueError(f"a mask of {mask.shape} on an image of {image.shape[:2]}")
    grey = mask.astype(np.uint8)
    x, y, w, h = cv2.boundingRect(grey)
    part, inside = image[y : y + h, x : x + w], mask[y : y + h, x : x + w]
    part[inside] = (part[inside] * (1 - alpha) + np.array(colour) * alpha).astype(np.uint8)
    outlines, _ = cv2.findContours(grey, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, outlines, -1, colour, max(1, line_width(image) // 2))


def _bar(image: RgbImage, box: Sequence[float], confidence: float, colour: Rgb, width: int) -> None:
    """Confidence as a bar along the right side of the box, filled from below."""
    x, y, w, h = (float(v) for v in box)
    thick = max(3, 2 * width)
    left = int(np.clip(round(x + w) + width + 1, 0, image.shape[1] - thick))
    top = int(np.clip(round(y), 0, image.shape[0] - 1))
    bottom = int(np.clip(round(y + h), top + 1, image.shape[0]))
    image[top:bottom, left : left + thick] = (image[top:bottom, left : left + thick] * 0.3).astype(
        np.uint8
    )
    level = bottom - round((bottom - top) * confidence)
    image[level:bottom, left : left + thick] = colour
