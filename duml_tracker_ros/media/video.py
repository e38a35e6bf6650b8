"""Video files by PyAV: every frame by its place in the film, and what is missing of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

from .claims import bounded, most_pixels
from .levels import SAMPLES, Levels, choose_levels
from .picture import Pixels, as_bgr
from .source import Frame, FrameSource, SourceError
from .upright import display_matrix, upright

# A damaged frame is none; decoders would fill it up with what they have.
_STRICT = {"err_detect": "crccheck+bitstream+buffer+explode"}
_TS_PACKET = 188
_REORDERED = 16  # frames, the most that the common codecs allow
_SLACK = 2.5  # frames by which a film may be shorter than its container says: times are rounded


def _film(container: Any) -> Any:
    """The first stream that is no cover and no still, as animated AVIF has one before its film."""
    return max(container.streams.video, key=lambda s: (not _cover(s), s.frames != 1))


def _cover(stream: Any) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


class VideoFile(FrameSource):
    """A video file, whose frames are numbered as its packets say.

    Frames that cannot be decoded keep their numbers, those after them are read. A film that is
    shorter than its container says is a problem, and not the end.
    """

    def __init__(self, path: Path, levels: Levels | None = None) -> None:
        self._path = path
        self._levels = levels
        with self._open() as container:
            stream = _film(container)
            rate = stream.average_rate or stream.guessed_rate
            packets = [p for p in container.demux(stream) if p.size and not p.is_discard]
            self._declared = _declared(container, stream)
            self._packaged = container.format.name == "mpegts"
            self._clock, self._places = _numbered(packets)
            times = [float(p.pts * p.time_base) for p in packets if p.pts is not None]
            self._seconds = max(times) - min(times) if times else 0.0
        if not packets:
            raise SourceError(f"video {path} holds no frame: it is cut off or damaged")
        self._packets = len(packets)
        super().__init__(path.name, len(packets), float(rate) if rate else None, live=False)
        self._whole()

    def _open(self) -> Any:
        try:
            # Some frames are decoded to open it.
            container = av.open(
                str(self._path), metadata_errors="replace", options=bounded(most_pixels())
            )
        except av.error.FFmpegError as error:
            raise SourceError(
                f"{self._path} cannot be opened as a video: {error.strerror}; it is none, or its "
                "end is missing"
            ) from None
        if not container.streams.video:
            container.close()
            raise SourceError(f"{self._path} holds no video")
        codec = _film(container).codec_context
        if not 0 < codec.width * codec.height <= most_pixels():
            size = f"{codec.width} x {codec.height} pixels" if codec.width else "no size in bounds"
            container.close()
            raise SourceError(
                f"{self._path} claims {size} a frame, and max_pixels is {most_pixels()}: raise it "
                "if the video is really that large"
            )
        return container

    def _whole(self) -> None:
        """Compare what is there with what the container says."""
        count, seconds = self._declared
        missing = ""
        if count and count > self._packets:
            missing = f"{count} frames"
        elif seconds is not None and self.rate:
            lacking = seconds - self._seconds - 1 / self.rate
            if lacking * self.rate > _SLACK:
                missing = f"{seconds:.2f} s"
        self._short = f"holds {self._packets} frames, but says it has {missing}" if missing else ""
        # A transport stream tells no length, but is made of packets of one size.
        if self._packaged and self._path.stat().st_size % _TS_PACKET:
            self._short = "ends within a packet"

    def _frames(self, start: int) -> Iterator[Frame]:
        if start >= self._packets:
            raise SourceError(f"--start {start}: {self.name} has only {self._packets} frames")
        following = start
        for index, frame in self._decoded():
            if index < start:
                continue
            while following < index:
                yield Frame(following, None, "it cannot be decoded")
                following += 1
            following = index + 1
            yield Frame(index, self._image(frame))
        while following < self._packets:
            yield Frame(following, None, "it cannot be decoded")
            following += 1
        if self._short:
            self.problems.append(f"it {self._short}: it is cut off or damaged")

    def _decoded(self) -> Iterator[tuple[int, Any]]:
        """Frames that can be decoded, with their numbers."""
        with self._open() as container:
            stream = _film(container)
            stream.codec_context.options = {**_STRICT, **bounded(most_pixels())}
            count = lost = 0  # `count`: the next frame's number
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.error.EOFError:
                    break
                except av.error.FFmpegError:
                    lost += 1
                    continue
                for frame in frames:
                    # Without times a frame comes after those that could not be decoded.
                    place = min(count + lost, self._packets - 1)
                    if self._clock:
                        place = self._places.get(getattr(frame, self._clock), -1)
                    large = frame.width * frame.height > most_pixels()
                    if place < count or frame.is_corrupt or large:
                        continue
                    count, lost = place + 1, 0
                    yield place, frame

    def _image(self, frame: Any) -> NDArray[np.uint8]:
        """uint8 [H, W, 3] BGR, upright."""
        pixels = self._pixels(frame)
        if pixels.dtype != np.uint8:
            if self._levels is None:
                self._levels = choose_levels(self._samples())
            self._note(f"more than 8 bits: {self._levels}, over the whole clip")
            pixels = self._levels.apply(pixels)
        pixels, words = upright(pixels, display_matrix(frame))
        if words:
            self._note(words)
        return as_bgr(pixels)

    def _pixels(self, frame: Any) -> Pixels:
        bits = max(component.bits for component in frame.format.components)
        if bits > 8 and len(frame.format.components) == 1:
            return np.asarray(frame.to_ndarray(format="gray16le"))
        if bits > 8:
            self._note(f"colours of {bits} bits are read with 8")
        return np.asarray(frame.to_ndarray(format="bgr24"))

    def _samples(self) -> Iterator[Pixels]:
        step = max(1, self._packets // SAMPLES)
        for index, frame in self._decoded():
            if index % step == 0:
                yield self._pixels(frame)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _numbered(packets: list[Any]) -> tuple[str, dict[int, int]]:
    """The clock that tells frames apart, and the number of the frame of each time; none: ''."""
    for clock in ("pts", "dts"):
        times = [getattr(packet, clock) for packet in packets]
        if None in times or len(set(times)) < len(times):
            continue
        places = {time: i for i, time in enumerate(sorted(times))}
        # Frames are stored a little before those they are shown after, never far: a damaged clock.
        if all(abs(places[time] - i) <= _REORDERED for i, time in enumerate(times)):
            return clock, places
    return "", {}


def _declared(container: Any, stream: Any) -> tuple[int, float | None]:
    """Frames and seconds that a container says it has: 0 and None where it does not say."""
    seconds = None
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    elif (text := stream.metadata.get("DURATION", "")).count(":") == 2:
        hours, minutes, rest = text.split(":")
        seconds = 3600 * int(hours) + 60 * int(minutes) + float(rest)
    elif container.duration and len(container.streams) == 1:
        seconds = container.duration / av.time_base
    # What has no header of its own is measured, not declared.
    if container.format.name in ("mpegts", "mpeg", "h264", "hevc", "mjpeg"):
        return 0, None
    return stream.frames, seconds
