"""A video file written frame by frame."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..arguments import NOT_FOR_OPENCV, for_opencv
from ..outputs import PICTURES, whole


class VideoError(OSError):
    """The video cannot be written; the text says what to do."""


class _NoEncoderError(Exception):
    """This OpenCV cannot write such a file."""


class VideoSink:
    """Writes RGB frames to `path` at `fps`; a context manager.

    The file takes its place when it is whole; left by an error, nothing is written. Where this
    OpenCV has no MPEG-4 encoder, Motion JPEG is written instead to the same name with the ending
    .avi; `path` then says so. The first frame sets the size.

    Raises ValueError for a bad rate, frame type or a frame of another size; VideoError when the
    folder is missing, neither codec can be opened, the .avi exists already, or the disk is full.
    """

    def __init__(self, path: str | Path, fps: float) -> None:
        if not fps > 0:
            raise ValueError(f"fps={fps} is not possible; use a rate above 0")
        self.path = Path(path)
        if self.path.suffix.lower() in PICTURES:
            raise VideoError(f"cannot write {self.path}: that is the name of a picture; use .mp4")
        if not for_opencv(self.path.resolve()):
            raise VideoError(f"cannot write {self.path}: {NOT_FOR_OPENCV}")
        self.fps = float(fps)
        self.frames = 0
        self._writer: cv2.VideoWriter | None = None
        self._stack = ExitStack()
        self._size = (0, 0)
        self._place = self.path
        if not self.path.parent.is_dir():
            raise VideoError(f"cannot write {self.path}: the folder {self.path.parent} is missing")

    def write(self, rgb: NDArray[np.uint8]) -> None:
        """Append one frame, uint8 [H, W, 3] RGB."""
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
            raise ValueError(f"expected an RGB frame uint8 [H, W, 3], got {rgb.dtype} {rgb.shape}")
        size = (rgb.shape[1], rgb.shape[0])
        if self._writer is None:
            self._size = size
            self._writer = self._open(size)
        if size != self._size:
            raise ValueError(
                f"frame {self.frames} is {size[0]}x{size[1]},"
                f" the video {self._size[0]}x{self._size[1]}"
            )
        self._writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        self.frames += 1

    def close(self) -> None:
        """Finish the file; harmless when done already."""
        self.__exit__(None, None, None)

    def __enter__(self) -> VideoSink:
        return self

    def __exit__(self, kind: Any = None, *rest: Any) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.release()
        if kind is not None:
            self._stack.__exit__(kind, *rest)
            return
        with self._stack:
            if writer is not None:
                self._check()

    def _check(self) -> None:
        """Read the last frame back: OpenCV does not tell when a disk is full."""
        film = cv2.VideoCapture(str(self._place))
        film.set(cv2.CAP_PROP_POS_FRAMES, self.frames - 1)
        last = film.read()[0] and round(film.get(cv2.CAP_PROP_POS_FRAMES))
        count = round(film.get(cv2.CAP_PROP_FRAME_COUNT))
        film.release()
        if not last or min(last, count) < self.frames:
            raise VideoError(
                f"cannot write {self.path}: what was written does not hold the {self.frames} "
                "frames; the disk may be full: make room, or name another file"
            )

    def _open(self, size: tuple[int, int]) -> cv2.VideoWriter:
        for codec, path in self._choices():
            if path != self.path and path.exists():
                raise VideoError(
                    f"cannot write {self.path}: this OpenCV has no MPEG-4 encoder, and {path}, "
                    "which would be written instead, exists already; name another file"
                )
            with suppress(_NoEncoderError), ExitStack() as stack:
                place = stack.enter_context(whole(path))
                code = cv2.VideoWriter.fourcc(*codec)
                writer = cv2.VideoWriter(str(place), code, self.fps, size)
                if not writer.isOpened():
                    writer.release()
                    raise _NoEncoderError
                self.path, self._place = path, place
                self._stack = stack.pop_all()
                return writer
        raise VideoError(
            f"cannot write {self.path}: this OpenCV opens neither MPEG-4 nor Motion JPEG there;"
            " check that the folder is writable, or install the package opencv-python-headless"
        )

    def _choices(self) -> list[tuple[str, Path]]:
        motion_jpeg = ("MJPG", self.path.with_suffix(".avi"))
        if self.path.suffix.lower() == ".avi":
            return [motion_jpeg]
        return [("mp4v", self.path), motion_jpeg]
