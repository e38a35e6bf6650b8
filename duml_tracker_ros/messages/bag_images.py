"""Camera images out of a recorded bag, by the library rosbags: no ROS is needed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..arguments import shown
from .bag_checks import Order, count_fault, database_faults, no_bag
from .bag_chunks import UnpackError, bound_unpacking
from .definitions import FFMPEG, FOXGLOVE, typestore
from .errors import CodecError
from .image_codec import ImageReader, ImageView
from .scaling import DEFAULT, ScaledImage, ScalingRule
from .video import PacketReader, is_video

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
VIDEO = (FFMPEG, FOXGLOVE)
KINDS = (IMAGE, COMPRESSED, *VIDEO)


class BagError(Exception):
    """A bag that cannot be read or written; the text names it and the remedy."""


@dataclass(frozen=True)
class BagImage:
    """One image of a bag.

    Attributes:
        time_ns: when the bag got it, in nanoseconds.
        header: std_msgs/Header of the image.
        view: its pixels; None where it cannot be read (`BagImages.problems` says why).
    """

    time_ns: int
    header: Any
    view: ImageView | None

    @property
    def stamp_ns(self) -> int:
        """Stamp of the header in nanoseconds."""
        return stamp_ns(self.header)


def stamp_ns(header: Any) -> int:
    """Stamp of a std_msgs/Header in nanoseconds."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


class BagImages:
    """The images of one topic, in the order in which the bag got them; a context manager.

    Args:
        rule: how numbers of more than 8 bits become brightness.
        path: folder of a bag (mcap or sqlite3, compressed ones too), or one .mcap or .db3 file.

    Attributes:
        problems: what was wrong in the last pass over the images: one that cannot be read, or the
            bag breaks off. The images before and after are given all the same.

    Raises:
        BagError: on entering, when the bag cannot be read or has no images on the topic.
    """

    def __init__(self, path: str | Path, topic: str, rule: ScalingRule = DEFAULT) -> None:
        self.path = Path(path).expanduser()
        self.topic = topic
        self._rule = rule
        self.problems: list[str] = []
        self._connections: list[Any] = []
        self._video = PacketReader()

    def __enter__(self) -> BagImages:
        if not self.path.exists():
            raise BagError(f"{self.path} does not exist; give a bag's folder, .mcap or .db3 file")
        if not self.path.is_dir() and not self.path.is_file():
            # Reading a pipe would wait for ever.
            raise BagError(f"{self.path} is no file; give a bag's folder, .mcap or .db3 file")
        if reason := no_bag(self.path):
            raise BagError(f"{self.path} {reason}")
        if self.path.suffix == ".bag":
            raise BagError(f"{self.path} is of ROS 1; rosbags-convert makes it one of ROS 2")
        if self.path.is_file() and self.path.suffix == ".zstd":
            raise BagError(
                f"{self.path} is compressed: give the folder of the bag with its metadata.yaml, or "
                f"unpack it with zstd -d {self.path.name}"
            )
        if self.path.is_file() and self.path.suffix not in (".mcap", ".db3"):
            raise BagError(f"{self.path} is no bag by its name; give a folder, .mcap or .db3 file")
        if self.path.is_dir() and not (self.path / "metadata.yaml").is_file():
            raise BagError(
                f"{self.path} has no metadata.yaml and is no bag, or its recorder was killed: give "
                "the .mcap file in it, or mend it with ros2 bag reindex"
            )
        try:
            from rosbags.rosbag2 import Reader
        except ImportError:
            raise BagError("reading bags needs the library rosbags: pip install rosbags") from None
        bound_unpacking()
        self._store = typestore()
        try:
            self._reader = Reader(self.path)
            self._reader.open()
        except Exception as error:
            raise self._damaged(error) from error
        try:
            self._connections = self._choose()
        except BaseException:
            self._reader.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    @property
    def total(self) -> int:
        """How many images there are, those of video that cannot be shown included."""
        return sum(connection.msgcount for connection in self._connections)

    @property
    def gaps(self) -> str:
        """Return how many packets of a video were not shown, and why; empty where all were."""
        video = self._video
        if not video.skipped:
            return ""
        return (
            f"{video.skipped} packets not shown: {video.gaps} times some were missing or damaged, "
            "and what follows waits for a key frame"
        )

    def __iter__(self) -> Iterator[BagImage]:
        self.problems.clear()
        messages = self._reader.messages(connections=self._connections)
        # One for all: what has more than 8 bits must not flicker, and packets build on each other.
        reader, self._video = ImageReader(self._rule), PacketReader()
        self._deep: bool | None = None
        self._order = Order()
        yield from self._images(messages, reader)
        if self.gaps:
            self.problems.append(self.gaps)
        self.problems += database_faults(self.path)

    def _images(self, messages: Iterator[Any], reader: ImageReader) -> Iterator[BagImage]:
        for index in itertools.count():
            try:
                connection, time_ns, data = next(messages)
            except StopIteration:
                if index < self.total:
                    self.problems.append(f"it ends after {index} images instead of {self.total}")
                if index > self.total:
                    self.problems.append(
                        f"it has {index} images, though its metadata.yaml says {self.total}: a "
                        "file was left out there, or stands there twice"
                    )
                return
            except Exception as error:
                self.problems.append(f"{self._words(error)} after {index} of {self.total} images")
                return
            try:
                message: Any = self._store.deserialize_cdr(data, connection.msgtype)
            except Exception as error:
                why = " ".join(str(error).split()) or type(error).__name__
                self.problems.append(f"image {index} is no message ({why})")
                continue
            try:
                if reason := self._order.foreign(self._header(message)):
                    raise CodecError(reason)
                if connection.msgtype not in VIDEO and (
                    reason := self._order.jump(stamp_ns(message.header))
                ):
                    self.problems.append(f"image {index}: {reason}")
                yield from self._read(connection.msgtype, message, time_ns, reader)
            except CodecError as error:
                self.problems.append(f"image {index}: {error}")
                if connection.msgtype not in VIDEO:
                    yield BagImage(time_ns, message.header, None)

    def _read(self, kind: str, message: Any, time_ns: int, reader: ImageReader) -> list[BagImage]:
        """The images that a message brings: one, but of video as many as it completes."""
        if kind in VIDEO or (kind == COMPRESSED and is_video(message.format)):
            header = self._header(message)
            found = self._video.read(message, (time_ns, header))
            return [BagImage(came, header, view) for (came, header), view in found]
        read = reader.read_compressed if kind == COMPRESSED else reader.read
        view = read(message, time_ns / 1e9)
        deep = isinstance(view.pixels, ScaledImage)
        if deep != (deep if self._deep is None else self._deep):
            kinds = "more than 8 bits, those before 8" if deep else "8 bits, those before more"
            raise CodecError(f"it has {kinds}")
        self._deep = deep
        return [BagImage(time_ns, message.header, view)]

    def _header(self, message: Any) -> Any:
        if hasattr(message, "header"):
            return message.header
        return self._store.types["std_msgs/msg/Header"](message.timestamp, message.frame_id)

    def _choose(self) -> list[Any]:
        here = [c for c in self._reader.connections if c.topic == self.topic]
        images = [c for c in here if c.msgtype in KINDS]
        if here and not images:
            raise BagError(
                f"topic {self.topic} of {self.path} is {here[0].msgtype}, not an image; "
                + self._image_topics()
            )
        if not here:
            raise BagError(f"{self.path} has no topic {self.topic}; {self._image_topics()}")
        for connection in images:
            if fault := count_fault(connection.msgcount):
                raise BagError(f"{self.path} {fault}; ros2 bag reindex may mend it")
        if not sum(c.msgcount for c in images):
            raise BagError(f"topic {self.topic} of {self.path} has no images")
        return images

    def _image_topics(self) -> str:
        found = sorted(
            f"{shown(c.topic)[1:-1]} ({c.msgtype.rpartition('/')[2]}, {c.msgcount})"
            for c in self._reader.connections
            if c.msgtype in KINDS
        )
        return f"image topics: {', '.join(found)}" if found else "it has no image topics at all"

    def _damaged(self, error: Exception) -> BagError:
        return BagError(f"{self.path} {self._words(error)}")

    def _words(self, error: Exception) -> str:
        if isinstance(error, UnpackError):
            return f"holds what is not unpacked ({error})"
        if isinstance(error, OSError) and error.errno:
            return f"cannot be read: {error.strerror}"
        reason = str(error).replace(f" {self.path}", "")
        return (
            f"is truncated or damaged ({type(error).__name__}: {reason}; mcap recover or "
            "ros2 bag reindex may mend it)"
        )
