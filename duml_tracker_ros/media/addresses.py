"""Addresses without the passwords in them, for all that is printed, logged or written."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

_SECRET = re.compile(r"(?i)\b([\w-]*(?:pass|pw|key|token|secret|auth)[\w-]*)=[^&]*")
_ADDRESS = re.compile(r"\w+:/[^\s'\"<>]+")
_USER = re.compile(r"(?<=[:/])[^\s:/@'\"]+:[^\s/@'\"]+@")


def without_password(text: str) -> str:
    """An address without user, password and what looks like a key; other texts as they are."""
    if "://" not in text:
        return text
    try:
        parts = urlsplit(text)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return re.sub(r"//[^/@]*@", "//", text)
    query = _SECRET.sub(r"\1=...", parts.query)
    return urlunsplit((parts.scheme, host, parts.path, query, parts.fragment))


def without_passwords(text: str) -> str:
    """A text whose addresses are without their passwords."""
    if ":" not in text:
        return text
    return _USER.sub("", _ADDRESS.sub(lambda found: without_password(found[0]), text))
