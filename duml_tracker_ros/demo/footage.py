"""What the demo's camera shows: the generated scene, an image folder, a video or a camera."""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..arguments import Number, Whole, line
from ..datasets import SequenceError, read_labels
from ..media import opening as media
from ..media.source import FrameSource
from ..pixels import Box
from ..scene import AerialScene

RATE = Number(0.5, 1000)
"""argparse type of images per second."""

Size = tuple[int, int]

# Below this share of the target seen, a tracker is right to report nothing.
VISIBLE_SHARE = 0.3
SCENE_SIZE: Size = (640, 480)
SCENE_FRAMES = 300
LIVE_FRAMES = 300
TRUTH_FILE = "groundtruth_rect.txt"


class FootageError(Exception):
    """The source cannot be used; one line that says what to give instead."""


@dataclass(frozen=True)
class FootageFrame:
    """One frame and what is known of the target in it.

    image: uint8 [H, W, 3] in the source's channel order. box: the true (x, y, w, h), None when
    it is absent or unknown. visible: the target is seen well enough to be tracked.
    """

    image: NDArray[Any]
    box: Box | None = None
    visible: bool = False


class Footage(Protocol):
    """A sequence of frames that can be gone through more than once, unless it is live."""

    name: str
    order: str  # "rgb" or "bgr"
    count: int | None  # None: known only at the end
    has_truth: bool
    live: bool
    first_box: Box

    @property
    def problems(self) -> list[str]:
        """What was wrong in the last pass over the frames."""

    def frames(self) -> Iterator[FootageFrame]: ...


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Options that name a source, the same for all processes of the demo."""
    group = parser.add_argument_group("source (default: the generated aerial scene)")
    group.add_argument(
        "--seq", metavar="DIR", help=f"folder with img/*.jpg|png and {TRUTH_FILE} (x,y,w,h from 0)"
    )
    group.add_argument("--video", metavar="FILE|CAMERA", help="video file, camera number or device")
    group.add_argument("--box", metavar="X,Y,W,H", help="target in the first image, pixels")
    group.add_argument("--size", metavar="WxH", help="size of the images (default: as they are)")
    group.add_argument("--frames", type=Whole(2), metavar="N", help="use the first N frames")
    group.add_argument("--seed", type=Whole(0), default=7, help="seed of the generated scene (7)")


def source_arguments(options: argparse.Namespace) -> list[str]:
    """The command line that names the same source to another process."""
    arguments = []
    for name in ("seq", "video", "box", "size", "frames", "seed"):
        value = getattr(options, name)
        if value is not None:
            # One word: a value such as a negative coordinate must not look like an option.
            arguments.append(f"--{name}={value}")
    return arguments


def open_source(options: argparse.Namespace) -> Footage:
    """Open what the options name; FootageError says in one line what is wrong with them."""
    size = parse_size(options.size) if options.size else None
    box = parse_box(options.box) if options.box else None
    if options.seq and options.video:
        raise FootageError("give either --seq or --video, not both")
    if options.seq:
        return FolderFootage(Path(options.seq), box, size, options.frames)
    if options.video:
        if box is None:
            raise FootageError(
                "a video has no known target: give its box in the first image, --box x,y,w,h"
                " (make demo VIDEO=... BOX=x,y,w,h)"
            )
        return VideoFootage(options.video, box, size, options.frames)
    return SceneFootage(options.seed, size or SCENE_SIZE, options.frames or SCENE_FRAMES, box)


def parse_size(text: str) -> Size:
    """'640x480' to (640, 480)."""
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise FootageError(f"--size {text!r} is not WIDTHxHEIGHT, for example 640x480") from None
    if not (64 <= width <= 7680 and 64 <= height <= 4320):
        raise FootageError(f"--size {text}: use 64x64 to 7680x4320")
    return width, height


def parse_box(text: str) -> Box:
    """'x,y,w,h' to four floats; the area must not be empty."""
    try:
        x, y, w, h = (float(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise FootageError(f"--box {text!r} is not x,y,w,h, for example 300,200,40,30") from None
    if not all(math.isfinite(v) for v in (x, y, w, h)) or w <= 0 or h <= 0:
        raise FootageError(f"--box {text}: numbers with a width and height above 0 are needed")
    return x, y, w, h


class SceneFootage:
    """The generated aerial scene; its truth is exact."""

    order, has_truth, live = "rgb", True, False

    def __init__(self, seed: int, size: Size, frames: int, box: Box | None = None) -> None:
        self.name = f"generated scene (seed {seed})"
        self.count: int | None = frames
        # A shorter film is the beginning of the same one, not the same events in less time.
        self._scene = AerialScene(seed, size[0], size[1], max(frames, SCENE_FRAMES))
        self.problems: list[str] = []
        first = self._scene.render(0).box
        chosen = box or first
        if chosen is None:
            raise FootageError(f"--seed {seed}: the target starts outside the view; try another")
        self.first_box: Box = chosen

    def frames(self) -> Iterator[FootageFrame]:
        for index in range(self.count or 0):
            frame = self._scene.render(index)
            yield FootageFrame(frame.image, frame.box, frame.visibility >= VISIBLE_SHARE)


class FolderFootage:
    """Image files with a true box for every one; lines of NaN where the target is absent."""

    order, has_truth, live = "bgr", True, False

    def __init__(self, folder: Path, box: Box | None, size: Size | None, limit: int | None) -> None:
        folder = folder.expanduser()
        if not folder.is_dir():
            raise FootageError(f"sequence folder {folder} does not exist")
        if not (folder / "img").is_dir():
            raise FootageError(f"{folder}: no images in its folder img")
        self._source = _open(str(folder / "img"))
        self.name = folder.resolve().name
        try:
            truth = read_labels(folder / TRUTH_FILE, self.name)
        except SequenceError as error:
            raise FootageError(f"{folder}: {error.reason}") from None
        if len(truth) != self._source.total:
            raise FootageError(
                f"{folder}: {self._source.total} images but {len(truth)} lines in {TRUTH_FILE}"
            )
        self._size = size
        self.count: int | None = len(truth[:limit])
        first = _first(self._source)
        scale = _scale((first.shape[1], first.shape[0]), size)
        self._truth = truth[: self.count] * np.array([*scale, *scale])
        self._visible = np.isfinite(self._truth).all(axis=1)
        if box is None and not self._visible[0]:
            raise FootageError(f"{folder}: no true box in the first image; give --box x,y,w,h")
        self.first_box: Box = _box(
            self._truth[0] if box is None else np.array(box) * (*scale, *scale)
        )

    @property
    def problems(self) -> list[str]:
        return self._source.problems

    def frames(self) -> Iterator[FootageFrame]:
        for index, image in _usable(self._source, self.count):
            seen = bool(self._visible[index])
            box = _box(self._truth[index]) if seen else None
            yield FootageFrame(_resized(image, self._size), box, seen)


class VideoFootage:
    """A video file, or a camera, which is live: its frames come once."""

    order, has_truth = "bgr", False

    def __init__(self, text: str, box: Box, size: Size | None, limit: int | None) -> None:
        self._source = source = _open(text)
        self.live, self.name = source.live, source.name
        self._size = size
        self._limit = limit or (LIVE_FRAMES if self.live else None)
        self.count = self._limit
        self.first_box = box
        if self.live:
            return
        image = _first(source)
        scale = _scale((image.shape[1], image.shape[0]), size)
        x, y, w, h = box
        self.first_box = (x * scale[0], y * scale[1], w * scale[0], h * scale[1])
        if x + w <= 0 or y + h <= 0 or x >= image.shape[1] or y >= image.shape[0]:
            raise FootageError(
                f"--box {x:g},{y:g},{w:g},{h:g} lies outside the"
                f" {image.shape[1]}x{image.shape[0]} video"
            )
        self.count = limit or source.total

    @property
    def problems(self) -> list[str]:
        return self._source.problems

    def frames(self) -> Iterator[FootageFrame]:
        for _, image in _usable(self._source, self._limit):
            yield FootageFrame(_resized(image, self._size))


def _open(text: str) -> FrameSource:
    try:
        return media.open_source(text)
    except OSError as error:
        raise FootageError(str(error)) from None


def _first(source: FrameSource) -> NDArray[np.uint8]:
    """The first image of a source that is not live."""
    for frame in source.frames():
        if frame.image is None:
            raise FootageError(f"{source.name}: its first frame cannot be used: {frame.problem}")
        return frame.image
    raise FootageError(f"{source.name} holds no frame that can be decoded")


def _usable(source: FrameSource, limit: int | None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Numbers and images of the frames that can be used; what is wrong with others is told."""
    for frame in itertools.islice(source.frames(), limit):
        if frame.image is not None:
            yield frame.index, frame.image
    for told in source.told():
        print(line(f"demo: {source.name}: {told}"), file=sys.stderr)


def _resized(image: NDArray[Any], size: Size | None) -> NDArray[Any]:
    if size is None or size == (image.shape[1], image.shape[0]):
        return image
    shrinks = size[0] < image.shape[1]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _scale(given: Size, wanted: Size | None) -> tuple[float, float]:
    return (1.0, 1.0) if wanted is None else (wanted[0] / given[0], wanted[1] / given[1])


def _box(row: NDArray[Any]) -> Box:
    x, y, w, h = (float(v) for v in row)
    return x, y, w, h
