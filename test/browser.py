"""Drives a real browser without a window: Chromium over its DevTools protocol.

A `Page` is opened by `async with open_page(address, width, height)`; `find_browser` says whether
there is one on this machine.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WAIT = 40.0


def find_browser():
    """Path of a browser, named by CHROMIUM or on the PATH; None without one."""
    named = os.environ.get("CHROMIUM", "")
    return next(filter(None, map(shutil.which, filter(None, (named, *NAMES)))), None)


class Page:
    """One page of the browser. Coordinates are CSS pixels of its window."""

    def __init__(self, socket):
        self._socket = socket
        self._number = 0
        self.errors = []

    async def call(self, method, **parameters):
        """A DevTools command; its result."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        await self._socket.send_json(command)
        while True:
            message = await asyncio.wait_for(self._socket.receive(), WAIT)
            assert message.type is aiohttp.WSMsgType.TEXT, f"the browser ended: {message}"
            answer = json.loads(message.data)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._note(answer)

    def _note(self, event):
        details = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.errors.append(details["exceptionDetails"])
        elif event.get("method") == "Log.entryAdded" and details["entry"]["level"] == "error":
            self.errors.append(details["entry"])

    async def run(self, script):
        """Value of a JavaScript expression; promises are waited for."""
        done = await self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    async def until(self, script, what):
        """Wait until the expression is true; its value."""
        end = time.monotonic() + WAIT
        while not (value := await self.run(script)):
            if time.monotonic() > end:
                shown = await self.run("document.body?.innerText")
                raise AssertionError(f"not within {WAIT:g} s: {what}; the page says: {shown}")
            await asyncio.sleep(0.05)
        return value

    async def drag(self, start, end, steps=8):
        """With the mouse, button held."""
        await self._mouse("mousePressed", start)
        for step in range(1, steps + 1):
            share = step / steps
            await self._mouse(
                "mouseMoved", [a + (b - a) * share for a, b in zip(start, end, strict=True)]
            )
            await asyncio.sleep(0.02)
        await self._mouse("mouseReleased", end)

    async def _mouse(self, kind, at):
        buttons = {"button": "left", "buttons": kind != "mouseReleased", "clickCount": 1}
        buttons["buttons"] = int(buttons["buttons"])
        await self.call("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], **buttons)

    async def click(self, selector):
        """In the middle of the first element that the selector finds, which must be on screen."""
        at = await self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'nearest'}); const r = e.getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        await self._mouse("mousePressed", at)
        await self._mouse("mouseReleased", at)

    async def touch(self, points):
        """A finger that goes through these points."""
        for index, (x, y) in enumerate(points):
            kind = "touchMove" if index else "touchStart"
            await self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}])
            await asyncio.sleep(0.02)

    async def lift(self):
        """Take the finger away."""
        await self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    async def key(self, key, code=None, shift=False):
        for kind in ("keyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=code or f"Key{key.upper()}",
                modifiers=8 if shift else 0,
            )

    async def screenshot(self, path, **options):
        """Save what is seen, as PNG or, by the file's suffix, JPEG."""
        kind = "jpeg" if Path(path).suffix == ".jpg" else "png"
        shot = await self.call("Page.captureScreenshot", format=kind, **options)
        Path(path).write_bytes(base64.b64decode(shot["data"]))


@contextlib.asynccontextmanager
async def open_page(address, width=1280, height=800, mobile=False):
    """A page that shows `address`, in a browser of its own that ends with it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            find_browser(),
            "--headless=new",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            # As root, and in containers, there is no sandbox to be had; only our own page is shown.
            *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
            "--hide-scrollbars",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            async with aiohttp.ClientSession() as session:
                port = await _port(Path(profile) / "DevToolsActivePort", process)
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    tabs = await answer.json()
                tab = next(tab for tab in tabs if tab["type"] == "page")
                async with session.ws_connect(
                    tab["webSocketDebuggerUrl"], max_msg_size=0
                ) as socket:
                    page = Page(socket)
                    for domain in ("Page", "Runtime", "Log"):
                        await page.call(f"{domain}.enable")
                    await page.call(
                        "Emulation.setDeviceMetricsOverride",
                        width=width,
                        height=height,
                        deviceScaleFactor=2 if mobile else 1,
                        mobile=mobile,
                    )
                    if mobile:
                        await page.call("Emulation.setTouchEmulationEnabled", enabled=True)
                    await page.call("Page.navigate", url=address)
                    loaded = "location.href !== 'about:blank' && document.readyState === 'complete'"
                    await page.until(loaded, f"{address} to be loaded")
                    yield page
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _port(file, process):
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        assert process.returncode is None, "the browser ended at once"
        with contextlib.suppress(OSError, IndexError, ValueError):
            return int(file.read_text().splitlines()[0])
        await asyncio.sleep(0.05)
    raise AssertionError(f"the browser did not start within {WAIT:g} s")
