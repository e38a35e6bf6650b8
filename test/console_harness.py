"""A console process beside a tracker node, a camera with the generated scene, and watchers."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time

import aiohttp
from node_harness import NAMESPACE, WAIT, NodeProcess, Talker, reset, stamp_of

from duml_tracker_ros.console.protocol import unpack
from duml_tracker_ros.scene import AerialScene

FRAMES = 32  # before anything hides the target


class Feed(threading.Thread):
    """A camera that shows the scene there and back, at a steady rate; it remembers the truth.

    The next image is shown once the tracker has answered this one, and this one again until then:
    on a busy machine the target must not leap.

    Attributes:
        truth: true box of the target by stamp.
        playing: while this is not set, the first image is shown again and again.
    """

    def __init__(self, talker: Talker, rate=15.0, width=640, height=480, frames=FRAMES):
        super().__init__(name="camera", daemon=True)
        scene = AerialScene(7, width, height)
        shown = [scene.render(index) for index in range(frames)]
        self._shown = shown + shown[-2:0:-1]
        self._talker, self._period = talker, 1 / rate
        self.truth = {}
        self.playing = threading.Event()
        self._ended = threading.Event()

    def run(self):
        index, first, due = 0, 0, time.monotonic()
        while not self._ended.is_set():
            frame = self._shown[index % len(self._shown)]
            message = self._talker.image(pixels=frame.image, encoding="rgb8")
            stamp = stamp_of(message)
            # Watchers ask for it as soon as they have seen the image.
            self.truth[stamp] = frame.box
            self._talker.images.publish(message)
            first = first or stamp
            due = max(due + self._period, time.monotonic())
            while time.monotonic() < due:
                self._talker.executor.spin_once(timeout_sec=max(0.0, due - time.monotonic()))
            answered = any(stamp_of(target) >= first for target in self._talker.targets[-1:])
            if answered and self.playing.is_set():
                index, first = index + 1, 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self.join(WAIT)


@contextlib.contextmanager
def tracking(talker, tracker="duml", max_targets=3):
    """The harness's node, active with trained weights and without a target, and its camera."""
    reset(talker)
    talker.changed = True
    settings = {"tracker": tracker, "weights": "default", "overrides": ""}
    settings["max_targets"] = max_targets
    # On a busy machine a browser takes seconds to draw a box.
    settings.update(ring_seconds=10.0, ring_bytes=160_000_000)
    for name, value in settings.items():
        assert talker.set_parameter(name, value).successful
    try:
        talker.bring_to("active")
        with Feed(talker) as feed:
            yield feed
    finally:
        talker.bring_to("unconfigured")
        settings = {"tracker": "duml", "max_targets": 1, "ring_seconds": 2.0, "ring_bytes": 1 << 26}
        for name, value in settings.items():
            assert talker.set_parameter(name, value).successful


@contextlib.contextmanager
def console(namespace=NAMESPACE, *ros_arguments, **parameters):
    """A console process: its address in a browser, and the process."""
    process = NodeProcess(
        *ros_arguments,
        program=("-m", "duml_tracker_ros.console"),
        namespace=namespace,
        **{"port": 0, **parameters},
    )
    with process:
        process.wait_for_log("console: open ")
        yield re.search(r"console: open (\S+)", process.log())[1], process
        if process.running():
            assert process.end() == 0, process.log()


class Watcher:
    """A browser as far as the protocol goes: draws nothing, says that it did.

    Use as `async with Watcher(address) as watcher`.
    """

    def __init__(self, address, token="", **options):
        base, _, inside = address.partition("#")
        self.base, self.token = base, token or inside
        self.scenes = []
        self.texts = []
        self._options = {"headers": {"Origin": base.rstrip("/")}, **options}

    async def __aenter__(self):
        self._session = aiohttp.ClientSession()
        try:
            self.socket = await self._session.ws_connect(
                f"{self.base}live", max_msg_size=0, **self._options
            )
            await self.send(type="hello", token=self.token)
        except BaseException:
            await self._session.close()
            raise
        return self

    async def __aexit__(self, *_):
        await self.socket.close()
        await self._session.close()

    async def send(self, **message):
        await self.socket.send_json(message)

    async def receive(self, acknowledge=True):
        """The next message: a scene's header with `jpeg` and `rest`, a text's fields, or None."""
        message = await asyncio.wait_for(self.socket.receive(), WAIT)
        if message.type is aiohttp.WSMsgType.TEXT:
            self.texts.append(message.json())
            return self.texts[-1]
        if message.type is not aiohttp.WSMsgType.BINARY:
            return None
        header, rest = unpack(message.data)
        header["jpeg"], header["rest"] = rest[: header["image"]], rest[header["image"] :]
        self.scenes.append(header)
        if acknowledge:
            await self.send(type="ack", seq=header["seq"])
        return header

    async def until(self, fits, what):
        """The first message that fits; all scenes up to it are acknowledged."""
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            message = await self.receive()
            assert message is not None, f"closed ({self.socket.close_code}) before: {what}"
            if fits(message):
                return message
        raise AssertionError(f"not within {WAIT:g} s: {what}; last: {self.texts[-1:]}")

    async def scene(self, fits=lambda scene: True, what="a scene"):
        return await self.until(lambda m: m["type"] == "scene" and fits(m), what)

    async def ask(self, **message):
        """Ask the tracker; its answer."""
        await self.send(request=7, **message)
        return await self.until(lambda m: m["type"] == "answer", "an answer")
