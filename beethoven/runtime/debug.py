"""
Debugging: looking at a running server, and handling it, from any process of its tree.

Semantics are those of OTP's `sys`. Every function takes a reference or a name and waits at most
`timeout` seconds, for a server answers between two callbacks. Each raises what a call raises:
`NoProcess`, `CallTimeout`, `ProcessExited`, `CallingSelf`; and `SpecError` for what it is given.
"""

import pickle
from collections.abc import Callable
from typing import Any, Final

from beethoven.errors import BeethovenError, CallingSelf, SpecError
from beethoven.runtime import connection, framing
from beethoven.runtime.here import is_self
from beethoven.runtime.reference import DEFAULT_TIMEOUT, Target, check_timeout, pickled, resolve
from beethoven.runtime.status import DebugEvent
from beethoven.runtime.system import ServerStatus, Statistics

__all__ = [
    "DebugEvent",
    "ServerStatus",
    "Statistics",
    "get_log",
    "get_state",
    "get_statistics",
    "get_status",
    "log",
    "no_debug",
    "replace_state",
    "resume",
    "statistics",
    "suspend",
    "trace",
]

KEPT: Final = 10

State = dict[str, Any]


def get_state(target: Target, timeout: float | None = DEFAULT_TIMEOUT) -> State:
    """
    Return the state of a server, raw: its public attributes by name.

    Raises:
        ReplyNotPicklable: It holds something that cannot be sent; `get_status` shows it.
    """
    state: State = _ask(target, timeout, "get_state")
    return state


def replace_state(
    target: Target,
    function: Callable[[State], State],
    timeout: float | None = DEFAULT_TIMEOUT,
) -> State:
    """
    Replace the state of a server by what a function makes of it, and return the new state.

    Args:
        target: The server; no supervisor.
        function: Runs in the server, which must be able to import it. It gets the public attributes
            in a dict of its own and returns all that there are to be. The values are the live ones:
            it is to put others in their place, not to change them.
        timeout: Seconds; None waits for ever.

    Raises:
        StateNotReplaced: The function failed. The state is as it was and the server lives on.
    """
    ref = resolve(target)
    state: State = _ask(ref, timeout, "replace_state", pickled(function, "function", ref))
    return state


def suspend(target: Target, timeout: float | None = DEFAULT_TIMEOUT) -> None:
    """
    Have a server handle nothing but system requests, `stop` and the end of its parent.

    Messages wait in its memory, in their order, until `resume`; calls may time out meanwhile.
    """
    _ask(target, timeout, "suspend")


def resume(target: Target, timeout: float | None = DEFAULT_TIMEOUT) -> None:
    """Have a suspended server go on with what has come meanwhile."""
    _ask(target, timeout, "resume")


def get_status(target: Target, timeout: float | None = DEFAULT_TIMEOUT) -> ServerStatus:
    """Return what a server shows of itself: its state has passed its `format_status`, as texts."""
    status: ServerStatus = _ask(target, timeout, "get_status")
    return status


def trace(target: Target, *, on: bool = True, timeout: float | None = DEFAULT_TIMEOUT) -> None:
    """Have a server tell the log of each message and each reply: `traced` events, at `info`."""
    _ask(target, timeout, "trace", bool(on))


def log(target: Target, most: int | None = KEPT, timeout: float | None = DEFAULT_TIMEOUT) -> None:
    """
    Have a server keep its last debug events, for `get_log` and its crash report.

    Args:
        target: The server.
        most: How many, >= 1; None stops it and forgets them.
        timeout: Seconds; None waits for ever.
    """
    is_number = isinstance(most, int) and not isinstance(most, bool) and most >= 1
    if most is not None and not is_number:
        raise SpecError(subject=str(target), field="most", expected="an integer >= 1", got=most)
    _ask(target, timeout, "keep_log", most)


def get_log(target: Target, timeout: float | None = DEFAULT_TIMEOUT) -> tuple[DebugEvent, ...]:
    """Return the debug events that a server has kept, oldest first, as `format_status` shows it."""
    return get_status(target, timeout).log


def statistics(target: Target, *, on: bool = True, timeout: float | None = DEFAULT_TIMEOUT) -> None:
    """Have a server count from now on what it does, or stop to."""
    _ask(target, timeout, "statistics", bool(on))


def get_statistics(target: Target, timeout: float | None = DEFAULT_TIMEOUT) -> Statistics | None:
    """Return what a server has counted; None if it does not count."""
    counted: Statistics | None = _ask(target, timeout, "get_statistics")
    return counted


def no_debug(target: Target, timeout: float | None = DEFAULT_TIMEOUT) -> None:
    """Turn off everything that `trace`, `log` and `statistics` have turned on."""
    _ask(target, timeout, "no_debug")


def _ask(target: Target, timeout: float | None, *request: Any) -> Any:
    ref = resolve(target)
    if is_self(ref.identity):
        raise CallingSelf(target=str(ref))
    check_timeout(timeout, ref)
    outcome, value = connection.request(ref, framing.SYSTEM, pickle.dumps(request, 5), timeout)
    if outcome == "error":
        assert isinstance(value, BeethovenError)
        raise value
    return value
