"""Text files of labels, as they come from any system."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from ..media.plain_files import read_bytes

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: str | Path) -> str:
    """A text file, with a byte order mark or without, UTF-8 or UTF-16; lines end in ``\\n``.

    Bytes that are no text become replacement characters, so that whoever reads the line can name
    it. Raises OSError.
    """
    data = read_bytes(path)
    code = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    text = data.decode(code, errors="replace").removeprefix("\ufeff")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def fields(line: str) -> list[str]:
    """Fields of a line, separated by commas, semicolons, tabs or blanks in any number."""
    return [field for field in re.split(r"[,;\s]+", line.strip()) if field]
