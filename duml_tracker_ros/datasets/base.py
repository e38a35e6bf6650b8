"""Sequences on disk: frames, true boxes, attributes, and how their files are read.

Every loader gives boxes in the package's convention (0-based, continuous, ``x, y, w, h``); data
sets whose files count pixels from 1 are converted by their loader and nowhere else. Loading one
sequence never spoils another: what is wrong with a sequence is collected as a `SequenceError` that
carries its name.
"""

from __future__ import annotations

import fnmatch
import functools
import itertools
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..media.folder import FolderError, frames_of
from ..media.levels import Levels
from ..media.picture import PictureError, as_bgr, read
from ..media.pictures import Pictures
from .boxes import Array, present
from .text import fields, read_text

if TYPE_CHECKING:
    from .region import Region

log = logging.getLogger(__name__)


class DatasetError(Exception):
    """The data set as a whole cannot be used; the text says what to change."""


class SequenceError(Exception):
    """One sequence cannot be used.

    Attributes:
        name: the sequence, as in `Sequence.name`.
        reason: what is wrong and where, without the name.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True)
class Sequence:
    """One video with the true box of every frame.

    Attributes:
        name: path-like name, unique in the data set (``otb/Crossing``).
        frames: image files in order.
        truth: ``[N, 4]`` boxes; rows of NaN where the target is absent.
        attributes: the data set's tags (occlusion, scale variation, ...).
        cover: ``[N]`` visible share of the target where the data set gives one (GOT-10k).
        anchors: ``[N]`` VOT anchor flags: > 0 forward run from here, < 0 backward, else 0.
        regions: VOT's truth as its files give it, in their coordinates (pixels from 1).
        label: class of the target, where the data set gives one.
        truth_given: False where only the first box is public (test servers).
        selection: the box [4] that a tracker starts from; None: the first true one.
        levels: what becomes black and white of more than 8 bits; None: chosen for the clip.
    """

    name: str
    frames: tuple[Path, ...]
    truth: Array
    attributes: tuple[str, ...] = ()
    cover: Array | None = None
    anchors: Array | None = None
    regions: tuple[Region, ...] | None = None
    label: str = ""
    truth_given: bool = True
    selection: Array | None = None
    levels: Levels | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Frame ``index`` as uint8 ``[H, W, 3]`` in BGR order; raises SequenceError."""
        try:
            return self.pictures.frame(index)
        except OSError as error:
            raise SequenceError(self.name, f"frame {index}: {error}") from error

    @functools.cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of the first frame; raises SequenceError."""
        image = self.image(0)
        return (image.shape[1], image.shape[0])

    @functools.cached_property
    def pictures(self) -> Pictures:
        """The frames as one clip: what has more than 8 bits is stretched alike in all of them."""
        return Pictures(self.frames, self.levels)


@dataclass
class Dataset:
    """Usable sequences, and the errors of those that are not.

    Attributes:
        protocol: ``pass`` (one pass), ``got10k`` (one pass, its scores too), ``longterm`` (one
            pass, VOT's long-term measures too), ``supervised`` (VOT until 2019) or ``anchors``
            (VOT since 2020).
        eao_range: lengths over which VOT's EAO averages.
        submission: the test server whose files are to be written, where the truth is not public.
    """

    name: str
    sequences: list[Sequence]
    problems: list[SequenceError] = field(default_factory=list)
    protocol: str = "pass"
    eao_range: tuple[int, int] | None = None
    submission: str | None = None

    def require_pass(self, option: str, protocols: tuple[str, ...] = ("pass",)) -> None:
        """Raise DatasetError where the set has a protocol of its own, or no public truth."""
        if self.protocol not in protocols or self.submission is not None:
            raise DatasetError(f"{self.name}: {option} is for sets that are scored in one pass")

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self.sequences)

    def __len__(self) -> int:
        return len(self.sequences)


def read_image(path: Path) -> NDArray[np.uint8]:
    """One picture of 8 bits as uint8 BGR, upright; raises OSError naming the file and the fault."""
    pixels = read(path)
    if pixels.dtype != np.uint8:
        raise PictureError(
            f"image {path} has more than 8 bits ({pixels.dtype}), and alone nothing says what is "
            "black and white in it; stretch it to 8 bits first"
        )
    return as_bgr(pixels)


def list_images(folder: Path, name: str = "") -> tuple[Path, ...]:
    """The frames of a folder in the order that their names mean; see `media.folder`.

    What is left out of ``name`` is logged. Raises SequenceError when nobody can say which they are.
    """
    try:
        found = frames_of(folder)
    except FolderError as error:
        raise SequenceError(name, str(error)) from None
    if found.ignored:
        log.warning("%s: %s", name or folder, found.note())
    return found.files


def read_boxes(path: Path, name: str, *, origin: float = 0.0) -> Array:
    """Read one ``x y w h`` per line, separated by commas, tabs or blanks.

    ``nan`` and boxes without an area become rows of NaN (target absent). ``origin`` is the
    coordinate of the first pixel in the file and is subtracted from x and y.

    Raises:
        SequenceError: the file is missing or a line is not four numbers; the line is named.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise SequenceError(name, f"ground truth {path} cannot be read: {error.strerror}") from None
    rows: list[list[float]] = []
    for number, line in enumerate(text.rstrip().splitlines(), start=1):
        try:
            values = [float(f) for f in fields(line)]
        except ValueError:
            values = []
        if len(values) != 4:
            raise SequenceError(
                name, f"{path.name} line {number} is not 'x,y,w,h': {line.strip()[:60]!r}"
            )
        rows.append(values)
    boxes = np.array(rows, dtype=np.float64).reshape(-1, 4)
    boxes[~present(boxes)] = np.nan
    boxes[:, :2] -= origin
    return boxes


def read_labels(path: Path, name: str) -> Array:
    """`read_boxes`, without those of frames that the files beside them say are `hidden`."""
    boxes = read_boxes(path, name)
    boxes[hidden(path.parent, len(boxes), name)] = np.nan
    return boxes


def make_sequence(
    name: str,
    frames: tuple[Path, ...],
    truth: Array,
    *,
    attributes: tuple[str, ...] = (),
    cover: Array | None = None,
    label: str = "",
    truth_given: bool = True,
    start: bool = True,
) -> Sequence:
    """A checked sequence: frames without gaps, one true box per frame, and a box to start from.

    Raises SequenceError with the sequence's name otherwise. To train on, a sequence needs no box in
    its first frame (``start``).
    """
    if not frames:
        raise SequenceError(name, "no image found")
    if truth_given and len(frames) != len(truth):
        gap = _numbering_gap(frames)
        raise SequenceError(
            name,
            f"{len(frames)} images but {len(truth)} ground-truth lines"
            + (f"; {gap}" if gap else ""),
        )
    if start and (len(truth) == 0 or not present(truth[:1])[0]):
        raise SequenceError(name, "the first frame has no true box to start the tracker from")
    return Sequence(name, frames, truth, attributes, cover, label=label, truth_given=truth_given)


def _numbering_gap(frames: tuple[Path, ...]) -> str:
    """Text naming the first hole in the file numbers, or nothing."""
    numbers = [re.findall(r"\d+", path.stem) for path in frames]
    if len(frames) < 3 or not all(numbers):
        return ""
    values = [int(found[-1]) for found in numbers]
    steps = [after - before for before, after in itertools.pairwise(values)]
    usual = sorted(steps)[len(steps) // 2]
    for path, step in zip(frames, steps, strict=False):
        if step != usual:
            return f"the frame after {path.name} is missing"
    return ""


def collect(
    dataset: str, names: list[str], load: Callable[[str], Sequence], pattern: str | None
) -> Dataset:
    """Load the sequences whose name matches, each on its own; DatasetError when none does."""
    wanted = [n for n in names if matches(n, pattern)]
    if names and not wanted:
        raise DatasetError(
            f"no sequence matches --sequences {pattern!r}; there are {len(names)}: "
            + ", ".join(names[:8])
            + (", ..." if len(names) > 8 else "")
        )
    result = Dataset(dataset, [])
    for name in wanted:
        try:
            result.sequences.append(load(name))
        except SequenceError as error:
            result.problems.append(error)
    return result


def matches(name: str, pattern: str | None) -> bool:
    """Whether a sequence name, or its last part, matches one of the comma-separated globs."""
    if not pattern:
        return True
    tails = (name, name.rsplit("/", 1)[-1])
    return any(fnmatch.fnmatchcase(t, p.strip()) for p in pattern.split(",") for t in tails)


def images_of(folder: Path, name: str) -> tuple[Path, ...]:
    """Image files of a sequence's folder; raises SequenceError when it is missing."""
    if not folder.is_dir():
        raise SequenceError(name, f"image folder {folder} is missing")
    return list_images(folder, name)


def first_only(truth: Array, count: int) -> Array:
    """The first box, then rows of NaN for frames whose truth is kept by a server."""
    whole = np.full((max(1, count), 4), np.nan)
    whole[:1] = truth[:1]
    return whole


def last_number(path: Path) -> int:
    """Return the last number in a file's name; -1 without one."""
    found = re.findall(r"\d+", path.stem)
    return int(found[-1]) if found else -1


def words(path: Path) -> tuple[str, ...]:
    """Words separated by blanks, commas or lines; nothing when the file does not exist."""
    if not path.is_file():
        return ()
    return tuple(fields(read_text(path)))


def numbers(path: Path) -> list[float]:
    """Numbers separated by blanks, commas or lines; nothing when the file does not exist."""
    try:
        return [float(w) for w in words(path)]
    except ValueError:
        return []


def hidden(folder: Path, count: int, name: str) -> NDArray[np.bool_]:
    """``[count]``: frames in which the files beside the boxes say that the target is not seen.

    They are GOT-10k's ``cover.label`` (0) and ``absence.label``, LaSOT's ``full_occlusion.txt`` and
    ``out_of_view.txt``, as far as they are there. The first frame counts as seen: its box is given.

    Raises SequenceError when one of them has another number of values.
    """
    found = np.zeros(count, dtype=bool)
    for file in ("absence.label", "full_occlusion.txt", "out_of_view.txt"):
        found |= flags(folder / file, count, name)
    if (folder / "cover.label").is_file():
        found |= ~flags(folder / "cover.label", count, name)
    found[:1] = False
    return found


def flags(path: Path, count: int, name: str) -> NDArray[np.bool_]:
    """``[count]`` flags of an optional file, none set where it is missing.

    Raises SequenceError when the file has another number of them.
    """
    found = np.array(numbers(path)) != 0
    if not path.is_file():
        return np.zeros(count, dtype=bool)
    if len(found) != count:
        raise SequenceError(name, f"{len(found)} flags in {path.name} for {count} frames")
    return found
