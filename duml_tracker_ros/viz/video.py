"""A video file written frame by frame."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray


class VideoError(OSError):
    """The video cannot be written; the text says what to do."""


class VideoSink:
    """Writes RGB frames to `path` at `fps`; a context manager.

    Where this OpenCV has no MPEG-4 encoder, Motion JPEG is written instead to the same name with
    the ending .avi; `path` then says so. The first frame sets the size.

    Raises ValueError for a bad rate, frame type or a frame of another size; VideoError when the
    folder is missing or neither codec can be opened.
    """

    def __init__(self, path: str | Path, fps: float) -> None:
        if not fps > 0:
            raise ValueError(f"fps={fps} is not possible; use a rate above 0")
        self.path = Path(path)
        self.fps = float(fps)
        self.frames = 0
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
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
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def __enter__(self) -> VideoSink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self, size: tuple[int, int]) -> cv2.VideoWriter:
        for codec, path in self._choices():
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), self.fps, size)
            if writer.isOpened():
                if path != self.path:
                    self.path.unlink(missing_ok=True)
                    self.path = path
                return writer
            writer.release()
        raise VideoError(
            f"cannot write {self.path}: this OpenCV opens neither MPEG-4 nor Motion JPEG there;"
            " check that the folder is writable, or install the package opencv-python-headless"
        )

    def _choices(self) -> list[tuple[str, Path]]:
        motion_jpeg = ("MJPG", self.path.with_suffix(".avi"))
        if self.path.suffix.lower() == ".avi":
            return [motion_jpeg]
        return [("mp4v", self.path), motion_jpeg]
