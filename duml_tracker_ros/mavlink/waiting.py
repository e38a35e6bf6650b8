"""Waiting that can be called off at any moment."""

from __future__ import annotations

import asyncio


async def woken(event: asyncio.Event, seconds: float) -> None:
    """Wait until an event is set, and set it after so many seconds (none below zero)."""
    # asyncio.wait_for would pass over a cancellation that comes as the event is set.
    timer = asyncio.get_running_loop().call_later(max(0.0, seconds), event.set)
    try:
        await event.wait()
    finally:
        timer.cancel()
