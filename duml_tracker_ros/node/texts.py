"""Texts that others have written, before they go to log and diagnostics."""

from __future__ import annotations

from ..media.addresses import without_passwords

MOST = 400


def cut(text: str, most: int = MOST) -> str:
    """At most `most` characters of a text on one line, the middle of a longer one left out.

    Passwords in addresses are left out, too.
    """
    text = without_passwords(text)
    if len(text) > most:
        head, tail = most // 2, most // 4
        text = f"{text[:head]} ... ({len(text)} characters) ... {text[-tail:]}"
    return "".join(c if c.isprintable() else " " for c in text)
