"""
Roles for the cases of servers and processes, and what puppets are told to do in them.

Children import this module, so it imports little.
"""

import os
import sys
from pathlib import Path
from typing import Any

from beethoven import (
    ExitReason,
    Ignore,
    NoReply,
    Ref,
    Role,
    Stop,
    call,
    process_info,
    stop,
    whereis,
)
from beethoven.errors import BeethovenError, StartError, StartFailed
from tests.integration import roles
from tests.integration.roles import AsyncPuppet, Puppet


class NotWilling(Role):
    """Does not start, in the way that its args say; writes its pid to a file before."""

    def init(self, args: tuple[str, str]) -> Any:
        way, path = args
        draft = Path(path).with_suffix(".draft")
        draft.write_text(str(os.getpid()), "ascii")
        draft.replace(path)
        match way:
            case "stop":
                raise Stop("why")
            case "ignore":
                return Ignore
            case "junk":
                return 5
            case "error":
                raise LookupError("no luck")
            case "exit":
                sys.exit(3)
            case "timeout":
                roles.sleep(Puppet(), 60)
        return None


class Junk(Role):
    """Its callbacks return what they are given."""

    def handle_call(self, request: Any, caller: Any) -> None:
        self.continue_with(request)

    def handle_cast(self, request: Any) -> Any:
        return request

    def handle_info(self, message: Any) -> Any:
        return message

    def handle_continue(self, argument: Any) -> Any:
        return argument


class AsyncJunk(Junk):
    """Its cast is a coroutine."""

    async def handle_cast(self, request: Any) -> Any:
        return request


class Bare(Role):
    """Has no callback at all."""


class Broken(Role):
    """Its callbacks are there, and call what is not."""

    def handle_call(self, request: Any, caller: Any) -> Any:
        if request == "go on":
            self.continue_with(request)

    def handle_info(self, message: Any) -> None:
        self.no_such_method()  # type: ignore[attr-defined]

    def terminate(self, reason: ExitReason) -> None:
        self.no_such_method()  # type: ignore[attr-defined]


def start_in(
    role: Puppet, form: str, behaviour: type[Role], args: Any, options: dict[str, Any]
) -> Any:
    """
    Start a server in one of OTP's three forms.

    Returns:
        Its reference, or what was raised, with the reason of a start that failed.
    """
    try:
        if form == "linked":
            return behaviour.start_link(args, **options)
        ref = behaviour.start(args, **options)
    except StartFailed as error:
        return (StartFailed, str(error.reason))
    except StartError as error:
        return (type(error), getattr(error, "holder", None))
    except Exception as error:
        return (type(error), str(error))
    if form == "monitored":
        role.monitor(ref)
    return ref


def be_idle(role: Puppet, seconds: float | None, message: Any = "timeout") -> None:
    """Set an idle timeout; a message that is a function and its arguments is done at once."""
    if type(message) is tuple and callable(message[0]):
        role.idle_timeout(seconds, "silence")
        function, *arguments = message
        function(role, *arguments)
    else:
        role.idle_timeout(seconds, message)


def until(role: Puppet, path: str) -> None:
    """Say that this has begun, and return when there is that file; it is over a little later."""
    Path(path).with_suffix(".begun").touch()
    while not Path(path).exists():
        roles.sleep(role, 0.01)
    role.send_after(0.1, "over")


def be_idle_with_a_timer(role: Puppet, seconds: float) -> None:
    role.send_after(0.1, "over")
    role.idle_timeout(seconds)
    role.send_after(seconds, "rung")


def be_idle_between_timers(role: Puppet, first: float, idle: float, last: float) -> None:
    role.send_after(first, "tick")
    role.send_after(last, "over")
    role.idle_timeout(idle, "silence")


def be_idle_after(role: Puppet, seconds: float, message: Any) -> None:
    """Go on; `IdleOnContinue` sets its idle timeout there."""
    role.continue_with((seconds, message))


class Idler(Puppet):
    """A plain message is a pair of seconds and a message for its idle timeout, or just noted."""

    def handle_info(self, message: Any) -> None:
        super().handle_info(message)
        match message:
            case ("be idle", seconds, later):
                self.seen.remove(message)
                be_idle(self, seconds, later)
            case ("stop", reason):
                raise Stop(reason)
            case ("do", function, *arguments):
                self.seen.remove(message)
                function(self, *arguments)


class IdleOnContinue(Idler):
    """Sets an idle timeout in `handle_continue`."""

    def handle_continue(self, argument: Any) -> None:
        self.idle_timeout(*argument)


class AsyncIdler(AsyncPuppet, Idler):
    """An idler whose functions may be coroutines."""


def be_idle_and_not(role: Puppet, seconds: float) -> None:
    role.idle_timeout(seconds)
    role.idle_timeout(None)


def be_idle_and_go_on(role: Puppet, seconds: float, argument: Any) -> None:
    role.idle_timeout(seconds)
    role.continue_with(argument)


def with_will(role: Puppet, path: str, function: Any, *arguments: Any) -> Any:
    roles.write_will(role, path)
    return function(role, *arguments)


def set_timer_in_a_task(role: Puppet, pause: float, delay: float, message: Any) -> None:
    """Set a timer from a task, when the role waits for messages already."""
    import asyncio

    async def work() -> None:
        await asyncio.sleep(pause)
        role.send_after(delay, message)

    role.kept.append(asyncio.get_running_loop().create_task(work()))


def send_to_itself_then(role: Puppet, messages: list[Any], function: Any, *arguments: Any) -> None:
    for message in messages:
        role.ref.send(message)
    function(role, *arguments)


class StopsOnContinue(Puppet):
    def handle_continue(self, argument: Any) -> None:
        super().handle_continue(argument)
        raise Stop(argument)


def set_timer_at(role: Puppet, moment: float, message: Any) -> int:
    return role.send_at(moment, message)


def read_timer(role: Puppet, timer: int) -> float | None:
    return role.read_timer(timer)


def send_exit(role: Puppet, target: Ref, reason: Any) -> None:
    target.exit(reason)


def exit_oneself(role: Puppet, reason: Any, path: str) -> str:
    """End; touch the file if that does not happen at once."""
    role.ref.exit(reason)
    Path(path).touch()
    return "still here"


def set_label(role: Puppet, label: str | None) -> None:
    role.set_label(label)


def info_of(role: Puppet, target: Any) -> Any:
    return process_info(target)


def failure_of(role: Puppet, verb: str, target: Any) -> Any:
    """Call or stop somebody who cannot be; return the type of the error and its text."""
    try:
        call(target, "anything", 0.1) if verb == "call" else stop(target)
    except BeethovenError as error:
        return type(error), str(error)
    return None


def own_ref(role: Puppet) -> Ref:
    return role.ref


def look_up(role: Puppet, name: Any) -> Ref | None:
    return whereis(name)


def be_late(role: Puppet, seconds: float, value: Any) -> Any:
    """Answer by a timer: the server handles other messages meanwhile."""
    role.kept.append(role.caller)
    role.send_after(seconds, ("answer", value))
    return NoReply


class Late(Puppet):
    def handle_info(self, message: Any) -> None:
        match message:
            case ("answer", value):
                roles.answer_deferred(self, value)
            case _:
                super().handle_info(message)
