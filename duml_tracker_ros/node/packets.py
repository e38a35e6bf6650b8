"""Video packets of the camera, decoded on a thread of their own: each is needed by those after it.

The mailbox of the tracker takes the newest image and lets go of others; a decoder cannot.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from ..messages.image_codec import CodecError, ImageView
from ..messages.video import PacketReader

# Packets that may wait: about two seconds of video. More would never be caught up with.
MOST = 64


class PacketThread:
    """Decodes packets in their order.

    Args:
        accept: gets a packet's message, its arrival and its image, on this thread.
        refuse: gets the reason for each packet that is none, on this thread.
        warn: gets a line for the log about each gap.
        most: pixels that an image may have; None for the limit of this process.
    """

    def __init__(
        self,
        accept: Callable[[Any, float, ImageView], None],
        refuse: Callable[[str], None],
        warn: Callable[[str], None],
        most: int | None = None,
    ) -> None:
        self.reader = PacketReader(most)
        self._accept, self._refuse, self._warn = accept, refuse, warn
        self._waiting: deque[tuple[Any, float]] = deque()
        self._overrun = self._closing = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="video", daemon=True)
        self._thread.start()

    def put(self, message: Any, arrival: float) -> None:
        """Hand over the next packet; when too many wait all are given up."""
        with self._wake:
            if len(self._waiting) >= MOST:
                self._waiting.clear()
                self._overrun = True
            self._waiting.append((message, arrival))
            self._wake.notify()

    def close(self, timeout: float = 2.0) -> None:
        """End the thread; what waits is dropped."""
        with self._wake:
            self._closing = True
            self._waiting.clear()
            self._wake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._waiting or self._closing):
                    self._wake.wait()
                if self._closing:
                    return
                message, arrival = self._waiting.popleft()
                overrun, self._overrun = self._overrun, False
            try:
                self._read(message, arrival, overrun)
            except CodecError as error:
                self._refuse(str(error))
            except Exception as error:
                # Whatever a packet does, the next one gets its chance.
                self.reader.lose()
                self._refuse(f"video: {type(error).__name__}: {error}")

    def _read(self, message: Any, arrival: float, overrun: bool) -> None:
        reader = self.reader
        gaps = reader.gaps
        if overrun:
            reader.lose()
        images = reader.read(message, (message, arrival))
        if reader.gaps > gaps:
            why = "decoding falls behind" if overrun else "packets were lost"
            self._warn(
                f"video: {why} ({reader.gaps} gaps); nothing is shown before the next key frame"
            )
        for (source, came), view in images:
            if self._closing:
                return
            self._accept(source, came, view)
