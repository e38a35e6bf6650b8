"""Frames from a video file, a camera, a stream, or a folder of images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..datasets import IMAGE_SUFFIXES, list_images, read_image
from .common import CliError

Image = NDArray[np.uint8]

GENERIC = frozenset({"img", "imgs", "images", "frames", "color", "rgb"})
"""Names of folders that say nothing of what is in them."""
VIDEO_SUFFIXES = frozenset(
    {
        ".mp4",
        ".m4v",
        ".mov",
        ".avi",
        ".mkv",
        ".webm",
        ".ts",
        ".mts",
        ".mpg",
        ".mpeg",
        ".wmv",
        ".flv",
    }
)


@dataclass(frozen=True)
class FrameSource:
    """Where frames come from.

    Attributes:
        name: for file names and captions.
        total: number of frames where it is known.
        rate: frames per second where it is known.
        live: frames are lost while nobody takes them (camera, stream).
    """

    name: str
    total: int | None
    rate: float | None
    live: bool
    images: tuple[Path, ...] = ()
    capture: Any = None

    @property
    def stem(self) -> str:
        """The name as part of a file's name."""
        ending = Path(self.name).suffix
        name = self.name.removesuffix(ending) if ending.lower() in VIDEO_SUFFIXES else self.name
        return re.sub(r"[^\w.+-]+", "_", name).strip("_") or "source"

    def frames(self, start: int = 0) -> Iterator[Image]:
        """Frames as uint8 ``[H, W, 3]`` BGR, beginning with frame ``start``.

        Raises CliError when an image cannot be read or the source ends before ``start``.
        """
        if self.images:
            if start >= len(self.images):
                raise CliError(f"--start {start}: {self.name} has {len(self.images)} frames")
            for path in self.images[start:]:
                yield read_image(path)
            return
        try:
            # Skipping by grabbing is exact; seeking in a video often is not.
            for index in range(start):
                if not self.capture.grab():
                    raise CliError(f"--start {start}: {self.name} has only {index} frames")
            while True:
                there, image = self.capture.read()
                if not there:
                    return
                yield image
        finally:
            self.capture.release()


def open_source(text: str) -> FrameSource:
    """Open what the user named: a file, a folder, a camera number, a device or a stream address.

    Raises CliError when there is no such thing or OpenCV cannot read it.
    """
    if text.isdigit():
        return _open_capture(f"camera {text}", int(text), live=True)
    if "://" in text or text.startswith("/dev/"):
        return _open_capture(text, text, live=True)
    path = Path(text).expanduser()
    if path.is_dir():
        images = list_images(path) or (list_images(path / "img") if (path / "img").is_dir() else ())
        if not images:
            kinds = " ".join(sorted(IMAGE_SUFFIXES))
            raise CliError(f"folder {path} holds no images ({kinds})")
        return FrameSource(_folder_name(path.resolve()), len(images), None, False, images)
    if not path.is_file():
        raise CliError(f"{path} does not exist; give a video, an image folder or a camera number")
    return _open_capture(path.name, str(path), live=False)


def _folder_name(path: Path) -> str:
    """A folder's name; that of the one above it too where it is one of many ``img``."""
    return f"{path.parent.name}/{path.name}" if path.name in GENERIC else path.name


def _open_capture(name: str, target: int | str, *, live: bool) -> FrameSource:
    capture = cv2.VideoCapture(target)
    if not capture.isOpened():
        what = "camera or stream" if live else "video"
        raise CliError(f"{name} cannot be opened as a {what} by OpenCV")
    total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    known = np.isfinite(rate) and 0 < rate < 1000
    return FrameSource(
        Path(name).name if not live else name,
        total if total > 0 and not live else None,
        rate if known else None,
        live,
        capture=capture,
    )
