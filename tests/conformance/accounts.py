"""
Servers with something to hide, for tests of what is shown of them. Children import this module.
"""

import asyncio
import os
import threading
from dataclasses import replace
from typing import Any

from beethoven import ExitReason, ReasonKind, Role, Status, Stop, debug
from tests.integration.roles import Puppet, Unpicklable

SECRET = "4711-hidden"
SHOWN = "not for you"


class Account(Puppet):
    """Holds a pin, and shows it like everything else."""

    def init(self, args: Any) -> Any:
        self.pin = SECRET
        self.balance = 0
        self._private = "private"
        return super().init(args)


class TrappingAccount(Account):
    trap_exit = True


class AsyncAccount(Account):
    async def handle_cast(self, request: Any) -> None:
        await asyncio.sleep(0)
        super().handle_cast(request)


class DiscreetAccount(Account):
    """Hides its state only."""

    def format_status(self, status: Status) -> Status:
        return replace(status, state=SHOWN)


class DiscreetAsyncAccount(AsyncAccount):
    def format_status(self, status: Status) -> Status:
        return replace(status, state=SHOWN)


class SilentAccount(Account):
    """Hides whatever it can."""

    def format_status(self, status: Status) -> Status:
        message = None if status.message is None else ("message", SHOWN)
        reason = None if status.reason is None else ExitReason(ReasonKind.OTHER, SHOWN)
        return Status(SHOWN, message, reason, tuple(SHOWN for _ in status.log))


class BrokenAccount(Account):
    def format_status(self, status: Status) -> Status:
        raise ValueError(f"cannot format {status}")


class ThrowingAccount(Account):
    """Leaves its formatter by what is no `Exception`."""

    def format_status(self, status: Status) -> Status:
        raise SystemExit(str(status))


class JunkAccount(Account):
    def format_status(self, status: Status) -> Any:
        return str(status)


class Mute:
    """Never says what it is."""

    def __repr__(self) -> str:
        threading.Event().wait()
        return ""


class MuteError(Exception):
    def __str__(self) -> str:
        threading.Event().wait()
        return ""


class MuteAccount(Account):
    """Never says what is to be shown of it."""

    def format_status(self, status: Status) -> Status:
        threading.Event().wait()
        return status


def crash_with_mute_state(role: Account) -> None:
    vars(role)["mute"] = Mute()
    raise ValueError("boom")


def crash_with_mute_error(role: Account) -> None:
    raise MuteError


def stop_with_mute_reason(role: Account) -> None:
    raise Stop(Mute())


class AbsurdAccount(Account):
    """Returns what it must not, and what does not say what it is."""

    def handle_cast(self, request: Any) -> Any:
        return Mute()


class Shy:
    """Cannot be shown."""

    def __repr__(self) -> str:
        raise SystemExit


class Hoarder(Role):
    """Has much, and things that cannot be shown."""

    def init(self, args: Any) -> None:
        self.numbers = list(range(10_000_000))
        self.text = "x" * 10_000_000
        self.bytes = bytes(10_000_000)
        self.shy = Shy()
        self.nested: list[Any] = []
        self.nested.append(self.nested)
        for number in range(1000):
            setattr(self, f"attribute{number}", number)


def deposit(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "balance": state["balance"] + 1}


def spend_and_fail(state: dict[str, Any]) -> dict[str, Any]:
    state["balance"] = -1
    raise ValueError("too little")


def exit_in_between(state: dict[str, Any]) -> dict[str, Any]:
    raise SystemExit


def forget_everything(state: dict[str, Any]) -> dict[str, Any]:
    return {"seen": []}


def return_junk(state: dict[str, Any]) -> Any:
    return 7


def pid_of_runner(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "pid": os.getpid()}


def balance(role: Account) -> int:
    return role.balance


def name_me(role: Account, label: str) -> None:
    role.set_label(label)


def be_idle(role: Account, seconds: float, message: str) -> None:
    role.idle_timeout(seconds, message)


def keep_what_cannot_be_sent(role: Account) -> None:
    role.kept.append(Unpicklable())


def read_own_state(role: Account) -> None:
    debug.get_state(role.ref)
