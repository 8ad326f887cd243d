"""Calls from coroutines. Imported, like asyncio, only by who makes them."""

import asyncio
from typing import Any

from beethoven.errors import CallingSelf, CallTimeout
from beethoven.runtime.connection import CAST_TIMEOUT
from beethoven.runtime.here import is_self
from beethoven.runtime.reference import Target, check_timeout, reach
from beethoven.runtime.requests import Request


async def call_async(target: Target, request: Any, timeout: float | None) -> Any:
    """
    Call a process by reference or name from a coroutine: others run until the reply is there.

    Only to connect, and a process that does not take the request, may hold them up.

    Raises:
        CallError, SpecError: As `Ref.call`.
    """
    found = reach(target)
    if is_self(found.identity):
        raise CallingSelf(target=str(found))
    check_timeout(timeout, found)
    patience = CAST_TIMEOUT if timeout is None else min(timeout, CAST_TIMEOUT)
    sent = Request(found, request, patience)
    try:
        async with asyncio.timeout(timeout):
            response = await sent
    except TimeoutError:
        raise CallTimeout(target=str(found), timeout=timeout or 0.0) from None
    finally:
        sent.abandon()
    return response.unwrap()
