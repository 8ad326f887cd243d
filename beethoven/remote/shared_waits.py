"""
Waits that coroutines share: what many of them need at the same moment is had once.

It is had in a thread that ends with it, and by nobody's timeout: a coroutine that waits no longer,
or is cancelled, leaves it to the others.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

T = TypeVar("T")

# Kept alive by the threads that are at work, and by who waits.
_Futures: TypeAlias = "WeakValueDictionary[Hashable, asyncio.Future[Any]]"
_under_way: WeakKeyDictionary[asyncio.AbstractEventLoop, _Futures] = WeakKeyDictionary()


async def shared(
    key: Hashable, function: Callable[[], T], use: Callable[[T], object] = lambda _: None
) -> T:
    """
    Return what a function returns that may block.

    Args:
        key: Whoever waits with the same one in the same event loop gets the same.
        function: Is called in a thread, once for all who wait.
        use: Is called in the event loop with what it has returned, before anybody gets it.
    """
    events = asyncio.get_running_loop()
    under_way = _under_way.setdefault(events, WeakValueDictionary())
    future = under_way.get(key)
    if future is None:
        future = under_way[key] = events.create_future()

        def conclude(value: T | None, error: BaseException | None) -> None:
            under_way.pop(key, None)
            if error is None:
                use(value)  # type: ignore[arg-type]  # there is one without an error
                future.set_result(value)
            else:
                future.set_exception(error)
                # Perhaps nobody waits any more.
                future.exception()

        threading.Thread(target=_run, args=(events, function, conclude), daemon=True).start()
    found: T = await asyncio.shield(future)
    return found


def _run(
    events: asyncio.AbstractEventLoop,
    function: Callable[[], T],
    conclude: Callable[[T | None, BaseException | None], None],
) -> None:
    value: T | None = None
    error: BaseException | None = None
    try:
        value = function()
    except BaseException as problem:
        error = problem
    # Nobody waits any more if the loop is closed.
    with contextlib.suppress(RuntimeError):
        events.call_soon_threadsafe(conclude, value, error)
    # Its traceback leads here: a circle would keep the connection of this thread.
    del error
