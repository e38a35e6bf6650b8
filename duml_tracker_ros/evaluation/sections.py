"""Parts of a Markdown page that a command writes, between two comments that stay."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..outputs import write_text


class SectionError(Exception):
    """A page that has no place for a part."""


def fill_sections(page: Path, texts: Mapping[str, str]) -> None:
    """Put each text between ``<!-- NAME -->`` and ``<!-- /NAME -->``; all else stays as it is.

    Raises SectionError when the page or the two comments are not there.
    """
    whole = _read(page)
    for name, text in texts.items():
        place = _find(page, whole, name)
        start, end = _marks(name)
        filled = f"{start}\n{text.strip()}\n{end}"
        whole = whole[: place.start()] + filled + whole[place.end() :]
    write_text(page, whole)


def check_sections(page: Path, names: Iterable[str]) -> None:
    """Raise SectionError when one of the parts has no place: to be told before hours of work."""
    text = _read(page)
    for name in names:
        _find(page, text, name)


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name} -->", f"<!-- /{name} -->"


def _read(page: Path) -> str:
    try:
        return page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise SectionError(f"{page} cannot be read: {reason}") from error


def _find(page: Path, text: str, name: str) -> re.Match[str]:
    """Where the part with its two comments lies in the page's text."""
    start, end = _marks(name)
    found = list(re.finditer(f"{re.escape(start)}.*?{re.escape(end)}", text, re.DOTALL))
    if len(found) != 1:
        raise SectionError(f"{page} has not exactly one place for it: {start} ... {end}")
    return found[0]
