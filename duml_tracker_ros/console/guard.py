"""Who may talk to the console: names it answers to, origins of pages, the token."""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
from pathlib import Path
from urllib.parse import urlsplit

from ..media.plain_files import LARGEST_TEXT, read_bytes
from ..node.addresses import is_loopback
from .settings import ConsoleError, ConsoleSettings

SHORTEST_TOKEN = 16
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?")


def find_token(settings: ConsoleSettings) -> str:
    """The token that browsers must know; empty where none is needed.

    Raises:
        ConsoleError: the file cannot be read, or what it holds is too short to be a secret.
    """
    if not settings.token_file:
        return "" if is_loopback(settings.host) else secrets.token_urlsafe(18)
    make = 'python3 -c "import secrets; print(secrets.token_urlsafe())" > FILE'
    try:
        data = read_bytes(Path(settings.token_file).expanduser(), LARGEST_TEXT)
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ConsoleError(
            f"token_file = {settings.token_file!r} cannot be read ({reason}); make one: {make}"
        ) from None
    token = text.partition("\n")[0].strip()
    if len(token) < SHORTEST_TOKEN:
        raise ConsoleError(
            f"token_file = {settings.token_file!r}: its first line is {len(token)} characters "
            f"long, a token needs at least {SHORTEST_TOKEN}; make one: {make}"
        )
    return token


class Guard:
    """Judges requests by their headers, and tokens.

    A page of another site can make a browser send requests here. It cannot forge `Origin`, and
    with a name of its own that it lets point here (DNS rebinding) it cannot forge `Host`: so only
    addresses and names that are known to be this console's are answered.
    """

    def __init__(self, settings: ConsoleSettings, token: str) -> None:
        self._token = token
        self._local = is_loopback(settings.host)
        self._names = {name.lower() for name in settings.allowed_hosts.split()}
        self._names.add(settings.host.lower())
        if self._local:
            self._names.add("localhost")
        else:
            name = socket.gethostname().lower()
            self._names |= {name, f"{name}.local"}

    @property
    def needs_token(self) -> bool:
        return bool(self._token)

    def token_fits(self, token: str) -> bool:
        """Compare in a time that does not tell how much of it was right."""
        # JSON may hold halves of surrogate pairs, which are no text.
        given = token.encode(errors="surrogatepass")
        return hmac.compare_digest(given, self._token.encode())

    def host_refusal(self, host: str) -> str:
        """Why a request with this `Host` is refused; empty when it is not."""
        match = _HOST.fullmatch(host)
        if match is None:
            return "the header Host is missing or malformed"
        name = match[1].strip("[]").lower().rstrip(".")
        if name in self._names:
            return ""
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return f"this console does not answer to the name {name!r}; see allowed_hosts"
        # An address cannot be made to point elsewhere, as a name can.
        if self._local and not address.is_loopback:
            return f"this console serves loopback only, not {name}"
        return ""

    def origin_refusal(self, host: str, origin: str) -> str:
        """Why a WebSocket of a page from `origin` is refused; empty when it is not."""
        if not origin:
            return "the header Origin is missing"
        try:
            parts = urlsplit(origin)
        except ValueError:
            return "the header Origin is malformed"
        if parts.scheme not in ("http", "https") or parts.netloc.lower() != host.lower():
            return f"a page of {origin[:100]!r} may not talk to this console"
        return ""
