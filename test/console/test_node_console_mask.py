"""Masks in the console: over the wire, and as a person sees them in a real browser."""

import asyncio

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("aiohttp", reason="the console needs aiohttp")

from browser import find_browser, open_page
from console_harness import Watcher, console, tracking
from node_harness import NODE, WAIT

MASK = f"{NODE}/mask"
PRESSED = "document.querySelector('#mask').ariaPressed === 'true'"
# How many pixels inside the box, away from its frame, the state's colour has made bluer than red.
TINTED = """((x, y, w, h) => {
  const c = document.querySelector('#picture'), s = c.width / 640;
  const inside = [x + 6, y + 6, w - 12, h - 12].map((v) => v * s);
  const p = c.getContext('2d').getImageData(...inside).data;
  let n = 0;
  for (let i = 0; i < p.length; i += 4) n += p[i + 2] > p[i] + 25;
  return 4 * n / p.length;
})"""


@pytest.fixture(scope="module")
def feed(talker, process):
    with tracking(talker, "drol_mask", max_targets=1) as feed:
        yield feed


@pytest.fixture(scope="module")
def address(feed):
    with console() as (address, _):
        yield address


async def select(watcher, feed):
    scene = await watcher.scene(lambda scene: scene["targets"], "an answered image")
    box = list(feed.truth[int(scene["stamp"])])
    answer = await watcher.ask(type="select", box=box, stamp=scene["stamp"], replaces=0)
    assert answer["ok"], answer


def test_masks_are_sent_to_those_who_want_them_and_lie_on_the_target(address, feed, talker):
    async def act():
        async with Watcher(address) as plain, Watcher(address) as curious:
            await select(plain, feed)
            await plain.scene(lambda scene: scene["numbers"]["masks"], "word of masks")
            assert not talker.node.count_subscribers(MASK)
            await curious.send(type="watch", debug=False, mask=True)
            scene = await curious.scene(
                lambda scene: scene["mask"] and scene["targets"][0]["state"] == "tracking", "a mask"
            )
            assert not scene["debug"]
            assert len(scene["rest"]) == scene["mask"] < 5000
            mask = cv2.imdecode(np.frombuffer(scene["rest"], np.uint8), cv2.IMREAD_UNCHANGED)
            assert mask.shape == (480, 640)
            x, y, w, h = feed.truth[int(scene["stamp"])]
            rows, cols = np.nonzero(mask)
            assert abs(cols.mean() - x - w / 2) < w / 2
            assert abs(rows.mean() - y - h / 2) < h / 2
            assert 0.2 * w * h < len(rows) < 3 * w * h
            assert not (await plain.scene())["mask"]
            await curious.send(type="watch", debug=False)
            await curious.scene(lambda scene: not scene["mask"], "no mask")
            for _ in range(int(WAIT / 0.05)):
                if not talker.node.count_subscribers(MASK):
                    return
                await asyncio.sleep(0.05)
            raise AssertionError(f"{MASK} is still subscribed to")

    asyncio.run(act())


@pytest.mark.skipif(find_browser() is None, reason="no browser: apt-get install chromium")
def test_a_browser_tints_the_target_while_the_overlay_is_on(address, feed, tmp_path):
    async def act():
        async with Watcher(address) as watcher:
            await select(watcher, feed)
        tinted = f"{TINTED}(...{list(next(iter(feed.truth.values())))})"
        async with open_page(address, 1280, 800) as page:
            await page.until("document.querySelector('#state').textContent === 'TRACKING'", "it")
            await page.until("!document.querySelector('#mask').disabled", "word of masks")
            bare = await page.run(tinted)
            await page.key("m")
            await page.until(PRESSED, "the switch")
            await page.until(f"{tinted} > {bare} + 0.3", "the tint")
            await page.screenshot(tmp_path / "mask.png")
            await page.click("#mask")
            await page.until(f"{tinted} < {bare} + 0.05", "the bare image")
            assert not page.errors

    asyncio.run(act())
