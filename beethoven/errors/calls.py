"""Errors about one message to a process."""

from typing import Any

from beethoven.errors.processes import ProcessError


class CallError(ProcessError):
    """The base of reasons why a call brought no reply, or a cast could not be handed over."""


class NoProcess(CallError):
    """Nobody lives at that name or reference; what was to be said has reached nobody."""

    def __init__(self, *, target: str, cause: str = "") -> None:
        super().__init__(f"no process: {target}" + (f": {cause}" if cause else ""))
        self.target, self.cause = target, cause


class CallTimeout(CallError):
    """
    No reply arrived in time.

    A timeout cancels nothing: the request may still be executed. Its late reply is dropped.
    """

    def __init__(self, *, target: str, timeout: float) -> None:
        super().__init__(f"{target}: no reply within {timeout:g} s")
        self.target = target
        self.timeout = timeout


class TaskTimeout(CallTimeout):
    """
    No result of a task arrived in time.

    It is dropped if it comes later. Of a task whose result has been taken, or given up, none comes.
    """

    def __init__(
        self, *, target: str, timeout: float, is_over: bool = False, why: str = ""
    ) -> None:
        if not why:
            gone, late = "its result has been taken or given up", f"no result in {timeout:g} s"
            why = gone if is_over else late
        ProcessError.__init__(self, f"task {target}: {why}")
        self.target = target
        self.timeout = timeout


class ProcessExited(CallError):
    """The process ended before it replied. `reason` is its `ExitReason`."""

    def __init__(self, *, target: str, reason: Any) -> None:
        text = getattr(reason, "traceback", "") or ""
        super().__init__(f"{target}: exited: {reason}" + (f"\n{text}" if text else ""))
        self.target = target
        self.reason = reason


class CallingSelf(CallError):
    """A process called itself, which could only end in a timeout."""

    def __init__(self, *, target: str) -> None:
        super().__init__(f"{target}: a process cannot call itself")
        self.target = target


class RequestRefused(CallError):
    """The request arrived, but could not be read there, or is not for such a process."""

    def __init__(self, *, target: str, cause: str) -> None:
        super().__init__(f"{target}: the request was refused: {cause}")
        self.target = target
        self.cause = cause


class ReplyNotPicklable(CallError):
    """The process replied with a value that cannot be sent."""

    def __init__(self, *, target: str, type_name: str, cause: str) -> None:
        super().__init__(
            f"{target}: expected a reply that can be pickled, got: {type_name}: {cause}"
        )
        self.target = target


class StateNotReplaced(CallError):
    """The function given to `replace_state` failed: the state is as it was."""

    def __init__(self, *, target: str, cause: str, traceback: str = "") -> None:
        super().__init__(f"{target}: the state is not replaced: {cause}\n{traceback}".rstrip())
        self.target = target
        self.cause = cause


class NotOwner(CallError):
    """Who waits for an answer must be who has asked: `owner`, and not `user`."""

    def __init__(self, *, what: str, owner: str, user: str) -> None:
        super().__init__(f"{what}: expected to be used by its owner, {owner}, got: {user}")
        self.owner, self.user = owner, user


class NoRequests(CallError):
    """The collection has no request to wait for."""

    def __init__(self) -> None:
        super().__init__("expected a collection with at least one request, got: an empty one")


class Overloaded(CallError):
    """The receiver did not drain its messages in time; this message was not handed over."""

    def __init__(self, *, target: str, timeout: float) -> None:
        super().__init__(f"{target}: did not take the message within {timeout:g} s")
        self.target = target
        self.timeout = timeout
