"""Arrival: how a coroutine waits for a descriptor, without a thread."""

import contextlib
import os


async def arrival(descriptor: int, timeout: float | None = None) -> None:
    """
    Return as soon as there is something to read. Several coroutines may wait for the same.

    Args:
        descriptor: Of what is to be read.
        timeout: Seconds after which it returns in any case; None is never.
    """
    # Imported only by processes that have coroutines.
    import asyncio

    events = asyncio.get_running_loop()
    arrived = asyncio.Event()
    own = os.dup(descriptor)
    events.add_reader(own, arrived.set)
    try:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(arrived.wait(), timeout)
    finally:
        events.remove_reader(own)
        os.close(own)
