"""
The processes of a registry: each keeps the entries and the locks of some of the keys.

The first of them starts the others, and ends with any of them: a registry fails as a whole. None
ever waits for anybody: who registers links itself, and looks whether others are still alive.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from beethoven.errors import CallError
from beethoven.log import get_log
from beethoven.registry.locks import Claim, Locks
from beethoven.registry.registry_state import Entry, Keys, RegistryState
from beethoven.runtime.exit_signals import Exit
from beethoven.runtime.packing import Packed
from beethoven.runtime.reason import SHUTDOWN, ExitReason
from beethoven.runtime.reference import Ref, send_or_drop
from beethoven.runtime.role import Caller, NoReply, Role, Stop
from beethoven.runtime.via import Facts

log = get_log("registry")


@dataclass(frozen=True, slots=True)
class Registered:
    """Sent to the listeners of a registry: a process has registered itself under a key."""

    registry: str
    key: Any
    ref: Ref
    value: Any


@dataclass(frozen=True, slots=True)
class Unregistered:
    """Sent to the listeners of a registry: a process is no more registered under a key."""

    registry: str
    key: Any
    ref: Ref


@dataclass(frozen=True, slots=True)
class Options:
    """What a registry is started with; see `Registry.start_link`."""

    name: str
    keys: Keys
    partitions: int
    listeners: tuple[str, ...]


class RegistryServer(Role):
    """One partition; the first one is the registry to the outside."""

    trap_exit = True

    def init(self, options: Options) -> None:
        self._options = options
        self._entries = RegistryState(options.keys)
        self._locks = Locks()
        self._meta: dict[bytes, Packed] = {}
        one = replace(options, partitions=1)
        others = [RegistryServer.start_link(one) for _ in range(options.partitions - 1)]
        self._facts = Facts(options.keys, (self.ref, *others))

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Answer a question about entries, or change them."""
        match request:
            case ("describe",):
                return self._facts
            case ("lookup", bytes(key)):
                return [(each.ref, each.value) for each in self._entries.of_key(key)]
            case ("register", bytes(key), bytes(value), Ref() as ref, str(gone)):
                return self._register(Entry(key, ref, Packed(value)), gone)
            case ("unregister", bytes(key), str(owner)):
                self._tell_gone(self._entries.unregister(key, owner))
                return self._needs_link(owner)
            case ("update", bytes(key), str(owner), bytes(value)):
                return self._entries.replace_value(key, owner, Packed(value))
            case ("keys", str(owner)):
                return [Packed(each.key) for each in self._entries.of_owner(owner)]
            case ("count",):
                return self._entries.count()
            case ("all",):
                return [(Packed(each.key), each.ref, each.value) for each in self._entries.all()]
            case ("lock", bytes(key), str(number), str(owner)):
                claim = Claim(number, owner, caller)
                return True if self._locks.claim(key, claim) else NoReply
            case ("unlock", bytes(key), str(number), str(owner)):
                self._grant([self._locks.release(key, number)])
                return self._needs_link(owner)
            case ("put_meta", bytes(key), bytes(value)):
                self._meta[key] = Packed(value)
                return None
            case ("meta", bytes(key)):
                found = self._meta.get(key)
                return (found is not None, found)
        caller.client.refuse(caller.number, f"a registry knows no {request!r}")
        return NoReply

    def handle_cast(self, request: Any) -> None:
        """Heed nothing: a registry is only ever called."""
        log.warning("unexpected_message", role=type(self).__qualname__, message=repr(request))

    def handle_info(self, message: Any) -> None:
        """Forget a process that has ended."""
        match message:
            case Exit(ref, reason) if ref in self._facts.partitions:
                raise Stop(reason)
            case Exit(ref):
                self._forget(ref.identity)
            case _:
                super().handle_info(message)

    def terminate(self, reason: ExitReason) -> None:
        """Take the other partitions along, in good order: what stops one for good stops all."""
        for other in self._facts.partitions[1:]:
            with suppress(CallError):
                other.stop(SHUTDOWN if reason.is_abnormal else reason)

    def _register(self, entry: Entry, gone: str) -> tuple[Ref | None, bool]:
        """Return the holder if the key is taken, and whether the owner stays linked."""
        if gone:
            self._forget(gone)
        holder = self._entries.register(entry)
        if holder is None:
            name, key = self._options.name, Packed(entry.key)
            self._tell(Registered(name, key, entry.ref, entry.value))
        return holder, self._needs_link(entry.ref.identity)

    def _needs_link(self, owner: str) -> bool:
        """Whether an owner has any key here, or has asked for a lock."""
        return bool(len(self._entries.of_owner(owner)) or len(self._locks.of_owner(owner)))

    def _forget(self, owner: str) -> None:
        self._tell_gone(self._entries.forget(owner))
        self._grant(self._locks.forget(owner))

    def _grant(self, claims: Iterable[Claim | None]) -> None:
        for claim in claims:
            if claim is not None:
                self.reply(claim.caller, True)

    def _tell_gone(self, entries: list[Entry]) -> None:
        for entry in entries:
            self._tell(Unregistered(self._options.name, Packed(entry.key), entry.ref))

    def _tell(self, news: Registered | Unregistered) -> None:
        for listener in self._options.listeners:
            send_or_drop(listener, news)
