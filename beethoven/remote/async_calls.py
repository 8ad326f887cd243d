"""
Calls by the name of a role, for coroutines. Imported, like asyncio, only by who awaits.

What has no descriptor to wait on, the directory and a new connection, is had in a thread, once for
all who wait for it. Requests and replies pass over the connections of the thread that awaits.
"""

import asyncio
import contextlib
import random
from math import frexp
from typing import Any, Final

from beethoven import clock
from beethoven.cluster.directory import Directory
from beethoven.errors import (
    CallError,
    CallingSelf,
    CallTimeout,
    NodeNotFound,
    NoProcess,
    Overloaded,
    RoleNotRunning,
)
from beethoven.remote.calling_state import Action, Ask, Calling, Deliver, GiveUp, Look, Pause
from beethoven.remote.calls import PATIENT_DIAL, Until, instance_on, instances
from beethoven.remote.remote_ref import RemoteRef
from beethoven.remote.shared_waits import shared
from beethoven.remote.way import Way
from beethoven.runtime import connection
from beethoven.runtime.connection import CAST_TIMEOUT
from beethoven.runtime.here import is_self
from beethoven.runtime.reference import Reference, check_timeout
from beethoven.runtime.requests import Request

# Whoever waits for a thread gives up so many seconds later than it, if that began as late.
_GRACE: Final = 0.05


async def call(way: Way, role: str, request: Any, timeout: float | None, to: str | None) -> Any:
    """Call an instance of a role; see `calls.call`."""
    check_timeout(timeout, role)
    until = Until(timeout)
    way.check_open()
    calling = Calling(role, to, own=way.node, deadline=until.moment, choose=random.choice)
    action = calling.begin(way.known, now=clock.monotonic())
    while True:
        match action:
            case Look():
                found = way.local(role)
                if found is not None:
                    way.meet(found.identity)
                    with contextlib.suppress(NoProcess):
                        return await _attempt(found, request, timeout, until)
                action = calling.not_here()
            case Ask(is_anew):
                action = await _ask(way, calling, until, is_anew=is_anew)
            case Deliver(node, dial):
                try:
                    target = instance_on(node, role, way, dial)
                    return await _attempt(target, request, timeout, until)
                except NoProcess as error:
                    action = calling.not_delivered(node, error.cause or str(error))
            case Pause(seconds):
                await asyncio.sleep(seconds)
                action = calling.paused(now=clock.monotonic())
            case GiveUp(text, is_node):
                raise NodeNotFound(text) if is_node else RoleNotRunning(text)


async def _ask(way: Way, calling: Calling, until: Until, *, is_anew: bool) -> Action:
    """Ask for the directory, and return what follows; see `calls.ask`."""
    patience = until.at_most(CAST_TIMEOUT)

    def tell() -> Directory:
        if is_anew:
            way.forget()
        return way.directory(patience)

    try:
        async with _within(patience):
            directory = await shared((way, is_anew, _size(patience)), tell)
    except (CallError, NodeNotFound, TimeoutError) as error:
        action = calling.not_told(now=clock.monotonic())
        if action is not None:
            return action
        if isinstance(error, TimeoutError):
            raise CallTimeout(target="the directory", timeout=patience) from None
        raise
    return calling.told(directory, now=clock.monotonic(), is_new=is_anew)


async def multi_call(
    way: Way, role: str, request: Any, timeout: float | None
) -> tuple[dict[str, Any], dict[str, CallError]]:
    """Call all instances of a role at once; see `ClusterHandle.multi_call`."""
    check_timeout(timeout, role)
    until = Until(timeout)
    dial = until.at_most(PATIENT_DIAL)
    try:
        async with _within(until.left()):
            key = way, role, _size(dial)
            found = await shared(key, lambda: instances(way, role, until, dial))
    except TimeoutError:
        raise CallTimeout(target=role, timeout=timeout or 0.0) from None
    attempts = (_attempt(target, request, timeout, until) for target in found.values())
    replies: dict[str, Any] = {}
    errors: dict[str, CallError] = {}
    for node, came in zip(
        found, await asyncio.gather(*attempts, return_exceptions=True), strict=True
    ):
        if isinstance(came, CallError):
            errors[node] = until.late(came, found[node])
        elif isinstance(came, BaseException):
            raise came
        else:
            replies[node] = came
    return replies, errors


async def _attempt(target: Reference, request: Any, timeout: float | None, until: Until) -> Any:
    """Call one instance; raises NoProcess if nothing was delivered."""
    if is_self(target.identity):
        raise CallingSelf(target=str(target))
    try:
        if isinstance(target, RemoteRef) and not connection.is_connected(target):
            async with _within(until.left()):
                await _open(target, until)
        sent = Request(target, request, until.at_most(CAST_TIMEOUT), until.elapsed)
        try:
            async with asyncio.timeout(until.left()):
                return (await sent).unwrap()
        finally:
            sent.abandon()
    except (BlockingIOError, Overloaded, TimeoutError):
        raise CallTimeout(target=str(target), timeout=timeout or 0.0) from None


async def _open(target: RemoteRef, until: Until) -> None:
    """Connect to a process, once for all of this event loop that wait for it."""
    while True:
        # It was busy for as long as another one could wait: this one may have longer.
        with contextlib.suppress(BlockingIOError):
            await shared(
                (target.identity, _size(target.dial)),
                lambda: target.connect(until.left()),
                lambda line: connection.keep(target, line),
            )
            return


def _within(seconds: float | None) -> asyncio.Timeout:
    """Return what limits a wait whose thread has about the same limit, and more to tell."""
    return asyncio.timeout(None if seconds is None else seconds + _GRACE)


def _size(seconds: float) -> int:
    """Return the same for times that are about the same: those who can wait so long share."""
    return frexp(seconds)[1]
