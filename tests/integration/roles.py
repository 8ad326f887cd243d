"""
Roles for tests, and what they can be told to do.

Children import this module, so it imports little.
"""

import contextlib
import ctypes
import inspect
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

from beethoven import Caller, Down, ExitReason, NoReply, Role, Stop, call, stop, whereis
from beethoven.errors import CallError


class EndNow:
    """A message that ends a puppet."""


class Puppet(Role):
    """
    Does what it is told: a request is a function of this module and its arguments.

    Its `init` argument is such a tuple, too, or nothing.
    """

    will: str = ""
    watched_name: str = ""
    caller: Caller
    taken: ClassVar[list[int]] = []

    def init(self, args: Any) -> Any:
        self.seen: list[Any] = []
        self.kept: list[Any] = []
        if args:
            function, *arguments = args
            return function(self, *arguments)
        return None

    def handle_call(self, request: Any, caller: Caller) -> Any:
        self.caller = caller
        function, *arguments = request
        return function(self, *arguments)

    def handle_cast(self, request: Any) -> Any:
        function, *arguments = request
        function(self, *arguments)

    def handle_info(self, message: Any) -> None:
        if isinstance(message, EndNow):
            raise Stop("normal")
        self.seen.append(message)
        if self.watched_name and isinstance(message, Down):
            self.seen.append(whereis(self.watched_name))

    def handle_continue(self, argument: Any) -> None:
        self.seen.append(("continued", argument))
        if isinstance(argument, int) and argument > 0:
            self.continue_with(argument - 1)

    def terminate(self, reason: ExitReason) -> Any:
        if self.will == "raise":
            raise ValueError("terminate failed")
        if self.will:
            Path(self.will).write_text(str(reason), "utf-8")


class Trapper(Puppet):
    trap_exit = True


class SpawnedPuppet(Puppet):
    start_method = "spawn"


class Plain(Role):
    """Has no callback of its own but `init`."""

    def init(self, args: Any) -> None:
        if args == "go on":
            self.continue_with(args)


class AsyncPuppet(Puppet):
    """A puppet whose functions may be coroutines."""

    async def init(self, args: Any) -> Any:
        result = super().init(args)
        return await result if inspect.isawaitable(result) else result

    async def handle_call(self, request: Any, caller: Caller) -> Any:
        result = super().handle_call(request, caller)
        return await result if inspect.isawaitable(result) else result

    async def terminate(self, reason: ExitReason) -> None:
        super().terminate(reason)


def write_will(role: Puppet, path: str) -> None:
    """Have `terminate` write its reason to a file, or raise."""
    role.will = path


def write_will_and_crash(role: Puppet, path: str) -> None:
    write_will(role, path)
    crash(role)


def trap(role: Puppet, value: bool = True) -> None:
    role.trap_exit = value


def note(role: Puppet, message: Any) -> None:
    role.seen.append(message)


def note_long(role: Puppet, message: Any, padding: bytes) -> None:
    role.seen.append(message)


def seen(role: Puppet) -> list[Any]:
    return role.seen


def count(role: Puppet, number: int) -> None:
    role.seen = [sum(role.seen) + number]


def counted(role: Puppet) -> int:
    return sum(role.seen)


def size_of(role: Puppet, value: bytes) -> int:
    return len(value)


def answer(role: Puppet, value: Any = None) -> Any:
    return value


def answer_after(role: Puppet, seconds: float, value: Any) -> Any:
    sleep(role, seconds)
    return value


def large_answer(role: Puppet, size: int) -> bytes:
    return bytes(size)


def pid(role: Puppet) -> int:
    return os.getpid()


def caller_pid(role: Puppet) -> int:
    return role.caller.pid


def crash(role: Puppet, text: str = "boom") -> None:
    raise ValueError(text)


def end(role: Puppet, reason: Any = "normal", reply: Any = NoReply) -> None:
    raise Stop(reason, reply=reply)


def end_with_large_reply(role: Puppet, size: int) -> None:
    raise Stop("normal", reply=bytes(size))


def leave(role: Puppet, code: int = 3) -> None:
    os._exit(code)


def leave_by_signal(role: Puppet, number: int) -> None:
    if number == signal.SIGSEGV:
        # No traceback of the dying process in the middle of the test's output.
        import faulthandler

        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.kill(os.getpid(), number)
    sleep(role, 10)


def sleep(role: Puppet, seconds: float) -> None:
    """Do what a user's callback may do."""
    time.sleep(seconds)  # noqa: TID251 - the sleep is what is tested


def be_busy(role: Puppet, path: str) -> None:
    """Do not return for as long as a file exists."""
    while Path(path).exists():
        sleep(role, 0.01)


def spin(role: Puppet) -> None:
    while True:
        pass


def hold_the_interpreter(role: Puppet, seconds: int) -> None:
    """Be stuck in C, with no other thread of this process running."""
    ctypes.PyDLL(None).usleep(seconds * 1_000_000)


def match_for_ever(role: Puppet) -> None:
    """Be stuck in C that looks at signals now and then."""
    re.match(r"(a+)+$", "a" * 60 + "b")


def defer(role: Puppet) -> Any:
    """Keep the caller for later."""
    role.kept.append(role.caller)
    return NoReply


def kept_callers(role: Puppet) -> int:
    return len(role.kept)


def answer_deferred(role: Puppet, value: Any) -> None:
    for caller in role.kept:
        role.reply(caller, value)
    role.kept.clear()


def answer_twice(role: Puppet, first: Any, second: Any) -> Any:
    role.reply(role.caller, first)
    return second


def call_other(role: Puppet, target: Any, request: Any, timeout: float | None = 5.0) -> Any:
    return call(target, request, timeout)


def keep_answer(role: Puppet, target: Any, request: Any) -> None:
    role.kept.append(call(target, request))


def stop_other(role: Puppet, target: Any) -> None:
    stop(target)


def start_other(role: Puppet, behaviour: type[Role], args: Any, name: str | None = None) -> Any:
    return behaviour.start_link(args, name=name)


def start_unlinked(role: Puppet, behaviour: type[Role], args: Any) -> Any:
    return behaviour.start(args)


def monitor(role: Puppet, target: Any) -> int:
    return role.monitor(target)


def demonitor(role: Puppet, number: int) -> None:
    role.demonitor(number)


def monitor_and_demonitor(role: Puppet, target: Any) -> None:
    role.demonitor(role.monitor(target))


def link(role: Puppet, target: Any) -> None:
    role.link(target)


def unlink(role: Puppet, target: Any) -> None:
    role.unlink(target)


def look_up_when_told(role: Puppet, name: str) -> None:
    """Look a name up at the moment of every `Down`."""
    role.watched_name = name


def send_many_and_die(role: Puppet, target: Any, messages: list[Any]) -> None:
    for message in messages:
        target.send(message)
    os.kill(os.getpid(), signal.SIGKILL)


def go_on_with(role: Puppet, *arguments: Any) -> Any:
    for argument in arguments:
        role.continue_with(argument)


def set_timer(role: Puppet, delay: float, message: Any) -> int:
    return role.send_after(delay, message)


def set_end_timer(role: Puppet, delay: float) -> None:
    role.send_after(delay, EndNow())


def cancel_timer(role: Puppet, timer: int) -> bool:
    return role.cancel_timer(timer)


async def sleep_in_a_task(role: Puppet, seconds: float) -> None:
    import asyncio

    await asyncio.sleep(seconds)


def start_task(role: Puppet, seconds: float) -> None:
    import asyncio

    async def work() -> None:
        while True:
            role.seen.append("worked")
            await asyncio.sleep(seconds)

    role.kept.append(asyncio.get_running_loop().create_task(work()))


async def await_and_answer(role: Puppet, value: Any) -> Any:
    import asyncio

    await asyncio.sleep(0)
    return value


def loaded(role: Puppet, *modules: str) -> list[str]:
    return [module for module in modules if module in sys.modules]


def peak_memory(role: Puppet) -> int:
    """Return the most memory that this process ever had, in bytes."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def memory(role: Puppet) -> int:
    """Return the memory of this process, in bytes."""
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def round_trip(role: Puppet, target: Any, size: int) -> int:
    return len(target.call((answer, bytes(size)), timeout=60))


def ignore_start(role: Puppet) -> Any:
    from beethoven import Ignore

    return Ignore


def touch(role: Puppet, path: str) -> None:
    Path(path).touch()


class Unpicklable:
    """Cannot be sent."""

    def __reduce__(self) -> Any:
        raise TypeError("Unpicklable cannot be pickled")


def answer_unpicklable(role: Puppet) -> Any:
    return Unpicklable()


def _complain(pid: int) -> None:
    if pid != os.getpid():
        raise LookupError("there is nothing like it here")


class ReadableHereOnly:
    """Can be pickled by anybody and read by nobody else."""

    def __reduce__(self) -> Any:
        return _complain, (os.getpid(),)


class Exits:
    """Exits whoever pickles it."""

    def __reduce__(self) -> Any:
        sys.exit(7)


class ExitsElsewhere:
    """Can be pickled, and exits whoever unpickles it."""

    def __reduce__(self) -> Any:
        return sys.exit, (7,)


class Speechless(Exception):
    """An exception that cannot tell its text."""

    def __str__(self) -> str:
        raise LookupError("there is no text")


def _fail_speechless() -> None:
    raise Speechless


class Broken:
    """Cannot be sent, and cannot tell why."""

    def __reduce__(self) -> Any:
        raise Speechless


class BrokenElsewhere:
    """Can be pickled; whoever unpickles it is not told why it cannot be read."""

    def __reduce__(self) -> Any:
        return _fail_speechless, ()


def hold(role: Puppet, kind: type) -> None:
    role.kept.append(kind())


def answer_new(role: Puppet, kind: type) -> Any:
    return kind()


def answer_unreadable(role: Puppet) -> Any:
    return ReadableHereOnly()


def pickled(value: Any) -> bytes:
    return pickle.dumps(value, 5)


def open_descriptors(role: Puppet) -> int:
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    except OSError:
        # None is free to look with.
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def limit_descriptors(role: Puppet, more: int) -> None:
    limit = open_descriptors(role) + more
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def take_all_descriptors(role: Puppet) -> None:
    limit_descriptors(role, 20)
    with contextlib.suppress(OSError):
        while True:
            role.taken.append(os.dup(1))


def give_back_descriptors(role: Puppet) -> None:
    while role.taken:
        os.close(role.taken.pop())


def crowd(role: Puppet, target: Any, size: int, patience: float) -> tuple[int, int]:
    """
    Call from many threads that all stay connected.

    Returns:
        How many succeeded, and how many descriptors the other side had then.
    """
    done: list[int] = []
    met, over = threading.Semaphore(0), threading.Event()

    def ask() -> None:
        try:
            target.call((answer, 1), timeout=patience)
            done.append(target.call((answer, 1), timeout=patience))
        except CallError:
            pass
        met.release()
        over.wait()

    threads = [threading.Thread(target=ask) for _ in range(size)]
    for thread in threads:
        thread.start()
    for _ in threads:
        met.acquire()
    descriptors = 0
    with contextlib.suppress(CallError):
        descriptors = target.call((open_descriptors,), timeout=patience)
    over.set()
    for thread in threads:
        thread.join()
    return sum(done), descriptors


def run(role: Puppet, source: str, *arguments: Any) -> Any:
    """Execute Python source; `answer` in it is the reply."""
    names: dict[str, Any] = {"role": role, "arguments": arguments}
    exec(source, names)
    return names.get("answer")


STRAYS = ("subprocess", "shell", "session", "daemon", "forked", "spawned")


def start_stray(role: Puppet, kind: str) -> list[int]:
    """Start processes that Beethoven does not know of; return their pids."""
    if kind == "daemon":
        return [_double_fork()]
    if kind in {"forked", "spawned"}:
        return [_multiprocess("fork" if kind == "forked" else "spawn")]
    command = {
        "subprocess": "exec sleep 300",
        "shell": "sleep 301 & echo $!; exec sleep 302",
        "session": "setsid sleep 303 & echo $!; exec sleep 304",
    }[kind]
    child = subprocess.Popen(["sh", "-c", f"echo $$; {command}"], stdout=subprocess.PIPE, text=True)
    role.kept.append(child)
    assert child.stdout is not None
    return [int(child.stdout.readline()) for _ in range(command.count("sleep"))]


def _double_fork() -> int:
    """Start a daemon as of old, one that executes no other program; return its pid."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.setsid()
        if (daemon := os.fork()) == 0:
            signal.pause()
        os.write(writer, str(daemon).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return int(os.read(reader, 20))


def fork(role: Any, how: str) -> Any:
    """Fork, and have the copy come out of the callback; return the exit code of the copy."""
    copy = os.fork()
    if copy:
        return os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
    if how == "exits":
        sys.exit(0)
    if how == "raises":
        raise ValueError("the copy")
    return "of the copy"


def fork_and_note(role: Puppet, how: str) -> None:
    role.seen.append(fork(role, how))


def _multiprocess(method: str) -> int:
    import multiprocessing

    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=signal.pause)
    process.start()
    return int(process.pid)
