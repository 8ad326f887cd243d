"""Processes in registries, and what tests tell them to do. They import it: it imports little."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from beethoven import Ref, Registry, RegistryRef
from beethoven.errors import BeethovenError, CallError
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


def fail_with_lock(role: Puppet) -> None:
    """Leave the block of a lock by an error, and survive it."""
    with suppress(ValueError), role.kept.pop():
        raise ValueError("within the block")
