"""The console's page in a real browser over real processes, drawn on as a person would."""

import asyncio
import json

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("aiohttp", reason="the console needs aiohttp")

from browser import find_browser, open_page
from console_harness import console, tracking

pytestmark = pytest.mark.skipif(
    find_browser() is None,
    reason="no browser: apt-get install chromium, or name one in the variable CHROMIUM",
)

# What the page shows at this moment, read in one go.
SHOWN = """(() => {
  const canvas = document.querySelector('#picture').getBoundingClientRect();
  return {canvas: [canvas.x, canvas.y, canvas.width, canvas.height],
          state: document.querySelector('#state').textContent,
          width: document.documentElement.scrollWidth};
})()"""
TRACKING = "document.querySelector('#state').textContent === 'TRACKING'"
IDLE = "document.querySelector('#state').textContent === 'IDLE'"
# Position of the label's colour is what a person sees: pixels of the box's blue on the canvas.
BOX = """(() => {
  const c = document.querySelector('#picture');
  const p = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
  let [l, t, r, b, n] = [c.width, c.height, 0, 0, 0];
  for (let i = 0; i < p.length; i += 4) {
    if (Math.abs(p[i] - 86) + Math.abs(p[i + 1] - 190) + Math.abs(p[i + 2] - 240) > 24) continue;
    const x = (i / 4) % c.width, y = Math.floor(i / 4 / c.width);
    [l, t, r, b, n] = [Math.min(l, x), Math.min(t, y), Math.max(r, x), Math.max(b, y), n + 1];
  }
  return n ? [l, t, r - l, b - t].map((v) => v * 640 / c.width) : null;
})()"""


@pytest.fixture(scope="module")
def feed(talker, process):
    with tracking(talker) as feed:
        yield feed


@pytest.fixture(scope="module")
def address(feed):
    with console() as (address, _):
        yield address


async def corners(page, feed):
    """Window coordinates of the true box's corners in the still image."""
    x, y, w, h = next(iter(feed.truth.values()))
    left, top, width, _ = (await page.run(SHOWN))["canvas"]
    scale = width / 640
    return [(left + a * scale, top + b * scale) for a, b in ((x, y), (x + w, y + h))]


async def idle(page):
    """Wait for images, and for the tracker to be without a target, whatever a failed try left."""
    await page.until("document.querySelector('#state').textContent !== '\u2013'", "an answer")
    if not await page.run(IDLE):
        await page.click("#stop")
    await page.until(IDLE, "the idle tracker")
    await page.until("!document.querySelector('#hint').hidden", "the hint")


def test_a_dragged_box_is_tracked_and_follows(address, feed, tmp_path):
    async def act():
        async with open_page(address, 1280, 800) as page:
            await idle(page)
            await page.drag(*await corners(page, feed))
            await page.until(TRACKING, "the state TRACKING")
            box = await page.until(BOX, "the box")
            # The box and its label above.
            start = next(iter(feed.truth.values()))
            assert abs(box[0] - start[0]) < 12
            assert abs(box[1] + box[3] - start[1] - start[3]) < 12
            feed.playing.set()
            moved = f"(() => {{ const b = {BOX}; return b && Math.abs(b[0] - {box[0]}) > 8; }})()"
            await page.until(moved, "the box to follow")
            for selector in ("[data-heat=robust]", "#region", "#votes"):
                await page.click(selector)
                await page.until(
                    f"document.querySelector({json.dumps(selector)}).ariaPressed === 'true'",
                    selector,
                )
            shown = await page.run(SHOWN)
            assert shown["state"] == "TRACKING"
            assert shown["width"] <= 1280
            await page.screenshot(tmp_path / "desktop.png")
            await page.click("#stop")
            await page.until(IDLE, "the stopped tracker")
            assert not page.errors
        feed.playing.clear()

    asyncio.run(act())


def test_a_thumb_and_the_keys_select_too(address, feed):
    async def act():
        async with open_page(address, 390, 844, mobile=True) as page:
            await idle(page)
            shown = await page.run(SHOWN)
            assert shown["width"] == 390  # nothing to scroll sideways
            assert shown["canvas"][2] == pytest.approx(390)
            small = """[...document.querySelectorAll('button')].filter((b) => b.offsetParent
                && (b.offsetHeight < 44 || b.offsetWidth < 40)).map((b) => b.textContent)"""
            assert await page.run(small) == []
            start, end = await corners(page, feed)
            middle = [(a + b) / 2 for a, b in zip(start, end, strict=True)]
            await page.touch([start, middle, end])
            await page.lift()
            await page.until(TRACKING, "the state TRACKING")
            await page.click("#targets li button:last-child")
            await page.until(IDLE, "the stopped tracker")
            # The middle of the target, tapped.
            await page.touch([middle])
            await page.lift()
            await page.until(TRACKING, "the tapped target")
            await page.key("S", "KeyS", shift=True)
            await page.until(IDLE, "the stopped tracker")
            await page.key("b")
            for key in ("ArrowLeft", "ArrowUp"):
                await page.key(key, key)
            await page.key("Enter", "Enter")
            await page.until("!document.querySelector('#stop').disabled", "the box of the keys")
            await page.click("#stop")
            await page.until(IDLE, "the stopped tracker")
            assert not page.errors

    asyncio.run(act())
