"""Open what a user names: a folder, a video, a camera, a stream."""

from __future__ import annotations

from pathlib import Path

from ..arguments import shown
from .addresses import without_password
from .levels import Levels
from .picture import kind_of, mistaken, several
from .plain_files import no_file
from .source import CaptureSource, FolderSource, FrameSource, SourceError

CAMERA_DIGITS = 4
"""Of the number of a camera."""


def open_source(text: str, levels: Levels | None = None) -> FrameSource:
    """Open what the user named: a folder, a file, a camera's number, a device or an address.

    What exists under the name wins: a folder called ``0001`` is no camera.

    Args:
        levels: of pictures of more than 8 bits; None chooses them for the clip.

    Raises:
        SourceError, FolderError: there is no such thing, or it cannot be used.
    """
    path = Path(text.removeprefix("file://")).expanduser()
    if path.is_dir():
        return FolderSource(path, levels)
    if path.is_file():
        if reason := no_file(path):
            raise SourceError(f"{path} is no video: {reason}")
        return _open_file(path, levels)
    if text.isdecimal():
        if len(text) > CAMERA_DIGITS:
            raise SourceError(f"there is no camera {shown(text)}: give a small number, such as 0")
        return CaptureSource(f"camera {text}", int(text), live=True)
    if path.is_char_device():
        return CaptureSource(text, text, live=True)
    if path.exists():
        raise SourceError(f"{path} is neither a file nor a folder nor a camera")
    if "://" in text and not text.startswith("file://"):
        return CaptureSource(without_password(text), text, live=True)
    raise SourceError(f"{path} does not exist; give a video, an image folder or a camera number")


def _open_file(path: Path, levels: Levels | None) -> FrameSource:
    with path.open("rb") as file:
        head = file.read(64)
    kind = kind_of(head)
    if kind in ("TIFF", "PNG", "WebP") and (reason := several(kind, path.read_bytes())):
        raise SourceError(f"{path}: {reason}, in a folder")
    one = f"{path} is one picture ({kind}); give a video or a folder of pictures"
    if kind not in (None, "GIF", "AVIF"):
        raise SourceError(one)
    try:
        film = _film(path, levels)
    except SourceError:
        if reason := mistaken(head):
            raise SourceError(f"{path} is no video: {reason}") from None
        raise
    if kind and film.total == 1:
        raise SourceError(one)
    return film


def _film(path: Path, levels: Levels | None) -> FrameSource:
    try:
        from .video import VideoFile
    except ImportError:
        return CaptureSource(path.name, str(path), live=False)
    return VideoFile(path, levels)
