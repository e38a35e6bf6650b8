"""Clips with their truth, as far as it is known: folders, videos, the generated scene."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..datasets import read_labels
from ..media.levels import Levels
from ..media.opening import open_source
from ..media.source import Frame, FrameSource
from ..scene import AerialScene
from .common import CliError

TRUTH_FILE = "groundtruth_rect.txt"
SCENE = "scene"
SEED = 7
# Below this share of the target seen, a tracker is right to report nothing.
VISIBLE = 0.3


@dataclass(frozen=True)
class Clip:
    """Frames and the true box of each.

    Attributes:
        truth: [N, 4], NaN where the target is absent; None when nobody knows it.
        total: number of frames where it is known.
    """

    name: str
    truth: NDArray[np.float64] | None
    total: int | None
    source: FrameSource | AerialScene

    def frames(self, start: int) -> Iterator[Frame]:
        """The frames from frame `start` on. Raises SourceError."""
        if isinstance(self.source, FrameSource):
            yield from self.source.frames(start)
            return
        for index in range(start, self.source.frames):
            bgr = np.ascontiguousarray(self.source.render(index).image[..., ::-1])
            yield Frame(index, bgr)


def open_clip(text: str, truth: str | None, levels: Levels | None = None) -> Clip:
    """Open a folder, a video, or `scene[:SEED]`, the generated aerial scene.

    Args:
        truth: file of true boxes; None takes `groundtruth_rect.txt` beside the images, if there.

    Raises:
        CliError, SourceError, SequenceError: there is no such thing, or it cannot be read.
    """
    # What exists under the name wins.
    generated = text == SCENE or text.startswith(f"{SCENE}:")
    if generated and not Path(text).exists():
        return _scene(text)
    source = open_source(text, levels)
    if source.live:
        raise CliError(f"{source.name} is live: record it, and explain the recording")
    file = Path(truth).expanduser() if truth is not None else truth_beside(Path(text).expanduser())
    boxes = read_labels(file, source.name) if file is not None else None
    return Clip(source.name, boxes, source.total, source)


def truth_beside(path: Path) -> Path | None:
    """The file of true boxes in a folder or in the one above it, if there is one."""
    for folder in (path, path.parent):
        if path.is_dir() and (folder / TRUTH_FILE).is_file():
            return folder / TRUTH_FILE
    return None


def _scene(text: str) -> Clip:
    _, _, seed = text.partition(":")
    if seed and not seed.isdigit():
        raise CliError(f"{text}: write scene, or scene:SEED with a whole number")
    scene = AerialScene(seed=int(seed) if seed else SEED)
    truth = np.full((scene.frames, 4), np.nan)
    for index in range(scene.frames):
        frame = scene.render(index)
        if frame.box is not None and frame.visibility >= VISIBLE:
            truth[index] = frame.box
    return Clip(f"generated scene {seed or SEED}", truth, scene.frames, scene)
