"""Parts of a Markdown page that a command writes, between two comments that stay."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ..outputs import write_text


class SectionError(Exception):
    """A page that has no place for a part."""


def fill_section(page: Path, name: str, text: str) -> None:
    """Put ``text`` between ``<!-- NAME -->`` and ``<!-- /NAME -->``; all else stays as it is.

    Raises SectionError when the page or the two comments are not there.
    """
    old, place = _find(page, name)
    start, end = _marks(name)
    filled = f"{start}\n{text.strip()}\n{end}"
    write_text(page, old[: place.start()] + filled + old[place.end() :])


def check_sections(page: Path, names: Iterable[str]) -> None:
    """Raise SectionError when one of the parts has no place: to be told before hours of work."""
    for name in names:
        _find(page, name)


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name} -->", f"<!-- /{name} -->"


def _find(page: Path, name: str) -> tuple[str, re.Match[str]]:
    """The page's text, and where the part with its two comments lies in it."""
    start, end = _marks(name)
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise SectionError(f"{page} cannot be read: {error.strerror}") from error
    found = list(re.finditer(f"{re.escape(start)}.*?{re.escape(end)}", text, re.DOTALL))
    if len(found) != 1:
        raise SectionError(f"{page} has not exactly one place for it: {start} ... {end}")
    return text, found[0]
