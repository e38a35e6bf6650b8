"""Which files of a folder are the frames of one clip, and in which order."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pnm", ".jp2"}
)
BESIDE = frozenset(
    {"thumb", "thumbs", "thumbnail", "preview", "mask", "masks", "label", "labels", "annotation"}
    | {"overlay", "heatmap", "depth", "seg", "segmentation", "alpha", "gt"}
)
"""Words in the names of pictures that stand beside frames and are none."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


class FolderError(OSError):
    """Nobody can say which files of a folder are the frames; the text names them."""


@dataclass(frozen=True)
class Frames:
    """The frames of a folder in order, and what was left out, by name with the reason."""

    files: tuple[Path, ...]
    ignored: tuple[str, ...]

    def note(self) -> str:
        """What was left out, in one line; empty when nothing was."""
        if not self.ignored:
            return ""
        more = len(self.ignored) - 3
        text = ", ".join(self.ignored[:3]) + (f" and {more} more" if more > 0 else "")
        return f"not taken for frames: {text}"


def frames_of(folder: str | Path) -> Frames:
    """The pictures of a folder that are one numbered row, in the order that their numbers mean.

    Hidden files and what is no picture by its ending are left out, and so are thumbnails, masks and
    the like beside frames. Numbers are compared as numbers, times with decimals among them.

    Raises:
        FolderError: there is more than one row of pictures, or two pictures of one number.
    """
    files: list[Path] = []
    ignored: list[str] = []
    for path in sorted(Path(folder).iterdir()):
        if path.suffix.lower() not in SUFFIXES:
            # What lies beside frames by custom needs no word.
            if any(part.lower() in SUFFIXES for part in path.suffixes):
                ignored.append(f"{path.name} (no picture by its ending)")
        elif path.name.startswith("."):
            ignored.append(f"{path.name} (hidden)")
        elif not path.is_file():
            ignored.append(f"{path.name} (no file)")
        else:
            files.append(path)
    rows: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        rows[_pattern(path)].append(path)
    main = [pattern for pattern in rows if not BESIDE & set(re.findall(r"[a-z]+", pattern))]
    if 0 < len(main) < len(rows):
        for pattern in rows.keys() - set(main):
            ignored += [f"{path.name} (beside the frames)" for path in rows.pop(pattern)]
    if len(rows) > 1 and any("#" in pattern for pattern in rows):
        kinds = sorted(rows.items(), key=lambda row: -len(row[1]))
        told = ", ".join(f"{len(row)} like {row[0].name}" for _, row in kinds[:4])
        raise FolderError(
            f"folder {folder} holds pictures of {len(rows)} kinds ({told}), which are no one clip; "
            "leave only its frames there"
        )
    ordered = in_order([path for row in rows.values() for path in row])
    _no_twins(ordered)
    return Frames(tuple(ordered), tuple(ignored))


def _pattern(path: Path) -> str:
    """The name without ending, its numbers replaced: what the frames of one clip share."""
    return _NUMBER.sub("#", path.stem.lower())


def in_order(paths: Sequence[Path]) -> list[Path]:
    """Paths by the numbers in their names, and by the words between them.

    ``45.1`` after ``45.05`` are times with decimals, unless what follows the point counts on
    (``7.9``, ``7.10``).
    """
    decimal = _decimals(paths)
    return sorted(paths, key=lambda path: (_key(path.stem, decimal), path.name))


def _key(stem: str, decimal: bool) -> tuple[tuple[int, Fraction | str], ...]:
    pattern = _NUMBER if decimal else re.compile(r"\d+")
    parts: list[tuple[int, Fraction | str]] = []
    at = 0
    for found in pattern.finditer(stem):
        if found.start() > at:
            parts.append((1, stem[at : found.start()].lower()))
        parts.append((0, Fraction(found[0])))
        at = found.end()
    return (*parts, (1, stem[at:].lower())) if at < len(stem) else tuple(parts)


def _decimals(paths: Sequence[Path]) -> bool:
    """Whether a point between digits is a decimal point.

    It is none where the digits after it are whole numbers that count on without a gap.
    """
    after: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        for found in re.finditer(r"(\d+)\.(\d+)", path.stem):
            after[path.stem[: found.end(1)]].append(found[2])
    for digits in after.values():
        if len({len(d) for d in digits}) == 1:
            continue
        counts = sorted(int(d) for d in digits)
        gapless = counts == list(range(counts[0], counts[0] + len(counts)))
        if gapless and not any(len(d) > 1 and d.startswith("0") for d in digits):
            return False
    return True


def _no_twins(ordered: Sequence[Path]) -> None:
    """Raise FolderError when two files have the same number: nobody knows which is the frame."""
    decimal = _decimals(ordered)
    for one, other in itertools.pairwise(ordered):
        if _key(one.stem, decimal) == _key(other.stem, decimal):
            raise FolderError(
                f"{one.parent} holds both {one.name} and {other.name}, of the same number; "
                "leave one of them"
            )
