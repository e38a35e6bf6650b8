"""What must be known of H.264 and H.265 packets before they are decoded: key frames, gaps, sizes.

A decoder of H.264 paints over what it lacks and says nothing; a tracker would learn from that.
Packets are in Annex B format: units behind start codes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

START = b"\0\0\1"
# Unit types of H.264: slices, slice of a key frame, sequence parameters.
SLICE, KEY_SLICE, PARAMETERS = 1, 5, 7
# Those of H.265 that decoding may begin with.
HEVC_KEYS = range(16, 22)
# Profiles whose sequence parameters tell the format of colours.
HIGH = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}
HEVC_PARAMETERS = 33
# Bytes of a unit that hold all that is read, lists of scaling factors included.
HEAD = 1024


def units(data: bytes) -> Iterator[bytes]:
    """The beginning of each unit of a packet, without its start code."""
    at = data.find(START)
    while at >= 0:
        yield data[at + 3 : at + 3 + HEAD]
        at = data.find(START, at + 3)


def is_key(data: bytes, codec: str) -> bool:
    """True when decoding may begin with a packet of `h264` or `hevc`."""
    for unit in units(data):
        if not unit:
            continue
        if codec == "hevc":
            kind = unit[0] >> 1 & 0x3F
            if kind < 32:
                return kind in HEVC_KEYS
        elif (kind := unit[0] & 0x1F) in (KEY_SLICE, PARAMETERS):
            # Streams that refresh their images little by little have no key slices.
            return True
        elif kind == SLICE:
            return False
    return False


def claimed_size(data: bytes, codec: str) -> tuple[int, int]:
    """Width and height of the largest images that a packet of `h264` or `hevc` announces; (0, 0)
    where it announces none that can be read."""
    sizes = [(0, 0)]
    for unit in units(data):
        try:
            if codec == "hevc" and unit and unit[0] >> 1 & 0x3F == HEVC_PARAMETERS:
                sizes.append(_hevc_size(Bits(unit[2:])))
            elif codec == "h264" and unit and unit[0] & 0x1F == PARAMETERS:
                sizes.append(Parameters.read(unit).size)
        except IndexError:
            continue
    return max(sizes, key=lambda size: size[0] * size[1])


def _hevc_size(bits: Bits) -> tuple[int, int]:
    bits.take(4)
    layers = bits.take(3)
    bits.take(1)
    bits.take(96)  # profile and level
    there = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    if layers:
        bits.take(2 * (8 - layers))
    for profile, level in there:
        bits.take(88 * profile + 8 * level)
    bits.number()
    if bits.number() == 3:
        bits.take(1)
    return bits.number(), bits.number()


@dataclass(frozen=True)
class Parameters:
    """What is read of the sequence parameters of H.264.

    Attributes:
        bits: of a frame number.
        planes: colours are coded one by one.
        may_skip: frame numbers may be left out.
        size: (width, height) in pixels, before it is cut to what is shown.
    """

    bits: int
    planes: bool
    may_skip: bool
    size: tuple[int, int]

    @classmethod
    def read(cls, unit: bytes) -> Parameters:
        """Read a unit of `PARAMETERS`. Raises IndexError where it is cut off or damaged."""
        profile, bits = unit[1], Bits(unit[4:])
        bits.number()
        planes = False
        if profile in HIGH:
            chroma = bits.number()
            planes = chroma == 3 and bool(bits.take(1))
            bits.number()
            bits.number()
            bits.take(1)
            if bits.take(1):
                for index in range(12 if chroma == 3 else 8):
                    if bits.take(1):
                        _skip_scaling(bits, 16 if index < 6 else 64)
        counted = bits.number() + 4
        order = bits.number()
        if order == 0:
            bits.number()
        elif order == 1:
            bits.take(1)
            bits.signed()
            bits.signed()
            for _ in range(bits.number()):
                bits.signed()
        bits.number()
        may_skip = bool(bits.take(1))
        columns, rows = bits.number() + 1, bits.number() + 1
        fields = 2 - bits.take(1)
        return cls(counted, planes, may_skip, (16 * columns, 16 * rows * fields))


class FrameNumbers:
    """Follows the frame numbers in the slices of H.264."""

    def __init__(self) -> None:
        self._sequence: Parameters | None = None
        self._last: int | None = None

    def follows(self, data: bytes) -> bool:
        """False when a frame that others refer to is missing before the one in this packet."""
        for unit in units(data):
            kind = unit[0] & 0x1F if unit else 0
            try:
                if kind == PARAMETERS:
                    self._sequence = Parameters.read(unit)
                elif kind in (SLICE, KEY_SLICE) and self._sequence is not None:
                    return self._check(unit, kind, self._sequence)
            except IndexError:
                return False
        return True

    def _check(self, unit: bytes, kind: int, sequence: Parameters) -> bool:
        bits = Bits(unit[1:])
        for _ in range(3):  # first macroblock, type of the slice, its parameters
            bits.number()
        if sequence.planes:
            bits.take(2)
        number, last = bits.take(sequence.bits), self._last
        if unit[0] & 0x60:
            self._last = number
        if kind == KEY_SLICE or last is None or sequence.may_skip:
            return True
        # Two fields of one frame have the same number.
        return (number - last) % (1 << sequence.bits) <= 1


def _skip_scaling(bits: Bits, count: int) -> None:
    last = following = 8
    for _ in range(count):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


class Bits:
    """Reads bit by bit, as H.264 codes numbers. Raises IndexError at the end."""

    def __init__(self, data: bytes) -> None:
        # Within a unit a third zero byte is kept apart from a start code by a 3.
        self._data = data.replace(b"\0\0\3", b"\0\0")
        self._at = 0

    def take(self, count: int) -> int:
        value = 0
        for _ in range(count):
            byte = self._data[self._at >> 3]
            value = value << 1 | byte >> (7 - (self._at & 7)) & 1
            self._at += 1
        return value

    def number(self) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 32:
                raise IndexError("no number")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        number = self.number()
        return (number + 1) // 2 if number % 2 else -(number // 2)
