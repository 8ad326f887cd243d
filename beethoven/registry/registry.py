"""
`Registry`: processes found by keys. Semantics are those of Elixir's `Registry`.

A registry keeps many keys for each process, with a value for each; a key may be anything that can
be hashed and pickled. What a process has registered goes when the process does.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from beethoven.errors import CallError, NotRegistered, SpecError
from beethoven.registry.registry_server import Options, RegistryServer
from beethoven.registry.registry_state import Keys
from beethoven.runtime import start, via
from beethoven.runtime.here import here
from beethoven.runtime.names import check_name
from beethoven.runtime.packing import Packed, pack, pack_key
from beethoven.runtime.process import Process
from beethoven.runtime.reason import NORMAL
from beethoven.runtime.reference import Ref, Target, resolve
from beethoven.runtime.scope import StoppedAtEnd
from beethoven.supervision.checks import check_word, refuse
from beethoven.supervision.child_spec import ChildSpec
from beethoven.vocabulary import ChildType

_claims = itertools.count(1)


@dataclass(frozen=True, slots=True)
class RegistryRef(StoppedAtEnd):
    """
    A registry, as its users see it, by its name. As a context manager it is stopped at the end.

    Every method raises `NoProcess` if no such registry runs, and `SpecError` for a key that cannot
    be hashed or pickled, and if what has the name is no registry.

    Attributes:
        name: The name of the registry.
    """

    name: str

    @property
    def ref(self) -> Ref:
        """The process that the registry is to its supervisor."""
        return resolve(self.name)

    def stop(self, reason: object = NORMAL, timeout: float | None = None) -> None:
        """
        End the registry, and return when it is gone with all its partitions.

        With the reason "normal" nobody ends with it: the processes in it are just not registered
        any more.

        Raises:
            NoProcess: It is gone already.
            CallTimeout: It still lives after `timeout` seconds; it goes on terminating.
        """
        self.ref.stop(reason, timeout)

    def register(self, key: Any, value: Any = None) -> None:
        """
        Register this process under a key. It is linked to the registry as long as it has any.

        Raises:
            AlreadyRegistered: The keys are unique, and a living process, maybe this one, has it.
            SpecError: This is no process of a tree, or the value cannot be pickled.
        """
        via.register(self._this_process(), self.name, key, value)

    def unregister(self, key: Any) -> None:
        """Take back everything that this process has registered under a key, if anything."""
        process = self._this_process()
        packed, partition = self._at(key)
        with (tie := via.tie_to(partition)).mutex:
            needs_link = partition.call(("unregister", packed.contents, process.ref.identity))
            if not needs_link and not tie.locks:
                process.unlink(partition)

    def lookup(self, key: Any) -> list[tuple[Ref, Any]]:
        """Return the living processes under a key, with their values, in order of registration."""
        return via.lookup(self.name, key)

    def values(self, key: Any, target: Target) -> list[Any]:
        """Return the values that a process has under a key."""
        identity = resolve(target).identity
        return [value for each, value in self.lookup(key) if each.identity == identity]

    def keys(self, target: Target) -> list[Any]:
        """Return the keys of a process, each as often as it has registered it."""
        return [key for keys in self._ask_all("keys", resolve(target).identity) for key in keys]

    def count(self) -> int:
        """Return how many registrations there are."""
        return sum(self._ask_all("count"))

    def select_all(self) -> list[tuple[Any, Ref, Any]]:
        """Return the key, process and value of every registration of a living process."""
        triples = [triple for each in self._ask_all("all") for triple in each]
        living = {ref for ref in {ref for _, ref, _ in triples} if ref.is_alive()}
        return [triple for triple in triples if triple[1] in living]

    def update_value(self, key: Any, function: Callable[[Any], Any]) -> tuple[Any, Any]:
        """
        Give this process another value under a unique key.

        Args:
            key: The key.
            function: Gets the present value and returns the new one; runs here.

        Returns:
            The new value and the old one.

        Raises:
            NotRegistered: This process does not have the key.
            SpecError: The keys of this registry are not unique.
        """
        if (keys := via.facts_of(self.name).keys) != Keys.UNIQUE:
            refuse(self._subject, "keys", "'unique' for update_value", got=str(keys))
        mine = self._this_process().ref
        for old in self.values(key, mine):
            new = function(old)
            packed, partition = self._at(key)
            value = pack(new, self._subject).contents
            if partition.call(("update", packed.contents, mine.identity, value)):
                return new, old
        raise NotRegistered(registry=self.name, key=key)

    def dispatch(self, key: Any, function: Callable[[list[tuple[Ref, Any]]], object]) -> None:
        """Call `function`, here, with what `lookup` returns, unless that is empty."""
        if entries := self.lookup(key):
            function(entries)

    @contextmanager
    def lock(self, key: Any, timeout: float | None = None) -> Iterator[None]:
        """
        Hold a lock for the length of a block. It has nothing to do with registrations of the key.

        It is released when the block is left, also by an error, and when the process ends. Whoever
        asks for a lock that it holds already waits for ever.

        Args:
            key: Which lock; others do not wait for each other.
            timeout: Seconds to wait for it; None waits for ever.

        Raises:
            CallTimeout: Others have held it all that time.
        """
        packed, partition = self._at(key)
        process = start.current.process
        number = f"{here.identity}-{next(_claims)}"
        with (tie := via.tie_to(partition)).mutex:
            if process is not None:
                process.link(partition)
            tie.locks += 1
        try:
            partition.call(("lock", packed.contents, number, here.identity), timeout)
            yield
        finally:
            # Without a registry there is nothing to release.
            with tie.mutex, suppress(CallError):
                tie.locks -= 1
                needs_link = partition.call(("unlock", packed.contents, number, here.identity))
                if process is not None and not needs_link and not tie.locks:
                    process.unlink(partition)

    def put_meta(self, key: Any, value: Any) -> None:
        """Have the registry keep a value of its own, as long as it runs."""
        packed = pack_key(key, self._subject)
        self._first.call(("put_meta", packed.contents, pack(value, self._subject).contents))

    def meta(self, key: Any, default: Any = None) -> Any:
        """Return a value that the registry was given by `put_meta`, or `default`."""
        is_there, value = self._first.call(("meta", pack_key(key, self._subject).contents))
        return value if is_there else default

    @property
    def _first(self) -> Ref:
        return via.facts_of(self.name).partitions[0]

    @property
    def _subject(self) -> str:
        return via.subject(self.name)

    def _this_process(self) -> Process:
        if start.current.process is None:
            rule = "a process of a tree, such as a role, for only these can be registered"
            refuse(self._subject, "the calling process", rule, got="a plain program")
        return start.current.process

    def _at(self, key: Any) -> tuple[Packed, Ref]:
        """Return the packed key, and the process that keeps it."""
        packed = pack_key(key, self._subject)
        return packed, via.facts_of(self.name).partition(packed)

    def _ask_all(self, *request: Any) -> list[Any]:
        return [each.call(request) for each in via.facts_of(self.name).partitions]


class Registry:
    """Starts registries; `RegistryRef(name)` is how processes speak to one."""

    child_type: ClassVar[ChildType] = ChildType.WORKER

    @classmethod
    def start_link(
        cls,
        *,
        name: str,
        keys: str = Keys.UNIQUE,
        partitions: int = 1,
        listeners: Iterable[str] = (),
    ) -> RegistryRef:
        """
        Start an empty registry.

        Args:
            name: Its name in the tree.
            keys: "unique": at most one process under each key; "duplicate": any number.
            partitions: How many processes share the keys among them, for registries that are asked
                more than one process can answer.
            listeners: Names of processes that are sent `Registered` and `Unregistered`; one that
                does not take a message at once misses it.

        Raises:
            SpecError: An option is wrong.
            AlreadyStarted: A living process holds the name.
        """
        options = _options(name, keys, partitions, listeners)
        RegistryServer.start_link(options, name=name)
        return RegistryRef(name)

    @classmethod
    def child_spec(
        cls,
        *,
        name: str,
        keys: str = Keys.UNIQUE,
        partitions: int = 1,
        listeners: Iterable[str] = (),
        **options: Any,
    ) -> ChildSpec:
        """Return the specification of a registry; `options` are those of `ChildSpec`."""
        args = _options(name, keys, partitions, listeners)
        return ChildSpec(options.pop("id", name), RegistryServer, args, name=name, **options)


def _options(name: object, keys: object, partitions: Any, listeners: object) -> Options:
    try:
        checked = check_name(name)
    except SpecError as error:
        refuse("registry", "name", error.expected, got=name)
    subject = via.subject(checked)
    word = check_word(subject, "keys", Keys, keys)
    is_count = isinstance(partitions, int) and not isinstance(partitions, bool)
    if not is_count or partitions < 1:
        refuse(subject, "partitions", "an integer >= 1", got=partitions)
    if isinstance(listeners, str) or not isinstance(listeners, Iterable):
        refuse(subject, "listeners", "a list of names", got=listeners)
    return Options(checked, word, partitions, tuple(map(check_name, listeners)))
