"""The web server: the page's files, and the WebSocket over which everything else goes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from ..node.operator import Answer, Operator
from .doors import Doors, security_headers
from .guard import Guard
from .hub import Client, Hub
from .protocol import (
    MAX_MESSAGE,
    Ack,
    BadMessage,
    Hello,
    Message,
    Select,
    Stop,
    Watch,
    parse,
)

FILES = {
    "/": ("index.html", "text/html"),
    "/console.css": ("console.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript")
        for name in ("main", "link", "picture", "select", "panel", "graph")
    },
}
HELLO_TIMEOUT = 5.0
WRONG_TOKEN_DELAY = 1.0
MOST_BAD_MESSAGES = 20
HEARTBEAT = 15.0
# Codes of the application: what the page does about them differs.
CLOSE_TOKEN, CLOSE_FULL = 4401, 4429


class Server:
    """Serves the page to browsers that the guard lets in.

    Only the files of `FILES` can be reached, which are read at start, and only what `Operator`
    offers can be asked for.
    """

    def __init__(
        self, guard: Guard, hub: Hub, operator: Operator, max_clients: int, doors: Doors
    ) -> None:
        self._guard = guard
        self._doors = doors
        self._hub = hub
        self._operator = operator
        self._max_clients = max_clients
        self._sockets: set[web.WebSocketResponse] = set()
        folder = Path(__file__).with_name("page")
        self._files = {
            path: ((folder / name).read_bytes(), kind) for path, (name, kind) in FILES.items()
        }

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._check], client_max_size=MAX_MESSAGE)
        for path in self._files:
            app.router.add_get(path, self._serve_file)
        app.router.add_get("/live", self._serve_socket)
        app.on_response_prepare.append(_sign)
        app.on_shutdown.append(self._close)
        return app

    async def _close(self, _: web.Application) -> None:
        closing = [
            socket.close(code=WSCloseCode.GOING_AWAY, message=b"the console ends")
            for socket in tuple(self._sockets)
        ]
        await asyncio.gather(*closing, return_exceptions=True)

    # -- HTTP ---------------------------------------------------------------------------------

    @web.middleware
    async def _check(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        reason = self._guard.host_refusal(host)
        if not reason and request.path == "/live":
            reason = self._guard.origin_refusal(host, request.headers.get("Origin", ""))
        if reason:
            return web.Response(status=403, text=f"403: {reason}\n", headers=security_headers(""))
        try:
            return await handler(request)
        except web.HTTPException as error:
            text = {404: "there is no such page", 405: "only GET is answered"}
            reason = text.get(error.status, error.reason)
            return web.Response(
                status=error.status,
                text=f"{error.status}: {reason}\n",
                headers=security_headers(host),
            )

    async def _serve_file(self, request: web.Request) -> web.Response:
        body, kind = self._files[request.path]
        headers = security_headers(request.headers["Host"])
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)

    # -- WebSocket ----------------------------------------------------------------------------

    async def _serve_socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT, max_msg_size=MAX_MESSAGE, compress=False, timeout=2.0
        )
        if not socket.can_prepare(request).ok:
            raise web.HTTPBadRequest(reason="this address speaks WebSocket only")
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            if await self._admit(socket):
                self._doors.settle(request.transport)
                await self._talk(socket)
        except ConnectionError:
            pass
        finally:
            self._sockets.discard(socket)
        return socket

    async def _admit(self, socket: web.WebSocketResponse) -> bool:
        """True for a browser that says hello with the right token while there is room."""
        reason, code = "", CLOSE_TOKEN
        try:
            first = await asyncio.wait_for(socket.receive(), HELLO_TIMEOUT)
            message = parse(first.data) if first.type is WSMsgType.TEXT else None
            token = message.token if isinstance(message, Hello) else None
        except (asyncio.TimeoutError, TimeoutError, BadMessage):
            token = None
        if token is None:
            reason, code = "say hello first", WSCloseCode.POLICY_VIOLATION
        elif self._guard.needs_token and not self._guard.token_fits(token):
            reason = "the token is wrong" if token else "a token is needed"
            await asyncio.sleep(WRONG_TOKEN_DELAY)
        elif len(self._hub.clients) >= self._max_clients:
            reason, code = f"{self._max_clients} browsers are connected already", CLOSE_FULL
        if not reason:
            return True
        if not socket.closed:
            await _send(socket, {"type": "refused", "message": reason})
            await socket.close(code=code, message=reason.encode())
        return False

    async def _talk(self, socket: web.WebSocketResponse) -> None:
        client = Client(socket.send_bytes)
        await _send(socket, {"type": "welcome"})
        self._hub.join(client)
        asking: asyncio.Task[None] | None = None
        bad = 0
        try:
            async for frame in socket:
                try:
                    if frame.type is not WSMsgType.TEXT:
                        raise BadMessage("only texts are understood")
                    message = parse(frame.data)
                except BadMessage as error:
                    bad += 1
                    if bad > MOST_BAD_MESSAGES:
                        await socket.close(
                            code=WSCloseCode.POLICY_VIOLATION, message=b"too many bad messages"
                        )
                        break
                    await _send(socket, {"type": "refused", "message": str(error)})
                    continue
                if isinstance(message, (Select, Stop)):
                    if asking is not None and not asking.done():
                        busy = "the tracker has not answered the request before this one"
                        await _answer(socket, message.request, Answer(False, busy))
                    else:
                        asking = asyncio.create_task(self._ask(socket, message))
                else:
                    self._note(client, message)
        finally:
            self._hub.leave(client)
            if asking is not None:
                asking.cancel()

    def _note(self, client: Client, message: Message) -> None:
        if isinstance(message, Ack):
            self._hub.acknowledge(client, message.seq)
        elif isinstance(message, Watch):
            self._hub.want(client, message)

    async def _ask(self, socket: web.WebSocketResponse, message: Select | Stop) -> None:
        if isinstance(message, Select):
            wish = message.numbers, message.stamp_ns, message.replaces
            answer = await self._operator.select(*wish)
        else:
            answer = await self._operator.stop(message.target)
        await _answer(socket, message.request, answer)


async def _sign(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in security_headers("").items():
        if name == "Server" or name not in response.headers:
            response.headers[name] = value


async def _answer(socket: web.WebSocketResponse, request: int, answer: Answer) -> None:
    told = {"ok": answer.ok, "message": answer.message, "target": answer.target}
    await _send(socket, {"type": "answer", "request": request, **told})


async def _send(socket: web.WebSocketResponse, message: dict[str, Any]) -> None:
    # When it is gone, the reading side learns of it, too.
    with contextlib.suppress(ConnectionError, RuntimeError):
        await socket.send_str(json.dumps(message))
