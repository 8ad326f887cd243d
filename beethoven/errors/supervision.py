"""What a supervisor refuses."""

from typing import Any

from beethoven.errors.base import BeethovenError


class SupervisionError(BeethovenError):
    """The base of management calls that a supervisor refused."""


class ChildNotFound(SupervisionError):
    """The supervisor has no such child."""

    def __init__(self, *, child: str) -> None:
        super().__init__(f"no child {child}")
        self.child = child


class ChildRunning(SupervisionError):
    """The child runs, so it cannot be restarted or deleted by hand."""

    def __init__(self, *, child: str) -> None:
        super().__init__(f"child {child} is running")
        self.child = child


class ChildRestarting(SupervisionError):
    """The supervisor is restarting the child."""

    def __init__(self, *, child: str) -> None:
        super().__init__(f"child {child} is restarting")
        self.child = child


class ChildAlreadyPresent(SupervisionError):
    """A child of that id is specified already, but does not run. `restart_child` starts it."""

    def __init__(self, *, child: str) -> None:
        super().__init__(f"child {child} is already present")
        self.child = child


class ChildStartFailed(SupervisionError):
    """
    A child did not start. `reason` is the `ExitReason`.

    `cause` is the pickled `AlreadyStarted`, if a name was taken.
    """

    cause: bytes = b""

    def __init__(self, *, child: str, reason: Any) -> None:
        text = getattr(reason, "traceback", "") or ""
        super().__init__(f"child {child} could not start: {reason}" + (f"\n{text}" if text else ""))
        self.child = child
        self.reason = reason


class MaxChildren(SupervisionError):
    """The dynamic supervisor has as many children as it may have."""

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"expected at most {limit} children")
        self.limit = limit


class NoPartitions(SupervisionError):
    """A partition supervisor has been resized to 0: no key belongs anywhere."""

    def __init__(self, *, supervisor: str) -> None:
        super().__init__(f"partition supervisor {supervisor!r} has no partitions; resize it first")
        self.supervisor = supervisor
