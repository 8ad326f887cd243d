"""
The loop of a role with `async def` callbacks. Imported, like asyncio, only by such a role.

Callbacks still run one at a time; tasks that they start run in between.
"""

import asyncio
import inspect
from typing import Any

from beethoven import clock
from beethoven.runtime.loop import Loop
from beethoven.runtime.reason import ExitReason


def run(loop: Loop, args: Any) -> ExitReason:
    """Run the callbacks of a role until the end."""
    return asyncio.run(_run(loop, args))


async def _result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def _run(loop: Loop, args: Any) -> ExitReason:
    role = loop.role
    try:
        result = await _result(role.init(args))
        role.go_on()
    except BaseException as error:
        return loop.start_failed(error)
    if (ended := loop.started(result)) is not None:
        return ended
    try:
        while True:
            if not loop.has_step():
                await _until_ready(loop)
                continue
            loop.step = loop.next_step()
            if loop.step is not None:
                callback, arguments, _ = loop.step
                loop.settle(loop.step, await _result(callback(*arguments)))
                del arguments
                loop.step = None
                # Nothing above need have waited for anything: let the tasks have their turn.
                await asyncio.sleep(0)
    except BaseException as error:
        loop.process.end_copy()
        reason = loop.reason_of(error)
        try:
            await _result(role.terminate(reason))
        except BaseException as second:
            reason = loop.reason_of(second)
        loop.ended(error, reason)
        return reason


async def _until_ready(loop: Loop) -> None:
    """Let other tasks run until the mailbox or a timer has something."""
    process = loop.process
    events = asyncio.get_running_loop()
    ready = events.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    events.add_reader(process.poller.fileno(), wake)
    # A task may set a timer meanwhile.
    process.timers.on_set = wake
    next_at = process.timers.next_at
    timer = None if next_at is None else events.call_later(next_at - clock.monotonic(), wake)
    try:
        await ready
    finally:
        # What a copy watches is what the process watches.
        process.end_copy()
        events.remove_reader(process.poller.fileno())
        if timer is not None:
            timer.cancel()
