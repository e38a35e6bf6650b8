"""Trial of the web console: what browsers that do not keep up cost the tracker."""

from __future__ import annotations

import asyncio
import contextlib

import numpy as np
from console_harness import Watcher, console
from node_harness import TARGET
from stress_trials import Bench, Camera, Finding, at_least, at_most, counted, resident

SLOW = 10
PAUSE = 1.0
ROUNDS = 3


async def _watch(address, seconds, spin):
    """Watch with slow browsers while `spin` works: half read once a second, half never."""
    async with contextlib.AsyncExitStack() as stack:
        watchers = [await stack.enter_async_context(Watcher(address)) for _ in range(SLOW)]

        async def dawdle(watcher):
            while True:
                await watcher.receive()
                await asyncio.sleep(PAUSE)

        readers = [asyncio.create_task(dawdle(watcher)) for watcher in watchers[::2]]
        for watcher in watchers:
            await watcher.send(type="watch", debug=True)
        await asyncio.to_thread(spin, 2.0)
        result = await asyncio.to_thread(spin, seconds)
        for reader in readers:
            reader.cancel()
        shown = [len(watcher.scenes) for watcher in watchers[::2]]
    return result, shown


def slow_browsers(width, height, rate, seconds):
    """The tracker's rate and time without browsers and with slow ones, in turns."""
    alone, watched, memory, scenes = [], [], [], []
    with Bench("console") as (talker, _), console(talker.namespace) as (address, process):
        talker.bring_to("active")
        duration = 2 * ROUNDS * (seconds + 6) + 20
        with Camera(talker, width, height, rate, duration):
            talker.spin_until(lambda: talker.targets, "images")
            assert talker.init(TARGET).success
            talker.spin_for(3.0)

            def spin(duration):
                """Targets per second and the tracker's median time in ms."""
                talker.targets.clear()
                talker.spin_for(duration)
                own = [1e3 * target.processing_time for target in talker.targets]
                return len(own) / duration, float(np.median(own))

            for _ in range(ROUNDS):
                alone.append(spin(seconds))
                memory.append(resident(process.pid))
                result, shown = asyncio.run(_watch(address, seconds, spin))
                watched.append(result)
                scenes += shown
                memory.append(resident(process.pid))
            seen = talker.targets[-1].frames_since_seen
    name = f"{SLOW} slow browsers, {width}x{height} at {rate:g} Hz"
    before, with_them = np.median(alone, axis=0), np.median(watched, axis=0)
    share = 100 * with_them[0] / before[0]
    return [
        Finding(name, "targets published without them", f"{before[0]:.1f} Hz", "", True),
        Finding(name, "targets published with them", f"{with_them[0]:.1f} Hz", "", True),
        at_least(name, "rate with them", share, 95.0, "%"),
        Finding(name, "tracker time without them, median", f"{before[1]:.1f} ms", "", True),
        Finding(name, "tracker time with them, median", f"{with_them[1]:.1f} ms", "", True),
        at_least(name, "scenes shown to each that reads", min(scenes), 0.3 * seconds),
        at_most(
            name,
            "console's memory growth after the first round",
            memory[-1] - memory[1],
            10.0,
            "MiB",
        ),
        counted(name, "images since the target was seen", seen, 0),
    ]
