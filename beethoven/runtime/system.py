"""
System requests: how a server is looked at and handled from outside, whatever it is.

They come in frames of their own, are answered between two callbacks, also while the server is
suspended, and are no messages of its: nothing that waits for one notices. `debug` asks them.
"""

import os
import pickle
from collections import deque
from dataclasses import dataclass
from typing import Any, Final, Protocol

from beethoven import clock
from beethoven.errors import BeethovenError, RequestRefused, StateNotReplaced
from beethoven.log import get_log, let_through
from beethoven.runtime import framing
from beethoven.runtime.client import Client
from beethoven.runtime.exit_signals import ParentExit
from beethoven.runtime.process import Process
from beethoven.runtime.reason import from_exception, told_by
from beethoven.runtime.status import (
    DebugEvent,
    Shown,
    Status,
    bounded,
    name_of,
    show,
    state_of,
)

log = get_log("trace")

VERBS: Final = frozenset(
    {
        "get_state",
        "replace_state",
        "suspend",
        "resume",
        "get_status",
        "trace",
        "keep_log",
        "statistics",
        "get_statistics",
        "no_debug",
    }
)


@dataclass(frozen=True, slots=True)
class Statistics:
    """
    What a server has done since its statistics were turned on.

    Attributes:
        since: When that was, in seconds since 1970-01-01 UTC.
        received: Messages that callbacks were run for.
        replied: Replies that callbacks have returned.
        cpu: Seconds of processor time that the process has used.
    """

    since: float
    received: int
    replied: int
    cpu: float


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """
    What `get_status` tells of a server.

    Attributes:
        role: Its class.
        process: Its name and pid.
        label: What it calls itself, or empty.
        ancestors: Its parent, whose parent, and so on to the root of the tree.
        is_suspended: Whether it handles nothing but system requests.
        waiting: Messages that it has read and not handled.
        is_traced: Whether its debug events go to the log.
        state: Its state by attribute, or as one text, as `format_status` shows it.
        log: Its last debug events, if they are kept.
    """

    role: str
    process: str
    label: str
    ancestors: tuple[str, ...]
    is_suspended: bool
    waiting: int
    is_traced: bool
    state: dict[str, str] | str
    log: tuple[DebugEvent, ...]


class Host(Protocol):
    """A server, as far as system requests know it."""

    @property
    def role(self) -> str: ...
    @property
    def is_replaceable(self) -> bool: ...
    def state(self) -> dict[str, Any]: ...
    def replace(self, state: dict[str, Any]) -> None: ...
    def format_status(self, status: Status) -> Status: ...


class ObjectHost:
    """A server whose state is the public attributes of one object."""

    is_replaceable = True

    def __init__(self, server: Any) -> None:
        self._server = server

    @property
    def role(self) -> str:
        return name_of(type(self._server))

    def state(self) -> dict[str, Any]:
        return state_of(self._server)

    def replace(self, state: dict[str, Any]) -> None:
        """Give the object these public attributes, and no others; all or none."""
        before = self.state()
        try:
            self._become(state)
        except BaseException:
            self._become(before)
            raise

    def _become(self, state: dict[str, Any]) -> None:
        for name in state_of(self._server).keys() - state.keys():
            delattr(self._server, name)
        for name, value in state.items():
            setattr(self._server, name, value)

    def format_status(self, status: Status) -> Status:
        formatted: Status = self._server.format_status(status)
        return formatted


class System:
    """What one server does about system requests, and what it remembers for them."""

    def __init__(self, process: Process, host: Host) -> None:
        self._process = process
        self._host = host
        self.is_suspended = False
        self._held: list[Any] = []
        self._is_traced = False
        self._kept: deque[DebugEvent] | None = None
        self._since: tuple[float, float] | None = None
        self._received = self._replied = 0
        self.is_tapped = False

    @property
    def events(self) -> tuple[DebugEvent, ...]:
        """The last debug events, if they are kept."""
        return tuple(self._kept or ())

    def takes(self, message: Any) -> bool:
        """Answer a system request, hold back what a suspended server must not see; else False."""
        kind = message[0] if type(message) is tuple else None
        if kind == framing.SYSTEM:
            self.answer(*message[1:])
            return True
        if not self.is_suspended:
            return False
        if kind == framing.STOP or isinstance(message, ParentExit):
            self.resume()
            return False
        self._held.append(message)
        # It is to be handled, and so ends an idle timeout now as it would have without this.
        self._process.timers.break_silence()
        return True

    def note(self, kind: str, value: Any, client: int | None = None) -> None:
        """Tell of an event to whom it interests."""
        if kind == "reply":
            self._replied += 1
        else:
            self._received += 1
        if self._kept is not None:
            self._kept.append(DebugEvent(kind, value, client, clock.wall()))
        if self._is_traced:
            log.info("traced", role=self._host.role, kind=kind, value=bounded(value), client=client)

    def show(self, raw: Status) -> Shown:
        """Return what the server shows of its status; tell the log if its formatter fails."""
        shown = show(self._host, raw)
        if shown.fault:
            role = self._host.role
            log.warning("format_status_failed", role=role, cause=shown.fault)
        return shown

    def answer(self, client: Client, number: int, payload: bytes | bytearray) -> None:
        """Answer a system request."""
        try:
            verb, *arguments = pickle.loads(payload)
        except BaseException as error:
            client.refuse(number, f"{type(error).__name__}: {told_by(error)}")
            return
        try:
            answer = ("ok", self._perform(verb, *arguments))
        except BeethovenError as error:
            answer = ("error", error)
        except BaseException as error:
            # What was asked for is nothing that can be done: no failure of the server.
            client.refuse(number, f"{type(error).__name__}: {told_by(error)}")
            return
        client.reply(number, answer)

    def _perform(self, verb: str, *arguments: Any) -> Any:
        if verb not in VERBS:
            raise RequestRefused(target=str(self._process.ref), cause=f"no system request {verb!r}")
        result = getattr(self, verb)(*arguments)
        self.is_tapped = self._is_traced or self._kept is not None or self._since is not None
        return result

    def get_state(self) -> dict[str, Any]:
        return self._host.state()

    def replace_state(self, function: bytes) -> dict[str, Any]:
        """Replace the state by what a pickled function makes of it; return the new one."""
        target = str(self._process.ref)
        if not self._host.is_replaceable:
            raise StateNotReplaced(target=target, cause="a supervisor keeps its own state")
        try:
            state = pickle.loads(function)(self._host.state())
            if not isinstance(state, dict):
                raise TypeError(f"expected the new state, a dict, got: {bounded(state)}")
            self._host.replace(state)
        except BaseException as error:
            # Nor must a function that exits end the server.
            reason = from_exception(error)
            raise StateNotReplaced(
                target=target, cause=reason.detail, traceback=reason.traceback
            ) from None
        return self._host.state()

    def suspend(self) -> None:
        self.is_suspended = True

    def resume(self) -> None:
        self.is_suspended = False
        held, self._held = self._held, []
        self._process.queue.extendleft(reversed(held))

    def get_status(self) -> ServerStatus:
        process = self._process
        shown = self.show(Status(self._host.state(), log=self.events))
        return ServerStatus(
            role=self._host.role,
            process=str(process.ref),
            label=process.label or "",
            ancestors=tuple(map(str, process.lineage[1:])),
            is_suspended=self.is_suspended,
            waiting=len(process.queue) + len(self._held),
            is_traced=self._is_traced,
            state=shown.state if isinstance(shown.state, str) else dict(shown.state),
            log=shown.log,
        )

    def trace(self, on: bool) -> None:  # noqa: FBT001 - what was asked for
        let_through(log)
        self._is_traced = on

    def keep_log(self, most: int | None) -> None:
        self._kept = None if most is None else deque(self.events, maxlen=most)

    def statistics(self, on: bool) -> None:  # noqa: FBT001 - what was asked for
        self._since = (clock.wall(), _cpu()) if on else None
        self._received = self._replied = 0

    def get_statistics(self) -> Statistics | None:
        if self._since is None:
            return None
        at, cpu = self._since
        return Statistics(at, self._received, self._replied, _cpu() - cpu)

    def no_debug(self) -> None:
        self._is_traced, self._kept, self._since = False, None, None


def _cpu() -> float:
    times = os.times()
    return times.user + times.system
