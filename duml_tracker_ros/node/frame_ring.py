"""Frames as the node hands them on, and a ring of the recent ones."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..messages.image_codec import ImageView


@dataclass
class CameraFrame:
    """One received image.

    Attributes:
        seq: number of the frame in order of arrival; stamps may jump, this does not.
        stamp_ns: stamp of the header in nanoseconds.
        source: frame_id of the header.
        arrival: monotonic time of arrival in seconds.
        nbytes: memory that keeping the frame takes.
        header: header of the message, for everything published about this frame.
        decode: makes the pixels; may be slow (JPEG), so it is left to the worker.
        compressed: the bytes of a compressed image.
    """

    seq: int
    stamp_ns: int
    source: str
    arrival: float
    nbytes: int
    header: Any
    decode: Callable[[], ImageView]
    compressed: Any = None

    def view(self) -> ImageView:
        """The pixels; not kept, so that a ring of JPEG frames stays as small as they are.

        Raises:
            CodecError: the message is no readable image.
        """
        return self.decode()


class FrameRing:
    """Recent frames, bounded in time and bytes; the newest frame is always kept.

    All methods may be called from any thread.
    """

    def __init__(self, max_seconds: float, max_bytes: int) -> None:
        self._max_seconds = max_seconds
        self._max_bytes = max_bytes
        self._frames: deque[CameraFrame] = deque()
        self._nbytes = 0
        self._short = 0.0
        self._lock = threading.Lock()

    def append(self, frame: CameraFrame) -> None:
        """Add the newest frame; drop those that are too old or too many."""
        with self._lock:
            self._frames.append(frame)
            self._nbytes += frame.nbytes
            while len(self._frames) > 1 and (
                self._nbytes > self._max_bytes
                or frame.arrival - self._frames[0].arrival > self._max_seconds
            ):
                first = self._frames.popleft()
                self._nbytes -= first.nbytes
                age = frame.arrival - first.arrival
                self._short = age if age <= self._max_seconds else 0.0

    def newest(self) -> CameraFrame | None:
        with self._lock:
            return self._frames[-1] if self._frames else None

    def find(self, stamp_ns: int) -> CameraFrame | None:
        """The frame with exactly this stamp; of several the newest."""
        with self._lock:
            for frame in reversed(self._frames):
                if frame.stamp_ns == stamp_ns:
                    return frame
        return None

    def after(self, seq: int) -> list[CameraFrame]:
        """Frames that came after number `seq`, oldest first."""
        with self._lock:
            return [frame for frame in self._frames if frame.seq > seq]

    def span_ns(self) -> tuple[int, int] | None:
        """Stamps of the first and the last kept frame."""
        with self._lock:
            if not self._frames:
                return None
            return self._frames[0].stamp_ns, self._frames[-1].stamp_ns

    def shortage(self) -> str:
        """Why frames are not kept for as long as they should be; empty when they are."""
        with self._lock:
            if not self._short:
                return ""
            needed = self._nbytes / self._short * self._max_seconds
            return (
                f"ring_bytes = {self._max_bytes} holds {self._short:.1f} s of these images, "
                f"ring_seconds = {self._max_seconds:g} takes about {needed:.0f}"
            )

    def clear(self) -> None:
        with self._lock:
            self._frames.clear()
            self._nbytes = 0

    @property
    def seconds(self) -> float:
        """Time from the arrival of the first kept frame to that of the last."""
        with self._lock:
            return self._frames[-1].arrival - self._frames[0].arrival if self._frames else 0.0

    @property
    def nbytes(self) -> int:
        return self._nbytes

    def __len__(self) -> int:
        return len(self._frames)
