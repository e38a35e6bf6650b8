"""Carries bytes: listens on UDP, speaks to one UDP address, or keeps a TCP connection up."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Hashable
from typing import Any

from .peers import Peer, Peers
from .settings import MavlinkError

RECONNECT = 1.0
UNREAD = 1 << 20  # bytes
# A receiver that does not read is sent nothing more until it has.
MOST_UNSENT = 1 << 16
Receive = Callable[[Hashable, str, Callable[[bytes], None], bytes], None]
"""Called with address, its name, what sends to it, and the bytes that came."""


class Transport:
    """One connection.

    Args:
        connection: the parameter of that name, of valid form.
        receive: called with datagrams; streams go to `receive_stream`, which returns what is left.
        say: writes a line to the log.
    """

    def __init__(
        self,
        connection: str,
        peers: Peers,
        receive: Receive,
        receive_stream: Callable[[Peer, bytes], bytes],
        say: Callable[[str], object],
    ) -> None:
        self._kind, self.host, port = connection.split(":")
        self.connection, self.port = connection, int(port)
        self.bound = self.port
        self._peers, self._receive, self._receive_stream = peers, receive, receive_stream
        self._say = say
        self._task: asyncio.Task[None] | None = None
        self._datagrams: asyncio.DatagramTransport | None = None

    async def open(self) -> None:
        """Begin. Raises MavlinkError when it can never work."""
        if not 0 <= self.port <= 65535 or (self.port == 0 and self._kind in ("udpout", "tcp")):
            raise MavlinkError(f"connection = {self.connection!r}: the port must be 1 to 65535")
        if self._kind in ("udp", "udpin"):
            await self._listen()
        else:
            keep = self._keep_tcp if self._kind == "tcp" else self._keep_udp
            self._task = asyncio.create_task(keep())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._datagrams is not None:
            self._datagrams.close()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            made, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self._on_datagram), local_addr=(self.host, self.port)
            )
        except OSError as error:
            raise MavlinkError(
                f"connection = {self.connection!r} cannot be listened on: "
                f"{error.strerror or error}; choose another address or port"
            ) from None
        # Of a flood, so much waits for its turn before the rest is lost.
        made.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UNREAD)
        self._datagrams = made
        self.bound = made.get_extra_info("sockname")[1]

    def _on_datagram(self, data: bytes, address: Any) -> None:
        made = self._datagrams
        if made is not None:
            name = f"{address[0]}:{address[1]}"
            self._receive(address, name, lambda out: made.sendto(out, address), data)

    async def _keep_udp(self) -> None:
        """Speak to the one address; try again while there is no way to it."""
        loop, told = asyncio.get_running_loop(), ""
        name = f"{self.host}:{self.port}"
        while self._datagrams is None:
            try:
                made, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self._on_reply), remote_addr=(self.host, self.port)
                )
            except OSError as error:
                told = self._tell_once(told, f"no way to {name} yet: {error.strerror or error}")
                await asyncio.sleep(RECONNECT)
                continue
            self._datagrams = made
        self._peers.add(None, Peer(name, self._datagrams.sendto, permanent=True))

    def _on_reply(self, data: bytes, _: Any) -> None:
        if self._datagrams is not None:
            self._receive(None, f"{self.host}:{self.port}", self._datagrams.sendto, data)

    async def _keep_tcp(self) -> None:
        told, name = "", f"{self.host}:{self.port}"
        while True:
            try:
                reader, writer = await asyncio.open_connection(self.host, self.port)
            except OSError as error:
                told = self._tell_once(
                    told, f"{name} cannot be reached yet: {error.strerror or error}"
                )
                await asyncio.sleep(RECONNECT)
                continue
            told = self._tell_once("", f"connected to {name}")
            peer = Peer(name, _sender(writer), permanent=True)
            self._peers.add(None, peer)
            rest = b""
            try:
                while data := await reader.read(4096):
                    rest = self._receive_stream(peer, rest + data)
            except OSError:
                pass
            finally:
                self._peers.remove(None)
                writer.close()
            self._say(f"{name} has gone; connecting again")
            await asyncio.sleep(RECONNECT)

    def _tell_once(self, told: str, text: str) -> str:
        if text != told:
            self._say(text)
        return text


def _sender(writer: asyncio.StreamWriter) -> Callable[[bytes], None]:
    def send(data: bytes) -> None:
        if writer.transport.get_write_buffer_size() < MOST_UNSENT:
            writer.write(data)

    return send


class _Datagrams(asyncio.DatagramProtocol):
    """Hands on datagrams; that nobody listens over there, or the network is down, passes."""

    def __init__(self, received: Callable[[bytes, Any], None]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._received(data, addr)

    def error_received(self, exc: Exception) -> None:
        pass
