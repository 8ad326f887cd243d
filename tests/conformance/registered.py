"""Processes in registries, and what tests tell them to do. They import it: it imports little."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from beethoven import Ref, Registry, RegistryRef
from beethoven.errors import BeethovenError, CallError
from beethoven.runtime import start
from tests.integration.roles import Puppet

NAME = "book"


@contextmanager
def book(
    count: int = 1, *, role: type[Puppet] = Puppet, **options: Any
) -> Iterator[tuple[Any, ...]]:
    """Run a registry, and some processes that can register themselves."""
    with Registry.start_link(name=NAME, **options) as registry, ExitStack() as stack:
        people = []
        for _ in range(count):
            people.append(role.start_link())
            stack.callback(_end, people[-1])
        yield registry, *people


def _end(ref: Ref) -> None:
    with suppress(CallError):
        ref.stop(timeout=10)


class Failure:
    """What went wrong in another process."""

    def __init__(self, error: BeethovenError) -> None:
        self.error = error


def use(role: Puppet, verb: str, *arguments: Any) -> Any:
    """Do something with the registry."""
    try:
        return getattr(RegistryRef(NAME), verb)(*arguments)
    except BeethovenError as error:
        return Failure(error)


def do(ref: Ref, verb: str, *arguments: Any) -> Any:
    """Have a process do something with the registry, and raise here what that raised there."""
    result = ref.call((use, verb, *arguments))
    if isinstance(result, Failure):
        raise result.error
    return result


def double(value: int) -> int:
    return value * 2


def lock(role: Puppet, key: object, timeout: float | None = None) -> None:
    """Take a lock and keep it beyond this callback."""
    stack = ExitStack()
    stack.enter_context(RegistryRef(NAME).lock(key, timeout))
    role.kept.append(stack)
    role.seen.append("locked")


def unlock(role: Puppet) -> None:
    role.kept.pop().close()


def lock_while_unlocking(role: Puppet, first: object, second: object) -> None:
    """
    Have a thread of its own take and keep one lock in the middle of releasing another.

    That is where the registry has said that it has nothing of this process any more.
    """
    process = start.current.process
    assert process is not None
    unlink, is_locked = process.unlink, threading.Event()

    def keep() -> None:
        with RegistryRef(NAME).lock(second):
            is_locked.set()
            threading.Event().wait()

    def unlink_late(ref: Ref) -> None:
        process.unlink = unlink  # type: ignore[method-assign]
        threading.Thread(target=keep, daemon=True).start()
        # In vain, if nobody can get a lock in between.
        is_locked.wait(1)
        unlink(ref)

    with RegistryRef(NAME).lock(first):
        process.unlink = unlink_late  # type: ignore[method-assign]
    assert is_locked.wait(10)


def fail_with_lock(role: Puppet) -> None:
    """Leave the block of a lock by an error, and survive it."""
    with suppress(ValueError), role.kept.pop():
        raise ValueError("within the block")
