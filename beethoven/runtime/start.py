"""
Starting a process and waiting until its `init` has returned: `start_link` and `start`.

A start is complete or it never was: when an error is raised the process is gone and its name free.
"""

import pickle
from collections.abc import Mapping
from typing import Any, Final

from beethoven import clock
from beethoven.errors import MainNotGuarded, SpecError, StartFailed, StartIgnored, StartTimeout
from beethoven.runtime import owner
from beethoven.runtime.birth import Birth
from beethoven.runtime.here import here
from beethoven.runtime.launcher import Child, ChildEvent, Exited, Failed, Ignored, Started
from beethoven.runtime.names import check_name
from beethoven.runtime.poller import Poller, Unwatched
from beethoven.runtime.process import Process
from beethoven.runtime.reason import ReasonKind
from beethoven.runtime.reference import Ref, check_timeout

START_TIMEOUT: Final = 30.0
METHODS: Final = ("forkserver", "spawn")


class _Current:
    """The process that lives here, if this is a process of a tree."""

    process: Process | None = None


current = _Current()


def check_guard() -> None:
    """
    Refuse to start anything while the main script is imported again for a child.

    Raises:
        MainNotGuarded: The main script has no `if __name__ == "__main__"` guard; has the fix.
    """
    if here.importing_main:
        raise MainNotGuarded


def begin(
    behaviour: type,
    args: Any,
    *,
    name: str | None,
    linked: bool,
    environment: Mapping[str, str] | None = None,
    working_directory: str | None = None,
    label: str = "",
) -> Birth:
    """Return the birth of a child of this process."""
    return Birth(
        behaviour,
        args,
        None if name is None else check_name(name),
        current.process.ref if current.process is not None else None,
        linked,
        environment or {},
        working_directory,
        label,
    )


def start(
    behaviour: type,
    args: Any,
    *,
    name: str | None = None,
    linked: bool = True,
    timeout: float | None = START_TIMEOUT,
    method: str = "forkserver",
) -> Ref:
    """
    Start a process and return when its `init` has returned.

    Raises:
        StartTimeout, AlreadyStarted, StartIgnored, StartFailed: See `errors`.
        Exception: What `init` raised, with the traceback of the new process as a note.
    """
    check_guard()
    if method not in METHODS:
        rule = "'forkserver' or 'spawn'"
        raise SpecError(subject="process", field="start_method", expected=rule, got=method)
    label = f"{behaviour.__qualname__}" + (f" {name!r}" if name else "")
    check_timeout(timeout, label)
    born = begin(behaviour, args, name=name, linked=linked)
    with owner.starting():
        return _start(born, label, timeout, method)


def _start(born: Birth, label: str, timeout: float | None, method: str) -> Ref:
    poller = Poller()
    events: list[ChildEvent] = []
    child = Child(born, method=method, poller=poller, notify=lambda _, event: events.append(event))
    try:
        if not _wait(poller, events, timeout):
            raise StartTimeout(process=label, timeout=timeout or 0.0)
        if not isinstance(events[0], Started):
            raise_failure(events[0], label)
        _keep(child, linked=born.linked)
    except BaseException:
        _undo(child, poller, events)
        raise
    finally:
        poller.close()
    return child.ref


def _wait(poller: Poller, events: list[ChildEvent], timeout: float | None) -> bool:
    """Drive a start until something has come of it. Return false if the time was over first."""
    deadline = None if timeout is None else clock.monotonic() + timeout
    while not events:
        remaining = None if deadline is None else deadline - clock.monotonic()
        if remaining is not None and remaining <= 0:
            return False
        poller.poll(remaining)
    return True


def _undo(child: Child, poller: Poller, events: list[ChildEvent]) -> None:
    """Wait until a process that did not start in time, or at all, is gone."""
    child.kill()
    while not events or isinstance(events[-1], Started):
        poller.poll(None)


def _keep(child: Child, *, linked: bool) -> None:
    if not linked:
        child.release_control()
    if current.process is None:
        child.move_to(Unwatched(), lambda *_: None)
        owner.track(child)
    elif linked:
        current.process.adopt(child)
    else:
        child.abandon()


def raise_failure(event: ChildEvent, label: str) -> None:
    """Raise what kept a process from starting."""
    match event:
        case Ignored():
            raise StartIgnored(process=label)
        case Failed(reason, error) if error:
            try:
                original = pickle.loads(error)
            except Exception:
                raise StartFailed(process=label, reason=reason) from None
            if reason.kind is ReasonKind.EXCEPTION and reason.traceback:
                original.add_note(f"in the new process:\n{reason.traceback}")
            raise original
        case Failed(reason) | Exited(reason):
            raise StartFailed(process=label, reason=reason)
