"""Hands the newest scene to every browser that is ready for it, and to no other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ..messages.image_codec import ImageView
from ..node.frame_ring import CameraFrame
from . import protocol
from .protocol import Watch
from .scenes import Scene

Picture = tuple[bytes, int, int]
NO_PICTURE: Picture = (b"", 0, 0)


@dataclass
class _Encoded:
    """What has been made of a scene so far; `messages` by what is in them."""

    seq: int
    picture: Picture = NO_PICTURE
    mask: bytes | None = None
    messages: dict[Watch, bytes] = field(default_factory=dict)


class Client:
    """One browser. It gets one scene, and the next one once it has said that it drew that.

    So what is held for a browser that reads slowly, or not at all, is one scene.

    Args:
        send: sends a binary message; it may take for ever.
    """

    def __init__(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        self.wants = Watch()
        self.sent = 0
        self._send = send
        self._in_flight = 0
        self._last = 0
        self._sending: asyncio.Task[None] | None = None

    def ready_for(self, scene: Scene) -> bool:
        return not self._in_flight and scene.seq > self._last

    def push(self, seq: int, message: bytes) -> None:
        """Send a scene; there must be none in flight."""
        self._in_flight = self._last = seq
        self.sent += 1
        self._sending = asyncio.create_task(self._deliver(message))

    def acknowledge(self, seq: int) -> None:
        """The browser has drawn this scene; any other number means nothing."""
        if seq == self._in_flight:
            self._in_flight = 0

    def close(self) -> None:
        if self._sending is not None:
            self._sending.cancel()

    async def _deliver(self, message: bytes) -> None:
        # Its handler learns by itself that the connection is gone.
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self._send(message)


class Hub:
    """All browsers that watch.

    An image is encoded once for all of them, on a thread of its own, and only when one of them
    is ready for it.

    Args:
        encode: makes a file of a frame, with the frame's width and height.
        encode_mask: makes a file of a mask.
        period: shortest time between two scenes in seconds.
        audience: called with whether anybody watches, and all that is wanted by anybody.
    """

    def __init__(
        self,
        encode: Callable[[CameraFrame], Picture],
        encode_mask: Callable[[ImageView], bytes],
        period: float,
        audience: Callable[[bool, Watch], None],
        complain: Callable[[str], Any],
    ) -> None:
        self.clients: set[Client] = set()
        self.encoded = 0
        self._encode = encode
        self._encode_mask = encode_mask
        self._period = period
        self._audience = audience
        self._complain = complain
        self._told_audience = (False, Watch())
        self._newest: Scene | None = None
        self._made = _Encoded(0)
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._encoder = ThreadPoolExecutor(1, "jpeg")

    # -- any thread ---------------------------------------------------------------------------

    def offer(self, scene: Scene) -> None:
        """The newest scene; it takes the place of one that nobody was ready for."""
        # One wake-up for all that come until it is heeded.
        first, self._newest = self._newest is None, scene
        if first:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._wake.set)

    # -- the loop's thread --------------------------------------------------------------------

    def join(self, client: Client) -> None:
        self.clients.add(client)
        self._tell_audience()

    def leave(self, client: Client) -> None:
        self.clients.discard(client)
        client.close()
        self._tell_audience()

    def want(self, client: Client, wants: Watch) -> None:
        client.wants = wants
        self._tell_audience()

    def acknowledge(self, client: Client, seq: int) -> None:
        client.acknowledge(seq)
        self._wake.set()

    async def run(self) -> None:
        """Hand on scenes until cancelled."""
        scene: Scene | None = None
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                newest, self._newest = self._newest, None
                scene = newest or scene
                if scene is not None and any(c.ready_for(scene) for c in self.clients):
                    began = self._loop.time()
                    await self._hand_out(scene)
                    # A tenth early is on time: images do not come at exact multiples of it.
                    rest = 0.9 * self._period - (self._loop.time() - began)
                    await asyncio.sleep(max(0.0, rest))
                if not self.clients:
                    scene, self._made = None, _Encoded(0)
        finally:
            self._encoder.shutdown(wait=False)

    async def _hand_out(self, scene: Scene) -> None:
        if self._made.seq != scene.seq:
            self._made = _Encoded(scene.seq, await self._picture(scene))
        made = self._made
        wanted = any(c.wants.mask and c.ready_for(scene) for c in self.clients)
        if wanted and made.mask is None and scene.mask is not None:
            made.mask = await self._mask(scene.mask)
        # Those that became ready meanwhile get it, too.
        for client in [c for c in self.clients if c.ready_for(scene)]:
            parts = Watch(client.wants.debug, client.wants.mask and made.mask is not None)
            if parts not in made.messages:
                made.messages[parts] = scene_message(scene, made, parts, len(self.clients))
            client.push(scene.seq, made.messages[parts])

    async def _picture(self, scene: Scene) -> Picture:
        if scene.frame is None:
            return NO_PICTURE
        try:
            made = await self._loop.run_in_executor(self._encoder, self._encode, scene.frame)
        except Exception as error:
            self._complain(f"image not shown: {type(error).__name__}: {error}")
            return NO_PICTURE
        self.encoded += 1
        return made

    async def _mask(self, mask: ImageView) -> bytes:
        try:
            return await self._loop.run_in_executor(self._encoder, self._encode_mask, mask)
        except Exception as error:
            self._complain(f"mask not shown: {type(error).__name__}: {error}")
            return b""

    def _tell_audience(self) -> None:
        wants = [client.wants for client in self.clients]
        wanted = Watch(any(w.debug for w in wants), any(w.mask for w in wants))
        audience = bool(self.clients), wanted
        if audience != self._told_audience:
            self._told_audience = audience
            self._audience(*audience)


def scene_message(scene: Scene, made: _Encoded, parts: Watch, clients: int) -> bytes:
    """A scene as a binary message: header, image file, score maps in the header's order, mask."""
    data, width, height = made.picture
    debug = scene.debug if parts.debug else ()
    mask = (made.mask or b"") if parts.mask else b""
    targets = scene.targets
    header: dict[str, Any] = {
        "type": "scene",
        "seq": scene.seq,
        "stamp": str(scene.frame.stamp_ns) if scene.frame is not None else None,
        "width": width,
        "height": height,
        "image": len(data),
        "targets": None if targets is None else [target.header for target in targets],
        "debug": [reading.header for reading in debug],
        "mask": len(mask),
        "numbers": {**scene.numbers, "clients": clients},
    }
    if targets:
        header["numbers"]["latency"] = targets[-1].latency
        header["numbers"]["processing"] = targets[-1].processing
    grids = (grid for reading in debug for grid in reading.maps)
    return protocol.pack(header, (data, *grids, mask))
