"""Bytes to MAVLink messages and back, with signing. MAVLink 2 is sent, 1 and 2 are read."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

from pymavlink.dialects.v20 import common as dialect

from ..media.plain_files import LARGEST_TEXT, read_bytes
from .settings import MavlinkError

__all__ = ["Codec", "dialect", "read_key"]

_V1, _V2, _SIGNED = 0xFE, 0xFD, 0x01
_MARKERS = (bytes([_V1]), bytes([_V2]))
# Signatures count in units of 10 us from 2015-01-01.
_SIGNING_EPOCH = 1_420_070_400
_LEAST_KEY = 8


def read_key(file: str) -> bytes | None:
    """The key of a passphrase in the first line of a file, as ground stations make it.

    Raises:
        MavlinkError: the file cannot be read, or holds too little.
    """
    if not file:
        return None
    try:
        data = read_bytes(Path(file).expanduser(), LARGEST_TEXT)
        lines = data.decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise MavlinkError(
            f"signing_key_file = {file!r} cannot be read: {reason}; name a file whose first line "
            "is the passphrase"
        ) from None
    phrase = lines[0].strip() if lines else ""
    if len(phrase) < _LEAST_KEY:
        raise MavlinkError(
            f"signing_key_file = {file!r}: its first line, the passphrase, has {len(phrase)} "
            f"characters; use at least {_LEAST_KEY}"
        )
    return hashlib.sha256(phrase.encode()).digest()


class Codec:
    """Reads and writes the messages of one component.

    Frames are found by their checksums: whatever is between them, or cut off before them, costs
    no other frame.

    Args:
        key: 32 bytes to sign with; messages that are not signed with it are dropped. None: no
            signing.
    """

    def __init__(self, system: int, component: int, key: bytes | None = None) -> None:
        self._mav = dialect.MAVLink(None, srcSystem=system, srcComponent=component)
        self._signing = self._mav.signing
        if key is not None:
            self._signing.secret_key = key
            self._signing.sign_outgoing = True

    def encode(self, message: Any, sequence: int) -> bytes:
        """A message as bytes; `sequence` counts those to one receiver, 0 to 255."""
        self._mav.seq = sequence
        self._set_clock()
        return bytes(message.pack(self._mav))

    def decode(self, data: bytes, stream: bool = False) -> tuple[list[Any], bytes]:
        """The valid messages in some bytes, and what may be the beginning of one more.

        Args:
            stream: what is incomplete at the end may go on; else a datagram ends with its last
                frame, and nothing is left over.
        """
        messages: list[Any] = []
        at = _next_marker(data, 0)
        while at >= 0:
            length = _frame_length(data, at)
            if at + length > len(data):
                if stream:
                    return messages, data[at:]
                at = _next_marker(data, at + 1)
                continue
            message = self._decode_frame(data[at : at + length])
            if message is not None:
                messages.append(message)
            # What was no message may still hold one.
            at = _next_marker(data, at + (length if message is not None else 1))
        return messages, b""

    def _decode_frame(self, frame: bytes) -> Any | None:
        if frame[0] == _V2 and frame[2] & ~_SIGNED:
            return None
        self._set_clock()
        before = dict(self._signing.stream_timestamps)
        try:
            message = self._mav.decode(bytearray(frame))
        except Exception:
            # pymavlink keeps the time stamp of a signature before it knows that it is a right one:
            # a forged one from the future would shut the right sender out.
            self._signing.stream_timestamps = before
            return None
        # Without its definition there is no checking its checksum.
        return None if message.get_type().startswith("UNKNOWN") else message

    def _set_clock(self) -> None:
        if self._signing.secret_key is not None:
            now = int((time.time() - _SIGNING_EPOCH) * 1e5)
            self._signing.timestamp = max(self._signing.timestamp, now)


def _next_marker(data: bytes, start: int) -> int:
    found = [at for marker in _MARKERS if (at := data.find(marker, start)) >= 0]
    return min(found, default=-1)


def _frame_length(data: bytes, at: int) -> int:
    """Bytes of the frame that begins here, by its header; more than there are if that is cut."""
    if at + 3 > len(data):
        return 3
    payload = data[at + 1]
    if data[at] == _V1:
        return payload + 8
    return payload + 12 + (13 if data[at + 2] & _SIGNED else 0)
