"""Waiting for what threads and processes finish, without holding a thread: a whole class may wait at once."""

from __future__ import annotations

import asyncio
import threading

LOOK_EVERY = 0.05  # seconds


async def is_set(event: threading.Event, seconds: float) -> bool:
    """Wait until ``event`` is set; False when the time is up."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not event.is_set() and loop.time() < end:
        await asyncio.sleep(LOOK_EVERY)
    return event.is_set()
