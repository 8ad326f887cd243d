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
from beethoven.runtime.reference import Name, Ref, ViaName, check_timeout

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
    name: Name | None,
    linked: bool,
    environment: Mapping[str, str] | None = None,
    working_directory: str | None = None,
    label: str = "",
    supervised: bool = False,
) -> Birth:
    """Return the birth of a child of this process."""
    return Birth(
        behaviour,
        args,
        name if name is None or isinstance(name, ViaName) else check_name(name),
        current.process.ref if current.process is not None else None,
        linked,
        environment or {},
        working_directory,
        label,
        current.process.lineage if current.process is not None else (),
        supervised,
    )


def start(
    behaviour: type,
    args: Any,
    *,
    name: Name | None = None,
    linked: bool = True,
    timeout: float | None = START_TIMEOUT,
    method: str = "forkserver",
) -> Ref:
    """Start a process and return when its `init` has returned; see `launch`."""
    child = launch(behaviour, args, name=name, linked=linked, timeout=timeout, method=method)
    return child.ref


def launch(
    behaviour: type,
    args: Any,
    *,
    name: Name | None = None,
    linked: bool = True,
    timeout: float | None = START_TIMEOUT,
    method: str = "forkserver",
    title: str = "",
) -> Child:
    """
    Start a process and return when its `init` has returned.

    Args:
        behaviour: What is to live in it.
        args: Handed to it.
        name: The name to register, if any.
        linked: Whether it ends with this process.
        timeout: Seconds that `init` may take; None is no limit.
        method: How the process begins, one of `METHODS`.
        title: What to call it if it has no name; empty for the name of the class.

    Raises:
        StartTimeout, AlreadyStarted, StartIgnored, StartFailed: See `errors`.
        Exception: What `init` raised, with the traceback of the new process as a note.
    """
    check_guard()
    if method not in METHODS:
        rule = "'forkserver' or 'spawn'"
        raise SpecError(subject="process", field="start_method", expected=rule, got=method)
    label = (title or behaviour.__qualname__) + (f" {name!r}" if name else "")
    check_timeout(timeout, label)
    born = begin(behaviour, args, name=name, linked=linked, label=title)
    with owner.starting():
        return _start(born, label, timeout, method)


def _start(born: Birth, label: str, timeout: float | None, method: str) -> Child:
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
    return child


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
