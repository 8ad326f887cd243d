"""
Via: names that a registry keeps, wherever a name can be.

Here is what processes ask a registry when they start and when they are looked up; the registry
itself, and what else can be asked of it, stands on a floor of its own.
"""

import zlib
from dataclasses import dataclass, field
from typing import Any, Final

from beethoven.errors import AlreadyRegistered, AlreadyStarted, NoProcess, SpecError
from beethoven.runtime.packing import Packed, pack, pack_key
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
    """
    ref = whereis(registry)
    if ref is None:
        raise NoProcess(target=subject(registry))
    identity, facts = _known.get(registry, ("", None))
    if facts is None or identity != ref.identity:
        facts = ref.call(("describe",))
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


def register(process: Process, registry: str, key: Any, value: Any) -> None:
    """
    Register the process that this is; it is linked to the registry from now on.

    Raises:
        AlreadyRegistered: The keys are unique, and a living process has this one.
    """
    packed, its_value = pack_key(key, subject(registry)), pack(value, subject(registry))
    partition = facts_of(registry).partition(packed)
    # First, so that the registry hears of our end whenever that comes.
    process.link(partition)
    gone = ""
    while True:
        request = ("register", packed.contents, its_value.contents, process.ref, gone)
        holder, needs_link = partition.call(request)
        if holder is None:
            return
        if holder.is_alive():
            break
        # We know of its end before the registry does.
        gone = holder.identity
    if not needs_link:
        process.unlink(partition)
    raise AlreadyRegistered(registry=registry, key=key, holder=holder)


@dataclass(frozen=True, slots=True)
class Via(ViaName):
    """
    A name that a registry keeps: any key that can be hashed and pickled.

    Attributes:
        registry: The name of a registry with unique keys.
        key: The name.
        value: What the registry keeps with it, for a process that starts with this name.
    """

    registry: str
    key: Any
    value: Any = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.registry}[{self.key!r}]"

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
