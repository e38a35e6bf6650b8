"""Connections before and behind the console's server: who may wait, for how long, and what is said.

Whoever has shown no token yet shares a few places, which the newest takes from the oldest of the
address that holds most; operators have places of their own. So no crowd keeps an operator out,
memory and file descriptors stay bounded, and what strangers send fills no log.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import resource
import time
from collections import Counter
from collections.abc import Callable

from aiohttp import web

HEADER_TIMEOUT = 5.0
"""Seconds until the header of a request must be whole."""
GUEST_TIMEOUT = 30.0
"""Seconds after which a connection without a token ends, whatever it does."""
LONGEST_HEADER = 32768
GUESTS = 128
GUESTS_OF_ADDRESS = 48
LOG_PERIOD = 10.0
_UNMASKED = b"\x88\x02\x03\xea"  # a close frame, 1002: protocol error


class Doors:
    """The connections of one server.

    Args:
        complain: takes one line about what strangers did, at most every `LOG_PERIOD` seconds.
    """

    def __init__(self, complain: Callable[[str], None]) -> None:
        self._guests: dict[Connection, str] = {}
        self._behind: dict[asyncio.BaseTransport, Connection] = {}
        # Half of what the process may open is left to ROS.
        self._most = min(GUESTS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
        self.logger = logging.Logger("duml_console")
        self.logger.addHandler(_Seldom(complain))

    @property
    def guests(self) -> int:
        """Connections that have shown no token."""
        return len(self._guests)

    async def listen(self, runner: web.AppRunner, host: str, port: int) -> asyncio.Server:
        """Open the server of a runner that is set up. Raises OSError."""
        loop = asyncio.get_running_loop()
        server = runner.server
        assert server is not None

        def meet() -> Connection:
            handler = _Handler(
                server,
                loop=loop,
                logger=self.logger,
                access_log=None,  # type: ignore[arg-type]
                keepalive_timeout=GUEST_TIMEOUT,
            )
            return Connection(handler, self)

        loop.set_exception_handler(
            lambda _, context: self.logger.error(
                str(context.get("message")), exc_info=context.get("exception")
            )
        )
        return await loop.create_server(meet, host, port)

    def enter(self, guest: Connection, transport: asyncio.BaseTransport) -> None:
        """Let a guest in, for whom another one may have to go."""
        self._guests[guest] = guest.address
        self._behind[transport] = guest
        crowds = Counter(self._guests.values())
        full = guest.address if crowds[guest.address] > GUESTS_OF_ADDRESS else ""
        if not full and len(self._guests) > self._most:
            full = crowds.most_common(1)[0][0]
        if full:
            self.logger.warning("too many connections without a token from %s", full)
            oldest = next(g for g, address in self._guests.items() if address == full)
            del self._guests[oldest]
            oldest.end()

    def settle(self, transport: asyncio.BaseTransport | None) -> None:
        """Who has shown the token is no guest any more."""
        connection = self._behind.get(transport) if transport is not None else None
        if connection is not None:
            self._guests.pop(connection, None)
            connection.stay()

    def leave(self, connection: Connection, transport: asyncio.BaseTransport | None) -> None:
        self._guests.pop(connection, None)
        if transport is not None:
            self._behind.pop(transport, None)


class Connection(asyncio.Protocol):
    """One connection: times of a guest, frames of a WebSocket, and all else for aiohttp."""

    def __init__(self, handler: web.RequestHandler, doors: Doors) -> None:
        self._handler = handler
        self._doors = doors
        self._transport: asyncio.Transport | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._header = bytearray()
        self._asked = False
        self._frames: MaskCheck | None = None
        self.address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.address = neighbourhood(str(peer[0])) if peer else ""
        loop = asyncio.get_running_loop()
        self._timers = [
            loop.call_later(HEADER_TIMEOUT, self._hurry),
            loop.call_later(GUEST_TIMEOUT, self.end),
        ]
        self._handler.connection_made(transport)
        self._doors.enter(self, transport)

    def connection_lost(self, error: BaseException | None) -> None:
        self.stay()
        self._doors.leave(self, self._transport)
        self._handler.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        frames = self._headers(data) if self._frames is None else data
        if self._frames is not None and not self._frames.masked(frames):
            self._doors.logger.warning("unmasked frames from %s", self.address)
            if self._transport is not None:
                self._transport.write(_UNMASKED)
            self.end()
            return
        self._handler.data_received(data)

    def eof_received(self) -> None:
        self._handler.eof_received()

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()

    def stay(self) -> None:
        """Nothing ends it any more but its server, or its other end."""
        for timer in self._timers:
            timer.cancel()
        self._timers = []

    def end(self) -> None:
        """Close it at once; what was written may still arrive."""
        self.stay()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            asyncio.get_running_loop().call_later(1.0, self._transport.abort)

    def _hurry(self) -> None:
        if self._header or not self._asked:
            self.end()

    def _headers(self, data: bytes) -> bytes:
        """Note whole headers of requests, which have no body here; what follows an upgrade."""
        self._header += data
        while (end := self._header.find(b"\r\n\r\n")) >= 0:
            header = bytes(self._header[:end]).lower()
            del self._header[: end + 4]
            self._asked = True
            if b"\nupgrade:" in header:
                rest, self._header = bytes(self._header), bytearray()
                self._frames = MaskCheck()
                return rest
        if len(self._header) > LONGEST_HEADER:
            self.end()
        return b""


class MaskCheck:
    """Looks at the frames of a client's WebSocket as they pass.

    Clients must mask what they send (RFC 6455, 5.1), so that no cache on the way takes it for
    requests; aiohttp reads it either way.
    """

    def __init__(self) -> None:
        self._head = bytearray()
        self._rest = 0

    def masked(self, data: bytes) -> bool:
        """False from the first frame on that is not masked."""
        at = 0
        while at < len(data):
            if self._rest:
                step = min(self._rest, len(data) - at)
                self._rest, at = self._rest - step, at + step
                continue
            self._head.append(data[at])
            at += 1
            if len(self._head) < 2:
                continue
            if not self._head[1] & 0x80:
                return False
            length = self._head[1] & 0x7F
            more = {126: 2, 127: 8}.get(length, 0)
            if len(self._head) == 2 + more + 4:
                self._rest = int.from_bytes(self._head[2 : 2 + more], "big") if more else length
                self._head.clear()
        return True


def neighbourhood(host: str) -> str:
    """Addresses that count as one: of IPv6 those of one network, of which everybody has many."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 6:
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


class _Handler(web.RequestHandler):
    """Answers what is no request, with the console's own headers."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        super().handle_error(request, status, exc, message)
        text = "the request is malformed" if status < 500 else "the console failed"
        response = web.Response(
            status=status, text=f"{status}: {text}\n", headers=security_headers("")
        )
        response.force_close()
        return response


class _Seldom(logging.Handler):
    """One line about the newest of many records, and how many there were."""

    def __init__(self, complain: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._complain = complain
        self._due = 0.0
        self._held = 0

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now < self._due:
            self._held += 1
            return
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f": {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        # What strangers sent may be in it.
        text = text.encode("unicode_escape").decode("ascii")[:200]
        before = f" ({self._held} more before)" if self._held else ""
        self._due, self._held = now + LOG_PERIOD, 0
        self._complain(f"{text}{before}")


def security_headers(host: str) -> dict[str, str]:
    """Headers of every answer; ``host`` is the request's, empty where it was refused."""
    # 'self' does not cover WebSockets in older browsers. A host that was refused is not repeated.
    sockets = f"ws://{host} wss://{host}" if host else ""
    return {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; "
            f"img-src 'self' blob:; connect-src 'self' {sockets}; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-cache",
        "Server": "duml_console",
    }
