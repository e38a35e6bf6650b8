"""Where frames come from: folders, cameras, streams; videos in `video`."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..arguments import NOT_FOR_OPENCV, for_opencv
from .folder import SUFFIXES, frames_of
from .levels import Levels
from .picture import PictureError
from .pictures import Pictures

Image = NDArray[np.uint8]

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
GENERIC = frozenset({"img", "imgs", "images", "frames", "color", "rgb"})
"""Names of folders that say nothing of what is in them."""
TOLD = 5
"""Problems that are told one by one."""


class SourceError(OSError):
    """A source that cannot be used; the text says what it is and what to give instead."""


@dataclass(frozen=True)
class Frame:
    """One frame of a source.

    Attributes:
        image: uint8 ``[H, W, 3]`` BGR; None where it cannot be used.
        problem: why not.
    """

    index: int
    image: Image | None
    problem: str = ""


class FrameSource(ABC):
    """Where frames come from; they can be gone through more than once, unless they are live.

    Attributes:
        name: for captions and messages, without passwords.
        total: number of frames where it is known.
        rate: frames per second where it is known.
        live: frames are lost while nobody takes them (camera, stream).
        notes: what was done to the frames or left out, for people.
        problems: what was wrong in the last pass over the frames: none is complete without it.
    """

    def __init__(self, name: str, total: int | None, rate: float | None, live: bool) -> None:
        self.name = name
        self.total = total
        self.rate = rate
        self.live = live
        self.notes: list[str] = []
        self.problems: list[str] = []

    @property
    def stem(self) -> str:
        """The name as part of a file's name."""
        ending = Path(self.name).suffix
        name = self.name.removesuffix(ending) if ending.lower() in VIDEO_SUFFIXES else self.name
        return re.sub(r"[^\w.+-]+", "_", name).strip("_") or "source"

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """The frames from frame ``start`` on, those that cannot be used among them, with a reason.

        All have the size of the first; one of another size cannot be used.

        Raises SourceError when the source ends before ``start``.
        """
        self.problems.clear()
        size: tuple[int, int] | None = None
        for frame in self._frames(start):
            if frame.image is not None:
                found = (frame.image.shape[1], frame.image.shape[0])
                size = size or found
                if found != size:
                    text = "{}x{} pixels, those before {}x{}".format(*found, *size)
                    frame = Frame(frame.index, None, text)
            if frame.image is None:
                self.problems.append(f"frame {frame.index}: {frame.problem}")
            yield frame

    @abstractmethod
    def _frames(self, start: int) -> Iterator[Frame]:
        """The frames as they come."""

    def told(self) -> list[str]:
        """The problems, in a few lines."""
        more = len(self.problems) - TOLD
        return [*self.problems[:TOLD], *([f"and {more} more such frames"] if more > 0 else [])]


class FolderSource(FrameSource):
    """The frames of a folder of pictures."""

    def __init__(self, path: Path, levels: Levels | None = None) -> None:
        found = frames_of(path)
        if not found.files and (path / "img").is_dir():
            path = path / "img"
            found = frames_of(path)
        if not found.files:
            kinds = " ".join(sorted(SUFFIXES))
            raise SourceError(f"folder {path} holds no images ({kinds})")
        place = path.resolve()
        name = f"{place.parent.name}/{place.name}" if place.name in GENERIC else place.name
        super().__init__(name, len(found.files), None, live=False)
        self.pictures = Pictures(found.files, levels)
        self.notes += [found.note()] if found.ignored else []

    def _frames(self, start: int) -> Iterator[Frame]:
        if start >= len(self.pictures):
            raise SourceError(f"--start {start}: {self.name} has {len(self.pictures)} frames")
        for index in range(start, len(self.pictures)):
            try:
                image = self.pictures.frame(index)
            except PictureError as error:
                folder = self.pictures.files[index].parent
                yield Frame(index, None, str(error).removeprefix(f"image {folder}/"))
                continue
            note = self.pictures.note()
            if note and note not in self.notes:
                self.notes.append(note)
            yield Frame(index, image)


class CaptureSource(FrameSource):
    """A camera or a stream by OpenCV, and video files where the library PyAV is missing."""

    def __init__(self, name: str, target: int | str, live: bool) -> None:
        self._target = target
        capture = self._open(name, live)
        total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        rate = float(capture.get(cv2.CAP_PROP_FPS))
        super().__init__(
            name,
            total if total > 0 and not live else None,
            rate if np.isfinite(rate) and 0 < rate < 1000 else None,
            live,
        )
        self._first: cv2.VideoCapture | None = capture

    def _open(self, name: str, live: bool) -> cv2.VideoCapture:
        if not for_opencv(str(self._target)):
            raise SourceError(f"{name} cannot be opened: {NOT_FOR_OPENCV}")
        capture = cv2.VideoCapture(self._target)
        if not capture.isOpened():
            what = "camera or stream" if live else "video"
            raise SourceError(f"{name} cannot be opened as a {what} by OpenCV")
        return capture

    def _frames(self, start: int) -> Iterator[Frame]:
        capture, self._first = self._first or self._open(self.name, self.live), None
        try:
            # Skipping by grabbing is exact; seeking in a video often is not.
            for index in range(start):
                if not capture.grab():
                    raise SourceError(f"--start {start}: {self.name} has only {index} frames")
            index = start
            while True:
                there, image = capture.read()
                if not there:
                    break
                yield Frame(index, np.asarray(image, dtype=np.uint8))
                index += 1
        finally:
            capture.release()
        # Some containers only estimate how many frames they hold.
        if self.total is not None and index < self.total - 1:
            self.problems.append(
                f"it holds {index} frames, but says it has {self.total} frames: it is cut off or "
                "damaged"
            )
