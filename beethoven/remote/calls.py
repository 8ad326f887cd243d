"""Calls by the name of a role: performs what `calling_state` decides."""

import contextlib
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

from beethoven import clock
from beethoven.cluster.directory import Directory, NodeEntry
from beethoven.cluster.messages import Purpose
from beethoven.errors import (
    CallError,
    CallingSelf,
    CallTimeout,
    NodeNotFound,
    NoProcess,
    Overloaded,
    RoleNotRunning,
)
from beethoven.remote.calling_state import (
    LONGEST_DIAL,
    Action,
    Ask,
    Calling,
    Deliver,
    GiveUp,
    Look,
    Pause,
    unknown,
)
from beethoven.remote.newcomers import newcomers_among
from beethoven.remote.openings import closed_way
from beethoven.remote.remote_ref import NodeSilent, RemoteRef
from beethoven.remote.way import Way
from beethoven.runtime import connection, framing
from beethoven.runtime.connection import CAST_TIMEOUT
from beethoven.runtime.here import is_self
from beethoven.runtime.multi_call import gather
from beethoven.runtime.reference import DEFAULT_TIMEOUT, Ref, Reference, check_timeout, pickled
from beethoven.runtime.requests import Request

# Instead of the name of a node.
ALL: Final = "all"

# How long to dial a node where no other will do, in seconds; no beacon dials for longer.
PATIENT_DIAL: Final = 60.0
# A call may take so much longer than its timeout, in seconds.
_TOLERANCE: Final = 0.002

T = TypeVar("T")


def instance_on(node: NodeEntry, role: str, way: Way, dial: float = LONGEST_DIAL) -> RemoteRef:
    """Return the instance of a role on a node, whichever process that is; see `RemoteRef.dial`."""
    made = way.made.get((node.node_id, role))
    if not isinstance(made, RemoteRef):
        made = RemoteRef(node.name, node.node_id, node.address, Purpose.ROLE, role, way)
        way.made[node.node_id, role] = made
    return made if dial == LONGEST_DIAL else replace(made, dial=dial)


def call(way: Way, role: str, request: Any, timeout: float | None, to: str | None) -> Any:
    """
    Call an instance of a role, and return its reply.

    Args:
        way: How this process reaches nodes.
        role: The role.
        request: Any value that can be pickled.
        timeout: Seconds for all of it; None waits for ever.
        to: The node that is meant; None for any.

    Raises:
        RoleNotRunning, NodeNotFound, CallError, SpecError: See `ClusterHandle.call`.
    """
    check_timeout(timeout, role)
    payload = pickled(request, "request", role)
    until = Until(timeout)

    def attempt(target: Ref | RemoteRef) -> Any:
        if is_self(target.identity):
            raise CallingSelf(target=str(target))
        left = until.left()
        return connection.request(target, framing.CALL_BY, payload, left, until.elapsed)

    try:
        return find(way, role, to, until, attempt)
    except CallTimeout as late:
        raise CallTimeout(target=late.target, timeout=timeout or 0.0) from None


def cast(way: Way, role: str, request: Any, to: str | None) -> None:
    """Cast to an instance of a role; else as `call`."""
    payload = pickled(request, "request", role)
    until = Until(CAST_TIMEOUT)

    def attempt(target: Ref | RemoteRef) -> None:
        connection.deliver(target, framing.CAST, payload, until.left())

    find(way, role, to, until, attempt)


def cast_all(way: Way, role: str, request: Any) -> None:
    """Cast to all instances of a role; nothing happens for one that cannot be reached."""
    payload = pickled(request, "request", role)
    until = Until(CAST_TIMEOUT)

    def post(target: Reference) -> None:
        with contextlib.suppress(Overloaded):
            connection.post(target, framing.CAST, payload, until.left())

    found = instances(way, role, until, LONGEST_DIAL)
    newcomers, known = newcomers_among(found, post)
    for target in known.values():
        post(target)
    for each in newcomers.values():
        with contextlib.suppress(CallError):
            each.finish(until.left())


def ref(way: Way, role: str, to: str | None) -> Ref | RemoteRef:
    """Return a reference to an instance of a role; else as `call`."""

    def attempt(target: Ref | RemoteRef) -> Ref | RemoteRef:
        if isinstance(target, Ref) and not target.is_alive():
            raise NoProcess(target=str(target))
        return target

    return find(way, role, to, Until(DEFAULT_TIMEOUT), attempt)


def find(
    way: Way, role: str, to: str | None, until: "Until", attempt: Callable[[Ref | RemoteRef], T]
) -> T:
    """
    Return what an attempt with an instance of a role returns.

    Args:
        way: How this process reaches nodes.
        role: The role.
        to: The node that is meant; None for any.
        until: For how long to try.
        attempt: Is given one instance after the other, for as long as it raises NoProcess.
    """
    if way.is_closed:
        raise closed_way()
    calling = Calling(role, to, own=way.node, deadline=until.moment, choose=random.choice)
    action = calling.begin(way.known, now=clock.monotonic())
    while True:
        match action:
            case Look():
                found = way.local(role)
                if found is not None:
                    way.meet(found.identity)
                    with contextlib.suppress(NoProcess):
                        return attempt(found)
                action = calling.not_here()
            case Ask(is_anew):
                action = ask(way, calling, until, is_anew=is_anew)
            case Deliver(node, dial):
                try:
                    return attempt(instance_on(node, role, way, dial))
                except NoProcess as error:
                    action = calling.not_delivered(node, error.cause or str(error))
            case Pause(seconds):
                threading.Event().wait(seconds)
                action = calling.paused(now=clock.monotonic())
            case GiveUp(text, is_node):
                raise NodeNotFound(text) if is_node else RoleNotRunning(text)


def ask(way: Way, calling: Calling, until: "Until", *, is_anew: bool) -> Action:
    """Ask for the directory, and return what follows."""
    if is_anew:
        way.forget()
    last = way.last
    try:
        directory = directory_of(way, until)
    except (CallError, NodeNotFound):
        action = calling.not_told(now=clock.monotonic())
        if action is None:
            raise
        return action
    is_new = is_anew and directory is not last
    return calling.told(directory, now=clock.monotonic(), is_new=is_new)


def directory_of(way: Way, until: "Until") -> Directory:
    """Return the directory; an error speaks of all the time that there was."""
    try:
        return way.directory(until.at_most(CAST_TIMEOUT))
    except CallTimeout as late:
        raise CallTimeout(target=late.target, timeout=until.timeout or late.timeout) from None


def multi_call(
    way: Way, role: str, request: Any, timeout: float | None
) -> tuple[dict[str, Any], dict[str, CallError]]:
    """Call all instances of a role at once; see `ClusterHandle.multi_call`."""
    check_timeout(timeout, role)
    until = Until(timeout)
    payload = pickled(request, "request", role)

    def ask_one(target: Reference) -> Any:
        try:
            connection.keep(target, target.connect(until.left()))
        except BlockingIOError:
            raise CallTimeout(target=str(target), timeout=timeout or 0.0) from None
        left = until.left()
        return connection.request(target, framing.CALL_BY, payload, left, until.elapsed)

    found = instances(way, role, until, until.at_most(PATIENT_DIAL))
    own = {node: each for node, each in found.items() if is_self(each.identity)}
    for node in own:
        del found[node]
    newcomers, known = newcomers_among(found, ask_one)
    requests = {
        Request(target, request, until.at_most(CAST_TIMEOUT), until.elapsed): node
        for node, target in known.items()
    }
    replies, errors = gather(requests, timeout, None if timeout is None else until.moment)
    errors |= {node: CallingSelf(target=str(each)) for node, each in own.items()}
    for node, each in newcomers.items():
        try:
            replies[node] = each.finish(until.left())
        except CallError as error:
            errors[node] = until.late(error, each.target)
    return replies, errors


class Until:
    """
    A moment until which all of something must be done.

    Attributes:
        moment: The moment, by `clock.monotonic`.
        elapsed: The same by `clock.elapsed`.
        timeout: How many seconds there were at the beginning; None for ever.
    """

    __slots__ = ("elapsed", "moment", "timeout")

    def __init__(self, timeout: float | None) -> None:
        self.timeout = timeout
        seconds = float("inf") if timeout is None else timeout
        self.moment = clock.monotonic() + seconds
        self.elapsed = clock.elapsed() + seconds

    def left(self) -> float | None:
        """Return the seconds until then; None for ever."""
        if self.timeout is None:
            return None
        left = self.moment - clock.monotonic()
        # The same limit as last time saves the kernel from being told a new one.
        return self.timeout if left > self.timeout - _TOLERANCE else max(0.0, left)

    def at_most(self, seconds: float) -> float:
        """Return the seconds until then, but not more than so many."""
        left = self.left()
        return seconds if left is None else min(left, seconds)

    def late(self, error: CallError, target: Reference) -> CallError:
        """Return what is told of one of several: a node that was silent all the time timed out."""
        if isinstance(error, CallTimeout | NodeSilent):
            return CallTimeout(target=str(target), timeout=self.timeout or 0.0)
        return error


def instances(way: Way, role: str, until: Until, dial: float) -> dict[str, Reference]:
    """
    Return all running instances of a role, by the name of their node; see `RemoteRef.dial`.

    Raises:
        RoleNotRunning: There is no such role.
    """
    directory = directory_of(way, until)
    if role not in directory.roles:
        way.forget()
        raise RoleNotRunning(unknown("role", role, directory.roles))
    found: dict[str, Reference] = {}
    for each in directory.holders(role):
        here = way.local(role) if each.name == way.node else None
        found[each.name] = here or instance_on(each, role, way, dial)
    return found
