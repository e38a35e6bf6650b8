"""Makes the picture of the console in the documentation: a real browser, node and generated scene.

.venv/bin/python test/console_picture.py --out docs/images/console.jpg
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from browser import find_browser, open_page
from console_harness import Feed, console
from node_harness import NodeProcess, Talker

NAMESPACE = "/drone"
QUALITY = 82


async def look(address, feed, out, seconds, width, height):
    async with open_page(address, width, height, mobile=width < 600) as page:
        await page.until("document.querySelector('#state').textContent === 'IDLE'", "images")
        left, top, shown = await page.run(
            "(() => { const r = document.querySelector('#picture').getBoundingClientRect();"
            "return [r.x, r.y, r.width]; })()"
        )
        scale = shown / 640
        x, y, w, h = next(iter(feed.truth.values()))
        # The target that the scene knows the truth of, and the bus above it.
        for box in ((x, y, x + w, y + h), (90.0, 104.0, 205.0, 142.0)):
            start, end = [(left + a * scale, top + b * scale) for a, b in (box[:2], box[2:])]
            await page.drag(start, end)
            await asyncio.sleep(1.5)
        feed.playing.set()
        for key in ("h", "r", "v", "t"):
            await page.key(key)
        await asyncio.sleep(seconds)
        await page.screenshot(out, quality=QUALITY)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images/console.jpg"))
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the scene plays (20)")
    parser.add_argument("--size", default="1280x800", metavar="WxH", help="window (1280x800)")
    options = parser.parse_args()
    if find_browser() is None:
        sys.exit("there is no browser: apt-get install chromium, or name one in CHROMIUM")
    width, height = map(int, options.size.split("x"))
    settings = {"weights": "default", "autostart": "true", "max_targets": 2}
    with NodeProcess(namespace=NAMESPACE, **settings):
        talker = Talker(NAMESPACE)
        with console(NAMESPACE) as (address, _), Feed(talker, frames=76) as feed:
            asyncio.run(look(address, feed, options.out, options.seconds, width, height))
    print(f"{options.out}: {options.out.stat().st_size / 1000:.0f} kB", flush=True)
    os._exit(0)  # taking DDS down can hang, see node_harness


if __name__ == "__main__":
    main()
