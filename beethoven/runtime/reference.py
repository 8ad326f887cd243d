"""
References: how a process is spoken of and spoken to.

A reference names one incarnation. It can be sent to other processes of the tree. After the process
has ended it refers to nobody, also if a successor has the same name.
"""

import os
import pickle
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from beethoven.errors import (
    CallError,
    CallingSelf,
    NoProcess,
    Overloaded,
    ProcessExited,
    SpecError,
)
from beethoven.runtime import connection, deaths, framing, names
from beethoven.runtime.here import here, is_self
from beethoven.runtime.interruption import is_of_handler
from beethoven.runtime.line import Connection, open_local
from beethoven.runtime.reason import NORMAL, ExitReason, as_reason, told_by
from beethoven.runtime.unixsocket import is_listening

DEFAULT_TIMEOUT: Final = 5.0
_SHORTEST_WAIT: Final = 0.02


class Reference(ABC):
    """A process that can be spoken to: a `Ref`, or one on another node."""

    __slots__ = ()

    identity: str

    @abstractmethod
    def connect(self, timeout: float | None) -> Connection:
        """Open a connection to it; see `line.Target`."""

    @abstractmethod
    def death(self, timeout: float) -> ExitReason | None:
        """Wait for its end, and return the reason if that is known here."""

    def call(self, request: Any, timeout: float | None = DEFAULT_TIMEOUT) -> Any:
        """
        Send a request and return the reply to it.

        Args:
            request: Any value that can be pickled.
            timeout: Seconds to wait for the reply; None waits for ever. A timeout cancels nothing:
                the request may still be executed, its late reply is dropped.

        Raises:
            NoProcess: The process is gone already.
            CallTimeout: No reply in time.
            ProcessExited: The process ended before it replied; has the reason.
            CallingSelf: The process called itself.
            RequestRefused, ReplyNotPicklable: One of the two could not be read or sent.
            SpecError: The request cannot be pickled, or the timeout is none.
        """
        if is_self(self.identity):
            raise CallingSelf(target=str(self))
        if timeout is not DEFAULT_TIMEOUT:
            check_timeout(timeout, self)
        # No name for the payload here: `request` lets it go as soon as it is sent.
        return connection.request(
            self,
            framing.CALL,
            pickled(request, "request", self),
            timeout,
        )

    def cast(self, request: Any) -> None:
        """
        Send a request that has no reply. Nothing happens if the process is gone.

        Messages from one thread to one process keep their order, calls and casts alike.

        Raises:
            Overloaded: The process did not take the message within 5 s.
        """
        payload = pickled(request, "request", self)
        connection.post(self, framing.CAST, payload)

    def send(self, message: Any) -> None:
        """Send a plain message, which arrives in `handle_info`; else as `cast`."""
        payload = pickled(message, "message", self)
        connection.post(self, framing.INFO, payload)


@dataclass(frozen=True, slots=True)
class Ref(Reference):
    """
    One process of a tree.

    Attributes:
        identity: Unique in its tree, never used again.
        folder: The private folder of its tree.
        pid: Its number in the operating system, for people; never used to find it.
        name: Its registered name, if it has one.
    """

    identity: str
    folder: str
    pid: int = 0
    name: str | None = None

    def __str__(self) -> str:
        return f"{self.name or self.identity} (pid {self.pid})"

    def connect(self, timeout: float | None) -> Connection:
        return open_local(self, self.folder, timeout)

    def death(self, timeout: float) -> ExitReason | None:
        return deaths.wait_for(self.folder, self.identity, timeout)

    def stop(self, reason: object = NORMAL, timeout: float | None = None) -> None:
        """
        End the process with a reason, and return when it is gone and its name is free.

        Its `terminate` runs, also if it does not trap exits.

        Args:
            reason: "normal", "shutdown", an `ExitReason`, or any other value, which is abnormal.
            timeout: Seconds; None waits for ever.

        Raises:
            NoProcess: The process is gone already.
            CallTimeout: It still lives; it goes on terminating.
            ProcessExited: It ended for another reason.
            CallingSelf: A process cannot wait for its own end; raise `Stop` instead.
        """
        if is_self(self.identity):
            raise CallingSelf(target=str(self))
        check_timeout(timeout, self)
        wanted = as_reason(reason)
        payload = pickle.dumps(wanted, 5)
        try:
            connection.request(self, framing.STOP, payload, timeout)
        except ProcessExited as exited:
            deaths.wait_for(self.folder, self.identity, timeout)
            here.on_stopped(self.identity)
            if exited.reason != wanted:
                raise

    def exit(self, reason: object) -> None:
        """
        Send the process an exit signal (OTP: `exit/2`). Nothing happens if it is gone.

        One that does not trap exits ends with the reason, without `terminate`, as soon as it waits
        for messages; it ignores "normal". One that traps exits gets an `Exit` message, or ends
        after `terminate` if the signal is from its parent. To oneself any reason is lethal, at
        once, unless one traps exits.

        Args:
            reason: "kill" ends the process at once, whatever it does, with the reason `killed`;
                else as for `stop`.

        Raises:
            Overloaded: As for `cast`.
        """
        if isinstance(reason, str) and reason == "kill":
            deaths.kill(self.folder, self.identity, self.pid)
            return
        why = as_reason(reason)
        inhabitant = here.process
        if is_self(self.identity) and inhabitant is not None:
            inhabitant.take_exit(self, why)
            return
        own = Ref("", here.folder, os.getpid()) if inhabitant is None else inhabitant.ref
        connection.post(self, framing.EXIT_SIGNAL, pickle.dumps((own, why), 5))

    def wait(self, timeout: float | None = None) -> ExitReason | None:
        """
        Wait until the process is gone.

        Args:
            timeout: Seconds; None waits for ever.

        Returns:
            Why it ended, or None if it still lives after `timeout`. Of a process that had ended
            before the question, and that another one has started, only what the kernel knows is
            left to tell: `exit code 0` after an orderly end, `exit code 1` after a failure, or the
            signal.
        """
        check_timeout(timeout, self)
        try:
            connection.request(self, framing.MONITOR, b"", timeout)
        except ProcessExited as exited:
            deaths.wait_for(self.folder, self.identity, timeout)
            return exited.reason if isinstance(exited.reason, ExitReason) else None
        except NoProcess:
            known = deaths.wait_for(self.folder, self.identity, timeout)
            if known is not None:
                here.on_stopped(self.identity)
            return deaths.told(self.identity) or known
        except CallError:
            pass
        return None

    def is_alive(self) -> bool:
        """Whether the process still listens."""
        return is_listening(names.socket_path(self.folder, self.identity))

    def named(self, name: str | None) -> "Ref":
        """Return the same reference with a name to show."""
        return replace(self, name=name)


def pickled(value: Any, what: str, target: object) -> bytes:
    """
    Return a value as it is sent.

    What a signal handler raises meanwhile is nobody's mistake, and passes.

    Raises:
        SpecError: It cannot be pickled, or is too long.
    """
    try:
        payload = pickle.dumps(value, 5)
    except Exception as error:
        if is_of_handler(error):
            raise
        expected = f"a value that can be pickled ({told_by(error)})"
        raise SpecError(
            subject=str(target), field=what, expected=expected, got=type(value).__qualname__
        ) from error
    if len(payload) > framing.LONGEST:
        expected = f"at most {framing.LONGEST} bytes long"
        raise SpecError(subject=str(target), field=what, expected=expected, got=len(payload))
    return payload


def check_timeout(timeout: object, subject: object) -> None:
    """Raise SpecError if `timeout` is neither None nor a number of seconds."""
    if timeout is None:
        return
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if not is_number or not 0 <= timeout <= threading.TIMEOUT_MAX:  # type: ignore[operator]
        raise SpecError(
            subject=str(subject), field="timeout", expected="seconds >= 0 or None", got=timeout
        )


class ViaName(ABC):
    """A name that is not in the tree's own table (OTP: via); see `via`."""

    @abstractmethod
    def whereis(self) -> Ref | None:
        """Return the living process that holds the name, or None."""


Name = str | ViaName


def whereis(name: "Target") -> Ref | None:
    """
    Return the process of this tree that holds a name, or None; of a reference the reference.

    Raises:
        NoProcess: It is the name of a registry that does not run.
        SpecError: It is no name and no reference.
    """
    if isinstance(name, Ref):
        return name
    if isinstance(name, ViaName):
        return name.whereis()
    if not isinstance(name, str):
        return _referred_to(name)
    if not here.folder:
        return None
    found = names.lookup(here.folder, names.check_name(name))
    return None if found is None else Ref(found[0], here.folder, found[1], name)


class Refers(Protocol):
    """What stands for a process, such as what the start of a supervisor returns."""

    @property
    def ref(self) -> Ref: ...


Target = Reference | Name | Refers


def _referred_to(target: object) -> Ref:
    ref = getattr(target, "ref", None)
    if not isinstance(ref, Ref):
        is_far = isinstance(target, Reference)
        rule = "a process of this tree" if is_far else "a reference, a name or a Via"
        raise SpecError(subject="process", field="target", expected=rule, got=target)
    return ref


def resolve(target: Target) -> Ref:
    """
    Return the process meant by a reference or a name.

    Raises:
        NoProcess: Nobody holds the name, or it is None, as `whereis` has returned it.
        SpecError: It is no name and no reference.
    """
    found = None if target is None else whereis(target)
    if found is None:
        raise NoProcess(target=repr(target))
    return found


def reach(target: Target) -> Reference:
    """Return what can be spoken to: as `resolve`, but also a process on another node."""
    return target if isinstance(target, Reference) else resolve(target)


def call(target: Target, request: Any, timeout: float | None = DEFAULT_TIMEOUT) -> Any:
    """Call a process by reference or name; see `Ref.call`."""
    return reach(target).call(request, timeout)


def cast(target: Target, request: Any) -> None:
    """Cast to a process by reference or name; nothing happens if nobody holds the name."""
    try:
        found = reach(target)
    except NoProcess:
        return
    found.cast(request)


def cast_or_drop(target: Target, request: Any) -> bool:
    """
    Cast to a process by reference or name, without waiting for one that does not read.

    Returns:
        Whether the request was handed over.
    """
    return _post_or_drop(target, framing.CAST, request)


def send_or_drop(target: Target, message: Any) -> bool:
    """Send a plain message; else as `cast_or_drop`."""
    return _post_or_drop(target, framing.INFO, message)


def _post_or_drop(target: Target, kind: int, value: Any) -> bool:
    try:
        found = reach(target)
        return connection.post(found, kind, pickled(value, "message", found), _SHORTEST_WAIT)
    except (NoProcess, Overloaded):
        return False


def ask_to_stop(target: Target, reason: object = NORMAL) -> None:
    """Have a process end with a reason, as `stop` does, without waiting for its end."""
    try:
        found = reach(target)
    except NoProcess:
        return
    connection.post(found, framing.STOP, pickle.dumps(as_reason(reason), 5))


def send(target: Target, message: Any) -> None:
    """
    Send a plain message by reference or name.

    Nothing happens if nobody holds the name, as in OTP only if it is a plain one.

    Raises:
        NoProcess: Nobody holds the via name.
    """
    try:
        found = reach(target)
    except NoProcess:
        if isinstance(target, ViaName):
            raise
        return
    found.send(message)


def stop(target: Target, reason: object = NORMAL, timeout: float | None = None) -> None:
    """Stop a process by reference or name; see `Ref.stop`."""
    resolve(target).stop(reason, timeout)
