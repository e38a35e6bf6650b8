"""Pictures of a finished run: annotated video, contact sheet, heatmaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..outputs import whole
from ..viz import TRUTH, VideoSink, contact_sheet, draw_box, draw_target, heatmap_overlay, put_text
from .footage import FootageFrame
from .summary import Received, Truth, match, overlaps

SHEET_FRAMES = 12


@dataclass(frozen=True)
class Heatmap:
    """One message of ~/heatmap: mono8 [H, W] and the stamp of its image."""

    stamp_ns: int
    mono: NDArray[Any]


def draw_run(
    folder: Path,
    frames: Iterator[FootageFrame],
    order: str,
    rate: float,
    sent: Sequence[tuple[int, int]],
    received: Sequence[Received],
    heatmaps: Sequence[Heatmap],
    has_truth: bool,
) -> tuple[list[Truth], dict[str, str]]:
    """Go through the frames once more and draw what was answered to each.

    Returns the truth of every frame, and the files written by name.
    """
    found = match(sent, received)
    last = max((index for index, _ in sent), default=0)
    picked = set(np.linspace(0, last, SHEET_FRAMES).round().astype(int).tolist())
    index_of = {stamp: index for index, stamp in sent}
    heat_at = {index_of[h.stamp_ns]: h.mono for h in heatmaps if h.stamp_ns in index_of}
    truth: list[Truth] = []
    sheet: list[NDArray[Any]] = []
    captions: list[str] = []
    overlays: list[NDArray[Any]] = []
    with VideoSink(folder / "track.mp4", rate) as sink:
        for index, frame in enumerate(frames):
            if index > last:
                break
            truth.append(Truth(frame.box, frame.visible))
            rgb = cv2.cvtColor(frame.image, cv2.COLOR_BGR2RGB) if order == "bgr" else frame.image
            message = found.get(index)
            picture = _annotate(rgb, index, message, frame.box if has_truth else None)
            sink.write(picture)
            if index in picked:
                share = overlaps({index: message} if message else {}, truth).get(index)
                sheet.append(picture)
                state = message.state if message else ("START" if index == 0 else "no answer")
                captions.append(
                    f"{index} {state}" + (f" IoU {share:.2f}" if share is not None else "")
                )
            if index in heat_at and len(overlays) < 8:
                overlay = heatmap_overlay(rgb, heat_at[index].astype(np.float32) / 255, 0.75)
                overlays.append(_annotate(overlay, index, message, None))
    files = {"video": sink.path.name}
    if sheet:
        files["contact_sheet"] = _save(
            folder / "contact_sheet.png", contact_sheet(_small(sheet), captions, 4)
        )
    if overlays:
        files["heatmap"] = _save(
            folder / "heatmap.png",
            contact_sheet(_small(overlays), columns=min(4, (len(overlays) + 1) // 2)),
        )
    return truth, files


def _annotate(rgb: NDArray[Any], index: int, message: Received | None, truth: Any) -> NDArray[Any]:
    picture = draw_box(rgb, truth, TRUTH) if truth is not None else rgb
    if message is None:
        picture = picture.copy()
    else:
        picture = draw_target(
            picture, message.box, message.state, message.confidence, f"#{message.target_id}"
        )
    put_text(picture, f"{index}", (2.0, float(picture.shape[0])))
    return picture


def _small(images: list[NDArray[Any]], width: int = 480) -> list[NDArray[Any]]:
    """Contact sheets of full frames would be larger than any screen."""
    out = []
    for image in images:
        scale = width / image.shape[1]
        if scale < 1:
            size = (width, max(1, round(image.shape[0] * scale)))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        out.append(image)
    return out


def _save(path: Path, rgb: NDArray[Any]) -> str:
    with whole(path) as partial:
        if not cv2.imwrite(str(partial), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)):
            raise OSError(f"cannot write {path}")
    return path.name
