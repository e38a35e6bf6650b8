"""RGBA cut-outs of objects, from polygons and by GrabCut on object-centred photographs."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from duml_tracker_ros import progress as bars

from ...datasets.annotated import Record
from ...digest import code_digest, value_digest
from ...outputs import OutputError, whole
from .bank import Bank
from .warp import Image

log = logging.getLogger(__name__)

MAX_SIDE = 120
MIN_SIDE = 20
_CODE = ("training/data/cutouts.py", "training/data/bank.py")


@dataclass(frozen=True, slots=True)
class Cutout:
    """An object without its background.

    rgba: uint8 [H, W, 4], colour multiplied by alpha. hull: float64 [N, 2], the convex hull of
    what is at least half opaque, in continuous pixels: its bounds are the object's tight box.
    """

    rgba: Image
    hull: npt.NDArray[np.float64]
    label: str = ""
    source: str = ""


def hull_of(alpha: Image) -> npt.NDArray[np.float64] | None:
    """Convex hull [N, 2] of the pixels with alpha >= 128, by their outer corners, or None."""
    points = cv2.findNonZero(cv2.threshold(alpha, 127, 255, cv2.THRESH_BINARY)[1])
    if points is None:
        return None
    hull = cv2.convexHull(points)[:, 0, :].astype(np.float64)
    grown = (hull[:, None, :] + np.array([[0, 0], [1, 0], [1, 1], [0, 1]])).reshape(-1, 2)
    outer = cv2.convexHull(grown.astype(np.float32))[:, 0, :]
    return outer.astype(np.float64)


def make_cutout(rgb: Image, alpha: Image, label: str = "", source: str = "") -> Cutout | None:
    """Cut out what `alpha` (uint8 [H, W]) covers, at most MAX_SIDE px; None if too small."""
    points = cv2.findNonZero(alpha)
    if points is None:
        return None
    x, y, w, h = cv2.boundingRect(points)
    if min(w, h) < 8 or max(w, h) < MIN_SIDE:
        return None
    part, mask = rgb[y : y + h, x : x + w], alpha[y : y + h, x : x + w]
    shrink = MAX_SIDE / max(w, h)
    if shrink < 1:
        size = (max(4, round(w * shrink)), max(4, round(h * shrink)))
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    part = cv2.multiply(part, cv2.cvtColor(mask, cv2.COLOR_GRAY2BGR), scale=1 / 255)
    rgba = cv2.merge([*cv2.split(part), mask])
    # A transparent rim lets the resampling fade out instead of ending on a hard edge.
    rgba = cv2.copyMakeBorder(rgba, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0))
    hull = hull_of(rgba[:, :, 3])
    return None if hull is None else Cutout(rgba, hull, label, source)


def polygon_alpha(rings: Sequence[np.ndarray], width: int, height: int) -> Image:
    """Anti-aliased mask uint8 [height, width] of polygon rings in continuous pixels."""
    # Drawn four times larger, since fillPoly rounds to pixels and fills the outline too.
    fine = np.zeros((4 * height, 4 * width), np.uint8)
    shifted = [np.round((ring * 4 - 0.5) * 16).astype(np.int32) for ring in rings]
    cv2.fillPoly(fine, shifted, 255, shift=4)
    return cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)


def polygon_cutouts(bank: Bank, *, video_stride: int = 6, pictures: int = 3000) -> list[Cutout]:
    """Cut-outs of every usable polygon; of a video only each `video_stride`-th frame.

    Where more than `pictures` pictures have polygons, that many are drawn from them.
    """
    chosen = []
    seen: dict[tuple[str, str], int] = {}
    for i, record in enumerate(bank.records):
        if not any(target.polygon for target in record.targets):
            continue
        if record.video is not None:
            key = (record.source, record.video)
            seen[key] = seen.get(key, -1) + 1
            if seen[key] % video_stride:
                continue
        chosen.append(i)
    if len(chosen) > pictures:
        chosen = sorted(random.Random(0).sample(chosen, pictures))
    cutouts = []
    for i in chosen:
        record = bank.records[i]
        image = None
        for target in record.targets:
            if not target.polygon or not _whole(target.box, record):
                continue
            image = bank.image(i) if image is None else image
            x, y, w, h = target.box
            x0, y0 = max(0, int(x) - 1), max(0, int(y) - 1)
            x1, y1 = min(record.width, int(x + w) + 2), min(record.height, int(y + h) + 2)
            rings = [ring - np.array([x0, y0], np.float32) for ring in target.polygon]
            alpha = polygon_alpha(rings, x1 - x0, y1 - y0)
            if not 0.2 <= cv2.sumElems(alpha)[0] / (255.0 * w * h) <= 0.97 or _scattered(alpha):
                continue
            cutout = make_cutout(image[y0:y1, x0:x1], alpha, target.label, record.source)
            if cutout is not None:
                cutouts.append(cutout)
    return cutouts


def _scattered(alpha: Image) -> bool:
    """In pieces: an object seen behind others, which no box describes once those are gone."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(cv2.threshold(alpha, 127, 255, 0)[1])
    areas = stats[1:, cv2.CC_STAT_AREA]
    return len(areas) == 0 or bool(areas.max() < 0.85 * areas.sum())


def _whole(box: Sequence[float], record: Record) -> bool:
    """Big enough, not a sliver, and not cut off by two or more sides of the picture."""
    x, y, w, h = box
    cut = (x < 1.5) + (y < 1.5) + (x + w > record.width - 1.5) + (y + h > record.height - 1.5)
    return min(w, h) >= 12 and max(w, h) >= 24 and max(w, h) / min(w, h) <= 5 and cut <= 1


def grabcut(rgb: Image) -> Image | None:
    """Alpha uint8 [H, W] of the object in the middle of a photograph; None when implausible.

    Plausible: one compact part of 8 to 75 % of the picture that hardly touches the border.
    """
    height, width = rgb.shape[:2]
    if min(height, width) < 24:
        return None
    mx, my = max(2, width // 20), max(2, height // 20)
    mask = np.zeros((height, width), np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    try:
        rect = (mx, my, width - 2 * mx, height - 2 * my)
        cv2.grabCut(rgb, mask, rect, *models, 2, cv2.GC_INIT_WITH_RECT)
    except cv2.error:  # one flat colour has no model
        return None
    binary = (mask & 1) * np.uint8(255)
    kernel = np.ones((3, 3), np.uint8)
    binary = cv2.morphologyEx(binary, cv2.MORPH_OPEN, kernel)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(binary)
    if len(stats) < 2:
        return None
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    x, y, w, h, area = (int(v) for v in stats[best])
    total = max(1, int(stats[1:, cv2.CC_STAT_AREA].sum()))
    off_x, off_y = abs((x + w / 2) / width - 0.5), abs((y + h / 2) / height - 0.5)
    if not (0.08 <= area / (width * height) <= 0.75 and area >= 0.75 * total):
        return None
    if max(off_x, off_y) > 0.2 or area < 0.3 * w * h or max(w, h) > 5 * min(w, h):
        return None
    whole = (parts == best).astype(np.uint8) * np.uint8(255)
    contours, _ = cv2.findContours(whole, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outline = max(contours, key=cv2.contourArea)
    length = cv2.arcLength(outline, True)
    if length * length > 90 * area or cv2.contourArea(outline) > 1.35 * area:
        return None
    at_rim = np.count_nonzero(whole[[my, -my - 1], :]) + np.count_nonzero(whole[:, [mx, -mx - 1]])
    if at_rim > 0.12 * 2 * (width + height):
        return None
    # The outermost pixels mix object and background: leave them out and fade.
    return cv2.GaussianBlur(cv2.erode(whole, kernel), (3, 3), 0.8)


def grabcut_cutouts(
    bank: Bank, *, source: str = "caltech101_bg", limit: int = 2500, progress: bool = True
) -> list[Cutout]:
    """At most `limit` cut-outs of object-centred pictures of `source` that carry no boxes."""
    order = [i for i, r in enumerate(bank.records) if r.source == source and not r.targets]
    np.random.default_rng(0).shuffle(order)
    cutouts: list[Cutout] = []
    cv2.setRNGSeed(0)
    total = min(limit, len(order))
    with bars.progress(total=total, desc="cut-outs", show=progress, leave=False) as bar:
        for i in order:
            if len(cutouts) >= limit:
                break
            image = bank.image(i)
            shrink = MAX_SIDE / max(image.shape[:2])
            if shrink < 1:
                size = (round(image.shape[1] * shrink), round(image.shape[0] * shrink))
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            alpha = grabcut(image)
            # Such sets name a picture <class>_<number>.
            label = Path(bank.records[i].path).stem.rpartition("_")[0]
            cutout = None if alpha is None else make_cutout(image, alpha, label, source)
            if cutout is not None:
                cutouts.append(cutout)
                bar.update()
    return cutouts


def default_cache() -> Path:
    """`$XDG_CACHE_HOME`/duml_tracker_ros, by default under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "duml_tracker_ros"


def load_cutouts(
    bank: Bank,
    *,
    cache_dir: str | Path | None = None,
    grabcut_source: str = "caltech101_bg",
    grabcut_limit: int = 2500,
    progress: bool = True,
) -> list[Cutout]:
    """Cut-outs of all polygons of the bank, and by GrabCut from `grabcut_source`.

    The latter take minutes, so they are kept as one .npz under `cache_dir`, for these very pictures
    and this code.
    """
    cutouts = polygon_cutouts(bank)
    sources = [
        i for i, r in enumerate(bank.records) if r.source == grabcut_source and not r.targets
    ]
    if grabcut_limit <= 0 or not sources:
        return cutouts
    folder = default_cache() if cache_dir is None else Path(cache_dir)
    # Labels come from the names, cut-outs from the pixels.
    pictures = [[Path(bank.records[i].path).name, value_digest(bank.image(i))] for i in sources]
    key = value_digest(pictures, grabcut_limit, cv2.__version__, code_digest(*_CODE))
    path = folder / f"cutouts-{key[:16]}.npz"
    if path.is_file():
        try:
            return cutouts + _read(path)
        except (OSError, ValueError, KeyError) as error:
            log.warning("cut-out cache %s is unreadable (%s): making it anew", path, error)
    made = grabcut_cutouts(bank, source=grabcut_source, limit=grabcut_limit, progress=progress)
    try:
        _write(path, made)
    except (OSError, OutputError) as error:
        log.warning("cut-outs not cached in %s (%s); choose another cache_dir", folder, error)
    return cutouts + made


def _write(path: Path, cutouts: Sequence[Cutout]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    empty = np.zeros(0, np.uint8)
    with whole(path) as partial:
        np.savez(
            partial,
            pixels=np.concatenate([empty, *(c.rgba.reshape(-1) for c in cutouts)]),
            shapes=np.array([c.rgba.shape[:2] for c in cutouts], np.int32).reshape(-1, 2),
            labels=np.array([c.label for c in cutouts], dtype=np.str_),
            sources=np.array([c.source for c in cutouts], dtype=np.str_),
        )


def _read(path: Path) -> list[Cutout]:
    with np.load(path, allow_pickle=False) as data:
        pixels, shapes = data["pixels"], data["shapes"].tolist()
        labels, sources = data["labels"].tolist(), data["sources"].tolist()
    cutouts, at = [], 0
    for (height, width), label, source in zip(shapes, labels, sources, strict=True):
        rgba = pixels[at : at + height * width * 4].reshape(height, width, 4)
        at += height * width * 4
        hull = hull_of(np.ascontiguousarray(rgba[:, :, 3]))
        if hull is not None:
            cutouts.append(Cutout(rgba, hull, label, source))
    return cutouts
