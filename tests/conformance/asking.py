"""
What puppets can be told to ask of others.

Children import this module, so it imports little.
"""

import time
from collections import deque
from typing import Any

from beethoven import (
    Caller,
    NoReply,
    RegistryRef,
    RequestCollection,
    call,
    multi_call,
    reply,
    send_request,
)
from beethoven.errors import NotOwner
from beethoven.runtime import deaths
from tests.integration.roles import Puppet, answer_deferred, defer, end, kept_callers


def ask(role: Puppet, target: Any, request: Any, label: Any = None) -> None:
    """Ask without waiting; the answer is seen."""
    role.kept.append(role.send_request(target, request, label))


def ask_and_monitor(role: Puppet, target: Any, request: Any) -> None:
    role.monitor(target)
    ask(role, target, request)


def ask_when_gone(role: Puppet, target: Any, last: Any) -> None:
    """Cast to a process, and ask it when it is gone; nothing is read in between."""
    target.cast(last)
    target.cast((end,))
    deaths.wait_for(target.folder, target.identity, 10)
    ask(role, target, None, "gone")


def abandon(role: Puppet) -> None:
    """Abandon what was asked last."""
    role.kept.pop().abandon()


def abandon_late(role: Puppet, target: Any) -> None:
    """Abandon what was asked last when its answer lies in the mailbox."""
    request = role.kept.pop()
    # This reads the answer, too, which comes on the same connection.
    target.call((answer_deferred, "there"))
    assert request.is_over
    request.abandon()


def wait_for_what_was_asked(role: Puppet) -> Any:
    return role.kept[-1].wait_response()


def ask_in_a_thread(role: Puppet, target: Any) -> str:
    import threading

    errors: list[str] = []

    def attempt() -> None:
        try:
            role.send_request(target, None)
        except NotOwner as error:
            errors.append(str(error))

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return errors[0]


def register(role: Puppet, registry: str, key: str) -> None:
    RegistryRef(registry).register(key)


def multi_call_others(role: Puppet, targets: Any, request: Any, timeout: float) -> Any:
    return multi_call(targets, request, timeout)


def give_up_on(role: Puppet, target: Any, request: Any, timeout: float) -> bool:
    """Whether nothing was to be had in time from a target; the request is abandoned."""
    requests = RequestCollection()
    requests.add(send_request(target, request), "label")
    return requests.receive_response(timeout) is None


def hand_on(role: Puppet, other: Any, value: Any) -> Any:
    """Have another process answer."""
    other.cast((answer_for, role.caller, value))
    return NoReply


def answer_for(role: Puppet, caller: Caller, *values: Any) -> None:
    for value in values:
        reply(caller, value)


def deferred(role: Puppet) -> list[Caller]:
    return role.kept


def echo(role: Puppet, value: Any) -> Any:
    return value


def time_calls(role: Puppet, calls: int, backlog: int, kind: str, targets: list[Any]) -> float:
    """
    Return the shortest time that a call took, in seconds, while messages were waiting here.

    What waits is taken away again: it is the calls that are looked at.
    """
    queue = role._process.queue
    waiting = deque(queue)
    queue.extend([None] * backlog)
    times = [_time_one(kind, targets) for _ in range(calls)]
    assert len(queue) >= backlog
    queue.clear()
    queue.extend(waiting)
    return min(times)


def _time_one(kind: str, targets: list[Any]) -> float:
    begin = time.perf_counter()
    if kind == "call":
        targets[0].call((echo, 1))
    elif kind == "request":
        send_request(targets[0], (echo, 1)).receive_response()
    else:
        multi_call(targets, (echo, 1), timeout=0.0 if kind == "timeout" else 5.0)
    return time.perf_counter() - begin


def note_size(role: Puppet, value: bytes) -> None:
    role.seen.append(len(value))


async def call_in_a_thread(role: Puppet, target: Any) -> Any:
    """Wait for a reply that only another coroutine of this process brings about."""
    import asyncio

    calling = asyncio.create_task(asyncio.to_thread(call, target, (defer,)))
    while not await asyncio.to_thread(call, target, (kept_callers,)):
        await asyncio.sleep(0.01)
    await asyncio.to_thread(call, target, (answer_deferred, "late"))
    return await calling
