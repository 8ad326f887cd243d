"""
Via: names that a registry keeps, wherever a name can be.

Here is what processes ask a registry when they start and when they are looked up; the registry
itself, and what else can be asked of it, stands on a floor of its own.
"""

import threading
import zlib
from dataclasses import dataclass, field
from typing import Any, Final

from beethoven.errors import AlreadyRegistered, AlreadyStarted, NoProcess, SpecError
from beethoven.runtime.packing import Packed, check_key, pack, pack_key
from beethoven.runtime.process import Process
from beethoven.runtime.reference import Ref, ViaName, whereis

UNIQUE: Final = "unique"


@dataclass(frozen=True, slots=True)
class Facts:
    """
    What never changes in the life of a registry.

    Attributes:
        keys: "unique" or "duplicate".
        partitions: Its processes; each keeps the keys that belong to it.
    """

    keys: str
    partitions: tuple[Ref, ...]

    def partition(self, key: Packed) -> Ref:
        """Return the process that keeps a key. All processes and all runs agree on it."""
        return self.partitions[zlib.crc32(key.contents) % len(self.partitions)]


# The registries that this process has spoken to, by name, with the identities they had.
_known: dict[str, tuple[str, Facts]] = {}


def facts_of(registry: str) -> Facts:
    """
    Return the facts of a registry.

    Raises:
        NoProcess: No such registry runs.
        SpecError: The process of that name is no registry.
    """
    ref = whereis(registry)
    if ref is None:
        raise NoProcess(target=subject(registry))
    identity, facts = _known.get(registry, ("", None))
    if facts is None or identity != ref.identity:
        facts = ref.call(("describe",))
        if not isinstance(facts, Facts):
            rule = "that of a registry"
            raise SpecError(
                subject=subject(registry), field=f"the answer of {ref}", expected=rule, got=facts
            )
        _known[registry] = ref.identity, facts
    return facts


def subject(registry: object) -> str:
    """Return what to call a registry in an error."""
    return f"registry {registry!r}"


def lookup(registry: str, key: Any) -> list[tuple[Ref, Any]]:
    """Return the living processes that are registered under a key, with their values."""
    return _lookup(facts_of(registry), pack_key(key, subject(registry)))


def _lookup(facts: Facts, key: Packed) -> list[tuple[Ref, Any]]:
    found = facts.partition(key).call(("lookup", key.contents))
    return [(ref, value) for ref, value in found if ref.is_alive()]


class Tie:
    """
    Why this process is linked to a partition, as far as only this process knows.

    The mutex is held from the question whether the partition has anything of this process until
    the link is undone; no other thread can begin to rely on the link meanwhile.

    Attributes:
        mutex: See above.
        locks: How many locks of the partition are held or waited for here.
    """

    def __init__(self) -> None:
        self.mutex = threading.RLock()
        self.locks = 0


# By the identities of the partitions.
_ties: dict[str, Tie] = {}


def tie_to(partition: Ref) -> Tie:
    """Return what ties this process to a partition."""
    return _ties.setdefault(partition.identity, Tie())


def register(process: Process, registry: str, key: Any, value: Any) -> None:
    """
    Register the process that this is; it is linked to the registry from now on.

    Raises:
        AlreadyRegistered: The keys are unique, and a living process has this one.
    """
    packed, its_value = pack_key(key, subject(registry)), pack(value, subject(registry))
    partition = facts_of(registry).partition(packed)
    gone = ""
    with (tie := tie_to(partition)).mutex:
        # First, so that the registry hears of our end whenever that comes.
        process.link(partition)
        while True:
            request = ("register", packed.contents, its_value.contents, process.ref, gone)
            holder, needs_link = partition.call(request)
            if holder is None:
                return
            if holder.is_alive():
                break
            # We know of its end before the registry does.
            gone = holder.identity
        if not needs_link and not tie.locks:
            process.unlink(partition)
    raise AlreadyRegistered(registry=registry, key=key, holder=holder)


@dataclass(frozen=True, slots=True, repr=False)
class Via(ViaName):
    """
    A name that a registry keeps: any key that can be hashed and pickled.

    Attributes:
        registry: The name of a registry with unique keys.
        key: The name.
        value: What the registry keeps with it, for a process that starts with this name.

    Raises:
        SpecError: The registry is no name, or the key cannot be hashed.
    """

    registry: str
    key: Any
    value: Any = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.registry, str):
            rule = "the name of a registry"
            raise SpecError(subject="Via", field="registry", expected=rule, got=self.registry)
        check_key(self.key, subject(self.registry))

    def __str__(self) -> str:
        return f"{self.registry}[{self.key!r}]"

    __repr__ = __str__

    def whereis(self) -> Ref | None:
        """
        Return the living process that holds the name, or None.

        Raises:
            NoProcess: No such registry runs.
        """
        key = pack_key(self.key, subject(self.registry))
        return next((ref for ref, _ in _lookup(self._facts(), key)), None)

    def take(self, process: Process) -> None:
        """
        Give the name to the process that this is.

        Raises:
            AlreadyStarted: A living process holds it.
        """
        self._facts()
        try:
            register(process, self.registry, self.key, self.value)
        except AlreadyRegistered as refusal:
            raise AlreadyStarted(name=str(self), holder=refusal.holder) from None

    def _facts(self) -> Facts:
        """Return the facts of a registry that can keep names."""
        facts = facts_of(self.registry)
        if facts.keys != UNIQUE:
            rule, got = "'unique' where it is to keep names", str(facts.keys)
            raise SpecError(subject=subject(self.registry), field="keys", expected=rule, got=got)
        return facts
