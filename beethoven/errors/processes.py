"""Errors about one process: its start, and its keys in a registry."""

from typing import Any

from beethoven.errors.base import BeethovenError


class ProcessError(BeethovenError):
    """The base of errors about one process."""


class StartError(ProcessError):
    """The base of reasons why a process did not start."""


class StartFailed(StartError):
    """
    The process ended before its `init` returned, and not by an exception that could be raised here.

    `reason` is the `ExitReason`.
    """

    def __init__(self, *, process: str, reason: Any) -> None:
        text = getattr(reason, "traceback", "") or ""
        super().__init__(f"{process}: could not start: {reason}" + (f"\n{text}" if text else ""))
        self.process = process
        self.reason = reason


class StartTimeout(StartError):
    """`init` took longer than the start timeout allows; the process was killed."""

    def __init__(self, *, process: str, timeout: float) -> None:
        super().__init__(f"{process}: expected init to return within {timeout:g} s; it was killed")
        self.process = process
        self.timeout = timeout


class StartIgnored(StartError):
    """`init` returned `Ignore`: the process did not want to start, which is no failure."""

    def __init__(self, *, process: str) -> None:
        super().__init__(f"{process}: init returned Ignore")
        self.process = process


class AlreadyStarted(StartError):
    """The name is held by a living process. `holder` is its reference."""

    def __init__(self, *, name: Any, holder: Any) -> None:
        super().__init__(f"the name {name!r} is held by a living process: {holder!r}")
        self.name = name
        self.holder = holder


class RegistryError(ProcessError):
    """The base of what a registry refuses."""


class AlreadyRegistered(RegistryError):
    """The key is unique, and a living process has it. `holder` is its reference."""

    def __init__(self, *, registry: str, key: Any, holder: Any) -> None:
        super().__init__(f"registry {registry!r}: the key {key!r} is held by {holder!r}")
        self.holder = holder


class NotRegistered(RegistryError):
    """The process is not registered under that key."""

    def __init__(self, *, registry: str, key: Any) -> None:
        super().__init__(f"registry {registry!r}: this process does not hold the key {key!r}")
